//! The built-in cases: inputs that break careless statistics, and shapes that break careless indexing.

use std::fmt;

use anyhow::{Context, Result};
use wgpu_batchnorm::{DEFAULT_EPSILON, Running, RunningVariance, Update};

use super::report::{Checked, Compared};
use crate::cli::Verdict;
use crate::cli::compare::Tolerance;
use crate::cli::device::{Device, Placement};
use crate::cli::inputs::{Distribution, Random};
use crate::cli::output::{bad, error_digits, lines, print, progress, row, table};
use crate::cli::problem::{Problem, State, Statistics, describe_running};
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
    print(&format!("\nallowed error: {}", Tolerance::PROMISE))?;
    let mut checked = Vec::new();
    hard(device, if full { HARD_FULL } else { HARD }, &mut checked)?;
    sweep(device, full, &mut checked)?;

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

/// Solves a problem of these sizes on the device; the largest error in units of `max(1, |y|)`.
fn step(
    to: &mut Vec<Checked>,
    device: &Device,
    problem: &Problem,
    sizes: &[usize],
    placement: Placement,
    name: String,
) -> Result<f64> {
    let solution = device
        .solve(problem, placement)
        .with_context(|| name.clone())?;
    let tolerance = Tolerance::PROMISE;
    let compared = solution.compare(&problem.exact()?, tolerance);
    let largest = compared
        .iter()
        .map(|(_, comparison)| comparison.scaled_error())
        .fold(0.0, f64::max);
    let tensors = compared.iter().map(|(tensor, comparison)| {
        let sizes = match *tensor {
            "y" => sizes.to_vec(),
            _ => vec![problem.shape.channels() as usize],
        };
        Compared::new(tensor, sizes, comparison, tolerance)
    });
    to.push(Checked::compared(name, tensors.collect()));
    Ok(largest)
}

/// The hard inputs, in training and inference, in both layouts.
fn hard(
    device: &Device,
    shapes: [(Layout, [usize; 4]); 2],
    checked: &mut Vec<Checked>,
) -> Result<()> {
    let mut table = table(
        &[
            "input",
            "first train",
            "first infer",
            "last train",
            "last infer",
        ],
        1,
    );
    let bar = progress(Distribution::HARD.len() * shapes.len());
    for (seed, (name, distribution)) in Distribution::HARD.into_iter().enumerate() {
        let mut cells = vec![name.to_owned()];
        for (layout, sizes) in shapes {
            bar.set_message(name);
            let mut problem = training(layout, &sizes, distribution, seed as u64, Features::ALL)?;
            for inference in [false, true] {
                if inference {
                    problem.statistics = Statistics::Given(exact_state(&problem)?);
                }
                let operation = if inference { "inference" } else { "training" };
                let name = format!("{name}, {layout}, {operation}");
                let error = step(checked, device, &problem, &sizes, Placement::Whole, name)?;
                cells.push(error_digits(error));
            }
            bar.inc(1);
        }
        table.add_row(row(cells, 1));
    }
    bar.finish_and_clear();
    let [(_, first), (_, last)] = shapes.map(|(layout, sizes)| (layout, Sizes(sizes.to_vec())));
    print(&format!(
        "\nHard inputs, channels first ({first}) and last ({last}): largest error"
    ))?;
    print(&lines(table).join("\n"))
}

/// The odd shapes, in training and inference, at changing offsets with changing features.
fn sweep(device: &Device, full: bool, checked: &mut Vec<Checked>) -> Result<()> {
    let shapes: Vec<_> = SWEEP
        .into_iter()
        .chain(SWEEP_FULL.into_iter().filter(|_| full))
        .collect();
    let mut table = table(&["shape", "layout", "train", "infer"], 2);
    let bar = progress(shapes.len());
    let distribution = Distribution::Normal {
        mean: 3.0,
        deviation: 2.0,
    };
    for (seed, (layout, sizes)) in shapes.into_iter().enumerate() {
        let shape = Sizes(sizes.to_vec());
        bar.set_message(shape.to_string());
        let mut largest = [0.0f64; 2];
        for (index, placement) in PLACEMENTS.into_iter().enumerate() {
            let features = Features::number(seed + index);
            let mut problem = training(layout, sizes, distribution, seed as u64, features)?;
            for (operation, largest) in ["training", "inference"].into_iter().zip(&mut largest) {
                if operation == "inference" {
                    problem.statistics = Statistics::Given(exact_state(&problem)?);
                }
                let name = format!("{shape}, {layout}, {operation}, {placement}, {features}");
                *largest = largest.max(step(checked, device, &problem, sizes, placement, name)?);
            }
        }
        let cells = [
            shape.to_string(),
            layout.to_string(),
            error_digits(largest[0]),
            error_digits(largest[1]),
        ];
        table.add_row(row(cells, 2));
        bar.inc(1);
    }
    bar.finish_and_clear();
    print(&format!(
        "\nShapes, each at {} placements with changing options: largest error",
        PLACEMENTS.len()
    ))?;
    print(&lines(table).join("\n"))
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
        shape,
        x: distribution.fill(seed, outer, channels, inner),
        gamma: features.gamma.then(|| random.vector(channels, 0.5, 1.5)),
        beta: features.beta.then(|| random.vector(channels, -1.0, 1.0)),
        epsilon: DEFAULT_EPSILON,
        statistics: Statistics::Batch(running.map(|running| (running, state))),
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
