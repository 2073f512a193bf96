//! Long contiguous rows: lanes walk along the row of one channel.

use std::ops::Range;

use fearless_simd::prelude::*;
use fearless_simd::{Simd, f32x8};
use rayon::prelude::*;

use super::{Flow, Slope, Sums, Targets, store_gradient, store_values};
use crate::cpu::block::{Coefficients, LaneSums};
use crate::cpu::rows::{BLOCK, Geometry, PIECE, blocks, runs};
use crate::options::Gradient;
use crate::shape::Shape;

/// The sums of each channel.
pub(super) fn sums(flow: &Flow<'_>, shape: Shape, coefficients: &[Coefficients]) -> Vec<Sums> {
    let geometry = Geometry::new(shape);
    geometry.of_channels(Sums::merge, |segment, channels, sums| {
        vectorized!(simd => segment_sums(simd, flow, &geometry, segment, channels, coefficients, sums));
    })
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
    // The values that were read last are in cache still.
    pieces.into_par_iter().rev().for_each(|mut piece| {
        vectorized!(simd => {
            let mut scratch = [0.0; BLOCK];
            for (channel, run) in runs(piece.start..piece.start + piece.len, shape) {
                let local = run.start - piece.start..run.end - piece.start;
                let run = Run {
                    values: run,
                    coefficients: coefficients[channel],
                    slope: slopes[channel],
                    through_statistics,
                };
                let input = piece.input.as_mut().map(|(to, gradient)| (&mut to[local.clone()], *gradient));
                let residual = piece.residual.as_mut().map(|(to, gradient)| (&mut to[local], *gradient));
                run.store(simd, flow, input, residual, &mut scratch);
            }
        });
    });
}

/// Both in one go, where a task can own channels: `slope` makes that of a channel from its sums.
pub(super) fn sums_and_gradients(
    flow: &Flow<'_>,
    to: Targets<'_>,
    geometry: &Geometry,
    coefficients: &[Coefficients],
    slope: impl Fn(usize, Sums) -> Slope + Sync,
) -> Vec<Sums> {
    let through_statistics = to.through_statistics;
    let mut sums = vec![Sums::default(); geometry.channels];
    let mut targets = [to.input, to.residual].map(|target| {
        let (values, gradient) = target?;
        Some((geometry.rows_of_groups(values).into_iter(), gradient))
    });
    let tasks: Vec<_> = (sums.chunks_mut(geometry.group))
        .map(|sums| {
            let targets = targets.each_mut().map(|target| {
                let (groups, gradient) = target.as_mut()?;
                Some((groups.next()?, *gradient))
            });
            (sums, targets)
        })
        .collect();
    tasks.into_par_iter().enumerate().for_each(|(group, (sums, mut targets))| {
        let channels = geometry.channels_of(group);
        vectorized!(simd => {
            let mut part = vec![Sums::default(); channels.len()];
            for segment in 0..geometry.segments {
                segment_sums(simd, flow, geometry, segment, channels.clone(), coefficients, &mut part);
                for (total, part) in sums.iter_mut().zip(&part) {
                    *total = total.merge(*part);
                }
            }
            let slopes: Vec<Slope> = (channels.clone().zip(&*sums))
                .map(|(channel, sums)| slope(channel, *sums))
                .collect();
            let mut scratch = [0.0; BLOCK];
            for outer in 0..geometry.outer {
                for (index, channel) in channels.clone().enumerate() {
                    let local = index * geometry.inner..(index + 1) * geometry.inner;
                    let start = (outer * geometry.channels + channel) * geometry.inner;
                    let run = Run {
                        values: start..start + geometry.inner,
                        coefficients: coefficients[channel],
                        slope: slopes[index],
                        through_statistics,
                    };
                    let [input, residual] = &mut targets;
                    let input = input.as_mut().map(|(rows, gradient)| (&mut rows[outer][local.clone()], *gradient));
                    let residual = residual.as_mut().map(|(rows, gradient)| (&mut rows[outer][local], *gradient));
                    run.store(simd, flow, input, residual, &mut scratch);
                }
            }
        });
    });
    sums
}

