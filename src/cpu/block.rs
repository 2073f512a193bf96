//! The two things that are done to every value: summed in a block, and normalized.

use std::array::from_fn;

use fearless_simd::prelude::*;
use fearless_simd::{Simd, f32x8};

use super::Parameters;
use super::state::split;
use crate::reference::Moments;

/// Lanes of a vector: as many on every processor, so that the bits are the same where vectors are narrower.
pub(super) const LANES: usize = 8;

/// Chunks of lanes that are added to one another before they are added to the sums: chains of additions, which round and
/// which take their time, are that much shorter.
const STEP: usize = 8;

/// How often a block's center may be found too far from its mean, and the block summed again.
pub(super) const TRIES: usize = 3;

/// A block is summed again about its mean where the center's distance from it makes up more than this of the sum of
/// squares, as a multiple of the part that is the block's own. What rounding leaves is that much larger at most.
const FAR: f64 = 4.0;

/// A vector of values.
#[inline(always)]
pub(super) fn load<S: Simd>(simd: S, chunk: &[f32; LANES]) -> f32x8<S> {
    simd.load_array_ref_f32x8(chunk)
}

/// Writes a vector of values.
#[inline(always)]
pub(super) fn store<S: Simd>(values: f32x8<S>, chunk: &mut [f32; LANES]) {
    values.simd.store_array_f32x8(values, chunk);
}

/// The sum of a few vectors, by halves.
#[inline(always)]
fn tree<S: Simd>(mut values: [f32x8<S>; STEP]) -> f32x8<S> {
    let mut half = STEP / 2;
    while half > 0 {
        for index in 0..half {
            values[index] += values[index + half];
        }
        half /= 2;
    }
    values[0]
}

/// Two sums over values, in lanes.
#[derive(Clone, Copy, Default)]
pub(super) struct LaneSums([[f32; LANES]; 2]);

impl LaneSums {
    /// Adds the terms of each pair of values of two rows.
    #[inline(always)]
    pub(super) fn add<S: Simd>(
        &mut self,
        simd: S,
        a: &[f32],
        b: &[f32],
        terms: impl Fn(f32x8<S>, f32x8<S>) -> [f32x8<S>; 2],
    ) {
        let b = &b[..a.len()];
        // A row's own sums come first, which keeps chains of additions short.
        let mut sums = [f32x8::splat(simd, 0.0); 2];
        let (a_steps, a_rest) = a.as_chunks::<{ STEP * LANES }>();
        let (b_steps, b_rest) = b.as_chunks::<{ STEP * LANES }>();
        for (a, b) in a_steps.iter().zip(b_steps) {
            let (a, _) = a.as_chunks::<LANES>();
            let (b, _) = b.as_chunks::<LANES>();
            let mut second = [sums[0]; STEP];
            let first = from_fn(
                #[inline(always)]
                |index| {
                    let [one, two] = terms(load(simd, &a[index]), load(simd, &b[index]));
                    second[index] = two;
                    one
                },
            );
            sums[0] += tree(first);
            sums[1] += tree(second);
        }
        let (a_chunks, a_rest) = a_rest.as_chunks::<LANES>();
        let (b_chunks, b_rest) = b_rest.as_chunks::<LANES>();
        for (a, b) in a_chunks.iter().zip(b_chunks) {
            let [one, two] = terms(load(simd, a), load(simd, b));
            sums[0] += one;
            sums[1] += two;
        }
        if !a_rest.is_empty() {
            // The last values of the row that fill a vector, of which those that were added before count no more.
            let rest = a_rest.len();
            let (a, b, counted) = match (a.last_chunk(), b.last_chunk()) {
                (Some(a), Some(b)) => (load(simd, a), load(simd, b), LANES - rest..LANES),
                _ => (padded(simd, a_rest), padded(simd, b_rest), 0..rest),
            };
            let lane = load(simd, &[0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]);
            let counts = lane.simd_ge(f32x8::splat(simd, counted.start as f32))
                & lane.simd_lt(f32x8::splat(simd, counted.end as f32));
            let zero = f32x8::splat(simd, 0.0);
            let [one, two] = terms(a, b);
            sums[0] += counts.select(one, zero);
            sums[1] += counts.select(two, zero);
        }
        for (lanes, sum) in self.0.iter_mut().zip(sums) {
            store(load(simd, lanes) + sum, lanes);
        }
    }

    /// Both sums.
    #[inline(always)]
    pub(super) fn totals(&self) -> [f64; 2] {
        self.0.map(
            #[inline(always)]
            |lanes| {
                let [even, odd] = [0, 1].map(|lane| {
                    let of = |lane: usize| f64::from(lanes[lane]);
                    (of(lane) + of(lane + 4)) + (of(lane + 2) + of(lane + 6))
                });
                even + odd
            },
        )
    }
}

