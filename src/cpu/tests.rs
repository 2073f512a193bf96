mod backward;

use proptest::prelude::*;

use super::*;
use crate::error::LengthError;
use crate::options::{Running, RunningVariance, Update};
use crate::reference::{self, RunningStatistics};

fn shape(outer: u64, channels: u64, inner: u64) -> Shape {
    Shape::from_geometry(outer, channels, inner).expect("a small shape")
}

fn bare() -> Training {
    Training::default()
        .gamma(false)
        .beta(false)
        .running(None)
        .saved(false)
}

/// Noise of about this mean and deviation, the same for the same seed.
fn noise(len: usize, mean: f32, deviation: f32, seed: u32) -> Vec<f32> {
    let mut state = seed.wrapping_mul(2_654_435_761).wrapping_add(1);
    let mut uniform = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 24) as f32
    };
    // The sum of three has a variance of a quarter.
    let mut normal = || 2.0 * (uniform() + uniform() + uniform() - 1.5);
    (0..len).map(|_| mean + deviation * normal()).collect()
}

/// The largest `|y - reference| / max(1, |reference|)`; infinite where one is NaN and the other is not.
fn distance(y: &[f32], reference: &[f64]) -> f64 {
    assert_eq!(y.len(), reference.len());
    y.iter()
        .zip(reference)
        .fold(0.0, |worst: f64, (&y, &reference)| {
            let distance = (f64::from(y) - reference).abs() / reference.abs().max(1.0);
            match (f64::from(y).is_nan(), reference.is_nan()) {
                (false, false) => worst.max(distance),
                (true, true) => worst,
                _ => f64::INFINITY,
            }
        })
}

const TOLERANCE: f64 = 2e-6;

/// The distance of a training step without parameters from the reference.
fn training_distance(x: &[f32], shape: Shape) -> f64 {
    let mut y = vec![f32::NAN; x.len()];
    training(
        x,
        None,
        &mut y,
        shape,
        Parameters::default(),
        &bare(),
        None,
        None,
    )
    .expect("all fits");
    let reference = reference::training(x, None, shape, Parameters::default(), &bare(), None);
    distance(&y, &reference.expect("all fits").y)
}

/// Shapes on both sides of every cut: short and long rows, narrow and wide slices, one block and several, whole and
/// ragged ends.
fn shapes() -> impl Strategy<Value = Shape> {
    let any = (1u64..70, 1u64..12, 1u64..80);
    let channels_last = (1u64..1200, 1u64..40, Just(1));
    let wide = (1u64..20, 500u64..1100, Just(1));
    let long = (1u64..4, 1u64..4, 900u64..4000);
    // Enough channels for tasks that own some.
    let many = (1u64..12, 64u64..200, 32u64..80);
    prop_oneof![any, channels_last, wide, long, many].prop_map(|(o, c, i)| shape(o, c, i))
}

