//! What edited texts compute: a small problem for each path through the kernels.

use wgpu_batchnorm::{
    Activation, Derivative, Element, Gradient, Kernels, Running, RunningVariance, Statistics,
    Tuning, Update,
};

use crate::common::sharded::{Merging, compute};
use crate::common::storage::{check_pack, check_unpack, text_of};
use crate::common::{
    Device, Distribution, LayerStep, Placement, Problem, Target, bare, lanes, resident, shape,
    split, teams, whole, with_subgroups,
};

/// What is computed by an edited text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Input {
    Rows(Path),
    /// Partials and units that lanes share.
    RowsSplitTeams,
    ColumnsSplitTeams,
    /// Values whose mean is so large that one f32 does not hold it.
    RowsFarOff(Path),
    RowsOutlier(Path),
    RowsNan(Path),
    /// Outliers where frames come from, held in registers.
    RowsBadFrame,
    RowsLong(Path),
    /// Rows that are walked channel by channel.
    RowsInference,
    /// Rows one after another; their moments.
    RunsInference,
    Runs,
    RowsUnaligned,
    Columns(Path),
    ColumnsFarOff(Path),
    ColumnsOutlier(Path),
    ColumnsInference,
    /// Statistics and coefficients in one dispatch.
    ColumnsCoefficients,
    Quads(Path),
    /// Means a million apart from channel to channel.
    QuadsApart(Path),
    QuadsInference,
    /// Planes of which a channel has several accesses.
    QuadsWide,
    /// Planes of so few values that two accesses can have three channels.
    QuadsNarrow,
    /// Moments of rows one after another whose channels share accesses; means a million apart from channel to channel.
    SharedRuns,
    SharedRunsApart,
    /// Rows that go through all channels, in the backward pass.
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
    /// Both passes.
    Gradients(Layout, Path),
    /// The same with means of a million, and an activation that is found from the input.
    GradientsFarOff(Path),
    /// Splits of rows that lanes share.
    GradientsSplitTeams,
    /// Statistics that are fixed.
    Frozen(Layout),
    /// An activation and a residual.
    Activated(Function, Derivative, Path),
    /// Gradients that are added to what was there, twice.
    Added(Path),
    /// No values at all.
    Empty,
    /// Both passes of halves; with an odd number in a row.
    Halves(Element),
    OddHalves(Element),
    /// Both passes of halves that go eight at a time; by fixed statistics; from a mask, with gradients that are added to.
    WideHalves(Layout, Path),
    WideFrozen(Layout),
    WideMask,
    /// Odd halves and masks in bindings of 8 KiB.
    OddHalvesWindows,
    MaskWindows,
    /// A batch in several places; merged apart or by each; with nothing in some; with means of a million.
    Shards(Merging),
    ShardsFarOff(Merging),
    /// The storage shaders alone.
    Pack(Element),
    Unpack(Element),
}

/// How a tensor of the backward pass is walked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Layout {
    Rows,
    /// Rows one after another.
    Runs,
    /// The same of channels that share accesses.
    SharedRuns,
    /// One row for a lane.
    LongRow,
    Columns,
    /// Coefficients in a dispatch of their own.
    ColumnsApart,
    Quads,
    /// Planes of which a channel has several accesses.
    QuadsWide,
    Windows,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Function {
    Relu,
    LeakyRelu,
    Relu6,
    Silu,
    Gelu,
    GeluTanh,
}

impl Function {
    fn activation(self) -> Activation {
        match self {
            Self::Relu => Activation::Relu,
            Self::LeakyRelu => Activation::LeakyRelu { slope: 0.25 },
            Self::Relu6 => Activation::Relu6,
            Self::Silu => Activation::Silu,
            Self::Gelu => Activation::Gelu,
            Self::GeluTanh => Activation::GeluTanh,
        }
    }
}

