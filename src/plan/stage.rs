//! The stages, and the tensors that each reads and writes.

use super::Needs;

/// A stage of a pass: one dispatch, or as many as windows and grids need.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Stage {
    /// Moments of every unit of x.
    Statistics,
    /// From moments of parts of each channel to those of the whole.
    Merge,
    /// Statistics and finalize in one dispatch, where a unit is whole channels.
    Coefficients,
    /// From the moments of a channel to its coefficients, saved and running statistics.
    Finalize,
    /// `y = activation((x - mean) * scale + shift + residual)`, from the coefficients of the finalize stage.
    Normalize,
    /// The same from running or fixed statistics.
    NormalizeGiven,
    /// Statistics, finalize and normalize in one dispatch.
    Fused,
    /// Where the activation lets a gradient pass, from y.
    Mask,
    /// Sums of g and g * (x - mean) over every unit.
    GradientSums,
    /// Gradient sums and finalize in one dispatch, where a unit is whole channels.
    GradientCoefficients,
    /// From the sums of a channel to its coefficients and the gradients of gamma and beta.
    GradientFinalize,
    /// From given gradients of gamma and beta to the coefficients of a channel.
    GivenGradients,
    /// The gradients of x and of the residual, from the coefficients of the finalize stage.
    GradientInput,
    /// Gradient sums, finalize and input gradient in one dispatch.
    GradientFused,
}

impl Stage {
    /// The stage's name, which labels and debug groups carry.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Statistics => "forward/statistics",
            Self::Merge => "forward/merge",
            Self::Coefficients => "forward/coefficients",
            Self::Finalize => "forward/finalize",
            Self::Normalize | Self::NormalizeGiven => "forward/normalize",
            Self::Fused => "forward/fused",
            Self::Mask => "forward/mask",
            Self::GradientSums => "backward/sums",
            Self::GradientCoefficients => "backward/coefficients",
            Self::GradientFinalize | Self::GivenGradients => "backward/finalize",
            Self::GradientInput => "backward/input",
            Self::GradientFused => "backward/fused",
        }
    }

    /// Whether the stage writes tensors of the shape without looking at more than one value of each.
    pub(crate) const fn is_elementwise(self) -> bool {
        matches!(
            self,
            Self::Normalize | Self::NormalizeGiven | Self::Mask | Self::GradientInput
        )
    }

    /// Whether the stage's units are channels and its rows their partials.
    pub(crate) const fn is_finalize(self) -> bool {
        matches!(
            self,
            Self::Merge | Self::Finalize | Self::GradientFinalize | Self::GivenGradients
        )
    }

    /// The tensors of the stage, and whether it writes them.
    pub(crate) fn roles(self, needs: &Needs) -> Vec<(Role, Access)> {
        let all = self.all_roles().iter().copied();
        all.filter(|&(role, _)| needs.uses(self, role)).collect()
    }

    const fn all_roles(self) -> &'static [(Role, Access)] {
        use Access::{Read, Write};
        match self {
            Self::Statistics => &[(Role::X, Read), (Role::Partials, Write)],
            Self::Merge => &[
                (Role::Partials, Read),
                (Role::Shards, Read),
                (Role::Moments, Write),
            ],
            Self::Coefficients => &[
                (Role::X, Read),
                (Role::Gamma, Read),
                (Role::Beta, Read),
                (Role::Running, Write),
                (Role::Saved, Write),
                (Role::Coefficients, Write),
            ],
            Self::Finalize => &[
                (Role::Partials, Read),
                (Role::Shards, Read),
                (Role::Gamma, Read),
                (Role::Beta, Read),
                (Role::Running, Write),
                (Role::Saved, Write),
                (Role::Coefficients, Write),
            ],
            Self::Normalize => &[
                (Role::X, Read),
                (Role::Residual, Read),
                (Role::Y, Write),
                (Role::Coefficients, Read),
            ],
            Self::NormalizeGiven => &[
                (Role::X, Read),
                (Role::Residual, Read),
                (Role::Y, Write),
                (Role::Gamma, Read),
                (Role::Beta, Read),
                (Role::Mean, Read),
                (Role::Variance, Read),
            ],
            Self::Fused => &[
                (Role::X, Read),
                (Role::Residual, Read),
                (Role::Y, Write),
                (Role::Gamma, Read),
                (Role::Beta, Read),
                (Role::Running, Write),
                (Role::Saved, Write),
            ],
            Self::Mask => &[(Role::Y, Read), (Role::Mask, Write)],
            Self::GradientSums => &[
                (Role::X, Read),
                (Role::GradOutput, Read),
                (Role::Residual, Read),
                (Role::Y, Read),
                (Role::Mask, Read),
                (Role::Gamma, Read),
                (Role::Beta, Read),
                (Role::Saved, Read),
                (Role::Mean, Read),
                (Role::Variance, Read),
                (Role::Partials, Write),
            ],
            Self::GradientCoefficients => &[
                (Role::X, Read),
                (Role::GradOutput, Read),
                (Role::Residual, Read),
                (Role::Y, Read),
                (Role::Mask, Read),
                (Role::Gamma, Read),
                (Role::Beta, Read),
                (Role::Saved, Read),
                (Role::Mean, Read),
                (Role::Variance, Read),
                (Role::GradGamma, Write),
                (Role::GradBeta, Write),
                (Role::Coefficients, Write),
            ],
            Self::GradientFinalize => &[
                (Role::Partials, Read),
                (Role::Gamma, Read),
                (Role::Beta, Read),
                (Role::Saved, Read),
                (Role::Mean, Read),
                (Role::Variance, Read),
                (Role::GradGamma, Write),
                (Role::GradBeta, Write),
                (Role::Coefficients, Write),
            ],
            Self::GivenGradients => &[
                (Role::Gamma, Read),
                (Role::Beta, Read),
                (Role::Saved, Read),
                (Role::Mean, Read),
                (Role::Variance, Read),
                (Role::GradGamma, Read),
                (Role::GradBeta, Read),
                (Role::Coefficients, Write),
            ],
            Self::GradientInput => &[
                (Role::X, Read),
                (Role::GradOutput, Read),
                (Role::Residual, Read),
                (Role::Y, Read),
                (Role::Mask, Read),
                (Role::GradInput, Write),
                (Role::GradResidual, Write),
                (Role::Coefficients, Read),
            ],
            Self::GradientFused => &[
                (Role::X, Read),
                (Role::GradOutput, Read),
                (Role::Residual, Read),
                (Role::Y, Read),
                (Role::Mask, Read),
                (Role::GradInput, Write),
                (Role::GradResidual, Write),
                (Role::Gamma, Read),
                (Role::Beta, Read),
                (Role::Saved, Read),
                (Role::Mean, Read),
                (Role::Variance, Read),
                (Role::GradGamma, Write),
                (Role::GradBeta, Write),
            ],
        }
    }
}