fn updates() -> impl Strategy<Value = Running> {
    let update = prop_oneof![
        Just(Update::Cumulative),
        (0f32..=1.0).prop_map(Update::Exponential),
    ];
    let variance = prop::sample::select(vec![RunningVariance::Biased, RunningVariance::Unbiased]);
    (update, variance).prop_map(|(update, variance)| Running { update, variance })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn training_agrees_with_the_reference(
        shape in shapes(),
        seed in any::<u32>(),
        mean in prop::sample::select(vec![0f32, -3.0, 1e4, 1e6]),
        deviation in prop::sample::select(vec![0.01f32, 1.0]),
        epsilon in prop::sample::select(vec![1e-5f32, 1e-3]),
        (with_gamma, with_beta) in any::<(bool, bool)>(),
        rule in updates(),
    ) {
        prop_assume!(shape.values_per_channel() > 1);
        let channels = shape.channels() as usize;
        let x = noise(shape.len() as usize, mean, deviation, seed);
        let (gamma, beta) = (noise(channels, 1.0, 0.3, seed), noise(channels, 0.0, 1.0, !seed));
        let parameters = Parameters {
            gamma: with_gamma.then_some(&gamma[..]),
            beta: with_beta.then_some(&beta[..]),
        };
        let options = Training::default()
            .epsilon(epsilon)
            .gamma(with_gamma)
            .beta(with_beta)
            .running(Some(rule));

        let (mut mean, mut variance) = (vec![0.5; channels], vec![2.0; channels]);
        let mut batches = vec![3; channels];
        let mut wanted_running =
            RunningStatistics::from_f32(&mean, &variance, &batches).expect("equal lengths");
        let wanted =
            reference::training(&x, None, shape, parameters, &options, Some(&mut wanted_running))
                .expect("all fits");

        let mut y = vec![f32::NAN; x.len()];
        let mut saved = vec![f32::NAN; 3 * channels];
        let (saved_mean, rest) = saved.split_at_mut(channels);
        let (remainder, invstd) = rest.split_at_mut(channels);
        let running = RunningMut { mean: &mut mean, variance: &mut variance, batches: &mut batches };
        let saved = SavedMut { mean: saved_mean, remainder, invstd };
        training(&x, None, &mut y, shape, parameters, &options, Some(running), Some(saved))
            .expect("all fits");

        prop_assert!(distance(&y, &wanted.y) <= TOLERANCE);
        prop_assert!(distance(&mean, &wanted_running.mean) <= 2e-7);
        prop_assert!(distance(&variance, &wanted_running.variance) <= 1e-6);
        prop_assert_eq!(batches, wanted_running.batches);
        for channel in 0..channels {
            let (hi, lo) = (f64::from(saved_mean[channel]), f64::from(remainder[channel]));
            let deviation = 1.0 / wanted.invstd[channel];
            prop_assert!((hi + lo - wanted.mean[channel]).abs() <= 1e-6 * deviation);
            let error = f64::from(invstd[channel]) * deviation - 1.0;
            prop_assert!(error.abs() <= 1e-6);
        }
    }

    #[test]
    fn inference_agrees_with_the_reference(shape in shapes(), seed in any::<u32>()) {
        let channels = shape.channels() as usize;
        let x = noise(shape.len() as usize, 1e3, 1.0, seed);
        let mean = noise(channels, 1e3, 1.0, seed);
        let variance: Vec<f32> = noise(channels, 1.0, 0.2, seed).iter().map(|v| v.abs()).collect();
        let (gamma, beta) = (noise(channels, 1.0, 0.3, seed), noise(channels, 0.0, 1.0, !seed));
        let parameters = Parameters::new(&gamma, &beta);
        let options = Inference::default();
        let wanted = reference::inference(&x, None, shape, parameters, &mean, &variance, &options)
            .expect("all fits");
        let mut y = vec![f32::NAN; x.len()];
        inference(&x, None, &mut y, shape, parameters, &mean, &variance, &options).expect("all fits");
        prop_assert!(distance(&y, &wanted) <= TOLERANCE);
    }
}

/// The same amount of data, about, in every geometry that is walked differently.
fn geometries() -> [Shape; 8] {
    [
        shape(16, 4, 3136),
        shape(3136 * 16, 4, 1),
        shape(64, 64, 49),
        shape(1, 2, 100_352),
        shape(49, 4096, 1),
        // Tasks own channels, of which there are more on few threads.
        shape(16, 256, 49),
        // In cache no longer: columns are summed row by row.
        shape(4200, 513, 1),
        // No multiple of a vector, and slices that do not fill a row.
        shape(30_001, 7, 1),
    ]
}

#[test]
fn hard_inputs_lose_nothing() {
    for shape in geometries() {
        let len = shape.len() as usize;
        for (mean, deviation) in [(0.0, 1.0), (1e4, 0.01), (1e4, 1.0), (1e6, 1.0), (-1e6, 0.1)] {
            let distance = training_distance(&noise(len, mean, deviation, 1), shape);
            assert!(
                distance <= TOLERANCE,
                "{shape}: {mean} +- {deviation} is {distance:e} off"
            );
        }
    }
}

#[test]
fn an_outlier_anywhere_in_the_channel_loses_nothing() {
    for shape in geometries() {
        for (mean, outlier) in [(0.0, 1e6), (0.0, 1e3), (1e4, 0.0)] {
            for place in [0, shape.len() / 2, shape.len() - 1] {
                let mut x = noise(shape.len() as usize, mean, 1.0, 2);
                x[place as usize] = outlier;
                let distance = training_distance(&x, shape);
                assert!(
                    distance <= TOLERANCE,
                    "{shape}: {outlier} among {mean}, {distance:e} off"
                );
            }
        }
    }
}

