//! Coefficients applied to every value.

use rayon::prelude::*;

use super::check_length;
use crate::error::LengthError;
use crate::shape::Shape;

/// `y = (x - mean) * scale + shift`, the three by channel.
///
/// # Errors
/// Where `x` does not have the shape's number of values, or a vector not one value per channel.
pub fn normalize(
    x: &[f32],
    shape: Shape,
    mean: &[f64],
    scale: &[f64],
    shift: &[f64],
) -> Result<Vec<f64>, LengthError> {
    check_length("x", x.len(), shape.len())?;
    for (what, vector) in [("mean", mean), ("scale", scale), ("shift", shift)] {
        check_length(what, vector.len(), shape.channels())?;
    }
    if x.is_empty() {
        return Ok(Vec::new());
    }
    let inner = shape.inner() as usize;
    let slice = mean.len() * inner;
    let mut y = vec![0.0; x.len()];
    y.par_chunks_exact_mut(slice)
        .zip(x.par_chunks_exact(slice))
        .for_each(|(y, x)| {
            let rows = y.chunks_exact_mut(inner).zip(x.chunks_exact(inner));
            for (channel, (y, x)) in rows.enumerate() {
                for (y, &x) in y.iter_mut().zip(x) {
                    *y = (f64::from(x) - mean[channel]) * scale[channel] + shift[channel];
                }
            }
        });
    Ok(y)
}
