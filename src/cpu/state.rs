//! What a training step leaves behind besides its result, and the checks of all that it is given.

use super::{FixedStatistics, Parameters};
use crate::activation::{Activation, Derivative};
use crate::element::Element;
use crate::error::HostError;
use crate::options::{Backward, Gradient, Inference, RunningVariance, Statistics, Training};
use crate::reference::{
    Moments, check_activation, check_backward, check_epsilon, check_length, check_presence,
    check_residual, check_running, update_factor,
};
use crate::shape::Shape;

/// The running statistics of a layer, to be moved by a training step: one value per channel each.
#[derive(Debug)]
pub struct RunningMut<'a> {
    /// The running mean.
    pub mean: &'a mut [f32],
    /// The running variance.
    pub variance: &'a mut [f32],
    /// The number of batches seen.
    pub batches: &'a mut [u32],
}

/// The batch's own statistics, to be written by a training step: one value per channel each.
#[derive(Debug)]
pub struct SavedMut<'a> {
    /// The mean, rounded to f32: PyTorch's `save_mean`.
    pub mean: &'a mut [f32],
    /// What rounding took from the mean.
    pub remainder: &'a mut [f32],
    /// `1 / sqrt(variance + epsilon)`: PyTorch's `save_invstd`.
    pub invstd: &'a mut [f32],
}

/// The statistics that a training step saved: what is in [`SavedMut`] after it.
#[derive(Clone, Copy, Debug)]
pub struct Saved<'a> {
    /// The mean, rounded to f32.
    pub mean: &'a [f32],
    /// What rounding took from the mean; zeros for statistics from elsewhere.
    pub remainder: &'a [f32],
    /// `1 / sqrt(variance + epsilon)`.
    pub invstd: &'a [f32],
}

/// What the forward pass normalized by: one value per channel each. [`Backward::statistics`] says which of the two.
#[derive(Clone, Copy, Debug)]
pub enum NormalizedBy<'a> {
    /// The batch's own statistics, which depend on x.
    Batch(Saved<'a>),
    /// Running or fixed ones.
    Fixed(FixedStatistics<'a>),
}

/// Where the gradients go: each is given where the options do not skip it.
#[derive(Debug, Default)]
pub struct GradientsMut<'a> {
    /// The gradient of x, of its shape.
    pub input: Option<&'a mut [f32]>,
    /// The gradient of gamma, one value per channel.
    pub gamma: Option<&'a mut [f32]>,
    /// The gradient of beta, one value per channel.
    pub beta: Option<&'a mut [f32]>,
    /// The gradient of the residual, of the shape of x.
    pub residual: Option<&'a mut [f32]>,
}

pub(super) fn check_training(
    x: &[f32],
    residual: Option<&[f32]>,
    y: &[f32],
    shape: Shape,
    parameters: Parameters<'_>,
    options: &Training,
    running: Option<&RunningMut<'_>>,
    saved: Option<&SavedMut<'_>>,
) -> Result<(), HostError> {
    let channels = shape.channels();
    check_epsilon(options.epsilon)?;
    check_storage(options.element, options.mask)?;
    check_activation(options.activation)?;
    parameters.check(channels, options.gamma, options.beta)?;
    let wanted = options.running.is_some();
    check_presence("running statistics", wanted, running.is_some())?;
    check_presence("saved statistics", options.saved, saved.is_some())?;
    check_residual(residual, shape, options.residual)?;
    check_length("x", x.len(), shape.len())?;
    check_length("y", y.len(), shape.len())?;
    if let Some(running) = running {
        check_length("running mean", running.mean.len(), channels)?;
        check_length("running variance", running.variance.len(), channels)?;
        check_length("running batches", running.batches.len(), channels)?;
    }
    if let Some(saved) = saved {
        check_length("saved mean", saved.mean.len(), channels)?;
        check_length("saved remainder", saved.remainder.len(), channels)?;
        check_length("saved invstd", saved.invstd.len(), channels)?;
    }
    if let Some(rule) = &options.running {
        check_running(rule, shape.values_per_channel())?;
    }
    Ok(())
}

pub(super) fn check_inference(
    x: &[f32],
    residual: Option<&[f32]>,
    y: &[f32],
    shape: Shape,
    parameters: Parameters<'_>,
    fixed: FixedStatistics<'_>,
    options: &Inference,
) -> Result<(), HostError> {
    check_epsilon(options.epsilon)?;
    check_storage(options.element, options.mask)?;
    check_activation(options.activation)?;
    parameters.check(shape.channels(), options.gamma, options.beta)?;
    check_residual(residual, shape, options.residual)?;
    check_length("x", x.len(), shape.len())?;
    check_length("y", y.len(), shape.len())?;
    check_length("mean", fixed.mean.len(), shape.channels())?;
    check_length("variance", fixed.variance.len(), shape.channels())?;
    Ok(())
}

