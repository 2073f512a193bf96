//! What a training step leaves behind besides its result, and the checks of all that it is given.

use super::Parameters;
use crate::error::HostError;
use crate::options::{Inference, RunningVariance, Training};
use crate::reference::{
    Moments, check_epsilon, check_length, check_presence, check_running, update_factor,
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

pub(super) fn check_training(
    x: &[f32],
    y: &[f32],
    shape: Shape,
    parameters: Parameters<'_>,
    options: &Training,
    running: Option<&RunningMut<'_>>,
    saved: Option<&SavedMut<'_>>,
) -> Result<(), HostError> {
    let channels = shape.channels();
    check_epsilon(options.epsilon)?;
    parameters.check(channels, options.gamma, options.beta)?;
    let wanted = options.running.is_some();
    check_presence("running statistics", wanted, running.is_some())?;
    check_presence("saved statistics", options.saved, saved.is_some())?;
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
    y: &[f32],
    shape: Shape,
    parameters: Parameters<'_>,
    mean: &[f32],
    variance: &[f32],
    options: &Inference,
) -> Result<(), HostError> {
    check_epsilon(options.epsilon)?;
    parameters.check(shape.channels(), options.gamma, options.beta)?;
    check_length("x", x.len(), shape.len())?;
    check_length("y", y.len(), shape.len())?;
    check_length("mean", mean.len(), shape.channels())?;
    check_length("variance", variance.len(), shape.channels())?;
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
