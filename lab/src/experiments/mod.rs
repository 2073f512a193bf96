//! The experiments: each a claim, what was done, and what came of it.

mod gradients;
mod inference;
mod initialization;
mod inside;
mod regularization;
mod scales;
mod speed;

use serde::Serialize;

use crate::Error;
use crate::data::{Source, Split};
use crate::figure::{Arm, Figure};
use crate::session::Session;
use crate::spec::{Activation, Architecture, Loss, Member, Norm, Optimizer, Outcome, Score, Spec};
use crate::statistics::{Estimate, Verdict, mean};

/// What an experiment is run with.
#[derive(Clone, Debug, Serialize)]
pub struct Settings {
    /// Seeds that are reported.
    pub seeds: usize,
    /// The first of them.
    pub seed: u64,
    /// Fewer steps, learning rates and sizes: to see that all works.
    pub quick: bool,
}

/// Where seeds that learning rates are chosen by begin, after the first one that is reported.
const TUNING: u64 = 1 << 32;

impl Settings {
    /// The seeds that are reported.
    fn seeds(&self) -> Vec<u64> {
        (0..self.seeds as u64)
            .map(|index| self.seed.wrapping_add(index))
            .collect()
    }

    /// The seeds that learning rates are chosen by: none of those above.
    fn tuning(&self) -> Vec<u64> {
        let count = if self.quick { 1 } else { 3 };
        (0..count)
            .map(|index| self.seed.wrapping_add(TUNING + index))
            .collect()
    }

    /// One of two, the first where all is done in full.
    fn pick<T>(&self, full: T, quick: T) -> T {
        if self.quick { quick } else { full }
    }
}

/// An effect with its interval, and what follows.
#[derive(Clone, Debug, Serialize)]
pub struct Finding {
    /// What was compared.
    pub what: String,
    /// The mean over seeds, or the geometric mean of a ratio.
    pub effect: f64,
    /// Its 95% confidence interval.
    pub interval: [f64; 2],
    /// What the effect is in.
    pub unit: Unit,
    /// No effect.
    pub none: f64,
    /// The least effect that would matter.
    pub least: f64,
    /// What follows from the interval by the rule.
    pub verdict: Verdict,
}

/// What an effect is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unit {
    /// So many times.
    Ratio,
    /// A share of samples, of 1.
    Share,
    /// Powers of ten.
    Decades,
    /// Units of the loss.
    Loss,
}

impl Finding {
    /// Of a difference for each seed, larger where the claim is truer.
    fn difference(what: &str, unit: Unit, least: f64, values: &[f64]) -> Self {
        Self::of(what, unit, 0.0, least, Estimate::of(values))
    }

    /// Of a ratio for each seed, larger where the claim is truer.
    fn ratio(what: &str, least: f64, values: &[f64]) -> Self {
        let logarithms: Vec<f64> = values.iter().map(|value| value.ln()).collect();
        Self::of(
            what,
            Unit::Ratio,
            1.0,
            least,
            Estimate::of(&logarithms).map(f64::exp),
        )
    }

    fn of(what: &str, unit: Unit, none: f64, least: f64, estimate: Estimate) -> Self {
        // Intervals of a single seed have no ends, which JSON cannot say.
        let ends = |value: f64| value.clamp(-f64::MAX, f64::MAX);
        Self {
            what: what.to_owned(),
            effect: estimate.effect,
            interval: estimate.interval.map(ends),
            unit,
            none,
            least,
            verdict: Verdict::of(estimate, none, least),
        }
    }
}

/// An experiment and its results.
#[derive(Clone, Debug, Serialize)]
pub struct Experiment {
    /// What it is called.
    pub name: &'static str,
    /// Its heading.
    pub title: &'static str,
    /// What is commonly said.
    pub claim: &'static str,
    /// What was done, in paragraphs.
    pub method: Vec<String>,
    /// The finding that the verdict is of, named before anything was run.
    #[serde(flatten)]
    pub headline: Finding,
    /// The number of seeds.
    pub seeds: usize,
    /// What else was found.
    pub findings: Vec<Finding>,
    /// What to keep in mind.
    pub qualifications: Vec<String>,
    /// The raw series.
    #[serde(rename = "series")]
    pub figures: Vec<Figure>,
}

/// Something shown, without a claim.
#[derive(Clone, Debug, Serialize)]
pub struct Exhibit {
    /// What it is called.
    pub name: &'static str,
    /// Its heading.
    pub title: &'static str,
    /// What it shows, in paragraphs.
    pub text: Vec<String>,
    /// The raw series.
    #[serde(rename = "series")]
    pub figures: Vec<Figure>,
}

