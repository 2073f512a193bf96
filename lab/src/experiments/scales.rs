//! Inputs whose scales differ by orders of magnitude.

use super::{
    Experiment, Finding, Settings, TEST, Unit, VALIDATION, accuracies, best_rate, digits,
    evaluation_steps, final_accuracy, grid, powers, short, steps_to, tuned,
};
use crate::Error;
use crate::data::Source;
use crate::figure::{Arm, Axis, Figure, Scale, Series};
use crate::session::Session;
use crate::spec::Norm;

const TARGET: f64 = 0.95;
const EVERY: usize = 5;
const UNITS: u64 = 16;

struct Variant {
    name: &'static str,
    source: Source,
    input_norm: Norm,
    arm: Arm,
}

const fn variant(name: &'static str, source: Source, input_norm: Norm, arm: Arm) -> Variant {
    Variant {
        name,
        source,
        input_norm,
        arm,
    }
}

/// Raw features, the same with batch norm, standardized ones; and scaled ones without and with.
const VARIANTS: [Variant; 5] = [
    variant("raw features", Source::Wine, Norm::None, Arm::Without),
    variant(
        "batch norm on the input",
        Source::Wine,
        Norm::Batch,
        Arm::With,
    ),
    variant(
        "standardized beforehand",
        Source::WineStandardized,
        Norm::None,
        Arm::Other,
    ),
    variant(
        "raw features, scaled",
        Source::WineScaled,
        Norm::None,
        Arm::Without,
    ),
    variant(
        "batch norm on the input, scaled",
        Source::WineScaled,
        Norm::Batch,
        Arm::With,
    ),
];

pub(super) async fn run(session: &Session<'_>, settings: &Settings) -> Result<Experiment, Error> {
    let steps = settings.pick(200, 40);
    let rates = settings.pick(powers(-6, 0, 2), powers(-3, 0, 1));
    let seeds = settings.seeds();
    let (mut curves, mut final_of, mut steps_of, mut chosen) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for variant in &VARIANTS {
        let mut spec = digits(1, Norm::None, steps, grid(&rates, &settings.tuning()));
        spec.source = variant.source;
        spec.architecture.hidden = vec![UNITS];
        spec.architecture.input_norm = variant.input_norm;
        spec.batch = 32;
        spec.evaluate_every = EVERY;
        spec.evaluate = VALIDATION.to_vec();
        let sweep = session.run(&spec).await?;
        let best = best_rate(&sweep, &rates, final_accuracy);
        spec.members = grid(&rates[best..=best], &seeds);
        spec.evaluate = TEST.to_vec();
        let outcome = session.run(&spec).await?;
        let scores = &outcome.scores[0];
        final_of.push(
            scores
                .iter()
                .map(|scores| final_accuracy(scores))
                .collect::<Vec<_>>(),
        );
        steps_of.push(
            scores
                .iter()
                .map(|scores| steps_to(scores, EVERY, TARGET).max(1.0))
                .collect::<Vec<_>>(),
        );
        chosen.push(format!("{}: {}", variant.name, short(rates[best])));
        curves.push(Series {
            name: variant.name.into(),
            arm: variant.arm,
            dash: 0,
            x: evaluation_steps(&spec),
            values: accuracies(scores),
        });
    }
    let difference = |a: usize, b: usize| -> Vec<f64> {
        final_of[a]
            .iter()
            .zip(&final_of[b])
            .map(|(a, b)| a - b)
            .collect()
    };
    let ratio = |a: usize, b: usize| -> Vec<f64> {
        steps_of[a]
            .iter()
            .zip(&steps_of[b])
            .map(|(a, b)| a / b)
            .collect()
    };
    let scaled = curves.split_off(3);
    let figure = |title: &str, caption: &str, series| Figure {
        title: title.into(),
        caption: caption.into(),
        x: Axis::new("step", Scale::Linear),
        y: Axis::new("test accuracy", Scale::Share),
        series,
    };
    Ok(Experiment {
        name: "scales",
        title: "Inputs of different scales",
        claim: "Batch norm on the input takes the place of standardizing features.",
        method: vec![
            format!(
                "Wine: 13 features whose scales differ by four orders of magnitude; one hidden layer of {UNITS} units with ReLU and \
                 without batch norm, descent with momentum 0.9, 32 samples a step, {steps} steps, the test split every {EVERY} \
                 steps. Features as they are; the same through a batch norm layer as the first layer; and standardized \
                 beforehand by mean and deviation of the training split. Then features multiplied by powers of ten from 1e-3 to \
                 1e3 in turn, and the first two again."
            ),
            format!(
                "Accuracy is the mean of the last three evaluations. Steps are to {:.0}%; a run that does not get there counts as \
                 {steps}. {} Chosen: {}.",
                100.0 * TARGET,
                tuned(settings, &rates, "the accuracy at the end"),
                chosen.join("; ")
            ),
        ],
        headline: Finding::difference("accuracy with batch norm on the input minus without, raw features", Unit::Share, 0.05, &difference(1, 0)),
        seeds: seeds.len(),
        findings: vec![
            Finding::of(
                "accuracy with batch norm on the input minus standardized beforehand: no worse by 5 points",
                Unit::Share,
                -0.05,
                -0.05,
                crate::statistics::Estimate::of(&difference(1, 2)),
            ),
            Finding::ratio("steps of raw features over steps with batch norm on the input", 1.1, &ratio(0, 1)),
            Finding::ratio("steps of standardized features over steps with batch norm on the input", 1.1, &ratio(2, 1)),
            Finding::difference("the same as the first, features multiplied by powers of ten", Unit::Share, 0.05, &difference(4, 3)),
            Finding::difference("with batch norm on the input: raw minus multiplied features", Unit::Share, 0.05, &difference(1, 4)),
        ],
        qualifications: vec![
            "Epsilon has the units of a variance. A feature whose variance is below it, 1e-5 by default, comes out smaller than \
             1: some of the multiplied ones do. Batch norm is free of scales only well above epsilon."
                .into(),
            "The batch's statistics are noisier than those of the training split: 32 samples each step.".into(),
        ],
        figures: vec![
            figure("Test accuracy, wine", "Each variant at its own best learning rate.", curves),
            figure("Test accuracy, features multiplied by powers of ten", "Each variant at its own best learning rate.", scaled),
        ],
    })
}
