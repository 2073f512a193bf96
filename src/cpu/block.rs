//! The two things that are done to every value: summed in a block, and normalized.

use super::Parameters;
use super::state::split;
use crate::reference::Moments;

/// Independent f32 accumulators per sum. They hide the latency of addition, shorten the chains that round, and are
/// the same on every processor: a wider vector unit takes fewer turns for the same bits.
pub(super) const LANES: usize = 16;

/// Sums of `x - center` and of its square, over the values of one block of one channel.
pub(super) struct Block {
    center: f32,
    count: u64,
    sum: [f32; LANES],
    square: [f32; LANES],
}

impl Block {
    /// An empty block. The nearer the center is to the block's mean, the less of the variance cancels.
    pub(super) fn new(center: f32) -> Self {
        Self {
            center,
            count: 0,
            sum: [0.0; LANES],
            square: [0.0; LANES],
        }
    }

    /// The number of values so far.
    pub(super) fn count(&self) -> u64 {
        self.count
    }

    /// Adds values.
    pub(super) fn add(&mut self, values: &[f32]) {
        let (chunks, rest) = values.as_chunks::<LANES>();
        // The center deviates by nothing from itself, so it fills the lanes that are left.
        let mut last = [self.center; LANES];
        last[..rest.len()].copy_from_slice(rest);

        // Local copies stay in registers over the loop; fields, behind a reference, do not.
        let (center, mut sum, mut square) = (self.center, self.sum, self.square);
        let mut add = |chunk: &[f32; LANES]| {
            for lane in 0..LANES {
                let deviation = chunk[lane] - center;
                sum[lane] += deviation;
                square[lane] += deviation * deviation;
            }
        };
        chunks.iter().for_each(&mut add);
        add(&last);
        (self.sum, self.square) = (sum, square);
        self.count += values.len() as u64;
    }

    /// The moments of the block.
    pub(super) fn moments(&self) -> Moments {
        let (sum, square) = (total(&self.sum), total(&self.square));
        let offset = sum / self.count as f64;
        Moments {
            count: self.count,
            mean: f64::from(self.center) + offset,
            m2: not_negative(square - offset * sum),
        }
    }
}

/// The sum of the lanes, by halves: a chain of additions would take as long as many values do.
pub(super) fn total(lanes: &[f32; LANES]) -> f64 {
    let mut lanes = lanes.map(f64::from);
    let mut half = LANES / 2;
    while half > 0 {
        for lane in 0..half {
            lanes[lane] += lanes[lane + half];
        }
        half /= 2;
    }
    lanes[0]
}

/// A sum of squares less what the center's distance from the mean added to it: rounding may leave less than nothing.
/// A NaN stays one.
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
    pub(super) fn normalize(self, x: &[f32], y: &mut [f32]) {
        for (y, &x) in y.iter_mut().zip(x) {
            *y = (x - self.hi) * self.scale + self.shift;
        }
    }
}
