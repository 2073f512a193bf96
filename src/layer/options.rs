//! What a layer has.

use crate::options::{DEFAULT_EPSILON, Running};
use crate::setters::setters;
use crate::tuning::Tunings;

/// What a [`Layer`](crate::Layer) has, and the options of the plans it is used with.
///
/// The default is PyTorch's `BatchNorm2d(channels)`.
///
/// ```
/// use wgpu_batchnorm::{LayerOptions, Running};
///
/// let keras = LayerOptions::default().epsilon(1e-3).running(Some(Running::keras(0.99)));
/// assert!(keras.gamma && keras.beta);
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct LayerOptions {
    /// Prefixes the labels of the layer's buffers and of the steps bound to them. "batch norm" by default.
    pub label: String,
    /// Whether there is a gamma (PyTorch's `weight`), of ones at first. Yes by default.
    pub gamma: bool,
    /// Whether there is a beta (PyTorch's `bias`), of zeros at first. Yes by default.
    pub beta: bool,
    /// The running statistics and how training updates them; mean 0, variance 1 and no batches at first. `None` for a layer
    /// that has none.
    pub running: Option<Running>,
    /// Added to the variance; finite and not negative, which the plan checks. 1e-5 by default.
    pub epsilon: f32,
    /// What was measured on the adapter, which the plans of the layer take their tuning from. None by default.
    pub tunings: Option<Tunings>,
}

impl Default for LayerOptions {
    fn default() -> Self {
        Self {
            label: "batch norm".into(),
            gamma: true,
            beta: true,
            running: Some(Running::default()),
            epsilon: DEFAULT_EPSILON,
            tunings: None,
        }
    }
}

impl LayerOptions {
    /// Sets [`LayerOptions::label`].
    #[must_use]
    pub fn label(self, label: impl Into<String>) -> Self {
        Self {
            label: label.into(),
            ..self
        }
    }
}

setters!(LayerOptions {
    gamma: bool,
    beta: bool,
    running: Option<Running>,
    epsilon: f32,
    tunings: Option<Tunings>,
});