#[test]
fn a_first_sample_unlike_the_others_loses_nothing() {
    // The values that the first center is taken from then say nothing about the rest.
    for shape in geometries() {
        let mut x = noise(shape.len() as usize, 1e4, 0.01, 3);
        let slice = (shape.channels() * shape.inner()) as usize;
        let first = slice.min(x.len() / 16);
        x[..first].fill(0.0);
        let distance = training_distance(&x, shape);
        assert!(distance <= TOLERANCE, "{shape}: {distance:e} off");
    }
}

#[test]
fn ten_million_values_lose_nothing() {
    const COUNT: u64 = 10_000_000;
    let mut x = noise(COUNT as usize, 1e6, 1.0, 4);
    assert!(training_distance(&x, shape(1, 1, COUNT)) <= TOLERANCE);
    for value in &mut x {
        *value -= 1e6;
    }
    x[0] = 1e6;
    assert!(training_distance(&x, shape(COUNT, 1, 1)) <= TOLERANCE);
}

#[test]
fn the_comparison_can_fail() {
    let shape = shape(16, 4, 3136);
    let x = noise(shape.len() as usize, 1e4, 0.01, 5);
    let none = Parameters::default();
    let mut y = vec![0.0; x.len()];
    textbook_training(&x, None, &mut y, shape, none, &bare(), None, None).expect("all fits");
    let wanted = reference::training(&x, None, shape, none, &bare(), None).expect("all fits");
    assert!(distance(&y, &wanted.y) > 1e-3);
}

#[test]
fn a_constant_channel_gives_beta() {
    let parameters = Parameters {
        gamma: None,
        beta: Some(&[0.25; 4]),
    };
    for shape in [shape(16, 4, 100), shape(1600, 4, 1)] {
        let x = vec![1e6 + 0.3125; shape.len() as usize];
        let mut y = vec![f32::NAN; x.len()];
        training(
            &x,
            None,
            &mut y,
            shape,
            parameters,
            &bare().beta(true),
            None,
            None,
        )
        .expect("all fits");
        assert!(y.iter().all(|&y| y == 0.25));
        let options = bare().beta(true).epsilon(0.0);
        training(&x, None, &mut y, shape, parameters, &options, None, None).expect("all fits");
        assert!(y.iter().all(|y| y.is_nan()));
    }
}

#[test]
fn the_number_of_threads_does_not_change_a_bit() {
    for shape in geometries() {
        let x = noise(shape.len() as usize, 10.0, 1.0, 6);
        let on_threads = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
            pool.expect("threads").install(|| {
                let mut y = vec![f32::NAN; x.len()];
                training(
                    &x,
                    None,
                    &mut y,
                    shape,
                    Parameters::default(),
                    &bare(),
                    None,
                    None,
                )
                .expect("all fits");
                y
            })
        };
        let alone = on_threads(1);
        for threads in [3, 16] {
            assert!(alone == on_threads(threads), "{shape} on {threads}");
        }
    }
}

/// Values from every kind of vector, and what sums and results they give.
fn in_vectors<S: fearless_simd::Simd>(simd: S, len: usize) -> ([f64; 2], Vec<f32>) {
    let (a, b) = (noise(len, 3.0, 1.0, 9), noise(len, 0.1, 1.0, 10));
    let mut sums = block::LaneSums::default();
    sums.add(simd, &a, &b, |a, b| [a - b, a * b]);
    let mut to = noise(len, 0.0, 1.0, 11);
    block::map(simd, [&mut to], [[&a, &b]], |[to], [[a, b]]| {
        [(a - b) * a + to]
    });
    (sums.totals(), to)
}

#[test]
fn the_width_of_vectors_does_not_change_a_bit() {
    // One value alone, rows of less than a vector, and tails of every length after vectors and after steps of several.
    for len in (1..40).chain(64..200) {
        let narrow = in_vectors(fearless_simd::Fallback::new(), len);
        let wide = vectorized!(simd => in_vectors(simd, len));
        assert!(narrow == wide, "{len} values");

        let (a, b) = (noise(len, 3.0, 1.0, 9), noise(len, 0.1, 1.0, 10));
        let pairs = || {
            a.iter()
                .zip(&b)
                .map(|(&a, &b)| (f64::from(a), f64::from(b)))
        };
        let exact = [
            pairs().map(|(a, b)| a - b).sum::<f64>(),
            pairs().map(|(a, b)| a * b).sum(),
        ];
        for (sum, exact) in wide.0.iter().zip(exact) {
            assert!(
                (sum - exact).abs() <= 1e-6 * len as f64,
                "{sum}, not {exact}"
            );
        }
        let before = noise(len, 0.0, 1.0, 11);
        for (index, to) in wide.1.iter().enumerate() {
            assert_eq!(*to, (a[index] - b[index]) * a[index] + before[index]);
        }
    }
}

