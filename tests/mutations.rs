//! The comparison that all tests use can fail: one edit of a shader's text at a time, each of which it must notice. An edit
//! whose text is no longer there fails too. Needs an adapter.

mod common;

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use common::{
    Device, Distribution, Placement, Problem, Target, bare, lanes, shape, split, teams, whole,
    with_subgroups,
};
use wgpu_batchnorm::{Combine, Kernels, Running, RunningVariance, Tuning, Update};

/// What is computed by an edited text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Input {
    Rows(Path),
    /// Partials and units that lanes share.
    RowsSplitTeams,
    ColumnsSplitTeams,
    /// Values whose mean is so large that one f32 does not hold it.
    RowsFarOff(Path),
    RowsOutlier(Path),
    RowsNan(Path),
    RowsLong(Path),
    RowsInference,
    RowsUnaligned,
    Columns(Path),
    ColumnsFarOff(Path),
    ColumnsOutlier(Path),
    ColumnsInference,
    /// Statistics and coefficients in one dispatch.
    ColumnsCoefficients,
    /// Rows of whole pages, in one dispatch and with a stage of statistics.
    Wide(Path),
    WideOutlier,
    Quads(Path),
    /// Means a million apart from channel to channel.
    QuadsApart(Path),
    QuadsInference,
    /// Planes of which a channel has several accesses.
    QuadsWide,
    /// Rows that go through all channels.
    Planes,
    PlanesWindows,
    /// Bindings of 4 KiB.
    Windows,
    /// Two workgroups per dimension.
    Grids,
    Cumulative,
    Biased,
    /// Neither gamma nor beta.
    Bare,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Path {
    Whole,
    Split,
    /// Lanes share units through workgroup memory, subgroups, one subgroup.
    Workgroup,
    Subgroups,
    Subgroup,
}

use Path::{Split, Subgroup, Subgroups, Whole, Workgroup};

impl Path {
    fn tuning(self) -> Tuning {
        match self {
            Whole => whole(lanes()),
            Split => split(lanes()),
            Workgroup | Subgroups => whole(teams(64)),
            Subgroup => whole(teams(
                with_subgroups()
                    .limits
                    .subgroups
                    .map_or(8, |sizes| sizes.max),
            )),
        }
    }

    fn device(self) -> &'static Device {
        match self {
            Whole | Split | Workgroup => bare(),
            Subgroups | Subgroup => with_subgroups(),
        }
    }
}

const USUAL: Distribution = Distribution::Normal {
    mean: 0.0,
    deviation: 1.0,
};
const FAR_OFF: Distribution = Distribution::Normal {
    mean: 1e6,
    deviation: 1.0,
};
const OUTLIER: Distribution = Distribution::Outlier {
    first: 1e6,
    mean: 0.0,
};

