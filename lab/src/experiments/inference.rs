//! Training against inference: what goes wrong with the statistics of batches at test time, and with tiny batches.

use super::{Exhibit, Settings, TEST, digits, grid, short};
use crate::Error;
use crate::figure::{Arm, Axis, Figure, Scale, Series};
use crate::session::Session;
use crate::spec::{Company, Norm};
use crate::statistics::mean;

const DEPTH: usize = 2;
const RATE: f32 = 0.1;

pub(super) async fn run(session: &Session<'_>, settings: &Settings) -> Result<Exhibit, Error> {
    let steps = settings.pick(200, 40);
    let sizes: &[usize] = settings.pick(&[1, 2, 4, 8, 16, 32, 64, 128], &[1, 2, 16]);
    let seeds = settings.seeds();
    let mut spec = digits(DEPTH, Norm::Batch, steps, grid(&[RATE], &seeds));
    spec.evaluate = TEST.to_vec();
    let mixed = sizes.iter().map(|&size| Company::Mixed(size));
    let sorted = sizes.iter().map(|&size| Company::Sorted(size));
    spec.afterwards = mixed.chain(sorted).collect();
    let outcome = session.run(&spec).await?;
    let last = |scores: &Vec<crate::spec::Score>| scores.last().map(|score| score.accuracy);
    let by_running: Vec<Option<f64>> = outcome.scores[0].iter().map(last).collect();
    let x: Vec<f64> = sizes.iter().map(|&size| size as f64).collect();
    let series = |name: &str, arm, dash, values| Series {
        name: name.into(),
        arm,
        dash,
        x: x.clone(),
        values,
    };
    let after = |at: usize| -> Vec<Option<f64>> {
        outcome.afterwards[at]
            .iter()
            .map(|after| Some(after.accuracy))
            .collect()
    };
    let at_test = vec![
        series(
            "running statistics",
            Arm::Other,
            0,
            vec![by_running.clone(); sizes.len()],
        ),
        series(
            "the batch's, mixed",
            Arm::With,
            0,
            (0..sizes.len()).map(after).collect(),
        ),
        series(
            "the batch's, by class",
            Arm::Without,
            0,
            (sizes.len()..2 * sizes.len()).map(after).collect(),
        ),
    ];

    // The same number of samples seen by each.
    let training_sizes: &[usize] = settings.pick(&[2, 4, 8, 16, 64], &[2, 16]);
    let mut by_training_size = Vec::new();
    for &batch in training_sizes {
        let mut spec = digits(
            DEPTH,
            Norm::Batch,
            steps * 16 / batch,
            grid(&[RATE * batch as f32 / 64.0], &seeds),
        );
        spec.batch = batch;
        spec.evaluate = TEST.to_vec();
        spec.afterwards = vec![Company::Mixed(batch)];
        let outcome = session.run(&spec).await?;
        let running: Vec<Option<f64>> = outcome.scores[0].iter().map(last).collect();
        let own: Vec<Option<f64>> = outcome.afterwards[0]
            .iter()
            .map(|after| Some(after.accuracy))
            .collect();
        by_training_size.push([running, own]);
    }
    let trained = |name: &str, arm, of: usize| Series {
        name: name.into(),
        arm,
        dash: 0,
        x: training_sizes.iter().map(|&size| size as f64).collect(),
        values: by_training_size
            .iter()
            .map(|pair| pair[of].clone())
            .collect(),
    };
    let in_training = vec![
        trained("running statistics", Arm::Other, 0),
        trained("the statistics of batches as in training", Arm::With, 1),
    ];

    let mut one = digits(DEPTH, Norm::Batch, 1, grid(&[RATE], &seeds[..1]));
    one.batch = 1;
    let refusal = session.refusal(&one).await.unwrap_or_default();
    let share = |values: &[Option<f64>]| {
        let present: Vec<f64> = values.iter().copied().flatten().collect();
        format!("{:.1}%", 100.0 * mean(&present))
    };
    Ok(Exhibit {
        name: "inference",
        title: "Training against inference",
        text: vec![
            format!(
                "In training a batch norm layer uses the statistics of the batch; for inference it has running ones. Forgetting to \
                 switch is the mistake that hurts most. {} networks of {DEPTH} hidden layers, trained on digits with 64 samples a \
                 step for {steps} steps at rate {}, get {} of the test split right by running statistics.",
                seeds.len(),
                short(RATE),
                share(&by_running)
            ),
            format!(
                "By the statistics of test batches, a sample's class depends on its company. Mixed batches of 2 get {}. Batches \
                 sorted by class, as a file often is, take away what tells classes apart: {} at {} samples. One sample alone \
                 is its own mean: every unit becomes beta, whatever the sample, and {} are right.",
                share(&at_test[1].values[1]),
                share(&at_test[2].values[sizes.len() - 1]),
                sizes[sizes.len() - 1],
                share(&at_test[1].values[0])
            ),
            format!(
                "In training, one value per channel has no variance. This library says so when the step is planned: \
                 \u{201c}{refusal}\u{201d} Two values are allowed, and become nearly -1 and 1 times gamma, plus beta: their sign is all \
                 that is left. Networks trained in batches of 2 get {} by running statistics.",
                share(&by_training_size[0][0])
            ),
        ],
        figures: vec![
            Figure {
                title: "At test time, by the size of the test batch".into(),
                caption: "The same networks.".into(),
                x: Axis::new("samples in a test batch", Scale::Log),
                y: Axis::new("test accuracy", Scale::Share),
                series: at_test,
            },
            Figure {
                title: "By the size of the training batch".into(),
                caption: format!(
                    "As many samples for each, the learning rate in proportion to the batch ({} at 64).",
                    short(RATE)
                ),
                x: Axis::new("samples in a training batch", Scale::Log),
                y: Axis::new("test accuracy", Scale::Share),
                series: in_training,
            },
        ],
    })
}