/// The sums of one segment of each of some channels.
#[inline(always)]
fn segment_sums<S: Simd>(
    simd: S,
    flow: &Flow<'_>,
    geometry: &Geometry,
    segment: usize,
    channels: Range<usize>,
    coefficients: &[Coefficients],
    sums: &mut [Sums],
) {
    let segment = geometry.segment(segment);
    let mut lanes = vec![LaneSums::default(); channels.len()];
    let mut scratch = [0.0; BLOCK];
    for outer in segment.rows.clone() {
        for (block, channel) in lanes.iter_mut().zip(channels.clone()) {
            let coefficients = coefficients[channel];
            let hi = f32x8::splat(simd, coefficients.hi);
            let row = geometry.row(&segment, outer, channel);
            for piece in blocks(row) {
                let x = &flow.x[piece.clone()];
                let g = flow.gradient(
                    piece,
                    &mut scratch,
                    #[inline(always)]
                    |x, z| coefficients.normalize(simd, x, z),
                );
                block.add(
                    simd,
                    x,
                    g,
                    #[inline(always)]
                    |x, g| [g, g * (x - hi)],
                );
            }
        }
    }
    for (sums, block) in sums.iter_mut().zip(&lanes) {
        let [g, g_deviation] = block.totals();
        *sums = Sums { g, g_deviation };
    }
}

/// A run of one channel, and what its gradients are made with.
struct Run {
    values: Range<usize>,
    coefficients: Coefficients,
    slope: Slope,
    through_statistics: bool,
}

impl Run {
    #[inline(always)]
    fn store<S: Simd>(
        self,
        simd: S,
        flow: &Flow<'_>,
        mut input: Option<(&mut [f32], Gradient)>,
        mut residual: Option<(&mut [f32], Gradient)>,
        scratch: &mut [f32; BLOCK],
    ) {
        let hi = self.coefficients.hi;
        for range in blocks(self.values.clone()) {
            let local = range.start - self.values.start..range.end - self.values.start;
            let x = &flow.x[range.clone()];
            let g = flow.gradient(
                range,
                scratch,
                #[inline(always)]
                |x, z| self.coefficients.normalize(simd, x, z),
            );
            if let Some((input, gradient)) = &mut input {
                let to = &mut input[local.clone()];
                if self.through_statistics {
                    store_through(simd, to, *gradient, x, g, hi, self.slope);
                } else {
                    store_scaled(simd, to, *gradient, g, self.slope.scale);
                }
            }
            if let Some((residual, gradient)) = &mut residual {
                store_values(simd, &mut residual[local], *gradient, g);
            }
        }
    }
}

/// The gradient of x through batch statistics.
#[inline(always)]
fn store_through<S: Simd>(
    simd: S,
    to: &mut [f32],
    gradient: Gradient,
    x: &[f32],
    g: &[f32],
    hi: f32,
    slope: Slope,
) {
    let hi = f32x8::splat(simd, hi);
    let center = f32x8::splat(simd, slope.center);
    let scale = f32x8::splat(simd, slope.scale);
    let tilt = f32x8::splat(simd, slope.tilt);
    let offset = f32x8::splat(simd, slope.offset);
    store_gradient(
        simd,
        to,
        gradient,
        [x, g],
        #[inline(always)]
        |[x, g]| (g - center) * scale - (x - hi) * tilt + offset,
    );
}

/// The gradient of x through fixed statistics.
#[inline(always)]
fn store_scaled<S: Simd>(simd: S, to: &mut [f32], gradient: Gradient, g: &[f32], scale: f32) {
    let scale = f32x8::splat(simd, scale);
    store_gradient(
        simd,
        to,
        gradient,
        [g],
        #[inline(always)]
        |[g]| g * scale,
    );
}