#[test]
fn a_center_that_turns_out_far_loses_nothing() {
    // The first values of every segment, which its center is taken from, are unlike the rest; without them nothing
    // deviates by more than a thousandth of their distance.
    for (shape, segment) in [
        (shape(1, 3, 40_000), 1 << 12),
        (shape(40, 300, 1000), 1000),
        (shape(4200, 513, 1), 512 * 513),
        (shape(700, 512, 1), 512 * 512),
    ] {
        let mut x = noise(shape.len() as usize, 1e3, 0.1, 12);
        let head = if shape.inner() == 1 {
            8 * shape.channels() as usize
        } else {
            8
        };
        for segment in x.chunks_mut(segment) {
            let head = head.min(segment.len());
            segment[..head].fill(-1e3);
        }
        let (mut mean, mut variance) = ([0.0; 513], [0.0; 513]);
        let channels = shape.channels() as usize;
        let mut batches = vec![0; channels];
        let rule = Running {
            update: Update::Exponential(1.0),
            variance: RunningVariance::Biased,
        };
        let options = bare().running(Some(rule));
        let none = Parameters::default();
        let mut wanted =
            RunningStatistics::from_f32(&mean[..channels], &variance[..channels], &batches)
                .expect("equal lengths");
        reference::training(&x, None, shape, none, &options, Some(&mut wanted)).expect("all fits");
        let running = RunningMut {
            mean: &mut mean[..channels],
            variance: &mut variance[..channels],
            batches: &mut batches,
        };
        let mut y = vec![0.0; x.len()];
        training(&x, None, &mut y, shape, none, &options, Some(running), None).expect("all fits");
        for (variance, wanted) in variance.iter().zip(&wanted.variance) {
            let error = f64::from(*variance) / wanted - 1.0;
            // The squares of the rest are small beside those of the first values, and f32 sums round them off.
            assert!(error.abs() <= 2e-6, "{shape}: variance {error:e} off");
        }
        assert!(distance(&mean[..channels], &wanted.mean) <= 2e-7);
    }
}

#[test]
fn a_nan_or_an_infinity_stays_in_its_channel() {
    for shape in [
        shape(5, 4, 40),
        shape(200, 4, 1),
        shape(1300, 4, 1),
        shape(65, 4, 1),
    ] {
        let (channels, inner) = (shape.channels() as usize, shape.inner() as usize);
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            for place in [0, shape.len() as usize / 2, shape.len() as usize - 1] {
                let mut x = noise(shape.len() as usize, 0.0, 1.0, 7);
                x[place] = bad;
                let none = Parameters::default();
                let mut y = vec![0.0; x.len()];
                training(&x, None, &mut y, shape, none, &bare(), None, None).expect("all fits");
                let channel = |index: usize| index / inner % channels;
                for (index, y) in y.iter().enumerate() {
                    assert_eq!(
                        y.is_nan(),
                        channel(index) == channel(place),
                        "{shape}, {index}"
                    );
                }

                let options = Inference::default().gamma(false).beta(false);
                inference(
                    &x, None, &mut y, shape, none, &[0.0; 4], &[1.0; 4], &options,
                )
                .expect("all fits");
                for (index, y) in y.iter().enumerate() {
                    assert_eq!(y.is_finite(), index != place, "{shape}, {index}");
                }
            }
        }
    }
}

#[test]
fn an_empty_batch_moves_nothing() {
    let (mut mean, mut variance, mut batches) = ([1.0; 3], [2.0; 3], [4; 3]);
    let options = Training::default().gamma(false).beta(false).saved(false);
    for shape in [shape(0, 3, 5), shape(5, 3, 0)] {
        let running = RunningMut {
            mean: &mut mean,
            variance: &mut variance,
            batches: &mut batches,
        };
        let none = Parameters::default();
        training(
            &[],
            None,
            &mut [],
            shape,
            none,
            &options,
            Some(running),
            None,
        )
        .expect("all fits");
    }
    assert_eq!((mean, variance, batches), ([1.0; 3], [2.0; 3], [4; 3]));
}