pub(super) fn check_gradients(
    x: &[f32],
    dy: &[f32],
    residual: Option<&[f32]>,
    shape: Shape,
    parameters: Parameters<'_>,
    normalized_by: &NormalizedBy<'_>,
    options: &Backward,
    gradients: &GradientsMut<'_>,
) -> Result<(), HostError> {
    let (len, channels) = (shape.len(), shape.channels());
    check_epsilon(options.epsilon)?;
    check_storage(options.element, false)?;
    if options.activation != Activation::None {
        match options.derivative {
            Derivative::Input => (),
            Derivative::Output => {
                return Err(HostError::DeviceOnly {
                    what: "the gradient of an activation from its output",
                });
            }
            Derivative::Mask => return Err(HostError::DeviceOnly { what: MASK }),
        }
    }
    check_backward(residual, shape, parameters, options)?;
    check_length("x", x.len(), len)?;
    check_length("dy", dy.len(), len)?;

    match (options.statistics, normalized_by) {
        (Statistics::Batch, NormalizedBy::Batch(saved)) => {
            check_length("saved mean", saved.mean.len(), channels)?;
            check_length("saved remainder", saved.remainder.len(), channels)?;
            check_length("saved invstd", saved.invstd.len(), channels)?;
        }
        (Statistics::Fixed, NormalizedBy::Fixed(fixed)) => {
            check_length("mean", fixed.mean.len(), channels)?;
            check_length("variance", fixed.variance.len(), channels)?;
        }
        (Statistics::Batch, NormalizedBy::Fixed(_)) => {
            return Err(HostError::Missing {
                what: "saved statistics",
            });
        }
        (Statistics::Fixed, NormalizedBy::Batch(_)) => {
            return Err(HostError::Missing {
                what: "mean and variance",
            });
        }
    }

    if options.grad_residual != Gradient::Skip && !options.residual {
        return Err(HostError::NoResidual);
    }
    let targets = [
        (
            "the gradient of x",
            options.grad_input,
            &gradients.input,
            len,
        ),
        (
            "the gradient of gamma",
            options.grad_gamma,
            &gradients.gamma,
            channels,
        ),
        (
            "the gradient of beta",
            options.grad_beta,
            &gradients.beta,
            channels,
        ),
        (
            "the gradient of the residual",
            options.grad_residual,
            &gradients.residual,
            len,
        ),
    ];
    if (targets.iter()).all(|(_, gradient, ..)| *gradient == Gradient::Skip) {
        return Err(HostError::NoGradient);
    }
    for (what, gradient, given, needed) in targets {
        check_presence(what, gradient != Gradient::Skip, given.is_some())?;
        if let Some(given) = given {
            check_length(what, given.len(), needed)?;
        }
    }
    Ok(())
}

const MASK: &str = "a mask of the activation";

/// Whether the options are about tensors as the host has them.
fn check_storage(element: Element, mask: bool) -> Result<(), HostError> {
    if element != Element::F32 {
        let what = match element {
            Element::F16 => "storage as f16",
            _ => "storage as bf16",
        };
        return Err(HostError::DeviceOnly { what });
    }
    if mask {
        return Err(HostError::DeviceOnly { what: MASK });
    }
    Ok(())
}

/// The mean in two parts: rounded, and what rounding took.
pub(super) fn split(mean: f64) -> (f32, f32) {
    let hi = mean as f32;
    (hi, (mean - f64::from(hi)) as f32)
}

/// `1 / sqrt(variance + epsilon)`.
pub(super) fn inverse_deviation(variance: f64, epsilon: f32) -> f64 {
    1.0 / (variance + f64::from(epsilon)).sqrt()
}

/// Moves the running statistics and writes the saved ones, from the moments of a batch that is not empty.
pub(super) fn write_state(
    moments: &[Moments],
    options: &Training,
    running: Option<&mut RunningMut<'_>>,
    saved: Option<&mut SavedMut<'_>>,
) {
    if let Some((running, rule)) = running.zip(options.running.as_ref()) {
        for (channel, moments) in moments.iter().enumerate() {
            let batches = running.batches[channel].saturating_add(1);
            let factor = update_factor(rule.update, batches);
            let variance = match rule.variance {
                RunningVariance::Biased => moments.variance(),
                RunningVariance::Unbiased => moments
                    .unbiased_variance()
                    .expect("one value per channel is refused before"),
            };
            let moved =
                |old: f32, new: f64| (f64::from(old) + factor * (new - f64::from(old))) as f32;
            running.batches[channel] = batches;
            running.mean[channel] = moved(running.mean[channel], moments.mean);
            running.variance[channel] = moved(running.variance[channel], variance);
        }
    }
    if let Some(saved) = saved {
        for (channel, moments) in moments.iter().enumerate() {
            (saved.mean[channel], saved.remainder[channel]) = split(moments.mean);
            saved.invstd[channel] = inverse_deviation(moments.variance(), options.epsilon) as f32;
        }
    }
}