impl Input {
    /// The problem, and the device whose limits it is planned for.
    fn problem(self) -> (Problem, Device) {
        let on =
            |problem: Problem, path: Path| (problem.tuned(path.tuning()), path.device().clone());
        // lengths with tails of every kind
        let rows = |distribution| Problem::training(shape(7, 5, 1132), distribution, 1);
        let single = |distribution| Problem::training(shape(7, 5, 279), distribution, 1);
        let columns = |distribution| Problem::training(shape(1213, 12, 1), distribution, 1);
        let quads = || Problem::usual(29, 8, 9);
        let mut wide = Problem::usual(23, 1024, 1);
        match self {
            Self::Rows(path) => on(Problem::usual(7, 5, 279), path),
            Self::RowsSplitTeams => {
                let problem = Problem::usual(7, 5, 279);
                (problem.tuned(split(teams(64))), bare().clone())
            }
            Self::ColumnsSplitTeams => {
                let problem = Problem::usual(1213, 12, 1);
                (problem.tuned(split(teams(64))), bare().clone())
            }
            Self::RowsFarOff(path) => on(single(FAR_OFF), path),
            Self::RowsOutlier(path) => on(rows(OUTLIER), path),
            Self::RowsNan(path) => {
                let mut problem = rows(USUAL);
                problem.x[1132 + 500] = f32::NAN;
                on(problem, path)
            }
            Self::RowsLong(path) => {
                let (mut problem, device) = on(Problem::usual(1, 1, 6001), path);
                problem.tuning = problem.tuning.map(|tuning| Tuning { block: 1, ..tuning });
                (problem, device)
            }
            Self::RowsInference => on(Problem::usual(7, 5, 284).inference(), Whole),
            Self::RowsUnaligned => {
                let placement = Placement {
                    x: 4,
                    y: Target::At(12),
                    vectors: 8,
                    ..Placement::default()
                };
                on(Problem::usual(7, 5, 284).placed(placement), Split)
            }
            Self::Columns(path) => on(Problem::usual(1213, 12, 1), path),
            Self::ColumnsFarOff(path) => on(columns(FAR_OFF), path),
            Self::ColumnsOutlier(path) => on(columns(OUTLIER), path),
            Self::ColumnsCoefficients => {
                let tuning = Tuning {
                    fused_bytes: 0,
                    ..whole(lanes())
                };
                (Problem::usual(1213, 12, 1).tuned(tuning), bare().clone())
            }
            Self::ColumnsInference => on(Problem::usual(215, 236, 1).inference(), Split),
            Self::Wide(path) => on(wide, path),
            Self::WideOutlier => {
                for value in &mut wide.x[..1024] {
                    *value = 1e6;
                }
                on(wide, Whole)
            }
            Self::Quads(path) => on(quads(), path),
            Self::QuadsApart(path) => {
                let mut problem = quads();
                for (index, value) in problem.x.iter_mut().enumerate() {
                    *value += 1e6 * (index / 9 % 8) as f32;
                }
                on(problem, path)
            }
            Self::QuadsInference => on(quads().inference(), Whole),
            Self::QuadsWide => on(Problem::usual(5, 8, 29), Whole),
            Self::PlanesWindows => {
                let device = bare().limited(|limits| limits.binding_bytes = 4 << 10);
                let problem = Problem::usual(3, 200, 9).inference();
                (problem.tuned(split(lanes())), device)
            }
            Self::Planes => {
                // several turns for a lane
                let tuning = Tuning {
                    workgroups: 2,
                    ..split(lanes())
                };
                let problem = Problem::usual(29, 8, 9).inference();
                (problem.tuned(tuning), bare().clone())
            }
            Self::Windows => {
                let device = bare().limited(|limits| limits.binding_bytes = 4 << 10);
                (Problem::usual(3, 200, 21).tuned(lanes()), device)
            }
            Self::Grids => {
                let device = bare().limited(|limits| limits.workgroups_per_dimension = 2);
                (Problem::usual(6, 100, 10).tuned(split(lanes())), device)
            }
            Self::Cumulative => {
                let rule = Running {
                    update: Update::Cumulative,
                    ..Running::default()
                };
                on(Problem::usual(3, 4, 5).running(Some(rule)), Whole)
            }
            Self::Biased => {
                let rule = Running {
                    variance: RunningVariance::Biased,
                    ..Running::default()
                };
                on(Problem::usual(3, 4, 5).running(Some(rule)), Whole)
            }
            Self::Bare => {
                let mut problem = Problem::usual(3, 4, 5);
                (problem.gamma, problem.beta) = (None, None);
                on(problem, Whole)
            }
        }
    }

    /// Whether the adapter has what the input is about.
    fn is_possible(self) -> bool {
        let sizes = with_subgroups().limits.subgroups;
        match self {
            Self::Rows(Subgroups) => sizes.is_some(),
            Self::Rows(Subgroup) => sizes.is_some_and(|sizes| sizes.min == sizes.max),
            _ => true,
        }
    }
}

/// One edit of the text: this for that, where it first occurs.
struct Edit {
    input: Input,
    old: &'static str,
    new: &'static str,
}

const fn edit(input: Input, old: &'static str, new: &'static str) -> Edit {
    Edit { input, old, new }
}

