//! What is applied after normalizing, and its gradient.

use std::f64::consts::{FRAC_1_SQRT_2, FRAC_2_PI, PI};

use crate::activation::Activation;
use crate::error::HostError;

/// The factor of the cube in the approximation of GELU: Hendrycks and Gimpel (2016).
const GELU_CUBE: f64 = 0.044_715;

/// The activation of one value `z = norm(x) + residual`. A NaN stays NaN.
///
/// ```
/// use wgpu_batchnorm::{Activation, reference};
///
/// assert_eq!(reference::activate(Activation::Relu6, 7.0), 6.0);
/// assert_eq!(reference::activate(Activation::LeakyRelu { slope: 0.5 }, -3.0), -1.5);
/// ```
#[must_use]
pub fn activate(activation: Activation, z: f64) -> f64 {
    match activation {
        Activation::None => z,
        Activation::Relu => {
            if z <= 0.0 {
                0.0
            } else {
                z
            }
        }
        Activation::LeakyRelu { slope } => {
            if z > 0.0 {
                z
            } else {
                f64::from(slope) * z
            }
        }
        Activation::Relu6 => z.clamp(0.0, 6.0),
        Activation::Silu => z * sigmoid(z),
        Activation::Gelu => z * normal_distribution(z),
        Activation::GeluTanh => z * sigmoid(2.0 * gelu_argument(z)),
    }
}

/// The gradient of one value `z`, where the gradient of its activation is `dy`: `dy * activation'(z)`.
///
/// At the corners, as in PyTorch: ReLU lets nothing through where `z <= 0`, ReLU6 where `z <= 0` or `z >= 6` (whatever
/// `dy` is, a NaN as well), and leaky ReLU multiplies by its slope unless `z > 0`. So a `z` that is NaN lets `dy` through
/// ReLU and ReLU6, and is multiplied by the slope of leaky ReLU.
///
/// ```
/// use wgpu_batchnorm::{Activation, reference};
///
/// assert_eq!(reference::activation_gradient(Activation::Relu, 0.0, 5.0), 0.0);
/// assert_eq!(reference::activation_gradient(Activation::Silu, 0.0, 5.0), 2.5);
/// ```
#[must_use]
pub fn activation_gradient(activation: Activation, z: f64, dy: f64) -> f64 {
    match activation {
        Activation::None => dy,
        Activation::Relu => {
            if z <= 0.0 {
                0.0
            } else {
                dy
            }
        }
        Activation::LeakyRelu { slope } => {
            if z > 0.0 {
                dy
            } else {
                f64::from(slope) * dy
            }
        }
        Activation::Relu6 => {
            if z <= 0.0 || z >= 6.0 {
                0.0
            } else {
                dy
            }
        }
        Activation::Silu => {
            let s = sigmoid(z);
            dy * (s * (1.0 + z * (1.0 - s)))
        }
        Activation::Gelu => {
            let density = (-0.5 * z * z).exp() / (2.0 * PI).sqrt();
            dy * (normal_distribution(z) + z * density)
        }
        Activation::GeluTanh => {
            let s = sigmoid(2.0 * gelu_argument(z));
            let slope = FRAC_2_PI.sqrt() * (1.0 + 3.0 * GELU_CUBE * z * z);
            dy * (s + 2.0 * z * s * (1.0 - s) * slope)
        }
    }
}

/// Whether an activation is a function of every number.
pub(crate) fn check_activation(activation: Activation) -> Result<(), HostError> {
    match activation {
        Activation::LeakyRelu { slope } if !slope.is_finite() => Err(HostError::Slope { slope }),
        _ => Ok(()),
    }
}

fn sigmoid(z: f64) -> f64 {
    1.0 / (1.0 + (-z).exp())
}

/// `(1 + erf(z / sqrt 2)) / 2`, by the complement, which loses no digits where `z` is negative.
fn normal_distribution(z: f64) -> f64 {
    0.5 * libm::erfc(-z * FRAC_1_SQRT_2)
}

/// What GELU's approximation takes the tanh of.
fn gelu_argument(z: f64) -> f64 {
    FRAC_2_PI.sqrt() * (z + GELU_CUBE * z * z * z)
}
