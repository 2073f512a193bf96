//! Generalization from few samples, and the noise that batch norm takes from the batch.

use super::{
    ARMS, Experiment, Finding, Settings, Unit, VALIDATION, arm, arm_name, best_rate, digits,
    final_accuracy, grid, powers, short, tuned,
};
use crate::Error;
use crate::data::Split;
use crate::figure::{Arm, Axis, Figure, Scale, Series};
use crate::session::Session;
use crate::spec::{Company, Norm, Outcome, Score};
use crate::statistics::mean;

const DEPTH: usize = 2;
const SAMPLES: usize = 100;

/// The loss at the end, where it is finite.
fn final_loss(scores: &[Score]) -> Option<f64> {
    scores.last().and_then(|score| score.loss)
}

/// For each run and seed a value of its scores on the training samples and on the test split.
fn by_seed(
    runs: &[Outcome],
    value: impl Fn(&[Score], &[Score]) -> Option<f64>,
) -> Vec<Vec<Option<f64>>> {
    let of_run = |run: &Outcome| {
        let pairs = run.scores[0].iter().zip(&run.scores[1]);
        pairs
            .map(|(training, test)| value(training, test))
            .collect()
    };
    runs.iter().map(of_run).collect()
}

pub(super) async fn run(session: &Session<'_>, settings: &Settings) -> Result<Experiment, Error> {
    let batches: &[usize] = settings.pick(&[4, 10, 25, 100], &[10, 50]);
    let epochs = settings.pick(60, 6);
    let rates = settings.pick(powers(-3, 0, 2), powers(-2, -1, 1));
    let seeds = settings.seeds();
    let (mut gaps, mut accuracies) = (Vec::new(), Vec::new());
    let mut loss_gaps = Vec::new();
    let mut chosen = Vec::new();
    // By batch: the gap without minus that with, by seed.
    let mut smaller: Vec<Vec<f64>> = Vec::new();
    let mut findings = Vec::new();
    for norm in ARMS {
        let arm = arm(norm);
        let mut by_batch = Vec::new();
        for &batch in batches {
            let steps = epochs * SAMPLES / batch;
            let mut spec = digits(DEPTH, norm, steps, grid(&rates, &settings.tuning()));
            spec.training_rows = Some(SAMPLES);
            spec.batch = batch;
            spec.evaluate_every = (steps / 3).max(1);
            spec.evaluate = VALIDATION.to_vec();
            let sweep = session.run(&spec).await?;
            let best = best_rate(&sweep, &rates, final_accuracy_of_last);
            spec.members = grid(&rates[best..=best], &seeds);
            spec.evaluate = vec![Split::Training, Split::Test];
            by_batch.push(session.run(&spec).await?);
            chosen.push(format!(
                "batch {batch} {}: {}",
                arm_name(arm),
                short(rates[best])
            ));
        }
        let last = |scores: &[Score]| scores.last().map(|score| score.accuracy);
        let series = |values| Series {
            name: arm_name(arm).into(),
            arm,
            dash: 0,
            x: batches.iter().map(|&batch| batch as f64).collect(),
            values,
        };
        gaps.push(series(by_seed(&by_batch, |training, test| {
            Some(last(training)? - last(test)?)
        })));
        accuracies.push(series(by_seed(&by_batch, |_, test| last(test))));
        loss_gaps.push(series(by_seed(&by_batch, |training, test| {
            Some(final_loss(test)? - final_loss(training)?)
        })));
    }
    for (at, &batch) in batches.iter().enumerate() {
        let difference = |series: &[Series]| -> Vec<f64> {
            let pairs = series[0].values[at].iter().zip(&series[1].values[at]);
            pairs
                .filter_map(|(without, with)| Some((*without)? - (*with)?))
                .collect()
        };
        let gap = difference(&gaps);
        let name = format!("gap in accuracy without minus with, batch {batch}");
        findings.push(Finding::difference(&name, Unit::Share, 0.005, &gap));
        smaller.push(gap);
        let name = format!("gap in loss without minus with, batch {batch}");
        findings.push(Finding::difference(
            &name,
            Unit::Loss,
            0.02,
            &difference(&loss_gaps),
        ));
    }
    if let (Some(small), Some(large)) = (smaller.first(), smaller.last()) {
        let more: Vec<f64> = small
            .iter()
            .zip(large)
            .map(|(small, large)| small - large)
            .collect();
        let name = format!(
            "that effect on accuracy, batch {} minus batch {}",
            batches[0],
            batches[batches.len() - 1]
        );
        findings.push(Finding::difference(&name, Unit::Share, 0.005, &more));
    }
    let company = company(session, settings).await?;
    let deviations = |size: usize| -> Vec<f64> {
        let at = company
            .x
            .iter()
            .position(|&x| x == size as f64)
            .unwrap_or(0);
        company.values[at].iter().copied().flatten().collect()
    };
    let ratio: Vec<f64> = deviations(4)
        .iter()
        .zip(deviations(64))
        .map(|(small, large)| small / large)
        .collect();
    findings.push(Finding::ratio(
        "the mechanism: how much a sample's outputs vary with its company, batches of 4 over batches of 64",
        1.5,
        &ratio,
    ));
    let over_batches: Vec<f64> = (0..seeds.len())
        .map(|seed| mean(&smaller.iter().map(|gaps| gaps[seed]).collect::<Vec<_>>()))
        .collect();
    let figure = |title: &str, caption: &str, y: Axis, series| Figure {
        title: title.into(),
        caption: caption.into(),
        x: Axis::new("samples in a batch", Scale::Log),
        y,
        series,
    };
    Ok(Experiment {
        name: "regularization",
        title: "Regularization",
        claim: "Batch norm regularizes: networks generalize better from few samples.",
        method: vec![
            format!(
                "Digits; {SAMPLES} training samples that each seed chooses; networks of {DEPTH} hidden layers of {} units with ReLU, \
                 descent with momentum 0.9, {epochs} epochs whatever the batch size. The gap is the accuracy on the training \
                 samples minus that on the test split, both by running statistics.",
                super::WIDTH
            ),
            format!(
                "{} Here that is done for each batch size by itself. Chosen: {}.",
                tuned(settings, &rates, "the accuracy at the end"),
                chosen.join("; ")
            ),
            "The mechanism: networks trained with batch norm, one test sample, and batches of that sample with others that \
             change. Shown is the root of the mean variance of its outputs over such batches, by the statistics of the batch."
                .into(),
        ],
        headline: Finding::difference(
            "gap in accuracy without batch norm minus that with, mean over batch sizes",
            Unit::Share,
            0.005,
            &over_batches,
        ),
        seeds: seeds.len(),
        findings,
        qualifications: vec![
            "The regularization comes from the noise of the batch's statistics, so it depends on the batch size: with large \
             batches there is little. Too much of it hurts: with very small batches networks may fit their own training samples \
             worse."
                .into(),
            "A smaller gap is not a better network where both accuracies fell: see the test accuracy beside it.".into(),
        ],
        figures: vec![
            figure(
                "Gap between training and test accuracy",
                "Smaller is better generalization.",
                Axis::new("gap in accuracy", Scale::Linear),
                gaps,
            ),
            figure("Test accuracy", "Of the same networks.", Axis::new("test accuracy", Scale::Share), accuracies),
            figure(
                "Gap between test and training loss",
                "Of the same networks, cross-entropy.",
                Axis::new("gap in loss", Scale::Linear),
                loss_gaps,
            ),
            figure(
                "One sample's outputs in changing company",
                "Their deviation over batches; without batch norm it is zero.",
                Axis::new("deviation of outputs", Scale::Log),
                vec![company],
            ),
        ],
    })
}

fn final_accuracy_of_last(scores: &[Score]) -> f64 {
    final_accuracy(&scores[scores.len().saturating_sub(1)..])
}

/// How one sample's outputs vary with its company, by batch size.
async fn company(session: &Session<'_>, settings: &Settings) -> Result<Series, Error> {
    let sizes: &[usize] = settings.pick(&[2, 4, 8, 16, 32, 64, 128, 256], &[4, 64]);
    let draws = settings.pick(50, 10);
    let mut spec = digits(
        DEPTH,
        Norm::Batch,
        settings.pick(100, 20),
        grid(&[0.1], &settings.seeds()),
    );
    spec.afterwards = sizes
        .iter()
        .map(|&size| Company::Draws { size, draws })
        .collect();
    let outcome = session.run(&spec).await?;
    Ok(Series {
        name: "with".into(),
        arm: Arm::With,
        dash: 0,
        x: sizes.iter().map(|&size| size as f64).collect(),
        values: outcome
            .afterwards
            .iter()
            .map(|members| members.iter().map(|after| after.deviation).collect())
            .collect(),
    })
}
