//! Long contiguous rows, as channels-first tensors have them: lanes walk along the row of one channel.
//!
//! Both stages walk the tensor in the order of memory, a group of neighbouring channels at a time. To take the
//! statistics of one channel over all slices and normalize it while it is in cache reads less, and was measured to take
//! up to twice as long: rows of a few kilobytes, a whole slice apart, are too short for prefetching and far apart for
//! address translation.

use std::ops::Range;

use rayon::prelude::*;

use super::activation::finish;
use super::block::{Block, Coefficients};
use crate::activation::Activation;
use crate::reference::Moments;
use crate::shape::Shape;

/// Values in a block: few enough that f32 sums of them are good to their last bits.
pub(super) const BLOCK: usize = 1024;

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
pub(super) const PIECE: usize = 1 << 16;

/// The moments of each channel.
pub(super) fn statistics(x: &[f32], shape: Shape) -> Vec<Moments> {
    let geometry = Geometry::new(shape);
    geometry.of_channels(Moments::merge, |task| {
        let mut running: Vec<Option<RunningMoments>> =
            geometry.channels_of(task).map(|_| None).collect();
        geometry.walk(task, |index, range| {
            let values = &x[range];
            running[index]
                .get_or_insert_with(|| RunningMoments::new(values))
                .add(values);
        });
        (running.into_iter().flatten())
            .map(RunningMoments::finish)
            .collect()
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
    y.par_chunks_mut(PIECE).enumerate().for_each(|(piece, y)| {
        let start = piece * PIECE;
        for (channel, range) in runs(start..start + y.len(), shape) {
            let y = &mut y[range.start - start..range.end - start];
            coefficients[channel].normalize(&x[range.clone()], y);
            finish(y, residual.map(|residual| &residual[range]), activation);
        }
    });
}

/// The runs of one channel in a range of the tensor: the channel, and the values.
pub(super) fn runs(
    range: Range<usize>,
    shape: Shape,
) -> impl Iterator<Item = (usize, Range<usize>)> {
    let (channels, inner) = (shape.channels() as usize, shape.inner() as usize);
    (range.start / inner..range.end.div_ceil(inner)).map(move |row| {
        let (start, end) = (row * inner, (row + 1) * inner);
        (row % channels, range.start.max(start)..range.end.min(end))
    })
}

/// How a channel's values are cut, by the shape alone.
pub(super) struct Geometry {
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
    pub(super) fn new(shape: Shape) -> Self {
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

    /// The channels that a task is about.
    pub(super) fn channels_of(&self, task: usize) -> Range<usize> {
        let first = task / self.segments * self.group;
        first..self.channels.min(first + self.group)
    }

    /// Calls `row` with every run of values of a task, in the order of memory: the channel, counted from the task's first,
    /// and the range of the values.
    pub(super) fn walk(&self, task: usize, mut row: impl FnMut(usize, Range<usize>)) {
        let segment = task % self.segments;
        let first = segment / self.cuts * self.rows;
        let cut = segment % self.cuts * SEGMENT;
        let len = SEGMENT.min(self.inner - cut);
        for outer in first..self.outer.min(first + self.rows) {
            for (index, channel) in self.channels_of(task).enumerate() {
                let start = (outer * self.channels + channel) * self.inner + cut;
                row(index, start..start + len);
            }
        }
    }

    /// What `part` finds of each of a task's channels, merged over the tasks, for every channel.
    pub(super) fn of_channels<T: Copy + Default + Send>(
        &self,
        merge: impl Fn(T, T) -> T,
        part: impl Fn(usize) -> Vec<T> + Send + Sync,
    ) -> Vec<T> {
        let groups = self.channels.div_ceil(self.group);
        let partials: Vec<Vec<T>> = (0..groups * self.segments)
            .into_par_iter()
            .map(part)
            .collect();
        let merge = &merge;
        partials
            .chunks_exact(self.segments)
            .flat_map(|segments| {
                (0..segments[0].len()).map(move |channel| {
                    (segments.iter()).fold(T::default(), |total, segment| {
                        merge(total, segment[channel])
                    })
                })
            })
            .collect()
    }
}

/// The moments of a channel so far, and the block that is being summed.
struct RunningMoments {
    total: Moments,
    block: Block,
}

impl RunningMoments {
    /// Nothing so far; the center is the mean of the start of the values to come.
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