/// Writes to some rows what `each` makes of the values that are there and of those of other rows, of which there are
/// several sets.
#[allow(
    clippy::needless_range_loop,
    reason = "one index goes through all of the rows"
)]
#[inline(always)]
pub(super) fn map<S: Simd, const TO: usize, const FROM: usize, const SETS: usize>(
    simd: S,
    to: [&mut [f32]; TO],
    from: [[&[f32]; FROM]; SETS],
    each: impl Fn([f32x8<S>; TO], [[f32x8<S>; FROM]; SETS]) -> [f32x8<S>; TO],
) {
    let len = to[0].len();
    // The last values that fill a vector, some of which are in the vector before: made before that one is written.
    let last = if len.is_multiple_of(LANES) {
        None
    } else {
        Some(each(
            from_fn(
                #[inline(always)]
                |row| last_lanes(simd, &to[row][..len]),
            ),
            from_fn(
                #[inline(always)]
                |set| {
                    from_fn(
                        #[inline(always)]
                        |row| last_lanes(simd, &from[set][row][..len]),
                    )
                },
            ),
        ))
    };
    let count = len / LANES;
    let from: [[&[[f32; LANES]]; FROM]; SETS] = from_fn(
        #[inline(always)]
        |set| {
            from_fn(
                #[inline(always)]
                |row| &from[set][row].as_chunks().0[..count],
            )
        },
    );
    for index in 0..count {
        let values = each(
            from_fn(
                #[inline(always)]
                |row| load(simd, &to[row].as_chunks().0[index]),
            ),
            from_fn(
                #[inline(always)]
                |set| {
                    from_fn(
                        #[inline(always)]
                        |row| load(simd, &from[set][row][index]),
                    )
                },
            ),
        );
        for row in 0..TO {
            store(values[row], &mut to[row].as_chunks_mut().0[index]);
        }
    }
    if let Some(last) = last {
        for row in 0..TO {
            match to[row][..len].last_chunk_mut() {
                Some(chunk) => store(last[row], chunk),
                None => to[row][..len].copy_from_slice(&last[row].as_slice()[..len]),
            }
        }
    }
}

/// The last values of a row: as many as fill a vector, or all and zeros.
#[inline(always)]
fn last_lanes<S: Simd>(simd: S, row: &[f32]) -> f32x8<S> {
    match row.last_chunk() {
        Some(chunk) => load(simd, chunk),
        None => padded(simd, row),
    }
}

/// Fewer values than fill a vector, and zeros.
#[inline(always)]
fn padded<S: Simd>(simd: S, values: &[f32]) -> f32x8<S> {
    let mut chunk = [0.0; LANES];
    chunk[..values.len()].copy_from_slice(values);
    load(simd, &chunk)
}

/// Sums of `x - center` and of its square, over the values of one block of one channel.
pub(super) struct Block {
    center: f32,
    count: usize,
    sums: LaneSums,
}

impl Block {
    /// An empty block. The nearer the center is to the block's mean, the less of the variance cancels.
    #[inline(always)]
    fn new(center: f32) -> Self {
        Self {
            center,
            count: 0,
            sums: LaneSums::default(),
        }
    }

    /// An empty block about the mean of the first few of its values.
    #[inline(always)]
    pub(super) fn about_start(values: &[f32]) -> Self {
        let first = values[0];
        let sample = values.first_chunk::<LANES>();
        let sum = sample.map_or(0.0, |sample| {
            let of = |lane: usize| sample[lane] - first;
            ((of(0) + of(4)) + (of(2) + of(6))) + ((of(1) + of(5)) + (of(3) + of(7)))
        });
        Self::new(first + sum * (1.0 / LANES as f32))
    }

    /// Adds the values of one row.
    #[inline(always)]
    pub(super) fn add<S: Simd>(&mut self, simd: S, values: &[f32]) {
        let center = f32x8::splat(simd, self.center);
        self.sums.add(
            simd,
            values,
            values,
            #[inline(always)]
            |x, _| {
                let deviation = x - center;
                [deviation, deviation * deviation]
            },
        );
        self.count += values.len();
    }

    /// The moments of the block; `again` adds all of its values to an empty one about another center, where this one's
    /// was too far from the mean.
    #[inline(always)]
    pub(super) fn moments(&self, mut again: impl FnMut(&mut Self)) -> Moments {
        let (mut moments, mut far) = self.about_center();
        for _ in 1..TRIES {
            if !far {
                break;
            }
            let mut block = Self::new(moments.mean as f32);
            again(&mut block);
            (moments, far) = block.about_center();
        }
        moments
    }

    /// The moments of the block, and whether its center is too far from the mean.
    #[inline(always)]
    fn about_center(&self) -> (Moments, bool) {
        let [sum, square] = self.sums.totals();
        let offset = sum / self.count as f64;
        let m2 = not_negative(square - offset * sum);
        let moments = Moments {
            count: self.count as u64,
            mean: f64::from(self.center) + offset,
            m2,
        };
        (moments, is_far(offset * sum, m2))
    }
}

/// Whether a center is too far from the mean, by what the distance adds to the sum of squares, and the sum about the mean.
#[inline(always)]
pub(super) fn is_far(added: f64, m2: f64) -> bool {
    added > FAR * m2
}

/// A sum of squares less what the center's distance from the mean added to it: rounding may leave less than nothing.
/// A NaN stays one.
#[inline(always)]
pub(super) fn not_negative(m2: f64) -> f64 {
    if m2 < 0.0 { 0.0 } else { m2 }
}

/// What normalization does to a channel: `y = (x - hi) * scale + shift`.
#[derive(Clone, Copy)]
pub(super) struct Coefficients {
    pub(super) hi: f32,
    pub(super) scale: f32,
    pub(super) shift: f32,
}

impl Coefficients {
    /// The coefficients of a channel with this mean and `1 / sqrt(variance + epsilon)`.
    pub(super) fn new(mean: f64, invstd: f64, parameters: Parameters<'_>, channel: usize) -> Self {
        let (hi, lo) = split(mean);
        let scale = parameters.gamma(channel) * invstd;
        Self {
            hi,
            scale: scale as f32,
            shift: (parameters.beta(channel) - f64::from(lo) * scale) as f32,
        }
    }

    /// Normalizes a run of one channel.
    #[inline(always)]
    pub(super) fn normalize<S: Simd>(self, simd: S, x: &[f32], y: &mut [f32]) {
        let hi = f32x8::splat(simd, self.hi);
        let scale = f32x8::splat(simd, self.scale);
        let shift = f32x8::splat(simd, self.shift);
        map(
            simd,
            [y],
            [[x]],
            #[inline(always)]
            |_, [[x]]| [(x - hi) * scale + shift],
        );
    }
}
