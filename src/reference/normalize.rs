//! Coefficients applied to every value.

use rayon::prelude::*;

use super::check_length;
use crate::error::LengthError;
use crate::shape::Shape;

/// `z = (x - mean) * scale + shift + residual`, the first three by channel, before any activation.
///
/// # Errors
/// Where `x` or the residual does not have the shape's number of values, or a vector not one value per channel.
pub fn normalize(
    x: &[f32],
    residual: Option<&[f32]>,
    shape: Shape,
    mean: &[f64],
    scale: &[f64],
    shift: &[f64],
) -> Result<Vec<f64>, LengthError> {
    check_length("x", x.len(), shape.len())?;
    if let Some(residual) = residual {
        check_length("residual", residual.len(), shape.len())?;
    }
    for (what, vector) in [("mean", mean), ("scale", scale), ("shift", shift)] {
        check_length(what, vector.len(), shape.channels())?;
    }
    if x.is_empty() {
        return Ok(Vec::new());
    }
    let inner = shape.inner() as usize;
    let slice = mean.len() * inner;
    let mut z = vec![0.0; x.len()];
    z.par_chunks_exact_mut(slice)
        .zip(x.par_chunks_exact(slice))
        .for_each(|(z, x)| {
            let rows = z.chunks_exact_mut(inner).zip(x.chunks_exact(inner));
            for (channel, (z, x)) in rows.enumerate() {
                for (z, &x) in z.iter_mut().zip(x) {
                    *z = (f64::from(x) - mean[channel]) * scale[channel] + shift[channel];
                }
            }
        });
    if let Some(residual) = residual {
        z.par_iter_mut()
            .zip(residual)
            .for_each(|(z, &residual)| *z += f64::from(residual));
    }
    Ok(z)
}