/// What a stage does to a tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Access {
    Read,
    /// Writes, and may read.
    Write,
}

macro_rules! roles {
    ($($(#[$doc:meta])* $role:ident $name:literal,)*) => {
        /// What a tensor is to a stage.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub(crate) enum Role {
            $($(#[$doc])* $role,)*
        }

        impl Role {
            /// Every role.
            pub const ALL: &[Self] = &[$(Self::$role,)*];

            /// The name in WGSL and in errors.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$role => $name,)*
                }
            }
        }
    };
}

roles! {
    X "x",
    Y "y",
    Residual "residual",
    GradOutput "grad_output",
    GradInput "grad_input",
    GradResidual "grad_residual",
    Mask "mask",
    Gamma "gamma",
    Beta "beta",
    Running "running",
    Mean "mean",
    Variance "variance",
    Saved "saved",
    GradGamma "grad_gamma",
    GradBeta "grad_beta",
    /// Moments that the caller gives, of one or more shards.
    Shards "shards",
    /// Moments that a plan leaves to the caller.
    Moments "moments",
    Partials "partials",
    Coefficients "coefficients",
}

impl Role {
    /// Whether the tensor has the shape of x.
    pub const fn has_shape_of_x(self) -> bool {
        matches!(
            self,
            Self::X
                | Self::Y
                | Self::Residual
                | Self::GradOutput
                | Self::GradInput
                | Self::GradResidual
        )
    }
}
