//! Short rows: whole slices are walked across, each lane with a column.

use fearless_simd::Simd;
use rayon::prelude::*;

use super::{Flow, Slope, Sums, Targets, store_gradient, store_values};
use crate::cpu::block::Coefficients;
use crate::cpu::columns::{
    ColumnCoefficients, ColumnSums, Part, of_columns, per_column, piece_len, row_width,
};
use crate::options::Gradient;
use crate::shape::Shape;

/// The sums of each channel.
pub(super) fn sums(flow: &Flow<'_>, shape: Shape, coefficients: &[Coefficients]) -> Vec<Sums> {
    let columns = ColumnCoefficients::new(shape, coefficients);
    let segments = of_columns(shape, |part, to| {
        vectorized!(simd => part_sums(simd, flow, &columns, &part, to));
    });
    let width = row_width(shape);
    let (mut g, mut g_deviation) = (vec![0.0; width], vec![0.0; width]);
    for [part_g, part_g_deviation] in &segments {
        for (g, part) in g.iter_mut().zip(part_g) {
            *g += part;
        }
        for (g_deviation, part) in g_deviation.iter_mut().zip(part_g_deviation) {
            *g_deviation += part;
        }
    }
    let columns_sums = g
        .into_iter()
        .zip(g_deviation)
        .map(|(g, g_deviation)| Sums { g, g_deviation });
    let (inner, channels) = (shape.inner() as usize, shape.channels() as usize);
    let rest = flow.dy.len() / width * width..flow.dy.len();
    if width == channels && rest.is_empty() {
        return columns_sums.collect();
    }
    let mut sums = vec![Sums::default(); channels];
    let mut merge = |column: usize, part: Sums| {
        let channel = &mut sums[column / inner % channels];
        *channel = channel.merge(part);
    };
    for (column, part) in columns_sums.enumerate() {
        merge(column, part);
    }
    // The slices that do not fill a row.
    let x = &flow.x[rest.clone()];
    let mut scratch = vec![0.0; rest.len()];
    let g = vectorized!(simd => flow.gradient(rest, &mut scratch, #[inline(always)] |x, z| columns.normalize(simd, 0, x, z)));
    for (column, (&x, &g)) in x.iter().zip(g).enumerate() {
        let deviation = f64::from(x - columns.hi[column]);
        let g = f64::from(g);
        let g_deviation = g * deviation;
        merge(column, Sums { g, g_deviation });
    }
    sums
}

/// The sums of each column of a part: of g, and of its product with the deviation.
#[inline(always)]
fn part_sums<S: Simd>(
    simd: S,
    flow: &Flow<'_>,
    columns: &ColumnCoefficients,
    part: &Part,
    [to_g, to_g_deviation]: [&mut [f64]; 2],
) {
    let hi = &columns.hi[part.columns.clone()];
    let mut sums = ColumnSums::new(hi.len());
    let mut scratch = vec![0.0; hi.len()];
    for row in part.rows.clone() {
        let range = part.row(row);
        let x = &flow.x[range.clone()];
        let g = flow.gradient(
            range,
            &mut scratch,
            #[inline(always)]
            |x, z| {
                columns.normalize(simd, part.columns.start, x, z);
            },
        );
        sums.add(
            simd,
            [[hi, x, g]],
            #[inline(always)]
            |[hi, x, g]| [g, g * (x - hi)],
        );
    }
    for (to, sums) in [to_g, to_g_deviation].into_iter().zip(sums.totals()) {
        for (to, sum) in to.iter_mut().zip(sums) {
            *to = f64::from(*sum);
        }
    }
}

/// The gradients of x and of the residual, in pieces of the whole tensor.
pub(super) fn gradients(
    flow: &Flow<'_>,
    to: Targets<'_>,
    shape: Shape,
    coefficients: &[Coefficients],
    slopes: &[Slope],
) {
    let width = row_width(shape);
    let columns = ColumnCoefficients::new(shape, coefficients);
    let slopes = ColumnSlopes::new(shape, slopes);

    let through_statistics = to.through_statistics;
    let pieces = to.pieces(flow.dy.len(), piece_len(width));
    pieces.into_par_iter().for_each(|mut piece| {
        let mut scratch = vec![0.0; width];
        vectorized!(simd => {
            for first in (0..piece.len).step_by(width) {
                let local = first..piece.len.min(first + width);
                let range = piece.start + local.start..piece.start + local.end;
                let x = &flow.x[range.clone()];
                let g = flow.gradient(range, &mut scratch, #[inline(always)] |x, z| columns.normalize(simd, 0, x, z));
                if let Some((input, gradient)) = &mut piece.input {
                    let to = &mut input[local.clone()];
                    if through_statistics {
                        slopes.store_through(simd, to, *gradient, x, g, &columns.hi);
                    } else {
                        slopes.store_scaled(simd, to, *gradient, g);
                    }
                }
                if let Some((residual, gradient)) = &mut piece.residual {
                    store_values(simd, &mut residual[local], *gradient, g);
                }
            }
        });
    });
}

/// What the gradient of x is made with, for each column.
struct ColumnSlopes {
    center: Vec<f32>,
    scale: Vec<f32>,
    tilt: Vec<f32>,
    offset: Vec<f32>,
}

impl ColumnSlopes {
    fn new(shape: Shape, slopes: &[Slope]) -> Self {
        Self {
            center: per_column(shape, slopes, |slope| slope.center),
            scale: per_column(shape, slopes, |slope| slope.scale),
            tilt: per_column(shape, slopes, |slope| slope.tilt),
            offset: per_column(shape, slopes, |slope| slope.offset),
        }
    }

    /// The gradient of x through batch statistics, from the first column on.
    #[inline(always)]
    fn store_through<S: Simd>(
        &self,
        simd: S,
        to: &mut [f32],
        gradient: Gradient,
        x: &[f32],
        g: &[f32],
        hi: &[f32],
    ) {
        store_gradient(
            simd,
            to,
            gradient,
            [
                x,
                g,
                hi,
                &self.center,
                &self.scale,
                &self.tilt,
                &self.offset,
            ],
            #[inline(always)]
            |[x, g, hi, center, scale, tilt, offset]| {
                (g - center) * scale - (x - hi) * tilt + offset
            },
        );
    }

    /// The gradient of x through fixed statistics, from the first column on.
    #[inline(always)]
    fn store_scaled<S: Simd>(&self, simd: S, to: &mut [f32], gradient: Gradient, g: &[f32]) {
        store_gradient(
            simd,
            to,
            gradient,
            [g, &self.scale],
            #[inline(always)]
            |[g, scale]| g * scale,
        );
    }
}
