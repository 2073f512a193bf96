//! What the activation of one hidden unit gets to see over training, as in figure 1 of Ioffe and Szegedy (2015).

use super::{
    ARMS, Exhibit, Settings, TEST, VALIDATION, arm, arm_name, best_rate, digits, final_accuracy,
    grid, powers, short, tuned,
};
use crate::Error;
use crate::figure::{Axis, Figure, Scale, Series};
use crate::session::Session;
use crate::spec::Activation;

const DEPTH: usize = 3;
const EVERY: usize = 10;
const QUANTILES: [(&str, usize); 5] = [("5%", 2), ("25%", 1), ("50%", 0), ("75%", 1), ("95%", 2)];

pub(super) async fn run(session: &Session<'_>, settings: &Settings) -> Result<Exhibit, Error> {
    let steps = settings.pick(400, 40);
    let rates = settings.pick(powers(-2, 1, 2), vec![0.1]);
    let mut figures = Vec::new();
    let mut chosen = Vec::new();
    for norm in ARMS {
        let mut spec = digits(DEPTH, norm, steps, grid(&rates, &settings.tuning()));
        spec.architecture.activation = Activation::Sigmoid;
        spec.evaluate_every = EVERY;
        spec.evaluate = VALIDATION.to_vec();
        let sweep = session.run(&spec).await?;
        let best = best_rate(&sweep, &rates, final_accuracy);
        spec.members = grid(&rates[best..=best], &settings.seeds()[..1]);
        spec.evaluate = TEST.to_vec();
        spec.watch = Some(DEPTH - 1);
        let outcome = session.run(&spec).await?;
        let arm = arm(norm);
        let accuracy = final_accuracy(&outcome.scores[0][0]);
        chosen.push(format!(
            "{}: rate {}, {:.1}% of the test split right at the end",
            arm_name(arm),
            short(rates[best]),
            100.0 * accuracy
        ));
        let series = QUANTILES
            .iter()
            .enumerate()
            .map(|(at, &(name, dash))| Series {
                name: name.into(),
                arm,
                dash,
                x: super::evaluation_steps(&spec),
                values: outcome
                    .quantiles
                    .iter()
                    .map(|quantiles| vec![Some(quantiles[at])])
                    .collect(),
            });
        figures.push(Figure {
            title: format!(
                "{} batch norm",
                if figures.is_empty() {
                    "Without"
                } else {
                    "With"
                }
            ),
            caption: "5, 25, 50, 75 and 95 percent of a unit's inputs on the test split.".into(),
            x: Axis::new("step", Scale::Linear),
            y: Axis::new("input of the sigmoid", Scale::Linear),
            series: series.collect(),
        });
    }
    Ok(Exhibit {
        name: "inside",
        title: "A look inside",
        text: vec![
            format!(
                "What the sigmoid of one unit of the last of {DEPTH} hidden layers gets, over {steps} steps on digits, as in figure 1 \
                 of Ioffe and Szegedy (2015): unit 0 of the network of the first seed. With batch norm that is its output, by \
                 running statistics. {}",
                tuned(settings, &rates, "the accuracy at the end")
            ),
            format!("{}.", chosen.join("; ")),
            "One unit of one network shows what is meant, and proves nothing. That the distribution is steadier with batch norm \
             is what Ioffe and Szegedy called less internal covariate shift; that this is why training is faster is disputed \
             (Santurkar et al., 2018)."
                .into(),
        ],
        figures,
    })
}
