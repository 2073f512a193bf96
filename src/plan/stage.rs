//! The stages, and the tensors that each reads and writes.

/// A stage of the pass: one dispatch, or as many as windows and grids need.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Stage {
    /// Moments of every unit of x.
    Statistics,
    /// From the moments of a channel to its coefficients, saved and running statistics.
    Finalize,
    /// `y = (x - mean) * scale + shift`, from the coefficients of the finalize stage.
    Normalize,
    /// The same from running or fixed statistics.
    NormalizeGiven,
    /// Statistics, finalize and normalize in one dispatch.
    Fused,
}

impl Stage {
    /// The stage's name, which labels and debug groups carry.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Statistics => "forward/statistics",
            Self::Finalize => "forward/finalize",
            Self::Normalize | Self::NormalizeGiven => "forward/normalize",
            Self::Fused => "forward/fused",
        }
    }

    /// The tensors of the stage, and whether it writes them.
    pub(crate) const fn roles(self) -> &'static [(Role, Access)] {
        use Access::{Read, Write};
        match self {
            Self::Statistics => &[(Role::X, Read), (Role::Partials, Write)],
            Self::Finalize => &[
                (Role::Partials, Read),
                (Role::Gamma, Read),
                (Role::Beta, Read),
                (Role::Running, Write),
                (Role::Saved, Write),
                (Role::Coefficients, Write),
            ],
            Self::Normalize => &[
                (Role::X, Read),
                (Role::Y, Write),
                (Role::Coefficients, Read),
            ],
            Self::NormalizeGiven => &[
                (Role::X, Read),
                (Role::Y, Write),
                (Role::Gamma, Read),
                (Role::Beta, Read),
                (Role::Mean, Read),
                (Role::Variance, Read),
            ],
            Self::Fused => &[
                (Role::X, Read),
                (Role::Y, Write),
                (Role::Gamma, Read),
                (Role::Beta, Read),
                (Role::Running, Write),
                (Role::Saved, Write),
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

/// What a tensor is to a stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Role {
    X,
    Y,
    Gamma,
    Beta,
    Running,
    Mean,
    Variance,
    Saved,
    Partials,
    Coefficients,
}

impl Role {
    /// Every role of a tensor that the caller gives.
    pub const GIVEN: [Self; 8] = [
        Self::X,
        Self::Y,
        Self::Gamma,
        Self::Beta,
        Self::Running,
        Self::Mean,
        Self::Variance,
        Self::Saved,
    ];

    /// The name in WGSL and in errors.
    pub const fn name(self) -> &'static str {
        match self {
            Self::X => "x",
            Self::Y => "y",
            Self::Gamma => "gamma",
            Self::Beta => "beta",
            Self::Running => "running",
            Self::Mean => "mean",
            Self::Variance => "variance",
            Self::Saved => "saved",
            Self::Partials => "partials",
            Self::Coefficients => "coefficients",
        }
    }
}
