//! Long contiguous rows, as channels-first tensors have them: lanes walk along the row of one channel.
//!
//! Both stages walk the tensor in the order of memory, a group of neighbouring channels at a time. To take the
//! statistics of one channel over all slices and normalize it while it is in cache reads less, and was measured to take
//! up to twice as long: rows of a few kilobytes, a whole slice apart, are too short for prefetching and far apart for
//! address translation.

use std::ops::Range;

use rayon::prelude::*;

use super::block::{Block, Coefficients};
use crate::reference::Moments;
use crate::shape::Shape;

/// Values in a block: few enough that f32 sums of them are good to their last bits.
const BLOCK: usize = 1024;

/// A block's values to those before it, at most: the mean so far is the block's center, and where it was taken from few
/// values that are unlike the rest, it is far from many.
const GROWTH: u64 = 8;

/// Values whose mean is the center of a segment's first block.
const SAMPLE: usize = 256;

/// Values in a segment, the unit of merging: many in a large channel, for many threads.
const SEGMENT: usize = 1 << 14;

/// Values of a task of statistics.
const TASK: usize = 1 << 17;

/// Values of a task of normalization.
const PIECE: usize = 1 << 16;

/// The moments of each channel.
pub(super) fn statistics(x: &[f32], shape: Shape) -> Vec<Moments> {
    let geometry = Geometry::new(shape);
    let partials: Vec<Vec<Moments>> = (0..geometry.groups() * geometry.segments)
        .into_par_iter()
        .map(|task| {
            let (group, segment) = (task / geometry.segments, task % geometry.segments);
            geometry.segment_moments(x, geometry.group(group), segment)
        })
        .collect();
    partials
        .chunks_exact(geometry.segments)
        .flat_map(|segments| {
            (0..segments[0].len()).map(move |channel| {
                (segments.iter()).fold(Moments::default(), |total, segment| {
                    total.merge(segment[channel])
                })
            })
        })
        .collect()
}

/// The coefficients of each channel applied, in pieces of the whole tensor.
pub(super) fn normalize(x: &[f32], y: &mut [f32], shape: Shape, coefficients: &[Coefficients]) {
    let inner = shape.inner() as usize;
    y.par_chunks_mut(PIECE)
        .zip(x.par_chunks(PIECE))
        .enumerate()
        .for_each(|(piece, (mut y, mut x))| {
            let start = piece * PIECE;
            let mut channel = start / inner % coefficients.len();
            let mut left = inner - start % inner;
            while !x.is_empty() {
                let (x_row, x_rest) = x.split_at(left.min(x.len()));
                let (y_row, y_rest) = y.split_at_mut(x_row.len());
                coefficients[channel].normalize(x_row, y_row);
                (x, y) = (x_rest, y_rest);
                channel = (channel + 1) % coefficients.len();
                left = inner;
            }
        });
}

/// How a channel's values are cut, by the shape alone.
struct Geometry {
    outer: usize,
    channels: usize,
    inner: usize,
    /// Segments of each channel.
    segments: usize,
    /// Segments of each row, where rows are longer than a segment; else 1.
    cuts: usize,
    /// Rows of each segment, where rows are shorter; else 1.
    rows: usize,
    /// Channels of a task.
    group: usize,
}

impl Geometry {
    fn new(shape: Shape) -> Self {
        let (outer, inner) = (shape.outer() as usize, shape.inner() as usize);
        let cuts = inner.div_ceil(SEGMENT);
        let rows = (SEGMENT / inner).clamp(1, outer);
        Self {
            outer,
            channels: shape.channels() as usize,
            inner,
            segments: outer.div_ceil(rows) * cuts,
            cuts,
            rows,
            group: (TASK / (rows * inner.min(SEGMENT))).clamp(1, shape.channels() as usize),
        }
    }

    /// The values of a channel in one outer slice.
    fn row<'a>(&self, x: &'a [f32], outer: usize, channel: usize) -> &'a [f32] {
        let start = (outer * self.channels + channel) * self.inner;
        &x[start..start + self.inner]
    }

    fn groups(&self) -> usize {
        self.channels.div_ceil(self.group)
    }

    fn group(&self, index: usize) -> Range<usize> {
        index * self.group..self.channels.min((index + 1) * self.group)
    }

    /// The moments of one segment of each of some neighbouring channels, walked in the order of memory.
    fn segment_moments(&self, x: &[f32], channels: Range<usize>, segment: usize) -> Vec<Moments> {
        let first = segment / self.cuts * self.rows;
        let start = segment % self.cuts * SEGMENT;
        let end = self.inner.min(start + SEGMENT);
        let mut running: Vec<RunningMoments> = channels
            .clone()
            .map(|channel| RunningMoments::new(&self.row(x, first, channel)[start..end]))
            .collect();
        for outer in first..self.outer.min(first + self.rows) {
            for (running, channel) in running.iter_mut().zip(channels.clone()) {
                running.add(&self.row(x, outer, channel)[start..end]);
            }
        }
        running.into_iter().map(RunningMoments::finish).collect()
    }
}

/// The moments of a channel so far, and the block that is being summed.
struct RunningMoments {
    total: Moments,
    block: Block,
}

impl RunningMoments {
    /// Nothing so far; the first block's center is the mean of the start of the values to come.
    fn new(values: &[f32]) -> Self {
        let sample = &values[..values.len().min(SAMPLE)];
        let mut block = Block::new(sample[0]);
        block.add(sample);
        Self {
            total: Moments::default(),
            block: Block::new(block.moments().mean as f32),
        }
    }

    fn add(&mut self, values: &[f32]) {
        for piece in values.chunks(BLOCK) {
            self.block.add(piece);
            if self.block.count() >= (GROWTH * self.total.count).min(BLOCK as u64) {
                self.total = self.total.merge(self.block.moments());
                self.block = Block::new(self.total.mean as f32);
            }
        }
    }

    fn finish(self) -> Moments {
        if self.block.count() == 0 {
            self.total
        } else {
            self.total.merge(self.block.moments())
        }
    }
}
