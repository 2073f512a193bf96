//! Short rows: whole slices are walked across, each lane with a column.

use std::ops::Range;

use rayon::prelude::*;

use super::{Flow, Slope, Sums, Targets, store_values};
use crate::activation::Activation;
use crate::cpu::block::Coefficients;
use crate::cpu::columns::{
    BLOCK, ColumnCoefficients, SEGMENT, STEP, WIDE, per_column, piece_len, row_width,
};
use crate::options::Gradient;
use crate::shape::Shape;

/// The sums of each channel.
pub(super) fn sums(flow: &Flow<'_>, shape: Shape, coefficients: &[Coefficients]) -> Vec<Sums> {
    let width = row_width(shape);
    let bands = width.div_ceil(WIDE);
    let (inner, channels) = (shape.inner() as usize, shape.channels() as usize);
    let columns = ColumnCoefficients::new(shape, coefficients);
    let rows = flow.dy.len() / width;
    let segments = rows.div_ceil(SEGMENT);

    let partials: Vec<Vec<Sums>> = (0..segments * bands)
        .into_par_iter()
        .map(|task| {
            let (segment, band) = (task / bands, task % bands);
            let rows = segment * SEGMENT..rows.min((segment + 1) * SEGMENT);
            let band = Band {
                flow,
                columns: &columns,
                width,
                band: band * WIDE..width.min((band + 1) * WIDE),
            };
            band.sums(rows)
        })
        .collect();

    let mut sums = vec![Sums::default(); channels];
    let mut merge = |column: usize, part: Sums| {
        let channel = &mut sums[column / inner % channels];
        *channel = channel.merge(part);
    };
    for (task, partial) in partials.iter().enumerate() {
        let start = task % bands * WIDE;
        for (column, part) in partial.iter().enumerate() {
            merge(start + column, *part);
        }
    }
    // The slices that do not fill a row.
    let rest = rows * width..flow.dy.len();
    let x = &flow.x[rest.clone()];
    let mut scratch = vec![0.0; rest.len()];
    let g = flow.gradient(rest, &mut scratch, |x, z| columns.normalize(0, x, z));
    for (column, (&x, &g)) in x.iter().zip(g).enumerate() {
        let deviation = f64::from(x - columns.hi[column]);
        let g = f64::from(g);
        let g_deviation = g * deviation;
        merge(column, Sums { g, g_deviation });
    }
    sums
}

/// Some neighbouring columns.
struct Band<'a> {
    flow: &'a Flow<'a>,
    columns: &'a ColumnCoefficients,
    width: usize,
    band: Range<usize>,
}

impl Band<'_> {
    /// The sums of each column over some rows.
    fn sums(&self, rows: Range<usize>) -> Vec<Sums> {
        let columns = self.band.len();
        let mut total = vec![Sums::default(); columns];
        let (mut sum, mut product) = (vec![0.0; columns], vec![0.0; columns]);
        let activated = self.flow.activation != Activation::None;
        let mut scratch = vec![0.0; if activated { STEP * columns } else { 0 }];
        for first in rows.clone().step_by(BLOCK) {
            let last = rows.end.min(first + BLOCK);
            let mut row = first;
            while row + STEP <= last {
                self.add::<STEP>(row, &mut scratch, &mut sum, &mut product);
                row += STEP;
            }
            for row in row..last {
                self.add::<1>(row, &mut scratch, &mut sum, &mut product);
            }
            for ((total, g), g_deviation) in total.iter_mut().zip(&mut sum).zip(&mut product) {
                *total = total.merge(Sums {
                    g: f64::from(*g),
                    g_deviation: f64::from(*g_deviation),
                });
                (*g, *g_deviation) = (0.0, 0.0);
            }
        }
        total
    }

    /// Adds some rows from `first` on to the sums of their columns.
    fn add<const ROWS: usize>(
        &self,
        first: usize,
        scratch: &mut [f32],
        sum: &mut [f32],
        product: &mut [f32],
    ) {
        let columns = self.band.len();
        let range = |row: usize| {
            let start = (first + row) * self.width;
            start + self.band.start..start + self.band.end
        };
        let mut scratch = scratch.chunks_exact_mut(columns);
        let g: [&[f32]; ROWS] = std::array::from_fn(|row| {
            let scratch = scratch.next().unwrap_or_default();
            let normalize = |x: &[f32], z: &mut [f32]| {
                self.columns.normalize(self.band.start, x, z);
            };
            self.flow.gradient(range(row), scratch, normalize)
        });
        let x: [&[f32]; ROWS] = std::array::from_fn(|row| &self.flow.x[range(row)]);
        add(x, g, &self.columns.hi[self.band.clone()], sum, product);
    }
}

/// Never inlined: as arguments the slices are known not to overlap, and the loop becomes vectors.
#[inline(never)]
fn add<const ROWS: usize>(
    x: [&[f32]; ROWS],
    g: [&[f32]; ROWS],
    hi: &[f32],
    sum: &mut [f32],
    product: &mut [f32],
) {
    let columns = sum.len();
    let (x, g) = (x.map(|x| &x[..columns]), g.map(|g| &g[..columns]));
    let (hi, product) = (&hi[..columns], &mut product[..columns]);
    for column in 0..columns {
        let (mut s, mut p) = (sum[column], product[column]);
        for row in 0..ROWS {
            let g = g[row][column];
            s += g;
            p += g * (x[row][column] - hi[column]);
        }
        (sum[column], product[column]) = (s, p);
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
        for first in (0..piece.len).step_by(width) {
            let local = first..piece.len.min(first + width);
            let range = piece.start + local.start..piece.start + local.end;
            let x = &flow.x[range.clone()];
            let g = flow.gradient(range, &mut scratch, |x, z| columns.normalize(0, x, z));
            if let Some((input, gradient)) = &mut piece.input {
                let to = &mut input[local.clone()];
                if through_statistics {
                    slopes.store_through(to, *gradient, x, g, &columns.hi);
                } else {
                    slopes.store_scaled(to, *gradient, g);
                }
            }
            if let Some((residual, gradient)) = &mut piece.residual {
                store_values(&mut residual[local], *gradient, g);
            }
        }
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
    #[inline(never)]
    fn store_through(&self, to: &mut [f32], gradient: Gradient, x: &[f32], g: &[f32], hi: &[f32]) {
        let row = to.len();
        let (x, g, hi) = (&x[..row], &g[..row], &hi[..row]);
        let (center, scale) = (&self.center[..row], &self.scale[..row]);
        let (tilt, offset) = (&self.tilt[..row], &self.offset[..row]);
        store!(to, gradient, |i| (g[i] - center[i]) * scale[i]
            - (x[i] - hi[i]) * tilt[i]
            + offset[i]);
    }

    /// The gradient of x through fixed statistics, from the first column on.
    #[inline(never)]
    fn store_scaled(&self, to: &mut [f32], gradient: Gradient, g: &[f32]) {
        let (g, scale) = (&g[..to.len()], &self.scale[..to.len()]);
        store!(to, gradient, |i| g[i] * scale[i]);
    }
}
