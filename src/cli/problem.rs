//! One batch normalization to be computed: by the GPU, and by the f64 reference that it is held against.

use anyhow::Result;
use wgpu_batchnorm::reference::{self, Parameters, RunningStatistics};
use wgpu_batchnorm::{Inference, Running, RunningVariance, Shape, Training, Update};

use super::compare::{Comparison, Tolerance};

/// Input, parameters and options of one step.
#[derive(Clone, Debug)]
pub struct Problem {
    /// The geometry of `x`.
    pub shape: Shape,
    /// The input.
    pub x: Vec<f32>,
    /// The factor of each channel, where there is one.
    pub gamma: Option<Vec<f32>>,
    /// What is added to each channel, where there is such.
    pub beta: Option<Vec<f32>>,
    /// Added to the variance.
    pub epsilon: f32,
    /// What to normalize by.
    pub statistics: Statistics,
}

/// What to normalize by.
#[derive(Clone, Debug)]
pub enum Statistics {
    /// The batch's own, as training does; the running statistics, where there are any, move by the rule.
    Batch(Option<(Running, State)>),
    /// Those given, as inference does.
    Given(State),
}

/// The running statistics of a layer.
#[derive(Clone, Debug, PartialEq)]
pub struct State {
    /// The running mean, per channel.
    pub mean: Vec<f32>,
    /// The running variance, per channel.
    pub variance: Vec<f32>,
    /// The number of batches seen.
    pub batches: u32,
}

/// The rule by which running statistics move, in words.
pub fn describe_running(running: &Running) -> String {
    let update = match running.update {
        Update::Exponential(share) => format!("momentum {share}"),
        Update::Cumulative => "cumulative average".to_owned(),
    };
    let variance = match running.variance {
        RunningVariance::Unbiased => "unbiased",
        RunningVariance::Biased => "biased",
    };
    format!("{update}, {variance} running variance")
}

/// What the device made of a problem.
#[derive(Clone, Debug)]
pub struct Solution {
    /// The normalized tensor.
    pub y: Vec<f32>,
    /// The running statistics after the step, where the problem has them.
    pub state: Option<State>,
}

/// What the device should have made of it.
#[derive(Clone, Debug)]
pub struct Exact {
    /// The normalized tensor.
    pub y: Vec<f64>,
    /// The running mean and variance after the step, where the problem has them.
    pub state: Option<(Vec<f64>, Vec<f64>)>,
}

impl Solution {
    /// Each tensor compared with what it should be, under its name.
    pub fn compare(&self, exact: &Exact, tolerance: Tolerance) -> Vec<(&'static str, Comparison)> {
        let mut compared = vec![("y", Comparison::new(&self.y, &exact.y, tolerance))];
        if let (Some(state), Some((mean, variance))) = (&self.state, &exact.state) {
            compared.push((
                "running mean",
                Comparison::new(&state.mean, mean, tolerance),
            ));
            compared.push((
                "running variance",
                Comparison::new(&state.variance, variance, tolerance),
            ));
        }
        compared
    }
}

impl Problem {
    /// The options of training; of a problem that infers, those that a training step would have.
    pub fn training(&self) -> Training {
        let running = match &self.statistics {
            Statistics::Batch(Some((running, _))) => Some(*running),
            Statistics::Batch(None) | Statistics::Given(_) => None,
        };
        Training::default()
            .epsilon(self.epsilon)
            .gamma(self.gamma.is_some())
            .beta(self.beta.is_some())
            .running(running)
            .saved(false)
    }

    /// The options of inference.
    pub fn inference(&self) -> Inference {
        Inference::default()
            .epsilon(self.epsilon)
            .gamma(self.gamma.is_some())
            .beta(self.beta.is_some())
    }

    /// Gamma and beta as the host's passes take them.
    pub fn parameters(&self) -> Parameters<'_> {
        Parameters {
            gamma: self.gamma.as_deref(),
            beta: self.beta.as_deref(),
        }
    }

    /// The running statistics before the step.
    pub fn state(&self) -> Option<&State> {
        match &self.statistics {
            Statistics::Batch(running) => running.as_ref().map(|(_, state)| state),
            Statistics::Given(state) => Some(state),
        }
    }

    /// The result in f64.
    pub fn exact(&self) -> Result<Exact> {
        let parameters = self.parameters();
        let state = self.state();
        match &self.statistics {
            Statistics::Batch(_) => {
                let mut running = match state {
                    Some(state) => {
                        let batches = vec![state.batches; state.mean.len()];
                        Some(RunningStatistics::from_f32(
                            &state.mean,
                            &state.variance,
                            &batches,
                        )?)
                    }
                    None => None,
                };
                let forward = reference::training(
                    &self.x,
                    None,
                    self.shape,
                    parameters,
                    &self.training(),
                    running.as_mut(),
                )?;
                Ok(Exact {
                    y: forward.y,
                    state: running.map(|running| (running.mean, running.variance)),
                })
            }
            Statistics::Given(state) => {
                let State { mean, variance, .. } = state;
                let y = reference::inference(
                    &self.x,
                    None,
                    self.shape,
                    parameters,
                    mean,
                    variance,
                    &self.inference(),
                )?;
                let wide = |values: &[f32]| values.iter().map(|&value| f64::from(value)).collect();
                Ok(Exact {
                    y,
                    state: Some((wide(mean), wide(variance))),
                })
            }
        }
    }
}
