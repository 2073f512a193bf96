//! The built-in cases: inputs that break careless statistics, and shapes that break careless indexing.

use std::fmt;

use anyhow::{Context, Result};
use comfy_table::Row;
use wgpu_batchnorm::{
    Activation, Derivative, Element, Operation, Running, RunningVariance, Update,
};

use super::report::{Checked, Compared};
use crate::cli::Verdict;
use crate::cli::compare::{Comparison, Tolerance};
use crate::cli::device::{Device, Placement};
use crate::cli::inputs::{Distribution, Random};
use crate::cli::output::{bad, error_digits, lines, print, progress, row, table};
use crate::cli::placed::rounded;
use crate::cli::problem::{OF_LARGEST_GRADIENT, Problem, State, Statistics, describe_running};
use crate::cli::size::{Layout, Sizes};

use Layout::{ChannelsFirst, ChannelsLast};

/// Sizes of the hard inputs.
const HARD: [(Layout, [usize; 4]); 2] = [
    (ChannelsFirst, [32, 8, 56, 56]),
    (ChannelsLast, [32, 56, 56, 8]),
];
/// The same with ten million values per channel: above 128 MiB, what one binding holds on default limits.
const HARD_FULL: [(Layout, [usize; 4]); 2] = [
    (ChannelsFirst, [10, 4, 1000, 1000]),
    (ChannelsLast, [10, 1000, 1000, 4]),
];

/// The same with channels that one workgroup's registers hold, which GPUs have kernels of their own for.
const HARD_SMALL: [(Layout, [usize; 4]); 2] = [
    (ChannelsFirst, [2, 64, 28, 28]),
    (ChannelsLast, [4, 4, 4, 2048]),
];

/// Shapes with something odd about each.
const SWEEP: [(Layout, &[usize]); 20] = [
    (ChannelsFirst, &[2, 3, 7, 7]),
    (ChannelsFirst, &[8, 64, 7, 7]),
    (ChannelsFirst, &[3, 5, 5]),
    (ChannelsFirst, &[9, 30, 1, 1]),
    (ChannelsFirst, &[2, 6, 3, 5, 7]),
    (ChannelsFirst, &[4, 32, 14, 14]),
    (ChannelsFirst, &[2, 40, 32, 32]),
    (ChannelsFirst, &[7, 1, 9]),
    (ChannelsFirst, &[1, 5, 10007]),
    (ChannelsFirst, &[1, 5, 1]),
    (ChannelsFirst, &[0, 4, 3]),
    (ChannelsFirst, &[300, 2, 2]),
    (ChannelsLast, &[6, 13]),
    (ChannelsLast, &[64, 7]),
    (ChannelsLast, &[1, 12]),
    (ChannelsLast, &[10007, 1]),
    (ChannelsLast, &[4099, 6]),
    (ChannelsLast, &[0, 8]),
    (ChannelsLast, &[3, 5, 7, 34]),
    (ChannelsLast, &[17, 1028]),
];
/// Larger ones.
const SWEEP_FULL: [(Layout, &[usize]); 6] = [
    (ChannelsFirst, &[32, 64, 56, 56]),
    (ChannelsFirst, &[32, 2048, 7, 7]),
    (ChannelsFirst, &[1, 3, 3_000_001]),
    (ChannelsFirst, &[70_000, 3, 5]),
    (ChannelsLast, &[3_000_001, 3]),
    (ChannelsLast, &[5, 200_003]),
];

/// Where tensors start in their buffers: apart, together, at multiples of 16 bytes and not.
const PLACEMENTS: [Placement; 6] = [
    Placement::Whole,
    Placement::Pool { x: 4, y: 4 },
    Placement::Pool { x: 8, y: 260 },
    Placement::Pool { x: 12, y: 0 },
    Placement::Pool { x: 252, y: 8 },
    Placement::Pool { x: 16, y: 256 },
];

