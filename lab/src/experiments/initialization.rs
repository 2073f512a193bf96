//! The range of initialization gains from which networks train.

use super::{
    ARMS, Experiment, Finding, Settings, TEST, Unit, VALIDATION, arm, arm_name, best_rate, digits,
    final_accuracy, powers, tuned,
};
use crate::Error;
use crate::figure::{Axis, Figure, Scale, Series};
use crate::session::Session;
use crate::spec::Member;
use crate::statistics::mean;

const TRAINS: f64 = 0.8;
const DEPTH: usize = 3;

pub(super) async fn run(session: &Session<'_>, settings: &Settings) -> Result<Experiment, Error> {
    let per_decade = settings.pick(2, 1);
    let gains = settings.pick(powers(-3, 3, 2), powers(-2, 2, 1));
    let rates = settings.pick(powers(-3, 1, 1), powers(-2, 0, 1));
    let steps = settings.pick(150, 40);
    let (seeds, tuning) = (settings.seeds(), settings.tuning());
    let mut series = Vec::new();
    let mut chosen = Vec::new();
    let mut widths = Vec::new();
    for norm in ARMS {
        // Each gain has its own best rate too.
        let of_gain = |&gain: &f32| {
            super::grid(&rates, &tuning)
                .into_iter()
                .map(move |member| Member { gain, ..member })
        };
        let mut spec = digits(DEPTH, norm, steps, gains.iter().flat_map(of_gain).collect());
        spec.evaluate_every = 10;
        spec.evaluate = VALIDATION.to_vec();
        let sweep = session.run(&spec).await?;
        let per_gain = rates.len() * tuning.len();
        let best: Vec<f32> = (0..gains.len())
            .map(|gain| {
                let mut of_gain = sweep.clone();
                of_gain.scores[0] =
                    sweep.scores[0][gain * per_gain..(gain + 1) * per_gain].to_vec();
                rates[best_rate(&of_gain, &rates, final_accuracy)]
            })
            .collect();
        let members = gains.iter().zip(&best).flat_map(|(&gain, &learning_rate)| {
            seeds.iter().map(move |&seed| Member {
                seed,
                learning_rate,
                gain,
            })
        });
        spec.members = members.collect();
        spec.evaluate = TEST.to_vec();
        let outcome = session.run(&spec).await?;
        let accuracy = |gain: usize, seed: usize| {
            final_accuracy(&outcome.scores[0][gain * seeds.len() + seed])
        };
        let width = |seed: usize| {
            let training = (0..gains.len())
                .filter(|&gain| accuracy(gain, seed) >= TRAINS)
                .count();
            training as f64 / f64::from(per_decade)
        };
        widths.push((0..seeds.len()).map(width).collect::<Vec<_>>());
        let rates_of_gains: Vec<String> = best.iter().map(|&rate| super::short(rate)).collect();
        chosen.push(format!(
            "{}: {}",
            arm_name(arm(norm)),
            rates_of_gains.join(", ")
        ));
        series.push(Series {
            name: arm_name(arm(norm)).into(),
            arm: arm(norm),
            dash: 0,
            x: gains.iter().copied().map(f64::from).collect(),
            values: (0..gains.len())
                .map(|gain| {
                    (0..seeds.len())
                        .map(|seed| Some(accuracy(gain, seed)))
                        .collect()
                })
                .collect(),
        });
    }
    let wider: Vec<f64> = widths[1]
        .iter()
        .zip(&widths[0])
        .map(|(with, without)| with - without)
        .collect();
    let ends = [gains[0], gains[gains.len() - 1]].map(super::short);
    Ok(Experiment {
        name: "initialization",
        title: "Sensitivity to initialization",
        claim: "Batch norm lets networks train from a wider range of first weights.",
        method: vec![
            format!(
                "Digits; networks of {DEPTH} hidden layers of {} units with ReLU. All first weights, those of the outputs too, are He's \
                 times a gain from {} to {}, {per_decade} for each power of ten. Descent with momentum 0.9, 64 samples a step, \
                 {steps} steps. A gain trains where the test accuracy ends above {:.0}%; the width of the range is the number of \
                 such gains over {per_decade}, in powers of ten, and cannot be more than what was tried.",
                super::WIDTH,
                ends[0],
                ends[1],
                100.0 * TRAINS
            ),
            format!(
                "{} Here that is done for each gain by itself. Chosen, by rising gain: {}.",
                tuned(settings, &rates, "the accuracy at the end"),
                chosen.join("; ")
            ),
        ],
        headline: Finding::difference(
            "width of the range of gains that train, with minus without",
            Unit::Decades,
            0.5,
            &wider,
        ),
        seeds: seeds.len(),
        findings: vec![],
        qualifications: vec![
            "A hidden layer's output with batch norm does not depend on the scale of its weights, but its gradient does, by the \
             inverse: large weights make small steps. That of the outputs is not normalized, and its gain acts as without batch \
             norm."
                .into(),
        ],
        figures: vec![Figure {
            title: "Accuracy at the end by gain of the first weights".into(),
            caption: format!(
                "Test accuracy, mean of the last three evaluations; each gain and arm at its own best learning rate. The range \
                 is {:.1} powers of ten wide with batch norm, {:.1} without.",
                mean(&widths[1]),
                mean(&widths[0])
            ),
            x: Axis::new("gain", Scale::Log),
            y: Axis::new("test accuracy", Scale::Share),
            series,
        }],
    })
}
