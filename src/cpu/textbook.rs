//! The formulas as a textbook has them: nested loops over channels, one f32 mean, one thread.

use super::state::{check_inference, check_training, write_state};
use super::{Parameters, RunningMut, SavedMut};
use crate::error::HostError;
use crate::options::{Inference, Training};
use crate::reference::Moments;
use crate::shape::Shape;

/// [`training`](super::training) as a textbook has it: two passes for mean and variance, a third to normalize.
///
/// All is f32 and in the order of the tensor, so large tensors and large means lose digits: for comparison only.
///
/// # Errors
/// As [`training`](super::training).
pub fn textbook_training(
    x: &[f32],
    y: &mut [f32],
    shape: Shape,
    parameters: Parameters<'_>,
    options: &Training,
    mut running: Option<RunningMut<'_>>,
    mut saved: Option<SavedMut<'_>>,
) -> Result<(), HostError> {
    check_training(
        x,
        y,
        shape,
        parameters,
        options,
        running.as_ref(),
        saved.as_ref(),
    )?;
    if shape.is_empty() {
        return Ok(());
    }
    let (outer, inner) = (shape.outer() as usize, shape.inner() as usize);
    let channels = shape.channels() as usize;
    let count = shape.values_per_channel();
    let n = count as f32;
    let mut moments = Vec::with_capacity(channels);
    for c in 0..channels {
        let mut sum = 0.0;
        for o in 0..outer {
            for i in 0..inner {
                sum += x[(o * channels + c) * inner + i];
            }
        }
        let mean = sum / n;

        let mut m2 = 0.0;
        for o in 0..outer {
            for i in 0..inner {
                let deviation = x[(o * channels + c) * inner + i] - mean;
                m2 += deviation * deviation;
            }
        }
        let invstd = 1.0 / (m2 / n + options.epsilon).sqrt();

        let (gamma, beta) = (parameters.gamma(c) as f32, parameters.beta(c) as f32);
        for o in 0..outer {
            for i in 0..inner {
                let index = (o * channels + c) * inner + i;
                y[index] = (x[index] - mean) * invstd * gamma + beta;
            }
        }
        let (mean, m2) = (f64::from(mean), f64::from(m2));
        moments.push(Moments { count, mean, m2 });
    }
    write_state(&moments, options, running.as_mut(), saved.as_mut());
    Ok(())
}

/// [`inference`](super::inference) as a textbook has it.
///
/// # Errors
/// As [`inference`](super::inference).
pub fn textbook_inference(
    x: &[f32],
    y: &mut [f32],
    shape: Shape,
    parameters: Parameters<'_>,
    mean: &[f32],
    variance: &[f32],
    options: &Inference,
) -> Result<(), HostError> {
    check_inference(x, y, shape, parameters, mean, variance, options)?;
    if shape.is_empty() {
        return Ok(());
    }
    let (outer, inner) = (shape.outer() as usize, shape.inner() as usize);
    let channels = shape.channels() as usize;
    for c in 0..channels {
        let invstd = 1.0 / (variance[c] + options.epsilon).sqrt();
        let (gamma, beta) = (parameters.gamma(c) as f32, parameters.beta(c) as f32);
        for o in 0..outer {
            for i in 0..inner {
                let index = (o * channels + c) * inner + i;
                y[index] = (x[index] - mean[c]) * invstd * gamma + beta;
            }
        }
    }
    Ok(())
}