/// Checks all of them.
pub fn run(device: &Device, full: bool) -> Result<Vec<Checked>> {
    print(&format!(
        "\nallowed error: {}; of gradients {OF_LARGEST_GRADIENT:e} of the largest\n  value; of f16 and bf16 tensors their rounding on top",
        Tolerance::PROMISE
    ))?;
    let mut checked = Vec::new();
    hard(device, if full { HARD_FULL } else { HARD }, &mut checked)?;
    hard(device, HARD_SMALL, &mut checked)?;
    sweep(device, full, &mut checked)?;
    fused(device, full, &mut checked)?;
    tuned(device, &mut checked)?;

    let mut wrong = 0;
    for step in &checked {
        wrong += usize::from(step.verdict != Verdict::Right);
        for tensor in &step.tensors {
            if let (false, Some(worst)) = (tensor.right, &tensor.worst) {
                print(&format!(
                    "{}: {}: {}: {} values outside, off by {:.1e} at {:?}: {:?} for {:?}",
                    bad("WRONG"),
                    step.name,
                    tensor.name,
                    tensor.outside,
                    worst.error.0,
                    worst.at,
                    worst.actual.0 as f32,
                    worst.expected.0
                ))?;
            }
        }
    }
    print(&format!(
        "\n{} of {} steps are right",
        checked.len() - wrong,
        checked.len()
    ))?;
    Ok(checked)
}

/// The largest errors of a step.
#[derive(Clone, Copy, Debug, Default)]
struct Errors {
    /// Of the result and the running statistics, in units of `max(1, |v|)`.
    forward: f64,
    /// Of the gradients, in units of the largest value of each.
    backward: f64,
}

impl Errors {
    fn max(self, other: Self) -> Self {
        Self {
            forward: self.forward.max(other.forward),
            backward: self.backward.max(other.backward),
        }
    }
}

/// Solves a problem of these sizes on the device.
fn step(
    to: &mut Vec<Checked>,
    device: &Device,
    problem: &Problem,
    sizes: &[usize],
    placement: Placement,
    name: String,
) -> Result<Errors> {
    let solution = device
        .solve(problem, placement)
        .with_context(|| name.clone())?;
    let exact = problem.exact()?;
    let channels = [problem.shape.channels() as usize];
    let mut errors = Errors::default();
    let mut tensors = Vec::new();
    let stored = Tolerance::PROMISE.stored_as(problem.element);
    let y = Comparison::new(&solution.y, &exact.y, stored);
    errors.forward = y.scaled_error();
    tensors.push(Compared::new("y", sizes.to_vec(), &y, stored));
    for (tensor, comparison) in solution.compare_state(&exact, Tolerance::PROMISE) {
        errors.forward = errors.forward.max(comparison.scaled_error());
        tensors.push(Compared::new(
            tensor,
            channels.to_vec(),
            &comparison,
            Tolerance::PROMISE,
        ));
    }
    for gradient in solution.compare_gradients(problem, &exact) {
        errors.backward = errors.backward.max(gradient.error);
        let sizes = if gradient.like_input {
            sizes
        } else {
            &channels
        };
        let compared = Compared::new(
            gradient.name,
            sizes.to_vec(),
            &gradient.comparison,
            gradient.tolerance,
        );
        tensors.push(compared);
    }
    to.push(Checked::compared(name, tensors));
    Ok(errors)
}

/// The hard inputs, in training and inference, in both layouts.
fn hard(
    device: &Device,
    shapes: [(Layout, [usize; 4]); 2],
    checked: &mut Vec<Checked>,
) -> Result<()> {
    let titles = [
        "input",
        "first train",
        "first infer",
        "last train",
        "last infer",
    ];
    let [mut forward, mut backward] = [(); 2].map(|()| table(&titles, 1));
    let bar = progress(Distribution::HARD.len() * shapes.len());
    for (seed, (name, distribution)) in Distribution::HARD.into_iter().enumerate() {
        let [mut forward_cells, mut backward_cells] = [(); 2].map(|()| vec![name.to_owned()]);
        for (layout, sizes) in shapes {
            bar.set_message(name);
            let mut problem = training(layout, &sizes, distribution, seed as u64, Features::ALL)?;
            problem.grad_output = Some(noise(&problem, seed as u64, Element::F32));
            for inference in [false, true] {
                if inference {
                    problem.statistics = Statistics::Given(exact_state(&problem)?);
                }
                let operation = if inference { "inference" } else { "training" };
                let name = format!("{name}, {layout}, {operation}");
                let errors = step(checked, device, &problem, &sizes, Placement::Whole, name)?;
                forward_cells.push(error_digits(errors.forward));
                backward_cells.push(error_digits(errors.backward));
            }
            bar.inc(1);
        }
        forward.add_row(row(forward_cells, 1));
        backward.add_row(row(backward_cells, 1));
    }
    bar.finish_and_clear();
    let [(_, first), (_, last)] = shapes.map(|(layout, sizes)| (layout, Sizes(sizes.to_vec())));
    print(&format!(
        "\nHard inputs, channels first ({first}) and last ({last}): largest error"
    ))?;
    print(&lines(forward).join("\n"))?;
    print("\nTheir gradients: largest error over the largest value")?;
    print(&lines(backward).join("\n"))
}

