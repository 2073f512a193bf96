//! Gradients from the last hidden layer to the first.

use super::{
    ARMS, Experiment, Finding, Settings, Unit, arm, arm_name, digits, grid, list, powers, short,
};
use crate::Error;
use crate::data::Split;
use crate::figure::{Axis, Figure, Scale, Series};
use crate::session::Session;
use crate::spec::{Activation, Member, Outcome, Spec};
use crate::statistics::mean;

/// Of sums over values of f32: what is less is counted as this.
const LEAST: f64 = 1e-38;
const EVERY: usize = 5;

/// The root of the mean squared gradient of a weight of a hidden layer.
fn gradient(outcome: &Outcome, spec: &Spec, layer: usize, member: usize, time: usize) -> f64 {
    let inputs = if layer == 0 {
        64
    } else {
        spec.architecture.hidden[layer - 1]
    };
    let weights = inputs * spec.architecture.hidden[layer];
    let norm = outcome.gradients[layer][member][time].map_or(f64::MAX.sqrt(), f64::from);
    // What overflows is no f32 either.
    (norm.min(f64::from(f32::MAX)) / (weights as f64).sqrt()).max(LEAST)
}

/// Powers of ten from the last hidden layer's gradient to the first's; negative where it vanishes.
fn decades(outcome: &Outcome, spec: &Spec, member: usize, time: usize) -> f64 {
    let last = spec.architecture.hidden.len() - 1;
    (gradient(outcome, spec, 0, member, time) / gradient(outcome, spec, last, member, time)).log10()
}

const fn name_of(activation: Activation) -> &'static str {
    match activation {
        Activation::Relu => "ReLU",
        Activation::Sigmoid => "sigmoid",
        Activation::Tanh => "tanh",
    }
}

