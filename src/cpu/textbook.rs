//! The formulas as a textbook has them: nested loops over channels, one f32 mean, one thread.

use super::activation::{activation_gradient, add_residual, finish};
use super::state::{check_gradients, check_inference, check_training, write_state};
use super::{FixedStatistics, GradientsMut, NormalizedBy, Parameters, RunningMut, SavedMut};
use crate::activation::Activation;
use crate::error::HostError;
use crate::options::{Backward, Gradient, Inference, Statistics, Training};
use crate::reference::Moments;
use crate::shape::Shape;

/// [`training`](super::training) as a textbook has it: two passes for mean and variance, a third to normalize,
/// and one more for residual and activation, where there are any.
///
/// All is f32 and in the order of the tensor, so large tensors and large means lose digits: for comparison only.
///
/// # Errors
/// As [`training`](super::training).
pub fn textbook_training(
    x: &[f32],
    residual: Option<&[f32]>,
    y: &mut [f32],
    shape: Shape,
    parameters: Parameters<'_>,
    options: &Training,
    mut running: Option<RunningMut<'_>>,
    mut saved: Option<SavedMut<'_>>,
) -> Result<(), HostError> {
    check_training(
        x,
        residual,
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
    finish(y, residual, options.activation);
    write_state(&moments, options, running.as_mut(), saved.as_mut());
    Ok(())
}

/// [`inference`](super::inference) as a textbook has it.
///
/// # Errors
/// As [`inference`](super::inference).
pub fn textbook_inference(
    x: &[f32],
    residual: Option<&[f32]>,
    y: &mut [f32],
    shape: Shape,
    parameters: Parameters<'_>,
    mean: &[f32],
    variance: &[f32],
    options: &Inference,
) -> Result<(), HostError> {
    let fixed = FixedStatistics { mean, variance };
    check_inference(x, residual, y, shape, parameters, fixed, options)?;
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
    finish(y, residual, options.activation);
    Ok(())
}

/// [`backward`](super::backward) as a textbook has it: the sums of each channel, then the gradient of x, in the order of
/// the formulas and all in f32.
///
/// # Errors
/// As [`backward`](super::backward).
pub fn textbook_backward(
    x: &[f32],
    dy: &[f32],
    residual: Option<&[f32]>,
    shape: Shape,
    parameters: Parameters<'_>,
    normalized_by: NormalizedBy<'_>,
    options: &Backward,
    mut gradients: GradientsMut<'_>,
) -> Result<(), HostError> {
    check_gradients(
        x,
        dy,
        residual,
        shape,
        parameters,
        &normalized_by,
        options,
        &gradients,
    )?;
    let (outer, inner) = (shape.outer() as usize, shape.inner() as usize);
    let channels = shape.channels() as usize;
    let n = shape.values_per_channel() as f32;
    let statistics = |c: usize| match normalized_by {
        NormalizedBy::Batch(saved) => (saved.mean[c], saved.invstd[c]),
        NormalizedBy::Fixed(fixed) => {
            let invstd = 1.0 / (fixed.variance[c] + options.epsilon).sqrt();
            (fixed.mean[c], invstd)
        }
    };

    let mut through_activation = vec![];
    let g = if options.activation == Activation::None {
        dy
    } else {
        through_activation.resize(x.len(), 0.0);
        for c in 0..channels {
            let (mean, invstd) = statistics(c);
            let (gamma, beta) = (parameters.gamma(c) as f32, parameters.beta(c) as f32);
            for o in 0..outer {
                for i in 0..inner {
                    let index = (o * channels + c) * inner + i;
                    through_activation[index] = (x[index] - mean) * invstd * gamma + beta;
                }
            }
        }
        add_residual(&mut through_activation, residual);
        activation_gradient(&mut through_activation, dy, options.activation);
        &through_activation[..]
    };

    for c in 0..channels {
        let (mean, invstd) = statistics(c);
        let gamma = parameters.gamma(c) as f32;
        let (mut dbeta, mut dgamma) = (0.0, 0.0);
        for o in 0..outer {
            for i in 0..inner {
                let index = (o * channels + c) * inner + i;
                dbeta += g[index];
                dgamma += g[index] * (x[index] - mean) * invstd;
            }
        }
        for o in 0..outer {
            for i in 0..inner {
                let index = (o * channels + c) * inner + i;
                let xhat = (x[index] - mean) * invstd;
                let dx = match options.statistics {
                    Statistics::Batch => g[index] - dbeta / n - xhat * dgamma / n,
                    Statistics::Fixed => g[index],
                };
                store(
                    &mut gradients.input,
                    options.grad_input,
                    index,
                    gamma * invstd * dx,
                );
                store(
                    &mut gradients.residual,
                    options.grad_residual,
                    index,
                    g[index],
                );
            }
        }
        store(&mut gradients.gamma, options.grad_gamma, c, dgamma);
        store(&mut gradients.beta, options.grad_beta, c, dbeta);
    }
    Ok(())
}

/// Writes or adds one value of a gradient.
fn store(to: &mut Option<&mut [f32]>, gradient: Gradient, index: usize, value: f32) {
    if let Some(to) = to {
        match gradient {
            Gradient::Skip => (),
            Gradient::Write => to[index] = value,
            Gradient::Add => to[index] += value,
        }
    }
}
