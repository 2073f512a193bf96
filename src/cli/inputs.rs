//! Inputs that are the same on every run: pseudo-random tensors, and the ones that break careless statistics.
//!
//! This file uses nothing of the crate, so that the tests can include it as well.

/// PCG-XSH-RR 64/32 (O'Neill, 2014), enough of it to draw normally distributed values.
pub struct Random {
    state: u64,
    spare: Option<f64>,
}

impl Random {
    /// A sequence of its own for each seed.
    pub fn new(seed: u64) -> Self {
        let mut random = Self {
            state: seed.wrapping_add(0x9e37_79b9_7f4a_7c15),
            spare: None,
        };
        random.bits();
        random
    }

    fn bits(&mut self) -> u32 {
        let old = self.state;
        self.state = old
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let mixed = (((old >> 18) ^ old) >> 27) as u32;
        mixed.rotate_right((old >> 59) as u32)
    }

    /// Uniform in (0, 1).
    pub fn uniform(&mut self) -> f64 {
        (f64::from(self.bits()) + 0.5) / 4_294_967_296.0
    }

    /// Normally distributed with mean 0 and standard deviation 1 (Box and Muller, 1958).
    pub fn normal(&mut self) -> f64 {
        if let Some(spare) = self.spare.take() {
            return spare;
        }
        let radius = (-2.0 * self.uniform().ln()).sqrt();
        let (sine, cosine) = (std::f64::consts::TAU * self.uniform()).sin_cos();
        self.spare = Some(radius * sine);
        radius * cosine
    }

    /// A vector of uniform values in `low` to `high`.
    pub fn vector(&mut self, len: usize, low: f32, high: f32) -> Vec<f32> {
        (0..len)
            .map(|_| low + (high - low) * self.uniform() as f32)
            .collect()
    }
}

/// What the values of a channel look like.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Distribution {
    /// Normally distributed.
    Normal {
        /// The mean.
        mean: f64,
        /// The standard deviation.
        deviation: f64,
    },
    /// All values are this one.
    Constant(f32),
    /// The channel's first value is this one, the others are normally distributed with standard deviation 1.
    Outlier {
        /// The first value.
        first: f32,
        /// The mean of the others.
        mean: f64,
    },
}

impl Distribution {
    /// The distributions that sums of squares, shifted sums, Welford's update or a mean in one part lose the result of.
    pub const HARD: [(&'static str, Self); 7] = [
        (
            "mean 0, deviation 1",
            Self::Normal {
                mean: 0.0,
                deviation: 1.0,
            },
        ),
        (
            "mean 1e4, deviation 1",
            Self::Normal {
                mean: 1e4,
                deviation: 1.0,
            },
        ),
        (
            "mean 1e4, deviation 0.01",
            Self::Normal {
                mean: 1e4,
                deviation: 0.01,
            },
        ),
        (
            "mean 1e6, deviation 1",
            Self::Normal {
                mean: 1e6,
                deviation: 1.0,
            },
        ),
        ("constant 1e6 + 0.3125", Self::Constant(1e6 + 0.3125)),
        (
            "first value 1e6, then mean 0",
            Self::Outlier {
                first: 1e6,
                mean: 0.0,
            },
        ),
        (
            "first value 0, then mean 1e4",
            Self::Outlier {
                first: 0.0,
                mean: 1e4,
            },
        ),
    ];

    /// Fills a tensor of `outer` slices of `channels` rows of `inner` values.
    pub fn fill(self, seed: u64, outer: usize, channels: usize, inner: usize) -> Vec<f32> {
        let mut random = Random::new(seed);
        let mut draw = |mean: f64, deviation: f64| (mean + deviation * random.normal()) as f32;
        let mut values: Vec<f32> = match self {
            Self::Constant(value) => vec![value; outer * channels * inner],
            Self::Normal { mean, deviation } => (0..outer * channels * inner)
                .map(|_| draw(mean, deviation))
                .collect(),
            Self::Outlier { mean, .. } => (0..outer * channels * inner)
                .map(|_| draw(mean, 1.0))
                .collect(),
        };
        if let Self::Outlier { first, .. } = self
            && outer > 0
            && inner > 0
        {
            for channel in 0..channels {
                values[channel * inner] = first;
            }
        }
        values
    }
}
