//! Short rows, as channels-last and 2-D tensors have them: whole slices are walked across, each lane with a column.
//!
//! The tensor is a matrix of `outer` rows and `channels * inner` columns, and column j belongs to channel
//! `j / inner`. Several slices are taken as one row where they are narrow, which changes nothing but the number of
//! columns of a channel.

use std::ops::Range;

use fearless_simd::{Simd, f32x8};
use rayon::prelude::*;

use super::activation::finish;
use super::block::{Coefficients, TRIES, is_far, map, not_negative};
use crate::activation::Activation;
use crate::reference::Moments;
use crate::shape::Shape;

/// Columns of a row at least: narrower slices are taken several at a time.
const NARROW: usize = 256;

/// Values of a tensor that is in cache, about. It is worth loading sums less often, by reading several rows at once. A
/// larger one is best read in the order of memory.
const CACHED: u64 = 1 << 21;

/// Rows of a tensor in cache that are read at once.
const STEP: usize = 4;

/// Columns of a task on a tensor in cache: many tasks.
const BAND: usize = 512;

/// Columns of a task on a larger one. Their sums are to stay in the first-level cache.
const WIDE_BAND: usize = 2048;

/// Rows of a block: few enough that f32 sums of them are good to their last bits.
const BLOCK: usize = 64;

/// Rows of a segment, the unit of work and of merging: as many blocks as a block has rows at most, since their sums are
/// summed in f32 too.
const SEGMENT: usize = 512;

/// Rows whose mean is the center of a segment at first.
const SAMPLE: usize = 8;

/// Values of a task of normalization.
const PIECE: usize = 1 << 15;

/// Columns of a row: the width of one slice, or of as many as make a row wide enough.
pub(super) fn row_width(shape: Shape) -> usize {
    let slice = (shape.channels() * shape.inner()) as usize;
    slice * NARROW.div_ceil(slice).min(shape.outer() as usize)
}

/// A part of the matrix, the unit of work: all of its columns are in one band, and all of its rows in one segment.
pub(super) struct Part {
    width: usize,
    pub(super) rows: Range<usize>,
    pub(super) columns: Range<usize>,
    in_cache: bool,
}

impl Part {
    /// The values of one row.
    #[inline(always)]
    pub(super) fn row(&self, row: usize) -> Range<usize> {
        row * self.width + self.columns.start..row * self.width + self.columns.end
    }
}

/// Two numbers for each column, which `of_part` finds for every part: an entry for every segment.
pub(super) fn of_columns(
    shape: Shape,
    of_part: impl Fn(Part, [&mut [f64]; 2]) + Send + Sync,
) -> Vec<[Vec<f64>; 2]> {
    let width = row_width(shape);
    let rows = shape.len() as usize / width;
    let mut segments: Vec<[Vec<f64>; 2]> = (0..rows.div_ceil(SEGMENT))
        .map(|_| [vec![0.0; width], vec![0.0; width]])
        .collect();
    let in_cache = shape.len() <= CACHED;
    let band = if in_cache { BAND } else { WIDE_BAND };
    let tasks: Vec<_> = (segments.iter_mut().enumerate())
        .flat_map(|(segment, [first, second])| {
            let rows = segment * SEGMENT..rows.min((segment + 1) * SEGMENT);
            let bands = first.chunks_mut(band).zip(second.chunks_mut(band));
            bands.enumerate().map(move |(index, (first, second))| {
                let columns = index * band..index * band + first.len();
                let rows = rows.clone();
                (
                    Part {
                        width,
                        rows,
                        columns,
                        in_cache,
                    },
                    [first, second],
                )
            })
        })
        .collect();
    tasks
        .into_par_iter()
        .for_each(|(part, to)| of_part(part, to));
    segments
}

