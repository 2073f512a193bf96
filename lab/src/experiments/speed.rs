//! Steps to a test accuracy, and the largest learning rate that still trains.

use super::{
    ARMS, Experiment, Finding, Settings, TEST, VALIDATION, accuracies, arm, arm_name, best_rate,
    digits, evaluation_steps, final_accuracy, grid, list, powers, short, steps_to, tuned,
};
use crate::Error;
use crate::figure::{Axis, Figure, Scale, Series};
use crate::session::Session;
use crate::statistics::mean;

const TARGET: f64 = 0.9;
/// At the end, of a network that trains.
const TRAINS: f64 = 0.8;
const EVERY: usize = 5;

pub(super) async fn run(session: &Session<'_>, settings: &Settings) -> Result<Experiment, Error> {
    let depths: &[usize] = settings.pick(&[2, 6, 12], &[2, 6]);
    let steps = settings.pick(200, 60);
    let rates = settings.pick(powers(-3, 1, 2), powers(-2, 1, 1));
    let seeds = settings.seeds();
    let mut figures = Vec::new();
    let mut ratios: Vec<Vec<f64>> = Vec::new();
    let mut findings = Vec::new();
    let mut by_rate = Vec::new();
    let mut chosen = Vec::new();
    for (at, &depth) in depths.iter().enumerate() {
        let mut curves = Vec::new();
        let mut to_target = Vec::new();
        let mut largest = Vec::new();
        for norm in ARMS {
            let mut spec = digits(depth, norm, steps, grid(&rates, &settings.tuning()));
            spec.evaluate_every = EVERY;
            spec.evaluate = VALIDATION.to_vec();
            let sweep = session.run(&spec).await?;
            let best = best_rate(&sweep, &rates, |scores| -steps_to(scores, EVERY, TARGET));
            spec.members = grid(&rates, &seeds);
            spec.evaluate = TEST.to_vec();
            let outcome = session.run(&spec).await?;
            let of_rate =
                |rate: usize| &outcome.scores[0][rate * seeds.len()..(rate + 1) * seeds.len()];
            to_target.push(
                of_rate(best)
                    .iter()
                    .map(|scores| steps_to(scores, EVERY, TARGET))
                    .collect::<Vec<_>>(),
            );
            let largest_of = |seed: usize| {
                let trains = |&rate: &usize| final_accuracy(&of_rate(rate)[seed]) >= TRAINS;
                let rate = (0..rates.len()).rev().find(trains);
                // Below the sweep where none trains.
                rate.map_or(f64::from(rates[0]) / 10f64.sqrt(), |rate| {
                    f64::from(rates[rate])
                })
            };
            largest.push((0..seeds.len()).map(largest_of).collect::<Vec<_>>());
            let arm = arm(norm);
            curves.push(Series {
                name: format!("{} (rate {})", arm_name(arm), short(rates[best])),
                arm,
                dash: 0,
                x: evaluation_steps(&spec),
                values: accuracies(of_rate(best)),
            });
            by_rate.push(Series {
                name: format!("{}, {depth} hidden layers", arm_name(arm)),
                arm,
                dash: at,
                x: rates.iter().copied().map(f64::from).collect(),
                values: (0..rates.len())
                    .map(|rate| {
                        of_rate(rate)
                            .iter()
                            .map(|scores| Some(final_accuracy(scores)))
                            .collect()
                    })
                    .collect(),
            });
            chosen.push(format!(
                "{depth} layers {}: {}",
                arm_name(arm),
                short(rates[best])
            ));
        }
        let ratio = |values: &[Vec<f64>], of: fn(f64, f64) -> f64| -> Vec<f64> {
            values[0]
                .iter()
                .zip(&values[1])
                .map(|(&without, &with)| of(without, with))
                .collect()
        };
        let faster = ratio(&to_target, |without, with| without.max(1.0) / with.max(1.0));
        let name = format!("steps without over steps with, {depth} hidden layers");
        findings.push(Finding::ratio(&name, 1.1, &faster));
        let name = format!("largest rate with over largest rate without, {depth} hidden layers");
        findings.push(Finding::ratio(
            &name,
            1.1,
            &ratio(&largest, |without, with| with / without),
        ));
        ratios.push(faster);
        figures.push(Figure {
            title: format!("Test accuracy, {depth} hidden layers"),
            caption: "Each arm at its own best learning rate.".into(),
            x: Axis::new("step", Scale::Linear),
            y: Axis::new("test accuracy", Scale::Share),
            series: curves,
        });
    }
    figures.push(Figure {
        title: "Accuracy at the end by learning rate".into(),
        caption: "Test accuracy, mean of the last three evaluations. Outputs that are not finite count as wrong.".into(),
        x: Axis::new("learning rate", Scale::Log),
        y: Axis::new("test accuracy", Scale::Share),
        series: by_rate,
    });
    let over_depths: Vec<f64> = (0..seeds.len())
        .map(|seed| {
            mean(
                &ratios
                    .iter()
                    .map(|of_depth| of_depth[seed].ln())
                    .collect::<Vec<_>>(),
            )
            .exp()
        })
        .collect();
    Ok(Experiment {
        name: "speed",
        title: "Training speed",
        claim: "Batch norm makes networks train in fewer steps, and with larger learning rates.",
        method: vec![
            format!(
                "Digits; networks of {} hidden layers of {} units with ReLU, He initialization; descent with momentum 0.9, 64 \
                 samples a step, {steps} steps. The test split is evaluated every {EVERY} steps, by running statistics (PyTorch's, \
                 which follow the batch by a tenth each step). Counted are steps to {:.0}% test accuracy; a run that does not get \
                 there counts as {steps}, which makes the effect smaller than it is.",
                list(depths),
                super::WIDTH,
                100.0 * TARGET
            ),
            tuned(settings, &rates, "the fewest steps to the same accuracy"),
            format!("Chosen: {}.", chosen.join("; ")),
            format!(
                "The largest learning rate that still trains is the largest of the sweep, not only of the best, that ends above \
                 {:.0}%.",
                100.0 * TRAINS
            ),
        ],
        headline: Finding::ratio(
            "steps without batch norm over steps with it, geometric mean over depths",
            1.1,
            &over_depths,
        ),
        seeds: seeds.len(),
        findings,
        qualifications: vec![
            "A step with batch norm costs more than one without; steps are counted here, not seconds. In the first steps the \
             running statistics lag behind the network, which delays the arm with batch norm."
                .into(),
            "Why it is faster is disputed. Ioffe and Szegedy (2015) name internal covariate shift; Santurkar et al. (2018) \
             added such shifts after batch norm on purpose, training stayed as fast, and point to a smoother loss instead. \
             Nothing here tells the two apart."
                .into(),
        ],
        figures,
    })
}
