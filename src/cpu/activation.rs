//! What follows normalization, and its gradient, on runs of values that are in the cache.

use std::f32::consts::{FRAC_1_SQRT_2, FRAC_2_SQRT_PI};

use crate::activation::Activation;

/// `sqrt(2 / pi)`.
const ROOT: f32 = FRAC_1_SQRT_2 * FRAC_2_SQRT_PI;

/// The factor of the cube in the approximation of GELU.
const GELU_CUBE: f32 = 0.044_715;

/// Beyond this, GELU's slope is 0 or 1 to the last bit, and its approximation's terms would overflow.
const GELU_END: f32 = 16.0;

/// What follows normalization.
#[inline(always)]
pub(super) fn finish(z: &mut [f32], residual: Option<&[f32]>, activation: Activation) {
    add_residual(z, residual);
    if activation != Activation::None {
        activate(z, activation);
    }
}

/// Adds the residual, where there is one.
#[inline(always)]
pub(super) fn add_residual(z: &mut [f32], residual: Option<&[f32]>) {
    if let Some(residual) = residual {
        for (z, &residual) in z.iter_mut().zip(residual) {
            *z += residual;
        }
    }
}

/// Values become those of the activation.
fn activate(z: &mut [f32], activation: Activation) {
    fn each(z: &mut [f32], value: impl Fn(f32) -> f32) {
        for z in z {
            *z = value(*z);
        }
    }
    match activation {
        Activation::None => (),
        // A NaN is neither.
        Activation::Relu => each(z, |z| if z <= 0.0 { 0.0 } else { z }),
        Activation::LeakyRelu { slope } => each(z, |z| if z > 0.0 { z } else { slope * z }),
        Activation::Relu6 => each(z, |z| z.clamp(0.0, 6.0)),
        Activation::Silu => each(z, |z| z * sigmoid(z)),
        Activation::Gelu => each(z, |z| z * normal_distribution(z)),
        Activation::GeluTanh => each(z, |z| z * sigmoid(2.0 * gelu_argument(z))),
    }
}

/// Values `z` become `dy * activation'(z)`.
pub(super) fn activation_gradient(z: &mut [f32], dy: &[f32], activation: Activation) {
    fn each(z: &mut [f32], dy: &[f32], gradient: impl Fn(f32, f32) -> f32) {
        for (z, &dy) in z.iter_mut().zip(dy) {
            *z = gradient(*z, dy);
        }
    }
    match activation {
        Activation::None => z.copy_from_slice(dy),
        Activation::Relu => each(z, dy, |z, dy| if z <= 0.0 { 0.0 } else { dy }),
        Activation::LeakyRelu { slope } => {
            each(z, dy, |z, dy| if z > 0.0 { dy } else { slope * dy });
        }
        Activation::Relu6 => {
            each(z, dy, |z, dy| if z <= 0.0 || z >= 6.0 { 0.0 } else { dy });
        }
        Activation::Silu => each(z, dy, |z, dy| {
            let s = sigmoid(z);
            dy * (s * (1.0 + z * (1.0 - s)))
        }),
        Activation::Gelu => each(z, dy, |z, dy| {
            let z = z.clamp(-GELU_END, GELU_END);
            let density = (-0.5 * z * z).exp() * (0.5 * ROOT);
            dy * (normal_distribution(z) + z * density)
        }),
        Activation::GeluTanh => each(z, dy, |z, dy| {
            let z = z.clamp(-GELU_END, GELU_END);
            let s = sigmoid(2.0 * gelu_argument(z));
            let slope = ROOT * (1.0 + 3.0 * GELU_CUBE * z * z);
            dy * (s + 2.0 * z * s * (1.0 - s) * slope)
        }),
    }
}

fn sigmoid(z: f32) -> f32 {
    1.0 / (1.0 + (-z).exp())
}

/// `(1 + erf(z / sqrt 2)) / 2`, by the complement, which loses no digits where `z` is negative.
fn normal_distribution(z: f32) -> f32 {
    0.5 * libm::erfcf(-z * FRAC_1_SQRT_2)
}

/// What GELU's approximation takes the tanh of.
fn gelu_argument(z: f32) -> f32 {
    ROOT * (z + GELU_CUBE * z * z * z)
}
