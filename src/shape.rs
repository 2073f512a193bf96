//! One geometry for every layout: `(outer, channels, inner)`, row-major.

use serde::{Deserialize, Serialize};

use crate::error::ShapeError;

/// The shape of a tensor as batch normalization sees it: `outer` slices of `channels` rows of `inner` values.
///
/// Channels-first `[N, C, spatial...]` has `inner` = the product of the spatial axes; channels-last
/// `[N, spatial..., C]` and 2-D `[N, C]` have `inner` = 1; any channel axis of any tensor reduces to the same
/// triple. The tensor itself is never transposed.
///
/// ```
/// use wgpu_batchnorm::Shape;
///
/// let images = Shape::channels_first(&[32, 64, 56, 56])?;
/// assert_eq!((images.outer(), images.channels(), images.inner()), (32, 64, 56 * 56));
/// assert_eq!(images.values_per_channel(), 32 * 56 * 56);
///
/// let features = Shape::channels_last(&[4096, 1024])?;
/// assert_eq!((features.outer(), features.channels(), features.inner()), (4096, 1024, 1));
/// # Ok::<(), wgpu_batchnorm::ShapeError>(())
/// ```
///
/// With serde it is a map of the three; more values than a tensor may have are an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "Geometry")]
pub struct Shape {
    outer: u64,
    channels: u64,
    inner: u64,
}

impl Shape {
    /// `[N, C, spatial...]`: the channels on axis 1, as PyTorch lays images out. Rank 2 and up.
    ///
    /// # Errors
    /// [`ShapeError::Rank`] below rank 2, [`ShapeError::TooLarge`] where the bytes overflow 64 bits.
    pub fn channels_first(sizes: &[usize]) -> Result<Self, ShapeError> {
        Self::with_axis(sizes, 1)
    }

    /// `[N, spatial..., C]`: the channels on the last axis. Rank 2 and up; rank 2 is the same as channels-first.
    ///
    /// # Errors
    /// As [`Shape::channels_first`].
    pub fn channels_last(sizes: &[usize]) -> Result<Self, ShapeError> {
        Self::with_axis(sizes, -1)
    }

    /// The channels on any axis; a negative `axis` counts from the end. Rank 2 and up.
    ///
    /// ```
    /// use wgpu_batchnorm::Shape;
    ///
    /// let shape = Shape::with_axis(&[2, 3, 5, 7], -2)?;
    /// assert_eq!((shape.outer(), shape.channels(), shape.inner()), (2 * 3, 5, 7));
    /// # Ok::<(), wgpu_batchnorm::ShapeError>(())
    /// ```
    ///
    /// # Errors
    /// [`ShapeError::Rank`] below rank 2, [`ShapeError::Axis`] for an axis the tensor does not have,
    /// [`ShapeError::TooLarge`] where the bytes overflow 64 bits.
    pub fn with_axis(sizes: &[usize], axis: isize) -> Result<Self, ShapeError> {
        let rank = sizes.len();
        if rank < 2 {
            return Err(ShapeError::Rank { rank });
        }
        let index = if axis < 0 {
            rank.checked_sub(axis.unsigned_abs())
        } else {
            usize::try_from(axis).ok().filter(|&index| index < rank)
        };
        let index = index.ok_or(ShapeError::Axis { axis, rank })?;
        let product = |sizes: &[usize]| {
            sizes
                .iter()
                .try_fold(1u64, |product, &size| product.checked_mul(size as u64))
        };
        // A zero beside sizes whose product overflows is still an empty tensor.
        let product = |part: &[usize]| {
            if sizes.contains(&0) && product(part).is_none() {
                Some(0)
            } else {
                product(part)
            }
        };
        match (product(&sizes[..index]), product(&sizes[index + 1..])) {
            (Some(outer), Some(inner)) => Self::from_geometry(outer, sizes[index] as u64, inner),
            _ => Err(ShapeError::TooLarge),
        }
    }

