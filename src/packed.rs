//! Per-channel vectors that travel together in one buffer.

use crate::error::VectorLengthError;

/// The number of values that each vector is padded to a multiple of: 256 bytes, so that an optimizer can bind any
/// one of them alone on every device.
const PAD: u64 = 64;

/// Layout of the packed per-channel vectors of a layer: each vector has `channels` values of 4 bytes and starts at a
/// multiple of [`Packed::stride`].
///
/// | tensor | vectors |
/// |---|---|
/// | parameters | gamma, beta |
/// | running | mean, variance (f32), number of batches (u32) |
/// | saved | mean, mean's remainder, inverse standard deviation |
///
/// ```
/// use wgpu_batchnorm::Packed;
///
/// let packed = Packed::new(100);
/// assert_eq!(packed.stride(), 128);
/// assert_eq!(packed.parameters(), 256); // gamma at 0..100, beta at 128..228
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packed {
    channels: u64,
}

impl Packed {
    /// The layout for this many channels.
    pub const fn new(channels: u64) -> Self {
        Self { channels }
    }

    /// The number of channels.
    pub const fn channels(self) -> u64 {
        self.channels
    }

    /// The distance between the starts of two vectors, in values: `channels` rounded up to a multiple of 64.
    pub const fn stride(self) -> u64 {
        self.channels.div_ceil(PAD).saturating_mul(PAD)
    }

    /// Values in the parameters: gamma, beta.
    pub const fn parameters(self) -> u64 {
        self.stride().saturating_mul(2)
    }

    /// Values in the running statistics: mean, variance, number of batches.
    pub const fn running(self) -> u64 {
        self.stride().saturating_mul(3)
    }

    /// Values in the saved statistics: mean, its remainder, inverse standard deviation.
    pub const fn saved(self) -> u64 {
        self.stride().saturating_mul(3)
    }

    /// Packs vectors of `channels` values into one, the padding zero: `vectors.len()` times [`Packed::stride`] values.
    ///
    /// ```
    /// use wgpu_batchnorm::Packed;
    ///
    /// let packed = Packed::new(2);
    /// let parameters = packed.pack(&[&[1.0, 2.0], &[0.5, 0.25]])?; // gamma, beta
    /// assert_eq!(parameters.len() as u64, packed.parameters());
    /// assert_eq!(packed.vector(&parameters, 1), Some(&[0.5, 0.25][..]));
    /// # Ok::<(), wgpu_batchnorm::VectorLengthError>(())
    /// ```
    ///
    /// # Errors
    /// Where a vector does not have `channels` values.
    pub fn pack(self, vectors: &[&[f32]]) -> Result<Vec<f32>, VectorLengthError> {
        let mut packed = Vec::with_capacity(self.stride() as usize * vectors.len());
        for (index, vector) in vectors.iter().enumerate() {
            if vector.len() as u64 != self.channels {
                return Err(VectorLengthError {
                    index,
                    given: vector.len(),
                    needed: self.channels,
                });
            }
            packed.extend_from_slice(vector);
            packed.resize(self.stride() as usize * (index + 1), 0.0);
        }
        Ok(packed)
    }

    /// Vector number `index` of packed values; `None` where `packed` is too short to have it.
    pub fn vector<T>(self, packed: &[T], index: usize) -> Option<&[T]> {
        let start = index.checked_mul(self.stride() as usize)?;
        packed.get(start..)?.get(..self.channels as usize)
    }
}