/// What there is to run, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Name {
    /// Training speed.
    Speed,
    /// Vanishing and exploding gradients.
    Gradients,
    /// Sensitivity to initialization.
    Initialization,
    /// Regularization.
    Regularization,
    /// Inputs of different scales.
    Scales,
    /// A hidden unit's inputs.
    Inside,
    /// Training against inference.
    Inference,
}

/// What came of one of them.
#[derive(Clone, Debug)]
pub enum Part {
    /// An experiment.
    Experiment(Experiment),
    /// An exhibit.
    Exhibit(Exhibit),
}

impl Name {
    /// All of them, in order.
    pub const ALL: [Self; 7] = [
        Self::Speed,
        Self::Gradients,
        Self::Initialization,
        Self::Regularization,
        Self::Scales,
        Self::Inside,
        Self::Inference,
    ];

    /// As on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Speed => "speed",
            Self::Gradients => "gradients",
            Self::Initialization => "initialization",
            Self::Regularization => "regularization",
            Self::Scales => "scales",
            Self::Inside => "inside",
            Self::Inference => "inference",
        }
    }

    /// Runs it.
    ///
    /// # Errors
    /// As [`Session::run`].
    pub async fn run(self, session: &Session<'_>, settings: &Settings) -> Result<Part, Error> {
        Ok(match self {
            Self::Speed => Part::Experiment(speed::run(session, settings).await?),
            Self::Gradients => Part::Experiment(gradients::run(session, settings).await?),
            Self::Initialization => Part::Experiment(initialization::run(session, settings).await?),
            Self::Regularization => Part::Experiment(regularization::run(session, settings).await?),
            Self::Scales => Part::Experiment(scales::run(session, settings).await?),
            Self::Inside => Part::Exhibit(inside::run(session, settings).await?),
            Self::Inference => Part::Exhibit(inference::run(session, settings).await?),
        })
    }
}

/// Units of hidden layers on digits.
const WIDTH: u64 = 32;

/// The two arms.
const ARMS: [Norm; 2] = [Norm::None, Norm::Batch];

fn arm(norm: Norm) -> Arm {
    match norm {
        Norm::Batch => Arm::With,
        Norm::None | Norm::Identity => Arm::Without,
    }
}

fn arm_name(arm: Arm) -> &'static str {
    match arm {
        Arm::With => "with",
        Arm::Without => "without",
        Arm::Other => "other",
    }
}

/// Numbers as in a sentence.
fn list(numbers: &[usize]) -> String {
    let texts: Vec<String> = numbers.iter().map(ToString::to_string).collect();
    match texts.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, others)) => format!("{} and {last}", others.join(", ")),
        None => String::new(),
    }
}

/// Digits, ReLU, hidden layers of one width, descent with momentum, 64 samples a step: what most experiments start from.
fn digits(depth: usize, norm: Norm, steps: usize, members: Vec<Member>) -> Spec {
    Spec {
        source: Source::Digits,
        training_rows: None,
        architecture: Architecture {
            hidden: vec![WIDTH; depth],
            activation: Activation::Relu,
            norm,
            input_norm: Norm::None,
        },
        loss: Loss::CrossEntropy,
        optimizer: Optimizer::SGD,
        batch: 64,
        steps,
        members,
        evaluate_every: steps.max(1),
        evaluate: vec![],
        gradients_every: None,
        watch: None,
        afterwards: vec![],
    }
}

/// `per_decade` learning rates or gains for each power of ten, both ends among them.
fn powers(from: i32, to: i32, per_decade: i32) -> Vec<f32> {
    (from * per_decade..=to * per_decade)
        .map(|exponent| 10f64.powf(f64::from(exponent) / f64::from(per_decade)) as f32)
        .collect()
}

/// A member for each rate and, within that, each seed, of the usual first weights.
fn grid(rates: &[f32], seeds: &[u64]) -> Vec<Member> {
    let of_rate = |&learning_rate: &f32| {
        seeds.iter().map(move |&seed| Member {
            seed,
            learning_rate,
            gain: 1.0,
        })
    };
    rates.iter().flat_map(of_rate).collect()
}

/// The number of the step of the first evaluation that reaches an accuracy; the last step where none does.
fn steps_to(scores: &[Score], every: usize, accuracy: f64) -> f64 {
    let reached = scores.iter().position(|score| score.accuracy >= accuracy);
    (reached.unwrap_or(scores.len().saturating_sub(1)) * every) as f64
}

/// The accuracy of the last three evaluations.
fn final_accuracy(scores: &[Score]) -> f64 {
    let last = &scores[scores.len().saturating_sub(3)..];
    mean(&last.iter().map(|score| score.accuracy).collect::<Vec<_>>())
}