/// The moments of each channel.
pub(super) fn statistics(x: &[f32], shape: Shape) -> Vec<Moments> {
    let segments = of_columns(shape, |part, [mean, m2]| {
        vectorized!(simd => part_moments(simd, x, &part, mean, m2));
    });
    let width = row_width(shape);
    let rows = x.len() / width;
    let mut mean = vec![0.0; width];
    let mut m2 = vec![0.0; width];
    for (segment, [part_mean, part_m2]) in segments.iter().enumerate() {
        let before = segment * SEGMENT;
        let count = rows.min(before + SEGMENT) - before;
        let share = count as f64 / (before + count) as f64;
        let weight = before as f64 * share;
        vectorized!(_simd => merge_columns(&mut mean, &mut m2, part_mean, part_m2, share, weight));
    }
    let count = rows as u64;
    let (inner, channels) = (shape.inner() as usize, shape.channels() as usize);
    let columns = mean.into_iter().zip(m2);
    let columns = columns.map(|(mean, m2)| Moments { count, mean, m2 });
    // The slices that do not fill a row.
    let values = x[rows * width..].iter().map(|&value| Moments {
        count: 1,
        mean: f64::from(value),
        // The deviation from itself, which an infinity does not have.
        m2: if value.is_finite() { 0.0 } else { f64::NAN },
    });
    if width == channels && x.len() == rows * width {
        return columns.collect();
    }
    let mut moments = vec![Moments::default(); channels];
    for (column, part) in columns.enumerate().chain(values.enumerate()) {
        let channel = &mut moments[column / inner % channels];
        *channel = channel.merge(part);
    }
    moments
}

/// [`Moments::merge`], column by column: `share` is that of the part's count in the whole, and `weight` that times the
/// count before.
#[inline(always)]
fn merge_columns(
    mean: &mut [f64],
    m2: &mut [f64],
    part_mean: &[f64],
    part_m2: &[f64],
    share: f64,
    weight: f64,
) {
    let parts = part_mean.iter().zip(part_m2);
    for ((mean, m2), (part_mean, part_m2)) in mean.iter_mut().zip(m2).zip(parts) {
        let delta = part_mean - *mean;
        *mean += delta * share;
        *m2 += part_m2 + delta * delta * weight;
    }
}

/// The mean of each column of a part, and the sum of squared deviations from it.
#[inline(always)]
fn part_moments<S: Simd>(simd: S, x: &[f32], part: &Part, mean: &mut [f64], m2: &mut [f64]) {
    let rows = part.rows.clone();
    let sample = rows.start..rows.end.min(rows.start + SAMPLE);
    let mut center = x[part.row(rows.start)].to_vec();
    let mut sums = ColumnSums::new(center.len());
    sums.add_deviations(simd, x, part, sample.clone(), &center);
    sums.moments(&center, sample.len(), mean, m2);
    for _ in 0..TRIES {
        for (center, mean) in center.iter_mut().zip(&*mean) {
            *center = *mean as f32;
        }
        sums.clear();
        sums.add_deviations(simd, x, part, rows.clone(), &center);
        if !sums.moments(&center, rows.len(), mean, m2) {
            break;
        }
    }
}

/// Two sums over the rows of a segment, for each of some columns.
pub(super) struct ColumnSums {
    /// Those of the block that is being summed.
    block: [Vec<f32>; 2],
    /// Those of the blocks before.
    total: [Vec<f32>; 2],
    /// Rows of the block.
    rows: usize,
}

impl ColumnSums {
    pub(super) fn new(columns: usize) -> Self {
        Self {
            block: [vec![0.0; columns], vec![0.0; columns]],
            total: [vec![0.0; columns], vec![0.0; columns]],
            rows: 0,
        }
    }

    fn clear(&mut self) {
        self.rows = 0;
        for sums in self.block.iter_mut().chain(&mut self.total) {
            sums.fill(0.0);
        }
    }

    /// Adds the terms of each column in some rows of the tensor, which `terms` makes of the values of a set of rows.
    #[inline(always)]
    pub(super) fn add<S: Simd, const ROWS: usize, const SETS: usize>(
        &mut self,
        simd: S,
        rows: [[&[f32]; ROWS]; SETS],
        terms: impl Fn([f32x8<S>; ROWS]) -> [f32x8<S>; 2],
    ) {
        let [first, second] = &mut self.block;
        map(
            simd,
            [first, second],
            rows,
            #[inline(always)]
            |[first, second], values| {
                let mut sums = values.map(&terms);
                let mut half = SETS / 2;
                while half > 0 {
                    for set in 0..half {
                        let [one, two] = sums[set + half];
                        sums[set] = [sums[set][0] + one, sums[set][1] + two];
                    }
                    half /= 2;
                }
                [first + sums[0][0], second + sums[0][1]]
            },
        );
        self.rows += SETS;
        if self.rows >= BLOCK {
            self.end_block();
        }
    }

