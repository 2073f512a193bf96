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
    /// Statistics, finalize and normalize in one dispatch, which goes over x twice.
    Fused,
    /// The same with x held in registers: it is read once.
    Resident,
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
    /// Gradient sums, finalize and input gradient in one dispatch, which goes over x and dy twice.
    GradientFused,
    /// The same with x and g held in registers: x, dy and what g is found from are read once.
    GradientResident,
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
            Self::Resident => "forward/resident",
            Self::Mask => "forward/mask",
            Self::GradientSums => "backward/sums",
            Self::GradientCoefficients => "backward/coefficients",
            Self::GradientFinalize | Self::GivenGradients => "backward/finalize",
            Self::GradientInput => "backward/input",
            Self::GradientFused => "backward/fused",
            Self::GradientResident => "backward/resident",
        }
    }

    /// Whether the stage writes tensors of the shape without looking at more than one value of each.
    pub(crate) const fn is_elementwise(self) -> bool {
        matches!(
            self,
            Self::Normalize | Self::NormalizeGiven | Self::Mask | Self::GradientInput
        )
    }

    /// Whether the stage is a whole backward pass.
    pub(crate) const fn is_all_of_backward(self) -> bool {
        matches!(self, Self::GradientFused | Self::GradientResident)
    }

    /// Whether the stage goes over x and dy for the gradients of gamma and beta, access by access.
    pub(crate) const fn sums_gradients(self) -> bool {
        matches!(
            self,
            Self::GradientSums | Self::GradientCoefficients | Self::GradientFused
        )
    }

    /// Whether its lanes hold what they read in registers until they write.
    pub(crate) const fn is_resident(self) -> bool {
        matches!(self, Self::Resident | Self::GradientResident)
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
        let all = self.all_roles().iter().copied().flatten().copied();
        all.filter(|&(role, _)| needs.uses(self, role)).collect()
    }

    const fn all_roles(self) -> &'static [&'static [(Role, Access)]] {
        use Access::{Read, Write};
        const NORMALIZED: &[(Role, Access)] =
            &[(Role::X, Read), (Role::Residual, Read), (Role::Y, Write)];
        const AFFINE: &[(Role, Access)] = &[(Role::Gamma, Read), (Role::Beta, Read)];
        const STATE: &[(Role, Access)] = &[(Role::Running, Write), (Role::Saved, Write)];
        const NORMALIZED_BY: &[(Role, Access)] = &[
            (Role::Gamma, Read),
            (Role::Beta, Read),
            (Role::Saved, Read),
            (Role::Mean, Read),
            (Role::Variance, Read),
        ];
        const DIFFERENTIATED: &[(Role, Access)] = &[
            (Role::X, Read),
            (Role::GradOutput, Read),
            (Role::Residual, Read),
            (Role::Y, Read),
            (Role::Mask, Read),
        ];
        const INPUT_GRADIENTS: &[(Role, Access)] =
            &[(Role::GradInput, Write), (Role::GradResidual, Write)];
        const PARAMETER_GRADIENTS: &[(Role, Access)] =
            &[(Role::GradGamma, Write), (Role::GradBeta, Write)];
        const GIVEN_GRADIENTS: &[(Role, Access)] =
            &[(Role::GradGamma, Read), (Role::GradBeta, Read)];
        const PARTS: &[(Role, Access)] = &[(Role::Partials, Read), (Role::Shards, Read)];
        const TO_PARTIALS: &[(Role, Access)] = &[(Role::Partials, Write)];
        const TO_COEFFICIENTS: &[(Role, Access)] = &[(Role::Coefficients, Write)];
        const FROM_COEFFICIENTS: &[(Role, Access)] = &[(Role::Coefficients, Read)];
        match self {
            Self::Statistics => &[&[(Role::X, Read)], TO_PARTIALS],
            Self::Merge => &[PARTS, &[(Role::Moments, Write)]],
            Self::Coefficients => &[&[(Role::X, Read)], AFFINE, STATE, TO_COEFFICIENTS],
            Self::Finalize => &[PARTS, AFFINE, STATE, TO_COEFFICIENTS],
            Self::Normalize => &[NORMALIZED, FROM_COEFFICIENTS],
            Self::NormalizeGiven => &[
                NORMALIZED,
                AFFINE,
                &[(Role::Mean, Read), (Role::Variance, Read)],
            ],
            Self::Fused | Self::Resident => &[NORMALIZED, AFFINE, STATE],
            Self::Mask => &[&[(Role::Y, Read), (Role::Mask, Write)]],
            Self::GradientSums => &[DIFFERENTIATED, NORMALIZED_BY, TO_PARTIALS],
            Self::GradientCoefficients => &[
                DIFFERENTIATED,
                NORMALIZED_BY,
                PARAMETER_GRADIENTS,
                TO_COEFFICIENTS,
            ],
            Self::GradientFinalize => &[
                &[(Role::Partials, Read)],
                NORMALIZED_BY,
                PARAMETER_GRADIENTS,
                TO_COEFFICIENTS,
            ],
            Self::GivenGradients => &[NORMALIZED_BY, GIVEN_GRADIENTS, TO_COEFFICIENTS],
            Self::GradientInput => &[DIFFERENTIATED, INPUT_GRADIENTS, FROM_COEFFICIENTS],
            Self::GradientFused | Self::GradientResident => &[
                DIFFERENTIATED,
                INPUT_GRADIENTS,
                NORMALIZED_BY,
                PARAMETER_GRADIENTS,
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