    /// The triple itself, for a caller who has already folded the axes.
    ///
    /// # Errors
    /// [`ShapeError::TooLarge`] where the tensor's bytes (4 per value) overflow 64 bits.
    pub fn from_geometry(outer: u64, channels: u64, inner: u64) -> Result<Self, ShapeError> {
        let empty = outer == 0 || channels == 0 || inner == 0;
        let bytes = outer
            .checked_mul(channels)
            .and_then(|slices| slices.checked_mul(inner))
            .and_then(|values| values.checked_mul(4));
        if bytes.is_none() && !empty {
            return Err(ShapeError::TooLarge);
        }
        if outer.checked_mul(inner).is_none() && !empty {
            return Err(ShapeError::TooLarge);
        }
        Ok(Self {
            outer,
            channels,
            inner,
        })
    }

    /// The number of slices before the channel axis: the batch size in channels-first, batch and space in channels-last.
    pub const fn outer(&self) -> u64 {
        self.outer
    }

    /// The number of channels.
    pub const fn channels(&self) -> u64 {
        self.channels
    }

    /// The number of values after the channel axis: the spatial size in channels-first, 1 in channels-last.
    pub const fn inner(&self) -> u64 {
        self.inner
    }

    /// The number of values in the tensor.
    pub const fn len(&self) -> u64 {
        if self.outer == 0 || self.channels == 0 || self.inner == 0 {
            0
        } else {
            self.outer * self.channels * self.inner
        }
    }

    /// Whether the tensor has no values.
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// `n`, the number of values that one channel's statistics are taken over.
    pub const fn values_per_channel(&self) -> u64 {
        if self.outer == 0 || self.inner == 0 {
            0
        } else {
            self.outer * self.inner
        }
    }
}

/// A shape as it is read, unchecked.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Geometry {
    outer: u64,
    channels: u64,
    inner: u64,
}

impl TryFrom<Geometry> for Shape {
    type Error = ShapeError;

    fn try_from(read: Geometry) -> Result<Self, ShapeError> {
        Self::from_geometry(read.outer, read.channels, read.inner)
    }
}

impl std::fmt::Display for Shape {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "({}, {}, {})", self.outer, self.channels, self.inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_axis_reduces_to_the_triple() {
        let sizes = [2, 3, 5, 7];
        let triple = |axis| {
            let s = Shape::with_axis(&sizes, axis).expect("axis in range");
            (s.outer(), s.channels(), s.inner())
        };
        assert_eq!(triple(0), (1, 2, 105));
        assert_eq!(triple(1), (2, 3, 35));
        assert_eq!(triple(2), (6, 5, 7));
        assert_eq!(triple(3), (30, 7, 1));
        assert_eq!(triple(-1), triple(3));
        assert_eq!(triple(-4), triple(0));
    }

    #[test]
    fn wrong_ranks_axes_and_sizes_are_typed_errors() {
        assert_eq!(
            Shape::channels_first(&[4]),
            Err(ShapeError::Rank { rank: 1 })
        );
        assert_eq!(Shape::channels_last(&[]), Err(ShapeError::Rank { rank: 0 }));
        for axis in [4, -5, isize::MIN, isize::MAX] {
            let error = Shape::with_axis(&[1, 2, 3, 4], axis);
            assert_eq!(error, Err(ShapeError::Axis { axis, rank: 4 }));
        }
        let huge = usize::MAX;
        assert_eq!(
            Shape::channels_first(&[huge, huge, 2]),
            Err(ShapeError::TooLarge)
        );
        assert_eq!(
            Shape::from_geometry(1 << 31, 1 << 30, 2),
            Err(ShapeError::TooLarge)
        );
    }

    #[test]
    fn empty_tensors_are_shapes() {
        for sizes in [[0, 3, 4], [2, 0, 4], [2, 3, 0], [0, usize::MAX, usize::MAX]] {
            assert!(Shape::channels_first(&sizes).is_ok_and(|s| s.is_empty()));
            assert!(Shape::channels_last(&sizes).is_ok_and(|s| s.is_empty()));
        }
    }
}
