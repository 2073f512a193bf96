//! Long contiguous rows, as channels-first tensors have them: lanes walk along the row of one channel.
//!
//! A channel is cut into segments, by the shape alone. Rows are walked in the order of memory, a group of neighbouring
//! channels at a time. Where the values of a group fit the cache, a task owns the group: statistics and result in one go.
//! Where channels are too large or too few, the tensor is read twice.

use std::ops::Range;

use fearless_simd::Simd;
use rayon::prelude::*;

use super::activation::finish;
use super::block::{Block, Coefficients};
use crate::activation::Activation;
use crate::reference::Moments;
use crate::shape::Shape;

/// Values of a segment, about: few enough that f32 sums of them are good to their last bits.
const SEGMENT: usize = 1 << 12;

/// Rows of a segment at most: each adds once to a chain of additions.
const SEGMENT_ROWS: usize = 64;

/// Values of neighbouring channels that a task of statistics reads in one go, at least: prefetching needs some way to go.
const RUN: usize = 1 << 12;

/// Values of a group of channels that are in cache still when its statistics are known: that of the third level, since
/// long runs were measured to be worth more than the second level is.
const RESIDENT: usize = 1 << 21;

/// Groups for each thread at least: what is left to do when the others are done is short.
const GROUPS: usize = 4;

/// Values of neighbouring channels below which owning them does not pay: too short for prefetching.
const SHORT_RUN: usize = 1 << 10;

/// Values of a task of normalization.
pub(super) const PIECE: usize = 1 << 15;

/// Values that are normalized, and finished while they are in the first-level cache.
pub(super) const BLOCK: usize = 1 << 11;

/// The moments of each channel.
pub(super) fn statistics(x: &[f32], shape: Shape) -> Vec<Moments> {
    let geometry = Geometry::new(shape);
    geometry.of_channels(Moments::merge, |segment, channels, moments| {
        vectorized!(simd => segment_moments(simd, x, &geometry, segment, channels, moments));
    })
}

/// The forward pass from its coefficients on, in pieces of the whole tensor.
pub(super) fn normalize(
    x: &[f32],
    residual: Option<&[f32]>,
    y: &mut [f32],
    shape: Shape,
    coefficients: &[Coefficients],
    activation: Activation,
) {
    // The values that were read last are in cache still.
    let pieces = y.par_chunks_mut(PIECE).enumerate().rev();
    pieces.for_each(|(piece, y)| {
        let start = piece * PIECE;
        vectorized!(simd => {
            for (channel, range) in runs(start..start + y.len(), shape) {
                let y = &mut y[range.start - start..range.end - start];
                let residual = residual.map(|residual| &residual[range.clone()]);
                normalize_run(simd, &x[range], residual, y, coefficients[channel], activation);
            }
        });
    });
}

/// Both in one go, where a task can own channels: `coefficients` makes those of a channel from its moments.
pub(super) fn training(
    x: &[f32],
    residual: Option<&[f32]>,
    y: &mut [f32],
    geometry: &Geometry,
    coefficients: impl Fn(usize, &Moments) -> Coefficients + Sync,
    activation: Activation,
) -> Vec<Moments> {
    let mut moments = vec![Moments::default(); geometry.channels];
    let rows = geometry.rows_of_groups(y);
    let groups = moments.par_chunks_mut(geometry.group).zip(rows).enumerate();
    groups.for_each(|(group, (moments, mut rows))| {
        let channels = geometry.channels_of(group);
        vectorized!(simd => {
            let mut part = vec![Moments::default(); channels.len()];
            for segment in 0..geometry.segments {
                segment_moments(simd, x, geometry, segment, channels.clone(), &mut part);
                for (total, part) in moments.iter_mut().zip(&part) {
                    *total = total.merge(*part);
                }
            }
            let coefficients: Vec<Coefficients> = (channels.clone().zip(&*moments))
                .map(|(channel, moments)| coefficients(channel, moments))
                .collect();
            for (outer, y) in rows.iter_mut().enumerate() {
                for (index, y) in y.chunks_exact_mut(geometry.inner).enumerate() {
                    let start = (outer * geometry.channels + channels.start + index) * geometry.inner;
                    let range = start..start + y.len();
                    let residual = residual.map(|residual| &residual[range.clone()]);
                    normalize_run(simd, &x[range], residual, y, coefficients[index], activation);
                }
            }
        });
    });
    moments
}

/// Normalizes a run of one channel.
#[inline(always)]
fn normalize_run<S: Simd>(
    simd: S,
    x: &[f32],
    residual: Option<&[f32]>,
    y: &mut [f32],
    coefficients: Coefficients,
    activation: Activation,
) {
    for block in blocks(0..y.len()) {
        let y = &mut y[block.clone()];
        coefficients.normalize(simd, &x[block.clone()], y);
        finish(y, residual.map(|residual| &residual[block]), activation);
    }
}

/// The moments of one segment of each of some channels.
#[inline(always)]
fn segment_moments<S: Simd>(
    simd: S,
    x: &[f32],
    geometry: &Geometry,
    segment: usize,
    channels: Range<usize>,
    moments: &mut [Moments],
) {
    let segment = geometry.segment(segment);
    let row = |outer, channel| &x[geometry.row(&segment, outer, channel)];
    let mut blocks: Vec<Block> = (channels.clone())
        .map(|channel| Block::about_start(row(segment.rows.start, channel)))
        .collect();
    for outer in segment.rows.clone() {
        for (block, channel) in blocks.iter_mut().zip(channels.clone()) {
            block.add(simd, row(outer, channel));
        }
    }
    for ((moments, block), channel) in moments.iter_mut().zip(&blocks).zip(channels) {
        *moments = block.moments(
            #[inline(always)]
            |block| {
                for outer in segment.rows.clone() {
                    block.add(simd, row(outer, channel));
                }
            },
        );
    }
}

