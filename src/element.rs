//! How the values of a tensor are stored.

/// How a tensor stores its values. Arithmetic is f32 whatever the storage; gamma, beta, statistics and their gradients are
/// always stored as f32.
///
/// The half types are packed two to a `u32` word, the earlier value in the lower half, so that they work on every device:
/// no feature is needed. Storing rounds to nearest, ties to even.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Element {
    /// IEEE 754 binary32.
    #[default]
    F32,
    /// IEEE 754 binary16.
    F16,
    /// The upper half of binary32.
    Bf16,
}

impl Element {
    /// Every element.
    pub const ALL: [Self; 3] = [Self::F32, Self::F16, Self::Bf16];

    /// Bytes of one value.
    pub const fn bytes(self) -> u64 {
        match self {
            Self::F32 => 4,
            Self::F16 | Self::Bf16 => 2,
        }
    }

    /// The name in texts: `f32`, `f16`, `bf16`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::Bf16 => "bf16",
        }
    }

    /// Values in one word.
    pub(crate) const fn per_word(self) -> u64 {
        4 / self.bytes()
    }
}
