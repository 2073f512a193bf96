//! What edited texts compute: a small problem for each path through the kernels.

use wgpu_batchnorm::{Running, RunningVariance, Tuning, Update};

use crate::common::{
    Device, Distribution, Placement, Problem, Target, bare, lanes, shape, split, teams, whole,
    with_subgroups,
};

/// What is computed by an edited text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Input {
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
pub enum Path {
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
    pub fn problem(self) -> (Problem, Device) {
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
    pub fn is_possible(self) -> bool {
        let sizes = with_subgroups().limits.subgroups;
        match self {
            Self::Rows(Subgroups) => sizes.is_some(),
            Self::Rows(Subgroup) => sizes.is_some_and(|sizes| sizes.min == sizes.max),
            _ => true,
        }
    }
}