/// The runs of one channel in a range of the tensor: the channel, and the values.
#[inline(always)]
pub(super) fn runs(
    range: Range<usize>,
    shape: Shape,
) -> impl Iterator<Item = (usize, Range<usize>)> {
    let (channels, inner) = (shape.channels() as usize, shape.inner() as usize);
    let row = range.start / inner;
    let (mut channel, mut end) = (row % channels, (row + 1) * inner);
    let mut start = range.start;
    std::iter::from_fn(
        #[inline(always)]
        move || {
            if start == range.end {
                return None;
            }
            let run = (channel, start..end.min(range.end));
            // By counting: a division takes as long as a short run.
            channel += 1;
            if channel == channels {
                channel = 0;
            }
            start = run.1.end;
            end += inner;
            Some(run)
        },
    )
}

/// A range in blocks, the last of which may be shorter.
#[inline(always)]
pub(super) fn blocks(range: Range<usize>) -> impl Iterator<Item = Range<usize>> {
    let mut start = range.start;
    std::iter::from_fn(
        #[inline(always)]
        move || {
            let block = start..range.end.min(start + BLOCK);
            start = block.end;
            (!block.is_empty()).then_some(block)
        },
    )
}

/// How a channel's values are cut, by the shape alone.
pub(super) struct Geometry {
    pub(super) outer: usize,
    pub(super) channels: usize,
    pub(super) inner: usize,
    /// Segments of each channel.
    pub(super) segments: usize,
    /// Segments of each row, where rows are longer than a segment; else 1.
    cuts: usize,
    /// Rows of each segment, where rows are shorter; else 1.
    rows: usize,
    /// Channels of a task.
    pub(super) group: usize,
}

/// The same part of every channel: some rows, and of each the values from `start` to `end`.
pub(super) struct Segment {
    pub(super) rows: Range<usize>,
    start: usize,
    end: usize,
}

impl Geometry {
    pub(super) fn new(shape: Shape) -> Self {
        let (outer, inner) = (shape.outer() as usize, shape.inner() as usize);
        let channels = shape.channels() as usize;
        let cuts = inner.div_ceil(SEGMENT);
        let rows = (SEGMENT / inner).clamp(1, SEGMENT_ROWS.min(outer));
        Self {
            outer,
            channels,
            inner,
            segments: outer.div_ceil(rows) * cuts,
            cuts,
            rows,
            group: RUN.div_ceil(inner).min(channels),
        }
    }

    /// Where a task can own channels, all values of which are in as many tensors. How many of them changes with the number
    /// of threads, but no result does: a channel's are its own.
    pub(super) fn resident(shape: Shape, tensors: usize) -> Option<Self> {
        let geometry = Self::new(shape);
        let room = RESIDENT / tensors / shape.values_per_channel() as usize;
        let groups = GROUPS * rayon::current_num_threads();
        let group = room.min(geometry.channels / groups);
        (group * geometry.inner >= SHORT_RUN).then_some(Self { group, ..geometry })
    }

    /// The channels of a group.
    pub(super) fn channels_of(&self, group: usize) -> Range<usize> {
        let first = group * self.group;
        first..self.channels.min(first + self.group)
    }

    pub(super) fn segment(&self, index: usize) -> Segment {
        let first = index / self.cuts * self.rows;
        let start = index % self.cuts * SEGMENT;
        Segment {
            rows: first..self.outer.min(first + self.rows),
            start,
            end: if self.cuts == 1 {
                self.inner
            } else {
                self.inner.min(start + SEGMENT)
            },
        }
    }

    /// The values of a segment in one row of a channel.
    #[inline(always)]
    pub(super) fn row(&self, segment: &Segment, outer: usize, channel: usize) -> Range<usize> {
        let row = (outer * self.channels + channel) * self.inner;
        row + segment.start..row + segment.end
    }

    /// A tensor's values by group: for each the rows of its channels, one slice after the other.
    pub(super) fn rows_of_groups<'a>(&self, values: &'a mut [f32]) -> Vec<Vec<&'a mut [f32]>> {
        let groups = self.channels.div_ceil(self.group);
        let mut rows: Vec<_> = (0..groups)
            .map(|_| Vec::with_capacity(self.outer))
            .collect();
        for slice in values.chunks_exact_mut(self.channels * self.inner) {
            for (rows, row) in rows
                .iter_mut()
                .zip(slice.chunks_mut(self.group * self.inner))
            {
                rows.push(row);
            }
        }
        rows
    }

    /// What `part` finds in each segment of each group's channels, merged over the segments, for every channel.
    pub(super) fn of_channels<T: Copy + Default + Send>(
        &self,
        merge: impl Fn(T, T) -> T,
        part: impl Fn(usize, Range<usize>, &mut [T]) + Send + Sync,
    ) -> Vec<T> {
        let groups = self.channels.div_ceil(self.group);
        let mut partials = vec![T::default(); groups * self.segments * self.group];
        let tasks = partials.par_chunks_mut(self.group).enumerate();
        tasks.for_each(|(task, partials)| {
            part(
                task % self.segments,
                self.channels_of(task / self.segments),
                partials,
            );
        });
        (0..self.channels)
            .map(|channel| {
                let first = channel / self.group * self.segments;
                (first..first + self.segments)
                    .map(|task| partials[task * self.group + channel % self.group])
                    .fold(T::default(), &merge)
            })
            .collect()
    }
}