    /// Adds `x - center` and its square, for each column of some rows of a part.
    #[inline(always)]
    fn add_deviations<S: Simd>(
        &mut self,
        simd: S,
        x: &[f32],
        part: &Part,
        rows: Range<usize>,
        center: &[f32],
    ) {
        let terms = |[x, center]: [f32x8<S>; 2]| {
            let deviation = x - center;
            [deviation, deviation * deviation]
        };
        let set = |row| [&x[part.row(row)], center];
        let steps = if part.in_cache { rows.len() / STEP } else { 0 };
        for step in 0..steps {
            let first = rows.start + step * STEP;
            let sets: [_; STEP] = std::array::from_fn(|row| set(first + row));
            self.add(simd, sets, terms);
        }
        for row in rows.start + steps * STEP..rows.end {
            self.add(simd, [set(row)], terms);
        }
    }

    fn end_block(&mut self) {
        for (total, block) in self.total.iter_mut().zip(&mut self.block) {
            for (total, block) in total.iter_mut().zip(block) {
                *total += *block;
                *block = 0.0;
            }
        }
        self.rows = 0;
    }

    /// Both sums.
    pub(super) fn totals(&mut self) -> &[Vec<f32>; 2] {
        self.end_block();
        &self.total
    }

    /// The moments of each column from the sums over as many rows of `x - center` and of its square. Whether a center is
    /// too far from its mean.
    #[inline(always)]
    fn moments(&mut self, center: &[f32], rows: usize, mean: &mut [f64], m2: &mut [f64]) -> bool {
        let reciprocal = 1.0 / rows as f64;
        let [sum, square] = self.totals();
        let columns = mean.len();
        let (m2, center) = (&mut m2[..columns], &center[..columns]);
        let (sum, square) = (&sum[..columns], &square[..columns]);
        let mut far = false;
        for column in 0..columns {
            let sum = f64::from(sum[column]);
            let offset = sum * reciprocal;
            mean[column] = f64::from(center[column]) + offset;
            m2[column] = not_negative(f64::from(square[column]) - offset * sum);
            far |= is_far(offset * sum, m2[column]);
        }
        far
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
        vectorized!(simd => {
            for (row, y) in y.chunks_mut(width).enumerate() {
                let start = index * piece + row * width;
                let range = start..start + y.len();
                columns.normalize(simd, 0, &x[range.clone()], y);
                finish(y, residual.map(|residual| &residual[range]), activation);
            }
        });
    });
}

/// Values of a task that writes the tensor: whole rows of about [`PIECE`] values.
pub(super) fn piece_len(width: usize) -> usize {
    (PIECE / width).max(1) * width
}

/// A value for each column of a row.
pub(super) fn per_column<T>(shape: Shape, of_channels: &[T], part: impl Fn(&T) -> f32) -> Vec<f32> {
    let slice: Vec<f32> = match shape.inner() as usize {
        1 => of_channels.iter().map(part).collect(),
        inner => (of_channels.iter())
            .flat_map(|channel| std::iter::repeat_n(part(channel), inner))
            .collect(),
    };
    slice.repeat(row_width(shape) / slice.len())
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
    #[inline(always)]
    pub(super) fn normalize<S: Simd>(&self, simd: S, start: usize, x: &[f32], y: &mut [f32]) {
        map(
            simd,
            [y],
            [[
                x,
                &self.hi[start..],
                &self.scale[start..],
                &self.shift[start..],
            ]],
            #[inline(always)]
            |_, [[x, hi, scale, shift]]| [(x - hi) * scale + shift],
        );
    }
}
