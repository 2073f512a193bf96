//! Long contiguous rows: lanes walk along the row of one channel.

use rayon::prelude::*;

use super::{Flow, Slope, Sums, Targets, store_values};
use crate::cpu::block::{Coefficients, LANES, total};
use crate::cpu::rows::{BLOCK, Geometry, PIECE, runs};
use crate::options::Gradient;
use crate::shape::Shape;

/// The sums of each channel.
pub(super) fn sums(flow: &Flow<'_>, shape: Shape, coefficients: &[Coefficients]) -> Vec<Sums> {
    let geometry = Geometry::new(shape);
    geometry.of_channels(Sums::merge, |task| {
        let channels = geometry.channels_of(task);
        let mut running = vec![RunningSums::default(); channels.len()];
        let mut scratch = [0.0; BLOCK];
        geometry.walk(task, |index, range| {
            let coefficients = coefficients[channels.start + index];
            for start in range.clone().step_by(BLOCK) {
                let piece = start..range.end.min(start + BLOCK);
                let x = &flow.x[piece.clone()];
                let g = flow.gradient(piece, &mut scratch, |x, z| coefficients.normalize(x, z));
                running[index].add(x, g, coefficients.hi);
            }
        });
        running.into_iter().map(RunningSums::finish).collect()
    })
}

/// The sums of a channel so far, and the lanes of the block that is being summed.
#[derive(Clone, Copy, Default)]
struct RunningSums {
    total: Sums,
    count: usize,
    g: [f32; LANES],
    g_deviation: [f32; LANES],
}

impl RunningSums {
    /// Adds values of at most one block.
    fn add(&mut self, x: &[f32], g: &[f32], hi: f32) {
        let (x_chunks, x_rest) = x.as_chunks::<LANES>();
        let (g_chunks, g_rest) = g.as_chunks::<LANES>();
        // Local copies stay in registers over the loop; fields, behind a reference, do not.
        let (mut sum, mut product) = (self.g, self.g_deviation);
        for (x, g) in x_chunks.iter().zip(g_chunks) {
            for lane in 0..LANES {
                sum[lane] += g[lane];
                product[lane] += g[lane] * (x[lane] - hi);
            }
        }
        for (lane, (x, g)) in x_rest.iter().zip(g_rest).enumerate() {
            sum[lane] += g;
            product[lane] += g * (x - hi);
        }
        (self.g, self.g_deviation) = (sum, product);
        self.count += x.len();
        if self.count >= BLOCK {
            *self = Self {
                total: self.finish(),
                ..Self::default()
            };
        }
    }

    fn finish(self) -> Sums {
        self.total.merge(Sums {
            g: total(&self.g),
            g_deviation: total(&self.g_deviation),
        })
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
    let through_statistics = to.through_statistics;
    let pieces = to.pieces(flow.dy.len(), PIECE);
    pieces.into_par_iter().for_each(|mut piece| {
        let mut scratch = [0.0; BLOCK];
        for (channel, run) in runs(piece.start..piece.start + piece.len, shape) {
            let coefficients = coefficients[channel];
            for start in run.clone().step_by(BLOCK) {
                let range = start..run.end.min(start + BLOCK);
                let local = start - piece.start..range.end - piece.start;
                let x = &flow.x[range.clone()];
                let g = flow.gradient(range, &mut scratch, |x, z| coefficients.normalize(x, z));
                if let Some((input, gradient)) = &mut piece.input {
                    let to = &mut input[local.clone()];
                    let slope = slopes[channel];
                    if through_statistics {
                        store_through(to, *gradient, x, g, coefficients.hi, slope);
                    } else {
                        store_scaled(to, *gradient, g, slope.scale);
                    }
                }
                if let Some((residual, gradient)) = &mut piece.residual {
                    store_values(&mut residual[local], *gradient, g);
                }
            }
        }
    });
}

/// The gradient of x through batch statistics.
#[inline(never)]
fn store_through(to: &mut [f32], gradient: Gradient, x: &[f32], g: &[f32], hi: f32, slope: Slope) {
    let (x, g) = (&x[..to.len()], &g[..to.len()]);
    let Slope {
        center,
        scale,
        tilt,
        offset,
    } = slope;
    store!(to, gradient, |i| (g[i] - center) * scale
        - (x[i] - hi) * tilt
        + offset);
}

/// The gradient of x through fixed statistics.
#[inline(never)]
fn store_scaled(to: &mut [f32], gradient: Gradient, g: &[f32], scale: f32) {
    let g = &g[..to.len()];
    store!(to, gradient, |i| g[i] * scale);
}
