//! One batch normalization to be computed: by the GPU, and by the f64 reference that it is held against.

use anyhow::Result;
use wgpu_batchnorm::reference::{self, FixedStatistics, Parameters, RunningStatistics};
use wgpu_batchnorm::{
    Activation, Backward, DEFAULT_EPSILON, Derivative, Element, Inference, Running,
    RunningVariance, Shape, Training, Update,
};

use super::compare::{Comparison, Tolerance};

/// Input, parameters and options of one step: forward, and backward where there is a gradient to start from.
#[derive(Clone, Debug)]
pub struct Problem {
    /// The geometry of `x`.
    pub shape: Shape,
    /// The input.
    pub x: Vec<f32>,
    /// How `x` and the tensors of its shape are stored on the device; values that are given are such as it can hold.
    pub element: Element,
    /// The factor of each channel, where there is one.
    pub gamma: Option<Vec<f32>>,
    /// What is added to each channel, where there is such.
    pub beta: Option<Vec<f32>>,
    /// Added to the variance.
    pub epsilon: f32,
    /// What to normalize by.
    pub statistics: Statistics,
    /// What is added before the activation, of the shape of `x`.
    pub residual: Option<Vec<f32>>,
    /// Applied last.
    pub activation: Activation,
    /// The gradient of the result, of the shape of `x`, where the gradients of what it is made from are wanted.
    pub grad_output: Option<Vec<f32>>,
    /// What the backward pass finds the gradient of the activation from.
    pub derivative: Derivative,
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
#[derive(Clone, Debug, Default)]
pub struct Solution {
    /// The normalized tensor.
    pub y: Vec<f32>,
    /// The running statistics after the step, where the problem has them.
    pub state: Option<State>,
    /// The gradients, where the problem has that of the result.
    pub gradients: Option<Gradients>,
}

/// The gradients that the device computed: those of what the problem has.
#[derive(Clone, Debug)]
pub struct Gradients {
    /// The gradient of the input.
    pub input: Vec<f32>,
    /// The gradient of gamma.
    pub gamma: Option<Vec<f32>>,
    /// The gradient of beta.
    pub beta: Option<Vec<f32>>,
    /// The gradient of the residual.
    pub residual: Option<Vec<f32>>,
}

/// What the device should have made of it.
#[derive(Clone, Debug)]
pub struct Exact {
    /// The normalized tensor.
    pub y: Vec<f64>,
    /// The running mean and variance after the step, where the problem has them.
    pub state: Option<(Vec<f64>, Vec<f64>)>,
    /// All gradients, where the problem has that of the result.
    pub gradients: Option<reference::Gradients>,
}

/// A tensor compared with what it should be.
#[derive(Clone, Debug)]
pub struct Compared {
    /// What it is called.
    pub name: &'static str,
    /// Whether it has the input's sizes, or one value per channel.
    pub like_input: bool,
    /// What was allowed.
    pub tolerance: Tolerance,
    /// How it compares.
    pub comparison: Comparison,
    /// Its largest error over what its values are measured in.
    pub error: f64,
}

/// What the gradients may be off by, in units of the largest value of each: where values of that size cancel, what is left has
/// their error.
pub const OF_LARGEST_GRADIENT: f64 = 2e-6;

impl Solution {
    /// The gradients compared with what they should be, where the problem has any.
    pub fn compare_gradients(&self, problem: &Problem, exact: &Exact) -> Vec<Compared> {
        let (Some(gradients), Some(exact)) = (&self.gradients, &exact.gradients) else {
            return Vec::new();
        };
        // A sum of n terms of size 1 is of size sqrt(n), whatever it happens to be.
        let sum = (problem.shape.values_per_channel() as f64).sqrt();
        let compare = |name, actual: Option<&Vec<f32>>, exact: &[f64], like_input| {
            let least = if like_input { 1.0 } else { sum.max(1.0) };
            let largest = exact
                .iter()
                .fold(least, |most, value| most.max(value.abs()));
            let arithmetic = Tolerance::Sum {
                absolute: OF_LARGEST_GRADIENT * largest,
                relative: 0.0,
            };
            let tolerance = if like_input {
                arithmetic.stored_as(problem.element)
            } else {
                arithmetic
            };
            let comparison = Comparison::new(actual?, exact, tolerance);
            let error = comparison.worst.map_or(0.0, |worst| worst.error / largest);
            Some(Compared {
                name,
                like_input,
                tolerance,
                comparison,
                error,
            })
        };
        [
            compare("gradient of x", Some(&gradients.input), &exact.input, true),
            compare(
                "gradient of gamma",
                gradients.gamma.as_ref(),
                &exact.gamma,
                false,
            ),
            compare(
                "gradient of beta",
                gradients.beta.as_ref(),
                &exact.beta,
                false,
            ),
            compare(
                "gradient of the residual",
                gradients.residual.as_ref(),
                &exact.residual,
                true,
            ),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    /// The running statistics compared with what they should be, where there are any.
    pub fn compare_state(
        &self,
        exact: &Exact,
        tolerance: Tolerance,
    ) -> Vec<(&'static str, Comparison)> {
        let (Some(state), Some((mean, variance))) = (&self.state, &exact.state) else {
            return Vec::new();
        };
        vec![
            (
                "running mean",
                Comparison::new(&state.mean, mean, tolerance),
            ),
            (
                "running variance",
                Comparison::new(&state.variance, variance, tolerance),
            ),
        ]
    }
}

impl Problem {
    /// An f32 tensor, normalized by its own statistics and nothing more.
    pub const fn new(shape: Shape, x: Vec<f32>) -> Self {
        Self {
            shape,
            x,
            element: Element::F32,
            gamma: None,
            beta: None,
            epsilon: DEFAULT_EPSILON,
            statistics: Statistics::Batch(None),
            residual: None,
            activation: Activation::None,
            grad_output: None,
            derivative: Derivative::Input,
        }
    }

    /// Whether the backward pass reads a tensor for the activation that no other pass has a use for.
    pub fn derives_from(&self, derivative: Derivative) -> bool {
        self.grad_output.is_some()
            && self.activation != Activation::None
            && self.derivative == derivative
    }

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
            .element(self.element)
            .activation(self.activation)
            .residual(self.residual.is_some())
            .mask(self.derives_from(Derivative::Mask))
    }

    /// The options of inference.
    pub fn inference(&self) -> Inference {
        Inference::default()
            .epsilon(self.epsilon)
            .gamma(self.gamma.is_some())
            .beta(self.beta.is_some())
            .element(self.element)
            .activation(self.activation)
            .residual(self.residual.is_some())
            .mask(self.derives_from(Derivative::Mask))
    }

    /// The options of the backward pass: every gradient of what there is.
    pub fn backward(&self) -> Backward {
        match &self.statistics {
            Statistics::Batch(_) => Backward::from(&self.training()),
            Statistics::Given(_) => Backward::from(&self.inference()),
        }
        .derivative(self.derivative)
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
        let (x, residual) = (&self.x, self.residual.as_deref());
        let parameters = self.parameters();
        let mut fixed = None;
        let (y, state) = match &self.statistics {
            Statistics::Batch(running) => {
                let mut running = match running {
                    Some((_, state)) => {
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
                    x,
                    residual,
                    self.shape,
                    parameters,
                    &self.training(),
                    running.as_mut(),
                )?;
                let state = running.map(|running| (running.mean, running.variance));
                (forward.y, state)
            }
            Statistics::Given(State { mean, variance, .. }) => {
                let y = reference::inference(
                    x,
                    residual,
                    self.shape,
                    parameters,
                    mean,
                    variance,
                    &self.inference(),
                )?;
                fixed = Some(FixedStatistics { mean, variance });
                let wide = |values: &[f32]| values.iter().map(|&value| f64::from(value)).collect();
                (y, Some((wide(mean), wide(variance))))
            }
        };
        let gradients = match &self.grad_output {
            Some(dy) => Some(reference::backward(
                x,
                dy,
                residual,
                self.shape,
                parameters,
                fixed,
                &self.backward(),
            )?),
            None => None,
        };
        Ok(Exact {
            y,
            state,
            gradients,
        })
    }
}
