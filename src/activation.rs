//! What a layer applies after normalizing.

/// The function applied to `z = norm(x) + residual`, element by element.
///
/// | activation | value | gradient | found from |
/// |---|---|---|---|
/// | `None` | z | 1 | nothing |
/// | `Relu` | max(z, 0) | 1 where z > 0, else 0 | mask, output or input |
/// | `LeakyRelu` | z where z > 0, else slope z | 1 where z > 0, else slope | input; mask or output where slope > 0 |
/// | `Relu6` | min(max(z, 0), 6) | 1 where 0 < z < 6, else 0 | mask, output or input |
/// | `Silu` | z s(z), with s(z) = 1 / (1 + exp(-z)) | s (1 + z (1 - s)) | input |
/// | `Gelu` | z P(z), with P(z) = (1 + erf(z / sqrt 2)) / 2 | P + z exp(-z^2 / 2) / sqrt(2 pi) | input |
/// | `GeluTanh` | z s(2 u), with u = sqrt(2 / pi) (z + 0.044715 z^3) | s + 2 z s (1 - s) u' | input |
///
/// Sources: Elfwing, Uchibe and Doya 2018 for SiLU, Hendrycks and Gimpel 2016 for both forms of GELU. A NaN stays NaN.
///
/// ```
/// use wgpu_batchnorm::{Activation, Backward, Derivative, Limits, Plan, PlanError, Shape, Training, reference};
///
/// assert_eq!(reference::activate(Activation::Relu6, 7.0), 6.0);
///
/// // Where SiLU has the value -0.2, z may be either of two numbers: the output does not tell its gradient.
/// assert!(!Activation::Silu.gradient_from(Derivative::Output));
/// let forward = Training::default().activation(Activation::Silu);
/// let backward = Backward::from(&forward).derivative(Derivative::Output);
/// let plan = Plan::backward(&Limits::default(), Shape::channels_last(&[8, 4])?, &backward);
/// assert!(matches!(plan, Err(PlanError::Derivative { .. })));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub enum Activation {
    /// The identity.
    #[default]
    None,
    /// Rectified linear unit.
    Relu,
    /// Leaky rectified linear unit.
    LeakyRelu {
        /// The factor of what is not positive; any finite number. PyTorch's default is 0.01.
        slope: f32,
    },
    /// Rectified linear unit, cut off at 6.
    Relu6,
    /// Sigmoid linear unit, also called swish.
    Silu,
    /// Gaussian error linear unit, with the error function.
    Gelu,
    /// Gaussian error linear unit, approximated with tanh.
    GeluTanh,
}

impl Activation {
    /// Every activation; leaky ReLU with this slope.
    pub const fn all(slope: f32) -> [Self; 7] {
        [
            Self::None,
            Self::Relu,
            Self::LeakyRelu { slope },
            Self::Relu6,
            Self::Silu,
            Self::Gelu,
            Self::GeluTanh,
        ]
    }

    /// The name in texts and case files: `none`, `relu`, `leaky_relu`, `relu6`, `silu`, `gelu`, `gelu_tanh`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Relu => "relu",
            Self::LeakyRelu { .. } => "leaky_relu",
            Self::Relu6 => "relu6",
            Self::Silu => "silu",
            Self::Gelu => "gelu",
            Self::GeluTanh => "gelu_tanh",
        }
    }

    /// Whether the gradient can be told from `from`.
    pub const fn gradient_from(self, from: Derivative) -> bool {
        match (self, from) {
            (Self::None | Self::Relu | Self::Relu6, _) | (_, Derivative::Input) => true,
            // a mask is made from the output
            (Self::LeakyRelu { slope }, Derivative::Output | Derivative::Mask) => slope > 0.0,
            (Self::Silu | Self::Gelu | Self::GeluTanh, _) => false,
        }
    }

    /// The slope of what is not positive; 0 where there is none.
    pub(crate) const fn slope(self) -> f32 {
        match self {
            Self::LeakyRelu { slope } => slope,
            _ => 0.0,
        }
    }
}

/// What the backward pass finds the gradient of the activation from. Without an activation it makes no difference, and no
/// tensor is read for it. What each choice keeps and reads, and which is best when, is in the
/// [crate's documentation](crate#residual-and-activation).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Derivative {
    /// From the input `x`, which the pass reads anyway, beta, and the residual where there is one: nothing else is kept
    /// from the forward pass. For every activation.
    #[default]
    Input,
    /// From the output `y` of the forward pass: one more tensor read. For ReLU, ReLU6, and leaky ReLU with a positive slope.
    Output,
    /// From the mask that the forward pass wrote ([`Training::mask`](crate::Training::mask)): one bit per value. For ReLU,
    /// ReLU6, and leaky ReLU with a positive slope.
    Mask,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mask_tells_what_the_output_tells() {
        let leaky = |slope| Activation::LeakyRelu { slope };
        for (activation, told) in [
            (Activation::None, true),
            (Activation::Relu, true),
            (leaky(0.1), true),
            (leaky(0.0), false),
            (leaky(-0.5), false),
            (Activation::Relu6, true),
            (Activation::Silu, false),
            (Activation::Gelu, false),
            (Activation::GeluTanh, false),
        ] {
            assert!(activation.gradient_from(Derivative::Input));
            assert_eq!(activation.gradient_from(Derivative::Output), told);
            assert_eq!(activation.gradient_from(Derivative::Mask), told);
        }
    }
}