#[test]
fn the_textbook_agrees_where_the_input_is_easy() {
    for shape in [shape(4, 3, 50), shape(200, 3, 1)] {
        let x = noise(shape.len() as usize, 0.5, 1.0, 8);
        let parameters = Parameters::new(&[1.0, 2.0, 0.5], &[0.0, 1.0, -1.0]);
        let options = bare().gamma(true).beta(true);
        let wanted =
            reference::training(&x, None, shape, parameters, &options, None).expect("all fits");
        let mut y = vec![f32::NAN; x.len()];
        textbook_training(&x, None, &mut y, shape, parameters, &options, None, None)
            .expect("all fits");
        assert!(distance(&y, &wanted.y) <= 1e-5);

        let (mean, variance) = ([0.5, 0.4, 0.6], [1.0, 0.9, 1.1]);
        let options = Inference::default();
        let wanted = reference::inference(&x, None, shape, parameters, &mean, &variance, &options);
        textbook_inference(
            &x, None, &mut y, shape, parameters, &mean, &variance, &options,
        )
        .expect("all fits");
        assert!(distance(&y, &wanted.expect("all fits")) <= 1e-5);
    }
}

/// A training step, as written here or as a textbook has it.
type Pass = fn(
    &[f32],
    Option<&[f32]>,
    &mut [f32],
    Shape,
    Parameters<'_>,
    &Training,
    Option<RunningMut<'_>>,
    Option<SavedMut<'_>>,
) -> Result<(), HostError>;

#[test]
fn what_does_not_fit_is_a_typed_error_and_nothing_is_written() {
    let (x, shape, none) = ([1.0; 6], shape(3, 2, 1), Parameters::default());
    let wrong = |what, given, needed| {
        Err(HostError::Length(LengthError {
            what,
            given,
            needed,
        }))
    };
    let mut y = [f32::NAN; 6];
    for pass in [training as Pass, textbook_training] {
        assert_eq!(
            pass(&x[1..], None, &mut y, shape, none, &bare(), None, None),
            wrong("x", 5, 6)
        );
        assert_eq!(
            pass(&x, None, &mut y[1..], shape, none, &bare(), None, None),
            wrong("y", 5, 6)
        );
        assert_eq!(
            pass(
                &x,
                None,
                &mut y,
                shape,
                none,
                &bare().saved(true),
                None,
                None
            ),
            Err(HostError::Missing {
                what: "saved statistics"
            })
        );
        let (mut mean, mut variance, mut batches) = ([0.0; 2], [1.0; 2], [0; 1]);
        let running = RunningMut {
            mean: &mut mean,
            variance: &mut variance,
            batches: &mut batches,
        };
        let learning = bare().running(Some(Running::default()));
        assert_eq!(
            pass(
                &x,
                None,
                &mut y,
                shape,
                none,
                &learning,
                Some(running),
                None
            ),
            wrong("running batches", 1, 2)
        );
        assert_eq!((mean, variance), ([0.0; 2], [1.0; 2]));
    }
    let fixed = Inference::default().gamma(false).beta(false);
    assert_eq!(
        inference(&x, None, &mut y, shape, none, &[0.0; 1], &[1.0; 2], &fixed),
        wrong("mean", 1, 2)
    );
    assert!(y.iter().all(|y| y.is_nan()));
}

#[test]
fn one_value_per_channel_has_no_unbiased_variance() {
    let (mut mean, mut variance, mut batches) = ([0.0; 2], [1.0; 2], [0; 2]);
    let mut y = [f32::NAN; 2];
    for (rule, wanted) in [
        (RunningVariance::Unbiased, Err(HostError::SingleValue)),
        (RunningVariance::Biased, Ok(())),
    ] {
        let options = bare().running(Some(Running {
            variance: rule,
            ..Running::default()
        }));
        let running = RunningMut {
            mean: &mut mean,
            variance: &mut variance,
            batches: &mut batches,
        };
        let none = Parameters::default();
        let given = training(
            &[5.0, 6.0],
            None,
            &mut y,
            shape(1, 2, 1),
            none,
            &options,
            Some(running),
            None,
        );
        assert_eq!(given, wanted);
    }
    assert_eq!((y, batches), ([0.0; 2], [1; 2]));
    assert_eq!((mean, variance), ([0.5, 0.6], [0.9; 2]));
}