pub(super) async fn run(session: &Session<'_>, settings: &Settings) -> Result<Experiment, Error> {
    let depths: &[usize] = settings.pick(&[10, 30, 50], &[4, 10]);
    let headline_depth = depths[depths.len() / 2];
    let gains = [0.5f32, 1.0, 2.0];
    let steps = settings.pick(40, 5);
    let rates = settings.pick(powers(-3, 0, 1), vec![0.01]);
    let seeds = settings.seeds();
    let mut findings = Vec::new();
    let mut figures = Vec::new();
    // For each cell of the headline the decades saved, by seed.
    let mut cells: Vec<Vec<f64>> = Vec::new();
    for activation in [Activation::Sigmoid, Activation::Relu] {
        let mut by_gain = Vec::new();
        let mut by_size = Vec::new();
        let mut over_steps = Vec::new();
        for (at, &depth) in depths.iter().enumerate() {
            let mut profile = Vec::new();
            // By arm: for each gain and seed the decades at the beginning.
            let mut first: Vec<Vec<Vec<f64>>> = Vec::new();
            // By arm: for each gain and seed the size of the first layer's.
            let mut sizes: Vec<Vec<Vec<f64>>> = Vec::new();
            // By arm and seed: at the end.
            let mut last: Vec<Vec<f64>> = Vec::new();
            for norm in ARMS {
                let arm = arm(norm);
                let of_gain = |&gain: &f32| {
                    seeds.iter().map(move |&seed| Member {
                        seed,
                        learning_rate: 0.0,
                        gain,
                    })
                };
                let mut spec = digits(depth, norm, 1, gains.iter().flat_map(of_gain).collect());
                spec.architecture.activation = activation;
                spec.gradients_every = Some(1);
                let outcome = session.run(&spec).await?;
                let of_gain = |gain: usize| gain * seeds.len()..(gain + 1) * seeds.len();
                let of_arm: Vec<Vec<f64>> = (0..gains.len())
                    .map(|gain| {
                        of_gain(gain)
                            .map(|member| decades(&outcome, &spec, member, 0))
                            .collect()
                    })
                    .collect();
                let of_first_layer: Vec<Vec<f64>> = (0..gains.len())
                    .map(|gain| {
                        of_gain(gain)
                            .map(|member| gradient(&outcome, &spec, 0, member, 0))
                            .collect()
                    })
                    .collect();
                by_size.push(Series {
                    name: format!("{}, {depth} layers", arm_name(arm)),
                    arm,
                    dash: at,
                    x: gains.iter().copied().map(f64::from).collect(),
                    values: of_first_layer
                        .iter()
                        .map(|seeds| seeds.iter().copied().map(Some).collect())
                        .collect(),
                });
                sizes.push(of_first_layer);
                by_gain.push(Series {
                    name: format!("{}, {depth} layers", arm_name(arm)),
                    arm,
                    dash: at,
                    x: gains.iter().copied().map(f64::from).collect(),
                    values: of_arm
                        .iter()
                        .map(|seeds| seeds.iter().copied().map(Some).collect())
                        .collect(),
                });
                if depth == headline_depth {
                    let usual = of_gain(1);
                    let relative = |layer: usize, member: usize| {
                        gradient(&outcome, &spec, layer, member, 0)
                            / gradient(&outcome, &spec, depth - 1, member, 0)
                    };
                    profile.push(Series {
                        name: arm_name(arm).into(),
                        arm,
                        dash: 0,
                        x: (1..=depth).map(|layer| layer as f64).collect(),
                        values: (0..depth)
                            .map(|layer| {
                                usual
                                    .clone()
                                    .map(|member| Some(relative(layer, member)))
                                    .collect()
                            })
                            .collect(),
                    });
                }
                first.push(of_arm);

                // In training, of the usual gain.
                spec.batch = 32;
                spec.gradients_every = None;
                spec.steps = steps;
                spec.evaluate_every = steps;
                spec.evaluate = vec![Split::Validation];
                spec.members = grid(&rates, &settings.tuning());
                let sweep = session.run(&spec).await?;
                let loss = |scores: &[crate::spec::Score]| {
                    -scores.last().and_then(|score| score.loss).unwrap_or(1e9)
                };
                let best = super::best_rate(&sweep, &rates, loss);
                spec.members = grid(&rates[best..=best], &seeds);
                spec.evaluate = vec![];
                spec.gradients_every = Some(EVERY);
                let outcome = session.run(&spec).await?;
                let times = outcome.gradients[0][0].len();
                let values: Vec<Vec<Option<f64>>> = (0..times)
                    .map(|time| {
                        let of_seed = |member| Some(decades(&outcome, &spec, member, time));
                        (0..seeds.len()).map(of_seed).collect()
                    })
                    .collect();
                last.push(
                    values
                        .last()
                        .into_iter()
                        .flatten()
                        .copied()
                        .flatten()
                        .collect(),
                );
                over_steps.push(Series {
                    name: format!(
                        "{}, {depth} layers (rate {})",
                        arm_name(arm),
                        short(rates[best])
                    ),
                    arm,
                    dash: at,
                    x: (0..times).map(|time| (time * EVERY) as f64).collect(),
                    values,
                });
            }
            let saved = |without: &[f64], with: &[f64]| -> Vec<f64> {
                without
                    .iter()
                    .zip(with)
                    .map(|(without, with)| without.abs() - with.abs())
                    .collect()
            };
            for (gain, value) in gains.iter().enumerate() {
                let cell = saved(&first[0][gain], &first[1][gain]);
                if depth == headline_depth {
                    cells.push(cell.clone());
                }
                let name = format!(
                    "{}, {depth} layers, gain {}, at the beginning",
                    name_of(activation),
                    short(*value)
                );
                findings.push(Finding::difference(&name, Unit::Decades, 1.0, &cell));
            }
            let spread = |arm: usize, seed: usize| {
                let of_gain = |gain: usize| sizes[arm][gain][seed].log10();
                (of_gain(gains.len() - 1) - of_gain(0)).abs()
            };
            let steadier: Vec<f64> = (0..seeds.len())
                .map(|seed| spread(0, seed) - spread(1, seed))
                .collect();
            let name = format!(
                "{}, {depth} layers: change of the first layer's gradient from gain 0.5 to gain 2, without minus with",
                name_of(activation)
            );
            findings.push(Finding::difference(&name, Unit::Decades, 1.0, &steadier));
            let name = format!(
                "{}, {depth} layers, gain 1, in training",
                name_of(activation)
            );
            findings.push(Finding::difference(
                &name,
                Unit::Decades,
                1.0,
                &saved(&last[0], &last[1]),
            ));
            if !profile.is_empty() {
                figures.push(Figure {
                    title: format!(
                        "Gradient by layer at the beginning, {}, {depth} layers",
                        name_of(activation)
                    ),
                    caption: "Relative to that of the last hidden layer; gain 1.".into(),
                    x: Axis::new("hidden layer", Scale::Linear),
                    y: Axis::new("gradient / last layer's", Scale::Log),
                    series: profile,
                });
            }
        }
        figures.push(Figure {
            title: format!("First to last layer at the beginning, {}", name_of(activation)),
            caption: "Powers of ten from the gradient of the last hidden layer to that of the first: 0 is ideal, below it \
                      vanishes, above it explodes."
                .into(),
            x: Axis::new("gain of the first weights", Scale::Log),
            y: Axis::new("powers of ten", Scale::Linear),
            series: by_gain,
        });
        figures.push(Figure {
            title: format!(
                "The first layer's gradient at the beginning, {}",
                name_of(activation)
            ),
            caption: "Its size by gain.".into(),
            x: Axis::new("gain of the first weights", Scale::Log),
            y: Axis::new("gradient of a weight", Scale::Log),
            series: by_size,
        });
        figures.push(Figure {
            title: format!("First to last layer in training, {}", name_of(activation)),
            caption: "The same over steps; gain 1, each arm at its own best learning rate.".into(),
            x: Axis::new("step", Scale::Linear),
            y: Axis::new("powers of ten", Scale::Linear),
            series: over_steps,
        });
    }
    let over_cells: Vec<f64> = (0..seeds.len())
        .map(|seed| mean(&cells.iter().map(|cell| cell[seed]).collect::<Vec<_>>()))
        .collect();
    Ok(Experiment {
        name: "gradients",
        title: "Vanishing and exploding gradients",
        claim: "Batch norm keeps gradients from vanishing or exploding in deep networks.",
        method: vec![
            format!(
                "Digits; networks of {} hidden layers of {} units with sigmoid or ReLU; first weights of the usual deviation \
                 (He et al., 2015, for ReLU; Xavier's for sigmoid) times a gain of 0.5, 1 or 2. The gradient of a layer is the root \
                 mean square over its weights, on a batch of 64. Its ratio from the first to the last hidden layer is 1 where it \
                 neither vanishes nor explodes; the effect is by how many powers of ten batch norm brings it nearer to 1. What is \
                 too small for f32 counts as 1e-38. The ratio does not see all: in a plain ReLU network the gradients of all \
                 layers grow together, by the gain to the power of the depth. So the change of the first layer's gradient with \
                 the gain is shown too.",
                list(depths),
                super::WIDTH
            ),
            format!(
                "In training: gain 1, descent with momentum 0.9, 32 samples a step, {steps} steps. {}",
                super::tuned(settings, &rates, "the loss at the end")
            ),
        ],
        headline: Finding::difference(
            &format!("powers of ten nearer to 1, at the beginning, {headline_depth} layers, mean over both activations and all gains"),
            Unit::Decades,
            1.0,
            &over_cells,
        ),
        seeds: seeds.len(),
        findings,
        qualifications: vec![
            "The mean is that of sigmoid networks above all. A plain ReLU network has a ratio near 1 without batch norm, \
             whatever the gain, and its initialization (He et al., 2015) is made for gradients that keep their size: see the \
             findings of ReLU by themselves."
                .into(),
            "At the beginning gradients in deep networks with batch norm explode themselves, by a constant factor per layer, \
             about 1.2 for ReLU and wide layers (Yang et al., 2019)."
                .into(),
        ],
        figures,
    })
}