/// A row: the largest errors of training and inference.
fn errors_row(name: String, layout: Layout, [training, inference]: [Errors; 2]) -> Row {
    let cells = [
        name,
        layout.to_string(),
        error_digits(training.forward),
        error_digits(inference.forward),
        error_digits(training.max(inference).backward),
    ];
    row(cells, 2)
}

/// The odd shapes, in training and inference, at changing offsets with changing features.
fn sweep(device: &Device, full: bool, checked: &mut Vec<Checked>) -> Result<()> {
    let shapes: Vec<_> = SWEEP
        .into_iter()
        .chain(SWEEP_FULL.into_iter().filter(|_| full))
        .collect();
    let mut table = table(&["shape", "layout", "train", "infer", "gradients"], 2);
    let bar = progress(shapes.len());
    let distribution = Distribution::Normal {
        mean: 3.0,
        deviation: 2.0,
    };
    for (seed, (layout, sizes)) in shapes.into_iter().enumerate() {
        let shape = Sizes(sizes.to_vec());
        bar.set_message(shape.to_string());
        let mut largest = [Errors::default(); 2];
        for (index, placement) in PLACEMENTS.into_iter().enumerate() {
            let features = Features::number(seed + index);
            let mut problem = training(layout, sizes, distribution, seed as u64, features)?;
            // Kernels of the backward pass are many: one placement at the widest access, one at the narrowest.
            let goes_back = full || index < 2;
            problem.grad_output = goes_back.then(|| noise(&problem, seed as u64, Element::F32));
            for (operation, largest) in ["training", "inference"].into_iter().zip(&mut largest) {
                if operation == "inference" {
                    problem.statistics = Statistics::Given(exact_state(&problem)?);
                }
                let name = format!("{shape}, {layout}, {operation}, {placement}, {features}");
                *largest = largest.max(step(checked, device, &problem, sizes, placement, name)?);
            }
        }
        table.add_row(errors_row(shape.to_string(), layout, largest));
        bar.inc(1);
    }
    bar.finish_and_clear();
    print(&format!(
        "\nShapes, each at {} placements with changing options: largest error",
        PLACEMENTS.len()
    ))?;
    print(&lines(table).join("\n"))
}

/// Every pass that the device has a tuning for, over the shape that it was found with.
fn tuned(device: &Device, checked: &mut Vec<Checked>) -> Result<()> {
    let Some(tunings) = &device.tunings else {
        return Ok(());
    };
    let mut table = table(&["tuned pass", "", "forward", "gradients"], 2);
    let bar = progress(tunings.passes().len());
    for (seed, pass) in tunings.passes().iter().enumerate() {
        let (operation, element) = (pass.operation, pass.element);
        let name = format!("{operation} {}", element.name());
        bar.set_message(format!("{} {name}", pass.shape));
        let sizes = [
            pass.shape.outer(),
            pass.shape.channels(),
            pass.shape.inner(),
        ]
        .map(|size| size as usize);
        // Hard for f32; halves have no digits for it.
        let mean = if element == Element::F32 { 1e4 } else { 3.0 };
        let distribution = Distribution::Normal {
            mean,
            deviation: 1.0,
        };
        let seed = seed as u64;
        let mut problem = training(ChannelsFirst, &sizes, distribution, seed, Features::ALL)?;
        problem.x = rounded(&problem.x, element);
        problem.element = element;
        match operation {
            Operation::Training => (),
            Operation::Inference => problem.statistics = Statistics::Given(exact_state(&problem)?),
            Operation::Backward => problem.grad_output = Some(noise(&problem, seed, element)),
        }
        let step_name = format!("tuned {name} of {}", pass.shape);
        let errors = step(
            checked,
            device,
            &problem,
            &sizes,
            Placement::Whole,
            step_name,
        )?;
        let gradients = match operation {
            Operation::Backward => error_digits(errors.backward),
            Operation::Inference | Operation::Training => "-".to_owned(),
        };
        let shape = Sizes(sizes.to_vec()).to_string();
        table.add_row(row(
            [shape, name, error_digits(errors.forward), gradients],
            2,
        ));
        bar.inc(1);
    }
    bar.finish_and_clear();
    print("\nTuned passes, as outer x channels x inner: largest error")?;
    print(&lines(table).join("\n"))
}

/// What is fused with a step, and how its tensors are stored.
#[derive(Clone, Copy, Debug)]
struct Fused {
    element: Element,
    activation: Activation,
    residual: bool,
    derivative: Derivative,
}