/// What an input is checked by.
pub enum Subject {
    Forward(Problem),
    Both(LayerStep),
    Sharded(LayerStep, &'static [u64], Merging),
    Pack(Element),
    Unpack(Element),
}

/// A change of a shader's text.
pub type Change = Box<dyn Fn(&str) -> String + Send + Sync>;

impl Subject {
    /// What is wrong with what the device computes by texts that are changed.
    pub fn check(&self, device: &Device, change: Option<Change>) -> Result<(), String> {
        let possible = "a problem that can be computed";
        let text = |element| match &change {
            Some(change) => change(text_of(element)),
            None => text_of(element).to_owned(),
        };
        match self {
            Self::Pack(element) => return check_pack(*element, &text(*element)),
            Self::Unpack(element) => return check_unpack(*element, &text(*element)),
            _ => {}
        }
        let device = match change {
            Some(change) => &Device {
                kernels: Kernels::edited(device.gpu.device(), change),
                ..device.clone()
            },
            None => device,
        };
        match self {
            Self::Forward(problem) => problem.check(device).expect(possible).map(|_| ()),
            Self::Both(step) => step.check(device).expect(possible).map(|_| ()),
            Self::Sharded(step, cut, merging) => compute(step, cut, *merging, device).compare(step),
            Self::Pack(_) | Self::Unpack(_) => Ok(()),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Path {
    Whole,
    Split,
    /// Lanes share units through workgroup memory, subgroups, one subgroup.
    Workgroup,
    Subgroups,
    Subgroup,
    /// Lanes hold units in registers, and combine through workgroup memory, subgroups.
    Resident,
    ResidentSubgroups,
}

use Path::{Resident, ResidentSubgroups, Split, Subgroup, Subgroups, Whole, Workgroup};

impl Path {
    fn tuning(self) -> Tuning {
        match self {
            Whole => whole(lanes()),
            Split => split(lanes()),
            Workgroup | Subgroups => whole(teams(64)),
            Resident | ResidentSubgroups => resident(256),
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
            Whole | Split | Workgroup | Resident => bare(),
            Subgroups | Subgroup | ResidentSubgroups => with_subgroups(),
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
    /// What is checked, and the device whose limits it is planned for.
    pub fn subject(self) -> (Subject, Device) {
        if let Some((step, device)) = self.step() {
            return (Subject::Both(step), device);
        }
        match self {
            Self::Shards(merging) => {
                let step = LayerStep::new(shape(11, 5, 36), Activation::Silu, 1);
                let step = step.tuned(split(lanes())).prepared();
                (Subject::Sharded(step, &[4, 0, 7], merging), bare().clone())
            }
            Self::ShardsFarOff(merging) => {
                let step = LayerStep::new(shape(11, 4, 52), Activation::None, 1);
                let step = step.distributed(FAR_OFF, 3).tuned(split(lanes()));
                let cut = &[0, 11, 0];
                (
                    Subject::Sharded(step.prepared(), cut, merging),
                    bare().clone(),
                )
            }
            Self::Pack(element) => (Subject::Pack(element), bare().clone()),
            Self::Unpack(element) => (Subject::Unpack(element), bare().clone()),
            _ => {
                let (problem, device) = self.problem();
                (Subject::Forward(problem), device)
            }
        }
    }

    /// Both passes, where that is what is checked.
    fn step(self) -> Option<(LayerStep, Device)> {
        let step = |(outer, channels, inner), activation| {
            LayerStep::new(shape(outer, channels, inner), activation, 1)
        };
        let none = Activation::None;
        let rows = (7, 5, 279);
        let layout = |layout: Layout, path: Path| {
            let tuning = path.tuning();
            let with = |change: fn(&mut Tuning)| {
                let mut tuning = path.tuning();
                change(&mut tuning);
                tuning
            };
            let (sizes, tuning) = match layout {
                Layout::Rows if path == Resident => ((7, 5, 243), tuning),
                Layout::Columns if path == Resident => ((413, 12, 1), tuning),
                Layout::Rows => (rows, with(|tuning| tuning.run_bytes = 0)),
                // several for a lane
                Layout::Runs => ((31, 5, 279), with(|tuning| tuning.workgroups = 1)),
                Layout::SharedRuns => ((31, 8, 29), with(|tuning| tuning.workgroups = 1)),
                Layout::LongRow => ((1, 1, 6001), with(|tuning| tuning.block = 1)),
                Layout::Columns => ((1213, 12, 1), tuning),
                Layout::ColumnsApart => ((1213, 12, 1), with(|tuning| tuning.fused_bytes = 0)),
                Layout::Quads => ((29, 8, 9), tuning),
                Layout::QuadsWide => ((5, 8, 29), tuning),
                Layout::Windows => ((3, 200, 21), lanes()),
            };
            step(sizes, none).tuned(tuning)
        };
        let wide = |layout: Layout, path: Path| {
            let sizes = match layout {
                Layout::Columns | Layout::ColumnsApart => (1213, 24, 1),
                Layout::SharedRuns => (7, 6, 284),
                // an odd number of accesses
                _ => (7, 5, 280),
            };
            let mut tuning = path.tuning();
            match layout {
                Layout::ColumnsApart => tuning.fused_bytes = 0,
                Layout::Rows => tuning.run_bytes = 0,
                Layout::SharedRuns => tuning.run_tensors = 1,
                _ => {}
            }
            let step = step(sizes, none).tuned(tuning);
            let step = step.with(|options| options.element(Element::Bf16));
            // with a residual there is one access in flight, without two
            match layout {
                Layout::Rows => step.residual(),
                _ => step,
            }
        };
        let windows = || bare().limited(|limits| limits.binding_bytes = 8 << 10);
        let fixed = |step: LayerStep| step.with(|options| options.statistics(Statistics::Fixed));
        let (step, device) = match self {
            Self::Gradients(Layout::Windows, path) => (layout(Layout::Windows, path), windows()),
            Self::Gradients(of, path) => (layout(of, path), path.device().clone()),
            Self::GradientsFarOff(path) => {
                let sizes = if path == Resident { (7, 5, 243) } else { rows };
                let step = step(sizes, Activation::Silu).distributed(FAR_OFF, 1);
                (step.tuned(path.tuning()), path.device().clone())
            }
            Self::GradientsSplitTeams => (step(rows, none).tuned(split(teams(64))), bare().clone()),
            Self::Frozen(of) => {
                let mut step = fixed(layout(of, Whole)).residual();
                step.options.epsilon = 0.1;
                (step, bare().clone())
            }
            Self::Activated(function, derivative, path) => {
                let mut step = step((7, 5, 30), function.activation()).residual();
                for gamma in &mut step.gamma {
                    *gamma *= 3.0;
                }
                let step = step.with(|options| options.derivative(derivative));
                (step.tuned(path.tuning()), path.device().clone())
            }
            Self::Added(path) => {
                let add = Gradient::Add;
                let mut step = step((7, 5, 30), none).residual();
                step = step.with(|options| {
                    let options = options.grad_input(add).grad_residual(add);
                    options.grad_gamma(add).grad_beta(add)
                });
                step.repeats = 2;
                (step.tuned(path.tuning()), path.device().clone())
            }
            Self::Planes => {
                // several turns for a lane
                let tuning = Tuning {
                    workgroups: 2,
                    ..split(lanes())
                };
                (step((31, 8, 9), none).tuned(tuning), bare().clone())
            }
            Self::PlanesWindows => (step((3, 200, 13), none).tuned(split(lanes())), windows()),
            Self::Empty => (step((0, 3, 5), none), bare().clone()),
            Self::Halves(element) => {
                let step = step((7, 5, 36), Activation::Relu).residual();
                let step = step.with(|options| options.element(element));
                (step.tuned(split(lanes())), bare().clone())
            }
            Self::WideHalves(of, path) => (wide(of, path), bare().clone()),
            Self::WideFrozen(of) => (fixed(wide(of, Split)), bare().clone()),
            Self::WideMask => {
                let add = Gradient::Add;
                let step = wide(Layout::Rows, Split).with(|options| {
                    let options = options.activation(Activation::Relu);
                    let options = options.derivative(Derivative::Mask);
                    options.grad_input(add).grad_residual(add)
                });
                (step, bare().clone())
            }
            Self::OddHalves(element) => {
                let add = Gradient::Add;
                let step = step((3, 5, 7), Activation::Relu).residual();
                let step = step.with(|options| {
                    let options = options.element(element).derivative(Derivative::Mask);
                    options.grad_input(add).grad_residual(add)
                });
                (step.tuned(split(teams(256))), bare().clone())
            }
            Self::OddHalvesWindows => {
                let step = step((3, 201, 9), Activation::Relu);
                let step =
                    step.with(|options| options.element(Element::F16).derivative(Derivative::Mask));
                (step.tuned(lanes()), windows())
            }
            Self::MaskWindows => {
                let step = step((3, 200, 21), Activation::Relu);
                let step = step.with(|options| options.derivative(Derivative::Mask));
                (step.tuned(lanes()), windows())
            }
            _ => return None,
        };
        Some((step.prepared(), device))
    }

    /// A forward pass alone.
    fn problem(self) -> (Problem, Device) {
        let on =
            |problem: Problem, path: Path| (problem.tuned(path.tuning()), path.device().clone());
        // lengths with tails of every kind
        let rows = |distribution| Problem::training(shape(7, 5, 1132), distribution, 1);
        let single = |distribution| Problem::training(shape(7, 5, 279), distribution, 1);
        let columns = |distribution| Problem::training(shape(1213, 12, 1), distribution, 1);
        let quads = || Problem::usual(29, 8, 9);
        let apart = |mut problem: Problem, inner| {
            for (index, value) in problem.x.iter_mut().enumerate() {
                *value += 1e6 * (index / inner % 8) as f32;
            }
            problem
        };
        // moments as well as gradients, several rows for a lane
        let along_memory = |problem: Problem| {
            let tuning = Tuning {
                workgroups: 1,
                run_tensors: 1,
                ..split(lanes())
            };
            (problem.tuned(tuning), bare().clone())
        };
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
            Self::RowsInference => on(Problem::usual(7, 5, 4100).inference(), Whole),
            // six rows of five channels to a lane
            Self::RunsInference => on(Problem::usual(9, 5, 284).inference(), Whole),
            Self::RowsUnaligned => {
                let placement = Placement {
                    x: 4,
                    y: Target::At(12),
                    vectors: 8,
                    ..Placement::default()
                };
                on(Problem::usual(7, 5, 284).placed(placement), Split)
            }
            Self::RowsBadFrame => {
                let mut problem = Problem::usual(64, 2, 256).running(None).unsaved();
                for channel in 0..2 {
                    for (row, value) in [(0, 0), (32, 128), (63, 255)] {
                        problem.x[(row * 2 + channel) * 256 + value] = 1e4;
                    }
                }
                // the mean is counted from 74 deviations away, whose rounding is in values near 0
                problem.beta = Some(vec![100.0; 2]);
                on(problem, Resident)
            }
            // three groups of channels for four units to a workgroup
            Self::Columns(Resident) => on(Problem::usual(413, 12, 1), Resident),
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
            Self::Quads(path) => on(quads(), path),
            Self::QuadsApart(path) => on(apart(quads(), 9), path),
            Self::Runs => along_memory(Problem::usual(31, 5, 284)),
            Self::SharedRuns => along_memory(Problem::usual(31, 8, 29)),
            Self::SharedRunsApart => along_memory(apart(Problem::usual(31, 8, 29), 29)),
            Self::QuadsInference => on(quads().inference(), Whole),
            Self::QuadsWide => on(Problem::usual(5, 8, 29), Whole),
            Self::QuadsNarrow => on(Problem::usual(9, 8, 5), Whole),
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
            _ => unreachable!("a forward pass alone"),
        }
    }

    /// Whether the adapter has what the input is about.
    pub fn is_possible(self) -> bool {
        let sizes = with_subgroups().limits.subgroups;
        match self {
            Self::Rows(Subgroups | ResidentSubgroups) | Self::Gradients(_, Subgroups) => {
                sizes.is_some()
            }
            Self::Rows(Subgroup) | Self::Gradients(_, Subgroup) => {
                sizes.is_some_and(|sizes| sizes.min == sizes.max)
            }
            _ => true,
        }
    }
}