impl fmt::Display for Edit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` for `{}` in {:?}", self.new, self.old, self.input)
    }
}

impl Edit {
    /// What is wrong with the edit: not applied, or not noticed.
    fn complaint(&self) -> Option<String> {
        let (problem, device) = self.input.problem();
        let applied = Arc::new(AtomicBool::new(false));
        let (old, new, seen) = (self.old, self.new, applied.clone());
        let kernels = Kernels::edited(device.gpu.device(), move |text| {
            if text.contains(old) {
                seen.store(true, Ordering::Relaxed);
            }
            text.replacen(old, new, 1)
        });
        let edited = Device { kernels, ..device };
        let outcome = problem
            .check(&edited)
            .expect("a problem that can be computed");
        if !applied.load(Ordering::Relaxed) {
            return Some(format!("no longer applies: {self}"));
        }
        outcome.is_ok().then(|| format!("not noticed: {self}"))
    }
}

/// Every edit is noticed, and what is not edited is right.
#[track_caller]
fn assert_noticed(edits: &[Edit]) {
    let possible = || edits.iter().filter(|edit| edit.input.is_possible());
    let inputs: BTreeSet<_> = possible().map(|edit| edit.input).collect();
    for input in inputs {
        let (problem, device) = input.problem();
        problem.assert_right(&device);
    }
    let complaints: Vec<_> = possible().filter_map(Edit::complaint).collect();
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

#[test]
fn inputs_take_the_paths_that_they_are_named_for() {
    let combines = |path: Path| {
        let (problem, device) = Input::Rows(path).problem();
        let solution = problem.assert_right(&device);
        solution
            .dispatches
            .iter()
            .map(|dispatch| dispatch.combine)
            .collect::<Vec<_>>()
    };
    assert_eq!(combines(Whole), [Combine::Lane]);
    assert_eq!(combines(Split), [Combine::Lane; 3]);
    assert_eq!(combines(Workgroup), [Combine::Workgroup]);
    for (path, combine) in [
        (Subgroups, Combine::Subgroups),
        (Subgroup, Combine::Subgroup),
    ] {
        if Input::Rows(path).is_possible() {
            assert_eq!(combines(path), [combine]);
        }
    }
}

#[test]
fn the_geometry_matters() {
    use Input::{ColumnsInference, Grids, Rows, RowsUnaligned, Windows};
    assert_noticed(&[
        // wrong workgroup, lane, unit
        edit(Grids, "params.first_workgroup + workgroup.x", "workgroup.x"),
        edit(Grids, "workgroup.y * params.grid_width", "workgroup.y"),
        edit(Grids, "+ lane % UNITS_ACROSS", ""),
        edit(Grids, "unit % params.groups", "unit / params.groups"),
        edit(Rows(Split), "unit / params.groups", "0u"),
        edit(Rows(Workgroup), "lane / UNITS_ACROSS", "0u"),
        // wrong channel, wrong split of windows
        edit(Windows, "params.first_group + group", "group"),
        edit(Windows, "params.first_split + split", "split"),
        // wrong place in the tensors
        edit(RowsUnaligned, "work.x = params.x + group", "work.x = group"),
        edit(
            RowsUnaligned,
            "work.y = params.y + group",
            "work.y = params.x + group",
        ),
        edit(
            Rows(Split),
            "work.x = params.x + group * params.group_stride",
            "work.x = params.x",
        ),
        // wrong splits and wrong ends
        edit(
            Rows(Split),
            "split / params.column_splits * params.split_rows",
            "0u",
        ),
        edit(
            Rows(Split),
            "split % params.column_splits * params.split_columns",
            "0u",
        ),
        edit(
            ColumnsInference,
            "min(params.rows, work.row_begin + params.split_rows)",
            "work.row_begin + params.split_rows - 1u",
        ),
        edit(
            Rows(Split),
            "min(params.columns, work.column_begin + params.split_columns)",
            "work.column_begin + params.split_columns",
        ),
        // lanes that do what others do
        edit(
            Input::Columns(Workgroup),
            "work.row_begin + team_lane / TEAM_COLUMNS",
            "work.row_begin",
        ),
        edit(
            Rows(Workgroup),
            "work.column_begin + team_lane % TEAM_COLUMNS",
            "work.column_begin",
        ),
    ]);
}

#[test]
fn moments_matter() {
    use Input::{Columns, Rows, RowsFarOff, RowsLong, RowsOutlier};
    assert_noticed(&[
        edit(Rows(Whole), "a.mean + delta * share", "a.mean"),
        edit(
            Rows(Whole),
            "let count = a.count + b.count;",
            "let count = a.count;",
        ),
        edit(
            RowsLong(Whole),
            " + delta * delta * (f32(a.count) * share)",
            "",
        ),
        edit(Rows(Split), "a.m2 + b.m2", "a.m2"),
        edit(
            RowsFarOff(Whole),
            "Tally(no_moments(), no_moments(), frame)",
            "Tally(no_moments(), no_moments(), M(0.0))",
        ),
        edit(Rows(Whole), "squares - sum * shift", "squares"),
        edit(
            Rows(Whole),
            "let shift = sum / f32(count);",
            "let shift = sum;",
        ),
        edit(Rows(Whole), "((*tally).center - frame) + shift", "shift"),
        edit(
            RowsLong(Whole),
            "(*tally).total = merge((*tally).total, (*tally).part);",
            "(*tally).total = (*tally).part;",
        ),
        edit(RowsLong(Whole), "(*tally).part = no_moments();", ""),
        edit(
            RowsLong(Whole),
            "merge(tally.total, tally.part)",
            "tally.part",
        ),
        edit(
            RowsLong(Whole),
            "merge(tally.total, tally.part)",
            "tally.total",
        ),
        // a frame that is the outlier
        edit(RowsOutlier(Whole), "max(min(a, b), min(max(a, b), c))", "a"),
        edit(
            RowsFarOff(Split),
            "max(min(a, b), min(max(a, b), c))",
            "M(0.0)",
        ),
        edit(
            RowsFarOff(Whole),
            "bitcast<M>(bitcast<U>(value) ^ U(params.zero))",
            "M(0.0)",
        ),
        // the sum of an access's values
        edit(
            RowsOutlier(Whole),
            "return (v.x + v.y) + (v.z + v.w)",
            "return (v.x + v.y) + v.z",
        ),
        // combining lanes
        edit(Rows(Whole), "return moments;", "return no_moments();"),
        edit(
            Rows(Workgroup),
            "half >= UNITS_ACROSS",
            "half > UNITS_ACROSS",
        ),
        edit(
            Rows(Workgroup),
            "merge(lanes[lane], lanes[lane + half])",
            "lanes[lane]",
        ),
        edit(
            Columns(Workgroup),
            "return lanes[lane % UNITS_ACROSS];",
            "return lanes[0];",
        ),
        edit(
            Rows(Subgroups),
            "i < invocation.subgroups",
            "i + 1u < invocation.subgroups",
        ),
        edit(
            Rows(Subgroups),
            "subgroup_moments[invocation.subgroup] = mine",
            "subgroup_moments[invocation.subgroup] = moments",
        ),
        edit(
            Rows(Subgroups),
            "merge(total, subgroup_moments[i])",
            "subgroup_moments[i]",
        ),
        edit(
            Rows(Subgroup),
            "return combine_subgroup(moments);",
            "return moments;",
        ),
        edit(
            Rows(Subgroup),
            "subgroupAdd(moments.count)",
            "moments.count",
        ),
        edit(Rows(Subgroup), " + delta * delta * f32(moments.count)", ""),
        edit(
            Rows(Subgroups),
            "subgroupAdd(moments.mean * f32(moments.count))",
            "subgroupAdd(moments.mean)",
        ),
    ]);
}

#[test]
fn statistics_by_rows_and_columns_matter() {
    use Input::{
        Columns, ColumnsFarOff, ColumnsOutlier, Rows, RowsFarOff, RowsOutlier, Wide, WideOutlier,
        Windows,
    };
    assert_noticed(&[
        // frames
        edit(
            RowsOutlier(Whole),
            "load_x_value(work.x + middle, 0u)",
            "load_x_value(work.x + first, 0u)",
        ),
        edit(
            RowsOutlier(Whole),
            "load_x_value(work.x + last, WIDTH - 1u)",
            "load_x_value(work.x + first, 0u)",
        ),
        edit(
            ColumnsOutlier(Whole),
            "load_x(work.x + middle * params.row_stride)",
            "load_x(work.x + first * params.row_stride)",
        ),
        edit(
            ColumnsOutlier(Whole),
            "load_x(work.x + last * params.row_stride)",
            "load_x(work.x + first * params.row_stride)",
        ),
        // sums by rows, their tails and their counts
        edit(Rows(Whole), "sum += a + b;", "sum += a;"),
        edit(
            Rows(Whole),
            "squares += a * a + b * b;",
            "squares += a * a;",
        ),
        edit(
            Rows(Whole),
            "count += (stop - i + step - 1u) / step;",
            "count += (stop - i) / step + 1u;",
        ),
        edit(RowsOutlier(Whole), "count * WIDTH", "count"),
        edit(Rows(Whole), "if count > 0u", "if count > 1000u"),
        edit(
            Rows(Whole),
            "let a = load_x(i) - center;",
            "let a = load_x(i);",
        ),
        edit(
            Rows(Split),
            "i = work.x + row * row_stride + work.column;",
            "i = work.x + row * row_stride;",
        ),
        edit(
            RowsFarOff(Whole),
            "center = tally.center;",
            "center = frame + 1.0;",
        ),
        // by columns
        edit(
            Columns(Whole),
            "load_x(i + 3u * step) - center",
            "load_x(i + 2u * step) - center",
        ),
        edit(
            Columns(Whole),
            "sum += (a + b) + (c + d);",
            "sum += (a + b) + c;",
        ),
        edit(Columns(Whole), "(c * c + d * d)", "c * c"),
        edit(
            Columns(Whole),
            "for (; i < end; i += step)",
            "for (; i + step < end; i += step)",
        ),
        edit(
            Columns(Whole),
            "row += count * TEAM_ROWS;",
            "row += count * TEAM_ROWS + 1u;",
        ),
        edit(
            ColumnsFarOff(Whole),
            "let center = tally.center;",
            "let center = frame;",
        ),
        // four accesses to a lane
        edit(
            Wide(Split),
            "unit / UNITS_ACROSS * (3u * UNITS_ACROSS)",
            "0u",
        ),
        edit(
            Wide(Split),
            "load_x(i + 3u * APART)",
            "load_x(i + 2u * APART)",
        ),
        edit(
            Wide(Split),
            "squares.d += vd * vd;",
            "squares.d += vc * vc;",
        ),
        edit(Wide(Split), "sum.b += vb;", "sum.b += va;"),
        edit(
            Wide(Split),
            "finish(work, group + APART, frame.b",
            "finish(work, group, frame.b",
        ),
        edit(
            Wide(Split),
            "absorb(&c, frame.c, count,",
            "absorb(&c, frame.c, count + 1u,",
        ),
        edit(WideOutlier, "median(first.a, middle.a, last.a)", "first.a"),
        edit(Wide(Split), "if !work.valid", "if work.valid"),
        edit(
            Wide(Split),
            "finish(work, group + 3u * APART, frame.d",
            "finish(work, group + 2u * APART, frame.d",
        ),
        edit(
            Wide(Whole),
            "finalize(group + APART, frame.b",
            "finalize(group, frame.b",
        ),
        edit(
            Wide(Whole),
            "frame.d, moments.d, true)",
            "frame.d, moments.c, true)",
        ),
        edit(
            Wide(Whole),
            "store_y(y + i + 2u * APART, apply(x2, c2));",
            "",
        ),
        edit(
            Wide(Whole),
            "store_y(y + i + 3u * APART, apply(x3, c3));",
            "store_y(y + i + 3u * APART, apply(x3, c2));",
        ),
        // what partials say, and of whom
        edit(Windows, "+ k - params.first_channel", "+ k"),
        edit(
            Rows(Split),
            "work.split * params.channels + channel",
            "channel",
        ),
        edit(
            Columns(Split),
            "component(frame, k)",
            "component(frame, 0u)",
        ),
        edit(
            Columns(Split),
            "component(moments.mean, k)",
            "component(moments.mean, 0u)",
        ),
        edit(
            Columns(Split),
            "component(moments.m2, k)",
            "component(moments.m2, 0u)",
        ),
        edit(Rows(Split), "moments.count,", "1u,"),
        edit(Rows(Split), "if !work.leads", "if work.leads"),
        // combining is forgotten
        edit(
            Rows(Workgroup),
            "combine(invocation, gather(work, origin))",
            "gather(work, origin)",
        ),
        edit(
            Input::ColumnsSplitTeams,
            "combine(invocation, gather(work, origin))",
            "gather(work, origin)",
        ),
    ]);
}

#[test]
fn quads_matter() {
    use Input::{Quads, QuadsApart};
    assert_noticed(&[
        // which accesses are a channel's
        edit(Quads(Whole), "(begin + 3u) / 4u", "begin / 4u"),
        edit(
            Quads(Whole),
            "end / 4u, begin % 4u, end % 4u",
            "end / 4u, 0u, end % 4u",
        ),
        edit(
            Quads(Whole),
            "end / 4u, begin % 4u, end % 4u",
            "end / 4u, begin % 4u, 0u",
        ),
        edit(
            Quads(Whole),
            "return 4u + params.zero;",
            "return 3u + params.zero;",
        ),
        edit(
            Quads(Whole),
            "vec4(0u, 1u, 2u, 3u) == vec4(k)",
            "vec4(0u, 1u, 2u, 3u) >= vec4(k + 1u)",
        ),
        // frames
        edit(
            QuadsApart(Whole),
            "vec4(0u, 1u, 2u, 3u) * params.columns + index",
            "vec4(index)",
        ),
        edit(
            QuadsApart(Whole),
            "load_x_value(i + access.w, part.w)",
            "load_x_value(i + access.x, part.x)",
        ),
        // sums
        edit(
            Quads(Whole),
            "load_x(i - 1u) - center, position >= vec4(quarter.before)",
            "load_x(i - 1u) - center, position > vec4(quarter.before)",
        ),
        edit(
            Quads(Whole),
            "load_x(end) - center, position < vec4(quarter.after)",
            "load_x(end) - center, position <= vec4(quarter.after)",
        ),
        edit(Input::QuadsWide, "sums.sum += a + b;", "sums.sum += a;"),
        edit(
            Input::QuadsWide,
            "sums.squares += a * a + b * b;",
            "sums.squares += a * a;",
        ),
        edit(Quads(Split), "add(&sums, load_x(i) - center);", ""),
        edit(
            Quads(Split),
            "(*sums).squares += a * a;",
            "(*sums).squares += a;",
        ),
        edit(Quads(Whole), "(stop - row) * params.columns", "stop - row"),
        edit(
            Quads(Split),
            "return (v.x + v.y) + (v.z + v.w);",
            "return (v.x + v.y) + v.z;",
        ),
        edit(
            Quads(Whole),
            "component(tally.center, k)",
            "component(tally.center, 0u)",
        ),
        // normalizing
        edit(
            Quads(Whole),
            "of_channel(coefficients, k)",
            "of_channel(coefficients, 0u)",
        ),
        edit(
            Quads(Whole),
            "component(all.shift, k)",
            "component(all.scale, k)",
        ),
        edit(
            Input::QuadsWide,
            "store_y(y + i + 1u, (b - own.mean)",
            "store_y(y + i + 1u, (a - own.mean)",
        ),
        edit(
            Quads(Whole),
            "store_y(y + i, (load_x(i) - own.mean) * own.scale + own.shift);",
            "",
        ),
        edit(
            Quads(Whole),
            "normalize_shared(end, y + end, coefficients, (end - start) * 4u);",
            "",
        ),
        edit(
            Quads(Whole),
            "coefficients, (end - start) * 4u)",
            "coefficients, (end - start) * 4u + 1u)",
        ),
        edit(
            Quads(Whole),
            "position >= vec4(params.columns * 2u)",
            "position > vec4(params.columns * 2u)",
        ),
    ]);
}

#[test]
fn rows_through_all_channels_matter() {
    use Input::Planes;
    assert_noticed(&[
        edit(
            Planes,
            "coefficients(channel + u32(own < WIDTH))",
            "coefficients(channel)",
        ),
        edit(Planes, ">= vec4(own)", "> vec4(own)"),
        edit(
            Planes,
            "(x - plane.mean) * plane.scale + plane.shift",
            "(x - plane.mean) * plane.scale",
        ),
        edit(
            Planes,
            "(params.first_column + work.column) * WIDTH",
            "(params.first_column + work.column)",
        ),
        edit(
            Input::PlanesWindows,
            "(params.first_column + work.column) * WIDTH",
            "work.column * WIDTH",
        ),
        edit(Planes, "TEAM_COLUMNS * WIDTH / params.inner", "0u"),
        edit(Planes, "TEAM_COLUMNS * WIDTH % params.inner", "0u"),
        edit(
            Planes,
            "store_y(y + i + 3u * step, apply_plane(d, plane));",
            "",
        ),
        edit(
            Planes,
            "store_y(y + i + 2u * step, apply_plane(c, plane));",
            "store_y(y + i + 2u * step, apply_plane(d, plane));",
        ),
        edit(Planes, "store_y(y + i, apply_plane(load_x(i), plane));", ""),
        edit(Planes, "select(0u, params.inner, over)", "0u"),
        edit(Planes, "channels_on + u32(over)", "channels_on"),
    ]);
}

#[test]
fn finalize_matters() {
    use Input::{Bare, Biased, Columns, Cumulative, Rows, RowsFarOff, RowsOutlier};
    assert_noticed(&[
        // partials
        edit(Rows(Split), "total = merge(total, part);", "total = part;"),
        edit(
            Rows(Split),
            "(bitcast<f32>(partial.y) - frame) + bitcast<f32>(partial.z)",
            "bitcast<f32>(partial.y) - frame",
        ),
        edit(
            Rows(Split),
            "(bitcast<f32>(partial.y) - frame)",
            "bitcast<f32>(partial.y)",
        ),
        edit(
            Rows(Split),
            "bitcast<f32>(partial.w)",
            "bitcast<f32>(partial.z)",
        ),
        edit(Rows(Split), "Moments(partial.x, mean", "Moments(1u, mean"),
        edit(
            RowsFarOff(Split),
            "return bitcast<f32>(part.y) + bitcast<f32>(part.z);",
            "return bitcast<f32>(part.z);",
        ),
        edit(Input::RowsSplitTeams, "combine(invocation, total)", "total"),
        edit(
            Rows(Split),
            "finalize(work.group, frame",
            "finalize(0u, frame",
        ),
        edit(
            Rows(Split),
            "store_coefficients(2u, work.group, coefficients.shift)",
            "store_coefficients(2u, work.group, coefficients.scale)",
        ),
        edit(
            Rows(Split),
            "store_coefficients(0u, work.group",
            "store_coefficients(1u, work.group",
        ),
        edit(
            Input::ColumnsCoefficients,
            "store_coefficients(2u, group, coefficients.shift)",
            "store_coefficients(2u, group, coefficients.mean)",
        ),
        edit(
            Input::ColumnsCoefficients,
            "if !work.leads",
            "if work.leads",
        ),
        // the mean's remainder
        edit(
            RowsFarOff(Whole),
            "let remainder = (larger - mean) + smaller;",
            "let remainder = M(0.0);",
        ),
        edit(
            RowsFarOff(Whole),
            "load_beta(group) - remainder * scale",
            "load_beta(group)",
        ),
        edit(
            RowsFarOff(Whole),
            "load_beta(group) - remainder * scale",
            "load_beta(group) + remainder * scale",
        ),
        edit(
            RowsFarOff(Whole),
            "store_saved(1u, group, remainder)",
            "store_saved(1u, group, M(0.0))",
        ),
        edit(
            RowsFarOff(Whole),
            "frame_larger = abs(frame) >= abs(moments.mean)",
            "frame_larger = abs(frame) < abs(moments.mean)",
        ),
        edit(
            RowsFarOff(Split),
            "let mean = opaque(frame + moments.mean);",
            "let mean = opaque(frame);",
        ),
        // statistics
        edit(
            Rows(Whole),
            "moments.m2 * params.inverse_count",
            "moments.m2",
        ),
        // a maximum hides what is not a number
        edit(
            Input::RowsNan(Whole),
            "let variance = moments.m2 * params.inverse_count;",
            "let variance = max(moments.m2, 0.0) * params.inverse_count;",
        ),
        edit(
            Bare,
            "sqrt(variance + params.epsilon)",
            "sqrt(variance + 1.1 * params.epsilon + 1e-3)",
        ),
        edit(RowsOutlier(Whole), "1.0 / sqrt(variance", "1.0 / (variance"),
        edit(
            Rows(Whole),
            "store_saved(0u, group, mean)",
            "store_saved(0u, group, M(0.0))",
        ),
        edit(
            Rows(Whole),
            "store_saved(2u, group, invstd)",
            "store_saved(2u, group, variance)",
        ),
        edit(
            Rows(Whole),
            "load_batches(group) + U(1u)",
            "load_batches(group)",
        ),
        edit(Rows(Whole), "store_batches(group, batches);", ""),
        edit(
            Cumulative,
            "params.cumulative != 0u",
            "params.cumulative == 0u",
        ),
        edit(Cumulative, "1.0 / M(batches)", "1.0 / M(batches + U(1u))"),
        edit(
            Rows(Whole),
            "factor * ((mean - running_mean) + remainder)",
            "factor * (mean + remainder)",
        ),
        edit(
            Rows(Whole),
            "store_running(1u, group, running_variance +",
            "store_running(1u, group, running_mean +",
        ),
        edit(Rows(Whole), "variance * params.bessel", "variance"),
        edit(Biased, "variance * params.bessel", "variance * 1.1"),
        // gamma and beta
        edit(
            Rows(Whole),
            "load_gamma(group) * invstd",
            "load_beta(group) * invstd",
        ),
        edit(
            Rows(Whole),
            "load_beta(group) - remainder",
            "load_gamma(group) - remainder",
        ),
        edit(Bare, "U(0x3f800000u)", "U(0u)"),
        edit(
            Columns(Split),
            "params.vector_stride",
            "(params.vector_stride + 4u)",
        ),
        edit(
            Rows(Whole),
            "normalize(work, finalize(work.group,",
            "normalize(work, finalize(work.group / 2u,",
        ),
    ]);
}

#[test]
fn normalize_matters() {
    use Input::{Columns, ColumnsInference, Rows, RowsFarOff, RowsInference, RowsOutlier};
    assert_noticed(&[
        // the mean folded into the shift
        edit(
            RowsFarOff(Whole),
            "(x - coefficients.mean) * coefficients.scale + coefficients.shift",
            "x * coefficients.scale + (coefficients.shift - coefficients.mean * coefficients.scale)",
        ),
        edit(
            Rows(Whole),
            "* coefficients.scale + coefficients.shift",
            "* coefficients.scale",
        ),
        // coefficients of the stage before, of given statistics
        edit(
            Rows(Split),
            "load_coefficients(1u, group), load_coefficients(2u, group)",
            "load_coefficients(2u, group), load_coefficients(1u, group)",
        ),
        edit(
            RowsInference,
            "Coefficients(load_mean(group), scale, load_beta(group))",
            "Coefficients(load_mean(group), load_beta(group), scale)",
        ),
        edit(
            RowsInference,
            "load_variance(group) + params.epsilon",
            "load_variance(group) + 1e-3",
        ),
        edit(
            RowsInference,
            "load_mean(group), scale",
            "load_variance(group), scale",
        ),
        edit(
            RowsInference,
            "let scale = load_gamma(group) *",
            "let scale = load_beta(group) *",
        ),
        edit(
            RowsInference,
            "coefficients(work.group)",
            "coefficients(0u)",
        ),
        edit(
            Input::QuadsInference,
            "coefficients(work.group)",
            "coefficients(0u)",
        ),
        // by rows: the second of two accesses, the last of an odd number
        edit(
            RowsOutlier(Whole),
            "store_y(y + i + step, apply(b, coefficients));",
            "",
        ),
        edit(RowsInference, "if i < end", "if i > end"),
        edit(RowsInference, "row += TEAM_ROWS", "row += 2u * TEAM_ROWS"),
        edit(
            Rows(Whole),
            "let y = work.y - work.x;",
            "let y = work.y - work.x + 1u;",
        ),
        // by columns, fused
        edit(
            Columns(Whole),
            "store_y(y + i + 3u * j, apply(d, coefficients));",
            "",
        ),
        edit(
            Columns(Whole),
            "store_y(y + i + 2u * j, apply(c, coefficients));",
            "store_y(y + i + 2u * j, apply(b, coefficients));",
        ),
        edit(
            Columns(Whole),
            "store_y(y + i, apply(load_x(i), coefficients));",
            "",
        ),
        // by columns, on their own
        edit(
            ColumnsInference,
            "coefficients(params.first_column + column + TEAM_COLUMNS)",
            "coefficients(params.first_column + column)",
        ),
        edit(
            ColumnsInference,
            "let c = coefficients(params.first_column + column);",
            "let c = coefficients(0u);",
        ),
        edit(
            ColumnsInference,
            "store_y(y + i + 3u * TEAM_COLUMNS, apply(x3, c3));",
            "store_y(y + i + 3u * TEAM_COLUMNS, apply(x3, c2));",
        ),
        edit(ColumnsInference, "store_y(y + i + step, apply(x1, c));", ""),
        edit(ColumnsInference, "if i < end", "if i > end"),
        edit(
            ColumnsInference,
            "for (; column < work.column_end; column += TEAM_COLUMNS)",
            "for (; column < work.column_end; column += 2u * TEAM_COLUMNS)",
        ),
    ]);
}