impl fmt::Display for Fused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let residual = if self.residual { ", residual" } else { "" };
        let (element, activation) = (self.element.name(), self.activation.name());
        write!(f, "{element}, {activation}{residual}")?;
        match (self.activation, self.derivative) {
            (Activation::None, _) => Ok(()),
            (_, Derivative::Input) => write!(f, ", by input"),
            (_, Derivative::Output) => write!(f, ", by output"),
            (_, Derivative::Mask) => write!(f, ", by mask"),
        }
    }
}

/// A power of two: products with it are exact.
const SLOPE: f32 = 0.125;
const LEAKY: Activation = Activation::LeakyRelu { slope: SLOPE };

impl Fused {
    const fn new(
        element: Element,
        activation: Activation,
        residual: bool,
        derivative: Derivative,
    ) -> Self {
        Self {
            element,
            activation,
            residual,
            derivative,
        }
    }

    /// Every activation, element and derivative, in a few of their combinations: kernels take their time to compile.
    fn some() -> Vec<Self> {
        use Derivative::{Input, Mask, Output};
        use Element::{Bf16, F16, F32};
        vec![
            Self::new(F32, Activation::Relu, true, Mask),
            Self::new(F32, Activation::Silu, false, Input),
            Self::new(F32, LEAKY, true, Output),
            Self::new(F16, Activation::None, false, Input),
            Self::new(F16, Activation::Relu, true, Output),
            Self::new(F16, Activation::Gelu, true, Input),
            Self::new(Bf16, Activation::Relu6, false, Mask),
            Self::new(Bf16, Activation::GeluTanh, true, Input),
        ]
    }

    fn all() -> Vec<Self> {
        let mut all = Vec::new();
        for element in Element::ALL {
            for activation in Activation::all(SLOPE) {
                for residual in [false, true] {
                    for derivative in [Derivative::Input, Derivative::Output, Derivative::Mask] {
                        let differs =
                            activation != Activation::None || derivative == Derivative::Input;
                        if differs && activation.gradient_from(derivative) {
                            all.push(Self::new(element, activation, residual, derivative));
                        }
                    }
                }
            }
        }
        all
    }

    /// A training step with all of it, forward and backward.
    fn problem(self, layout: Layout, sizes: &[usize], seed: u64) -> Result<Problem> {
        let distribution = Distribution::Normal {
            mean: 3.0,
            deviation: 2.0,
        };
        let mut problem = training(layout, sizes, distribution, seed, Features::ALL)?;
        problem.x = rounded(&problem.x, self.element);
        problem.element = self.element;
        problem.residual = (self.residual).then(|| noise(&problem, seed + 1, self.element));
        problem.activation = self.activation;
        problem.derivative = self.derivative;
        if let Some(gamma) = &mut problem.gamma
            && self.activation == Activation::Relu6
        {
            // Past the second corner.
            for gamma in gamma {
                *gamma *= 4.0;
            }
        }
        Ok(problem)
    }
}

/// A gradient of the result that is zero wherever the activation has a corner so near that rounding decides its side. At 6
/// numbers of bf16 are 1/32 apart.
fn gradient_off_corners(problem: &Problem, seed: u64) -> Result<Vec<f32>> {
    let corners: &[f64] = match problem.activation {
        Activation::Relu | Activation::LeakyRelu { .. } => &[0.0],
        Activation::Relu6 => &[0.0, 6.0],
        _ => &[],
    };
    let linear = Problem {
        activation: Activation::None,
        grad_output: None,
        ..problem.clone()
    };
    let z = linear.exact()?.y;
    let mut dy = noise(problem, seed, problem.element);
    for (dy, z) in dy.iter_mut().zip(z) {
        if corners.iter().any(|corner| (z - corner).abs() < 1.0 / 32.0) {
            *dy = 0.0;
        }
    }
    Ok(dy)
}