/// The rate whose seeds are best on average, by their scores on the first split. Of equal ones that with the smaller loss at
/// the end.
fn best_rate(outcome: &Outcome, rates: &[f32], value: impl Fn(&[Score]) -> f64) -> usize {
    let per_rate = outcome.scores[0].len() / rates.len().max(1);
    let of_rate = |rate: usize| {
        let members = &outcome.scores[0][rate * per_rate..(rate + 1) * per_rate];
        let values: Vec<f64> = members.iter().map(|scores| value(scores)).collect();
        let losses: Vec<f64> = members
            .iter()
            .map(|scores| {
                scores
                    .last()
                    .and_then(|score| score.loss)
                    .unwrap_or(f64::MAX / 1e9)
            })
            .collect();
        (mean(&values), -mean(&losses))
    };
    let better = |a: (f64, f64), b: (f64, f64)| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1));
    (0..rates.len())
        .max_by(|&a, &b| better(of_rate(a), of_rate(b)))
        .unwrap_or(0)
}

/// Accuracies by evaluation and seed.
fn accuracies(members: &[Vec<Score>]) -> Vec<Vec<Option<f64>>> {
    let evaluations = members.first().map_or(0, Vec::len);
    (0..evaluations)
        .map(|at| {
            members
                .iter()
                .map(|scores| Some(scores[at].accuracy))
                .collect()
        })
        .collect()
}

/// Where the evaluations of a run are.
fn evaluation_steps(spec: &Spec) -> Vec<f64> {
    (0..spec.evaluations())
        .map(|at| (at * spec.evaluate_every) as f64)
        .collect()
}

/// A number in few digits.
fn short(value: f32) -> String {
    let exponent = value.abs().log10().floor() as i32;
    if (-3..4).contains(&exponent) {
        let decimals = usize::try_from(1 - exponent).unwrap_or(0);
        let text = format!("{value:.decimals$}");
        if text.contains('.') {
            text.trim_end_matches('0').trim_end_matches('.').to_owned()
        } else {
            text
        }
    } else {
        format!("{value:.1e}")
    }
}

/// How learning rates were chosen, which every experiment says.
fn tuned(settings: &Settings, rates: &[f32], by: &str) -> String {
    let (first, last) = (
        rates.first().copied().unwrap_or(0.0),
        rates.last().copied().unwrap_or(0.0),
    );
    format!(
        "Each arm has its own best learning rate, the same sweep of {} from {} to {} for both, chosen by {by} on the validation \
         split over {} seeds that are not reported.",
        rates.len(),
        short(first),
        short(last),
        settings.tuning().len(),
    )
}

/// The validation split, for sweeps; the test split, for reports.
const VALIDATION: [Split; 1] = [Split::Validation];
const TEST: [Split; 1] = [Split::Test];

#[cfg(test)]
mod tests {
    use super::*;

    fn score(accuracy: f64, loss: Option<f64>) -> Score {
        Score { accuracy, loss }
    }

    #[test]
    fn steps_are_counted_to_the_first_evaluation_that_is_good_enough() {
        let scores = [0.1, 0.5, 0.9, 0.8, 0.95].map(|accuracy| score(accuracy, None));
        assert_eq!(steps_to(&scores, 5, 0.9), 10.0);
        assert_eq!(steps_to(&scores, 5, 0.99), 20.0);
    }

    #[test]
    fn the_best_rate_is_that_of_the_best_mean_and_then_of_the_smaller_loss() {
        let outcome = Outcome {
            scores: vec![vec![
                vec![score(0.5, Some(1.0))],
                vec![score(0.9, Some(1.0))],
                vec![score(0.8, Some(0.5))],
                vec![score(0.8, None)],
                vec![score(0.8, Some(0.5))],
                vec![score(0.8, Some(0.4))],
            ]],
            ..Outcome::default()
        };
        let last = |scores: &[Score]| scores[0].accuracy;
        assert_eq!(best_rate(&outcome, &[0.1, 0.2, 0.3], last), 2);
    }

    #[test]
    fn lists_read_as_sentences() {
        assert_eq!(list(&[2]), "2");
        assert_eq!(list(&[2, 6, 12]), "2, 6 and 12");
    }

    #[test]
    fn rates_are_powers_of_ten() {
        assert_eq!(powers(-1, 1, 1), [0.1, 1.0, 10.0]);
        assert_eq!(powers(-3, 1, 2).len(), 9);
        for (value, text) in [
            (0.001, "0.001"),
            (0.316_227_77, "0.32"),
            (10.0, "10"),
            (1000.0, "1000"),
            (1e-4, "1.0e-4"),
        ] {
            assert_eq!(short(value), text);
        }
    }

    #[test]
    fn seeds_to_tune_by_are_not_those_that_are_reported() {
        let settings = Settings {
            seeds: 10,
            seed: 3,
            quick: false,
        };
        let (seeds, tuning) = (settings.seeds(), settings.tuning());
        assert!(seeds.len() == 10 && tuning.iter().all(|seed| !seeds.contains(seed)));
    }
}
