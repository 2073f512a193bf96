//! What is to be computed: the options of training and of inference.

use crate::tuning::Tuning;

/// The epsilon of PyTorch's and ONNX's batch normalization.
pub const DEFAULT_EPSILON: f32 = 1e-5;

/// How a training step moves the running statistics: `running += f * (batch - running)`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Update {
    /// `f` is this constant, in 0 to 1: PyTorch's `momentum`, one minus Keras's and ONNX's.
    Exponential(f32),
    /// `f = 1 / (number of batches seen, this one counted)`: the plain average of all batches (PyTorch's
    /// `momentum=None`).
    Cumulative,
}

impl Update {
    /// PyTorch's convention, the share of the new batch; its default is 0.1.
    pub const fn pytorch_momentum(momentum: f32) -> Self {
        Self::Exponential(momentum)
    }

    /// Keras's convention, the share that is kept; its default is 0.99.
    pub const fn keras_momentum(momentum: f32) -> Self {
        Self::Exponential(1.0 - momentum)
    }

    /// ONNX's convention, the share that is kept; its default is 0.9.
    pub const fn onnx_momentum(momentum: f32) -> Self {
        Self::Exponential(1.0 - momentum)
    }
}

/// Which variance of the batch goes into the running variance. The batch itself is always normalized by the biased one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum RunningVariance {
    /// `sum((x - mean)^2) / (n - 1)`, as PyTorch.
    #[default]
    Unbiased,
    /// `sum((x - mean)^2) / n`, as Keras and ONNX.
    Biased,
}

/// The running statistics of a training step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Running {
    /// The update rule; 0.1 of the new batch by default.
    pub update: Update,
    /// The variance that is averaged; unbiased by default.
    pub variance: RunningVariance,
}

impl Default for Running {
    fn default() -> Self {
        Self {
            update: Update::Exponential(0.1),
            variance: RunningVariance::Unbiased,
        }
    }
}

/// Options of training: normalize by the statistics of the batch itself.
///
/// The default has gamma and beta, updates running statistics as PyTorch's default does and saves what the backward
/// pass needs.
///
/// ```
/// use wgpu_batchnorm::{Running, Training, Update};
///
/// let options = Training::default()
///     .epsilon(1e-3)
///     .beta(false)
///     .running(Some(Running { update: Update::Cumulative, ..Running::default() }));
/// assert!(options.gamma && !options.beta);
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Training {
    /// Added to the variance; finite and not negative. 1e-5 by default.
    pub epsilon: f32,
    /// Whether the result is multiplied by gamma (PyTorch's `weight`). Yes by default.
    pub gamma: bool,
    /// Whether beta (PyTorch's `bias`) is added. Yes by default.
    pub beta: bool,
    /// The running statistics to update, or none.
    pub running: Option<Running>,
    /// Whether the batch's mean (in two parts) and inverse standard deviation are saved for the backward pass. Yes
    /// by default.
    pub saved: bool,
    /// Geometry of the kernels; `None` takes [`Tuning::for_limits`].
    pub tuning: Option<Tuning>,
}

impl Default for Training {
    fn default() -> Self {
        Self {
            epsilon: DEFAULT_EPSILON,
            gamma: true,
            beta: true,
            running: Some(Running::default()),
            saved: true,
            tuning: None,
        }
    }
}

impl Training {
    /// Sets [`Training::epsilon`].
    #[must_use]
    pub fn epsilon(self, epsilon: f32) -> Self {
        Self { epsilon, ..self }
    }

    /// Sets [`Training::gamma`].
    #[must_use]
    pub fn gamma(self, gamma: bool) -> Self {
        Self { gamma, ..self }
    }

    /// Sets [`Training::beta`].
    #[must_use]
    pub fn beta(self, beta: bool) -> Self {
        Self { beta, ..self }
    }

    /// Sets [`Training::running`].
    #[must_use]
    pub fn running(self, running: Option<Running>) -> Self {
        Self { running, ..self }
    }

    /// Sets [`Training::saved`].
    #[must_use]
    pub fn saved(self, saved: bool) -> Self {
        Self { saved, ..self }
    }

    /// Sets [`Training::tuning`].
    #[must_use]
    pub fn tuning(self, tuning: Tuning) -> Self {
        Self {
            tuning: Some(tuning),
            ..self
        }
    }
}

/// Options of inference: normalize by statistics that are given, running or fixed.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Inference {
    /// Added to the variance; finite and not negative. 1e-5 by default.
    pub epsilon: f32,
    /// Whether the result is multiplied by gamma (PyTorch's `weight`). Yes by default.
    pub gamma: bool,
    /// Whether beta (PyTorch's `bias`) is added. Yes by default.
    pub beta: bool,
    /// Geometry of the kernels; `None` takes [`Tuning::for_limits`].
    pub tuning: Option<Tuning>,
}

impl Default for Inference {
    fn default() -> Self {
        Self {
            epsilon: DEFAULT_EPSILON,
            gamma: true,
            beta: true,
            tuning: None,
        }
    }
}

impl Inference {
    /// Sets [`Inference::epsilon`].
    #[must_use]
    pub fn epsilon(self, epsilon: f32) -> Self {
        Self { epsilon, ..self }
    }

    /// Sets [`Inference::gamma`].
    #[must_use]
    pub fn gamma(self, gamma: bool) -> Self {
        Self { gamma, ..self }
    }

    /// Sets [`Inference::beta`].
    #[must_use]
    pub fn beta(self, beta: bool) -> Self {
        Self { beta, ..self }
    }

    /// Sets [`Inference::tuning`].
    #[must_use]
    pub fn tuning(self, tuning: Tuning) -> Self {
        Self {
            tuning: Some(tuning),
            ..self
        }
    }
}