/// Activations, residuals and half types, forward and backward, in both layouts and with odd numbers of values.
fn fused(device: &Device, full: bool, checked: &mut Vec<Checked>) -> Result<()> {
    let shapes: [(Layout, &[usize]); 2] =
        [(ChannelsFirst, &[5, 3, 7, 9]), (ChannelsLast, &[61, 5])];
    let kinds = if full { Fused::all() } else { Fused::some() };
    let mut table = table(&["fused", "layout", "train", "infer", "gradients"], 2);
    let bar = progress(kinds.len());
    for (seed, fused) in kinds.into_iter().enumerate() {
        bar.set_message(fused.to_string());
        for (index, (layout, sizes)) in shapes.into_iter().enumerate() {
            // By turns, where time is short.
            if !full && seed % 2 != index {
                continue;
            }
            let mut problem = fused.problem(layout, sizes, seed as u64)?;
            let mut largest = [Errors::default(); 2];
            for (operation, largest) in ["training", "inference"].into_iter().zip(&mut largest) {
                if operation == "inference" {
                    problem.statistics = Statistics::Given(exact_state(&problem)?);
                }
                problem.grad_output = Some(gradient_off_corners(&problem, seed as u64 + 2)?);
                for placement in [PLACEMENTS[0], PLACEMENTS[2]] {
                    let name = format!("{fused}, {layout}, {operation}, {placement}");
                    let errors = step(checked, device, &problem, sizes, placement, name)?;
                    *largest = largest.max(errors);
                }
            }
            table.add_row(errors_row(fused.to_string(), layout, largest));
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    print("\nActivations, residuals and storage: largest error")?;
    print(&lines(table).join("\n"))
}

/// Normally distributed values of a problem's shape, such as an element can store.
fn noise(problem: &Problem, seed: u64, element: Element) -> Vec<f32> {
    let distribution = Distribution::Normal {
        mean: 0.0,
        deviation: 1.0,
    };
    // One row of them: a seed of its own keeps them apart from the input.
    rounded(&distribution.fill(!seed, 1, 1, problem.x.len()), element)
}

/// Which optional parts a step has.
#[derive(Clone, Copy, Debug)]
struct Features {
    gamma: bool,
    beta: bool,
    running: Option<Running>,
}

impl Features {
    const ALL: Self = Self {
        gamma: true,
        beta: true,
        running: Some(Running {
            update: Update::Exponential(0.1),
            variance: RunningVariance::Unbiased,
        }),
    };

    /// The combinations in turn.
    fn number(index: usize) -> Self {
        let rule = |update, variance| Some(Running { update, variance });
        let running = match index % 5 {
            0 => rule(Update::Exponential(0.1), RunningVariance::Unbiased),
            1 => rule(Update::Cumulative, RunningVariance::Unbiased),
            2 => None,
            3 => rule(Update::Exponential(0.5), RunningVariance::Biased),
            _ => rule(Update::Cumulative, RunningVariance::Biased),
        };
        Self {
            gamma: index.is_multiple_of(2),
            beta: index % 4 < 2,
            running,
        }
    }
}

impl fmt::Display for Features {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parameters = match (self.gamma, self.beta) {
            (true, true) => "gamma and beta",
            (true, false) => "gamma",
            (false, true) => "beta",
            (false, false) => "no parameters",
        };
        match &self.running {
            Some(running) => write!(f, "{parameters}, {}", describe_running(running)),
            None => write!(f, "{parameters}, no running statistics"),
        }
    }
}

/// A training step on this distribution.
fn training(
    layout: Layout,
    sizes: &[usize],
    distribution: Distribution,
    seed: u64,
    features: Features,
) -> Result<Problem> {
    let shape = Sizes(sizes.to_vec()).shape(layout)?;
    let [outer, channels, inner] =
        [shape.outer(), shape.channels(), shape.inner()].map(|size| size as usize);
    let mut random = Random::new(seed);
    let state = State {
        mean: random.vector(channels, -1.0, 1.0),
        variance: random.vector(channels, 0.5, 2.0),
        batches: 3,
    };
    let mut running = features.running;
    if let Some(running) = &mut running
        && shape.values_per_channel() == 1
    {
        // One value has no unbiased variance.
        running.variance = RunningVariance::Biased;
    }
    Ok(Problem {
        gamma: features.gamma.then(|| random.vector(channels, 0.5, 1.5)),
        beta: features.beta.then(|| random.vector(channels, -1.0, 1.0)),
        statistics: Statistics::Batch(running.map(|running| (running, state))),
        ..Problem::new(shape, distribution.fill(seed, outer, channels, inner))
    })
}

/// Running statistics that fit a problem's input, as a trained layer has them; those of a new layer where it is empty.
fn exact_state(problem: &Problem) -> Result<State> {
    let moments = wgpu_batchnorm::reference::statistics(&problem.x, problem.shape)?;
    let fits = |value: f64, new: f32| {
        if problem.shape.is_empty() {
            new
        } else {
            value as f32
        }
    };
    Ok(State {
        mean: moments
            .iter()
            .map(|moments| fits(moments.mean, 0.0))
            .collect(),
        variance: moments
            .iter()
            .map(|moments| fits(moments.variance(), 1.0))
            .collect(),
        batches: 3,
    })
}
