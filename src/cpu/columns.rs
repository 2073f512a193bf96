//! Short rows, as channels-last and 2-D tensors have them: whole slices are walked across, each lane with a column.
//!
//! The tensor is a matrix of `outer` rows and `channels * inner` columns, and column j belongs to channel
//! `j / inner`. Several slices are taken as one row where they are narrow, which changes nothing but the number of
//! columns of a channel.

use std::ops::Range;

use rayon::prelude::*;

use super::activation::finish;
use super::block::{Coefficients, not_negative};
use crate::activation::Activation;
use crate::reference::Moments;
use crate::shape::Shape;

/// Columns of a row at least: narrower slices are taken several at a time.
const NARROW: usize = 256;

/// Columns of a task: their sums fit the first-level cache, beside the rows that pass through.
pub(super) const WIDE: usize = 512;

/// Rows of a block: few enough that f32 sums of them are good to their last bits.
pub(super) const BLOCK: usize = 64;

/// Rows of a segment, the unit of work and of merging.
pub(super) const SEGMENT: usize = 512;

/// Rows that are added at once: the sums are loaded and stored once for all of them.
pub(super) const STEP: usize = 8;

/// Values of a task of normalization.
const PIECE: usize = 1 << 16;

/// Columns of a row: the width of one slice, or of as many as make a row wide enough.
pub(super) fn row_width(shape: Shape) -> usize {
    let slice = (shape.channels() * shape.inner()) as usize;
    slice * NARROW.div_ceil(slice).min(shape.outer() as usize)
}

/// The moments of each channel.
pub(super) fn statistics(x: &[f32], shape: Shape) -> Vec<Moments> {
    let width = row_width(shape);
    let bands = width.div_ceil(WIDE);
    let (inner, channels) = (shape.inner() as usize, shape.channels() as usize);
    let whole = x.len() / width;
    let segments = whole.div_ceil(SEGMENT);

    let partials: Vec<Vec<Moments>> = (0..segments * bands)
        .into_par_iter()
        .map(|task| {
            let (segment, band) = (task / bands, task % bands);
            let rows = &x[segment * SEGMENT * width..whole.min((segment + 1) * SEGMENT) * width];
            let start = band * WIDE;
            column_moments(rows, width, start, width.min(start + WIDE))
        })
        .collect();

    let mut moments = vec![Moments::default(); channels];
    let mut merge = |column: usize, part: Moments| {
        let channel = &mut moments[column / inner % channels];
        *channel = channel.merge(part);
    };
    for (task, partial) in partials.iter().enumerate() {
        let start = task % bands * WIDE;
        for (column, part) in partial.iter().enumerate() {
            merge(start + column, *part);
        }
    }
    // The slices that do not fill a row.
    for (column, &value) in x[whole * width..].iter().enumerate() {
        let mean = f64::from(value);
        // The deviation from itself, which an infinity does not have.
        let m2 = if value.is_finite() { 0.0 } else { f64::NAN };
        merge(column, Moments { count: 1, mean, m2 });
    }
    moments
}

/// The moments of columns `start..end` over some rows.
fn column_moments(rows: &[f32], width: usize, start: usize, end: usize) -> Vec<Moments> {
    let row = |index: usize| &rows[index * width + start..index * width + end];
    let count = rows.len() / width;
    let mut block = BlockSums::new(row(0));

    // The mean of the first rows is the center of the first block.
    let mut sample = ColumnMoments::new(end - start);
    let last = count.min(STEP);
    block.add_rows(row, 0..last);
    sample.merge(&mut block, last);

    let mut total = ColumnMoments::new(end - start);
    for first in (0..count).step_by(BLOCK) {
        let last = count.min(first + BLOCK);
        block.add_rows(row, first..last);
        total.merge(&mut block, last - first);
    }
    total.finish()
}

/// Sums of `x - center` and of its square over the rows of a block, for each of some columns.
struct BlockSums {
    center: Vec<f32>,
    sum: Vec<f32>,
    square: Vec<f32>,
}

impl BlockSums {
    fn new(center: &[f32]) -> Self {
        Self {
            center: center.to_vec(),
            sum: vec![0.0; center.len()],
            square: vec![0.0; center.len()],
        }
    }

    fn add_rows<'a>(&mut self, row: impl Fn(usize) -> &'a [f32], range: Range<usize>) {
        let mut index = range.start;
        while index + STEP <= range.end {
            let rows: [&[f32]; STEP] = std::array::from_fn(|step| row(index + step));
            add(rows, &self.center, &mut self.sum, &mut self.square);
            index += STEP;
        }
        for index in index..range.end {
            add([row(index)], &self.center, &mut self.sum, &mut self.square);
        }
    }
}

/// The moments of some columns, which all have the same count.
struct ColumnMoments {
    count: usize,
    mean: Vec<f64>,
    m2: Vec<f64>,
}

impl ColumnMoments {
    fn new(columns: usize) -> Self {
        Self {
            count: 0,
            mean: vec![0.0; columns],
            m2: vec![0.0; columns],
        }
    }

    /// [`Moments::merge`] with the block of as many `rows`, column by column. The block is empty then, its center the
    /// mean so far.
    fn merge(&mut self, block: &mut BlockSums, rows: usize) {
        let count = self.count + rows;
        let share = rows as f64 / count as f64;
        let weight = self.count as f64 * share;
        let reciprocal = 1.0 / rows as f64;
        let columns = self.mean.len();
        let (mean, m2) = (&mut self.mean[..], &mut self.m2[..columns]);
        let center = &mut block.center[..columns];
        let (sum, square) = (&mut block.sum[..columns], &mut block.square[..columns]);
        for column in 0..columns {
            let offset = f64::from(sum[column]) * reciprocal;
            let block_m2 = f64::from(square[column]) - offset * f64::from(sum[column]);
            let delta = f64::from(center[column]) + offset - mean[column];
            mean[column] += delta * share;
            m2[column] += not_negative(block_m2) + delta * delta * weight;
            center[column] = mean[column] as f32;
            (sum[column], square[column]) = (0.0, 0.0);
        }
        self.count = count;
    }

    fn finish(self) -> Vec<Moments> {
        let count = self.count as u64;
        (self.mean.into_iter().zip(self.m2))
            .map(|(mean, m2)| Moments { count, mean, m2 })
            .collect()
    }
}

/// Adds some rows to the sums of their columns. Never inlined: as arguments the slices are known not to overlap, and
/// the loop becomes vectors.
#[inline(never)]
fn add<const ROWS: usize>(
    rows: [&[f32]; ROWS],
    center: &[f32],
    sum: &mut [f32],
    square: &mut [f32],
) {
    let columns = sum.len();
    let rows = rows.map(|row| &row[..columns]);
    let (center, square) = (&center[..columns], &mut square[..columns]);
    for column in 0..columns {
        let (mut s, mut q) = (sum[column], square[column]);
        for row in rows {
            let deviation = row[column] - center[column];
            s += deviation;
            q += deviation * deviation;
        }
        (sum[column], square[column]) = (s, q);
    }
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
    let width = row_width(shape);
    let columns = ColumnCoefficients::new(shape, coefficients);
    let piece = piece_len(width);
    y.par_chunks_mut(piece).enumerate().for_each(|(index, y)| {
        for (row, y) in y.chunks_mut(width).enumerate() {
            let start = index * piece + row * width;
            let range = start..start + y.len();
            columns.normalize(0, &x[range.clone()], y);
            finish(y, residual.map(|residual| &residual[range]), activation);
        }
    });
}

/// Values of a task that writes the tensor: whole rows of about [`PIECE`] values.
pub(super) fn piece_len(width: usize) -> usize {
    (PIECE / width).max(1) * width
}

/// A value for each column of a row.
pub(super) fn per_column<T>(shape: Shape, of_channels: &[T], part: impl Fn(&T) -> f32) -> Vec<f32> {
    let inner = shape.inner() as usize;
    (0..row_width(shape))
        .map(|column| part(&of_channels[column / inner % of_channels.len()]))
        .collect()
}

/// The coefficients of each column.
pub(super) struct ColumnCoefficients {
    pub(super) hi: Vec<f32>,
    scale: Vec<f32>,
    shift: Vec<f32>,
}

impl ColumnCoefficients {
    pub(super) fn new(shape: Shape, coefficients: &[Coefficients]) -> Self {
        Self {
            hi: per_column(shape, coefficients, |channel| channel.hi),
            scale: per_column(shape, coefficients, |channel| channel.scale),
            shift: per_column(shape, coefficients, |channel| channel.shift),
        }
    }

    /// Normalizes a run of neighbouring columns of one row, the first of them `start`.
    pub(super) fn normalize(&self, start: usize, x: &[f32], y: &mut [f32]) {
        let columns = start..start + x.len();
        normalize_row(
            x,
            y,
            &self.hi[columns.clone()],
            &self.scale[columns.clone()],
            &self.shift[columns],
        );
    }
}

/// Never inlined, as [`add`].
#[inline(never)]
fn normalize_row(x: &[f32], y: &mut [f32], hi: &[f32], scale: &[f32], shift: &[f32]) {
    let columns = x.len();
    let (y, hi) = (&mut y[..columns], &hi[..columns]);
    let (scale, shift) = (&scale[..columns], &shift[..columns]);
    for column in 0..columns {
        y[column] = (x[column] - hi[column]) * scale[column] + shift[column];
    }
}
