use proptest::prelude::*;

use super::*;
use crate::options::{Running, RunningVariance, Update};

fn shape(outer: u64, channels: u64, inner: u64) -> Shape {
    Shape::from_geometry(outer, channels, inner).expect("a small shape")
}

fn bare() -> Training {
    Training::default().gamma(false).beta(false).running(None)
}

fn assert_near(given: f64, wanted: f64) {
    let distance = (given - wanted).abs();
    assert!(
        distance <= 1e-12 * wanted.abs().max(1.0),
        "{given}, not {wanted}"
    );
}

#[test]
fn a_batch_of_two_images_is_normalized_as_by_hand() {
    // Two images of two channels of two values: channel 0 holds 1, 3, 5, 7 and channel 1 holds 2, 2, 6, 6.
    let x = [1.0, 3.0, 2.0, 2.0, 5.0, 7.0, 6.0, 6.0];
    let options = Training::default().running(None).epsilon(4.0);
    let parameters = Parameters::new(&[3.0, 1.0], &[0.5, -1.0]);
    let forward = training(&x, None, shape(2, 2, 2), parameters, &options, None).expect("all fits");
    assert_eq!(forward.mean, [4.0, 4.0]);
    assert_eq!(forward.variance, [5.0, 4.0]);
    assert_eq!(forward.invstd, [1.0 / 3.0, 1.0 / 8f64.sqrt()]);
    let invstd = 1.0 / 8f64.sqrt();
    let wanted = [
        -2.5,
        -0.5,
        -2.0 * invstd - 1.0,
        -2.0 * invstd - 1.0,
        1.5,
        3.5,
        2.0 * invstd - 1.0,
        2.0 * invstd - 1.0,
    ];
    for (given, wanted) in forward.y.iter().zip(wanted) {
        assert_near(*given, wanted);
    }
}

#[test]
fn a_large_mean_costs_no_digits() {
    // 0, 1, 2, 3 in turn around a million: mean 1.5 more, variance 1.25.
    let x: Vec<f32> = (0..1_000_000).map(|i| 1e6 + (i % 4) as f32).collect();
    for shape in [shape(1, 1, 1_000_000), shape(1_000_000, 1, 1)] {
        let moments = statistics(&x, shape).expect("all fits")[0];
        assert_eq!(moments.mean, 1e6 + 1.5);
        assert_near(moments.variance(), 1.25);
        assert_near(
            moments.unbiased_variance().expect("many values"),
            1.25 * 1e6 / (1e6 - 1.0),
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn merged_shards_are_the_whole(
        values in prop::collection::vec(-1e3f32..1e3, 1..200),
        offset in prop::sample::select(vec![0f32, 1e4]),
        cut in 0usize..200,
    ) {
        let values: Vec<f32> = values.iter().map(|value| value + offset).collect();
        let moments = |values: &[f32]| {
            statistics(values, shape(values.len() as u64, 1, 1)).expect("all fits")[0]
        };
        let (left, right) = values.split_at(cut.min(values.len()));
        let (merged, whole) = (moments(left).merge(moments(right)), moments(&values));
        prop_assert_eq!(merged.count, whole.count);
        prop_assert!((merged.mean - whole.mean).abs() <= 1e-11);
        prop_assert!((merged.m2 - whole.m2).abs() <= 1e-11 * whole.m2.max(1.0));
    }

    #[test]
    fn the_layout_changes_nothing_but_the_order(
        outer in 1usize..5, channels in 1usize..5, inner in 1usize..9, seed in 0u32..1000,
    ) {
        let value = |o: usize, c: usize, i: usize| {
            ((seed as usize + 31 * o + 17 * c * c + 7 * i * i) % 101) as f32
        };
        let mut first = Vec::new();
        let mut last = Vec::new();
        for o in 0..outer {
            for c in 0..channels {
                first.extend((0..inner).map(|i| value(o, c, i)));
            }
            for i in 0..inner {
                last.extend((0..channels).map(|c| value(o, c, i)));
            }
        }
        let sizes = |sizes: [usize; 3]| sizes.map(|size| size as u64);
        let [n, c, s] = sizes([outer, channels, inner]);
        let first = training(&first, None, shape(n, c, s), Parameters::default(), &bare(), None);
        let last = training(&last, None, shape(n * s, c, 1), Parameters::default(), &bare(), None);
        let (first, last) = (first.expect("all fits"), last.expect("all fits"));
        for o in 0..outer {
            for c in 0..channels {
                for i in 0..inner {
                    let first = first.y[(o * channels + c) * inner + i];
                    let last = last.y[(o * inner + i) * channels + c];
                    prop_assert!((first - last).abs() < 1e-9);
                }
            }
        }
    }
}

#[test]
fn running_statistics_move_as_pytorch_documents() {
    // "x_new = (1 - momentum) * x + momentum * observed", the variance observed without bias.
    let momentum = 0.25;
    let options = bare().running(Some(Running {
        update: Update::pytorch_momentum(momentum),
        variance: RunningVariance::Unbiased,
    }));
    let mut running = RunningStatistics::from_f32(&[10.0], &[2.0], &[7]).expect("one channel");
    let x = [1.0, 2.0, 3.0, 6.0];
    training(
        &x,
        None,
        shape(4, 1, 1),
        Parameters::default(),
        &options,
        Some(&mut running),
    )
    .expect("all fits");
    assert_near(running.mean[0], 0.75 * 10.0 + 0.25 * 3.0);
    assert_near(running.variance[0], 0.75 * 2.0 + 0.25 * 14.0 / 3.0);
    assert_eq!(running.batches, [8]);
}

#[test]
fn the_cumulative_average_of_batches_is_their_plain_average() {
    let options = bare().running(Some(Running {
        update: Update::Cumulative,
        variance: RunningVariance::Biased,
    }));
    let mut running = RunningStatistics::new(1);
    for batch in [[1.0, 3.0], [5.0, 5.0], [-4.0, 8.0]] {
        training(
            &batch,
            None,
            shape(2, 1, 1),
            Parameters::default(),
            &options,
            Some(&mut running),
        )
        .expect("all fits");
    }
    assert_near(running.mean[0], (2.0 + 5.0 + 2.0) / 3.0);
    assert_near(running.variance[0], (1.0 + 0.0 + 36.0) / 3.0);
    assert_eq!(running.batches, [3]);
}

#[test]
fn an_empty_batch_moves_nothing() {
    let mut running = RunningStatistics::from_f32(&[1.0; 3], &[2.0; 3], &[4; 3]).expect("equal");
    let before = running.clone();
    let options = Training::default().gamma(false).beta(false);
    for shape in [shape(0, 3, 5), shape(5, 3, 0)] {
        let forward = training(
            &[],
            None,
            shape,
            Parameters::default(),
            &options,
            Some(&mut running),
        );
        assert!(forward.expect("an empty batch is a batch").y.is_empty());
    }
    assert_eq!(running, before);

    // A channel without values among others, as where shards were merged.
    let moments = [
        Moments {
            count: 2,
            mean: 5.0,
            m2: 2.0,
        },
        Moments::default(),
        Moments::default(),
    ];
    finalize(
        &moments,
        Parameters::default(),
        1e-5,
        Some((&mut running, &Running::default())),
    )
    .expect("all fits");
    assert_eq!(running.batches, [5, 4, 4]);
    assert_eq!(running.mean[1..], before.mean[1..]);
}

#[test]
fn a_nan_or_an_infinity_stays_in_its_channel() {
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let mut x = [1.0, 2.0, 3.0, 4.0, 5.0, 7.0];
        x[2] = bad;
        let forward = training(
            &x,
            None,
            shape(3, 2, 1),
            Parameters::default(),
            &bare(),
            None,
        )
        .expect("all fits");
        for (index, y) in forward.y.iter().enumerate() {
            assert_eq!(y.is_nan(), index % 2 == 0, "element {index} is {y}");
        }

        let options = Inference::default().gamma(false).beta(false);
        let y = inference(
            &x,
            None,
            shape(3, 2, 1),
            Parameters::default(),
            &[0.0; 2],
            &[1.0; 2],
            &options,
        )
        .expect("all fits");
        for (index, y) in y.iter().enumerate() {
            assert_eq!(y.is_finite(), index != 2, "element {index} is {y}");
        }
    }
}

#[test]
fn a_constant_channel_gives_beta_unless_epsilon_is_zero() {
    let parameters = Parameters {
        gamma: None,
        beta: Some(&[0.25]),
    };
    let options = bare().beta(true);
    let forward = |options: &Training| {
        training(
            &[1e6 + 0.3125; 5],
            None,
            shape(5, 1, 1),
            parameters,
            options,
            None,
        )
        .expect("all fits")
    };
    assert!(forward(&options).y.iter().all(|&y| y == 0.25));
    assert!(forward(&options.epsilon(0.0)).y.iter().all(|y| y.is_nan()));
}

#[test]
fn inference_uses_the_statistics_it_is_given() {
    let options = Inference::default().epsilon(0.0);
    let parameters = Parameters::new(&[2.0], &[1.0]);
    let y = inference(
        &[3.0, 7.0],
        None,
        shape(2, 1, 1),
        parameters,
        &[5.0],
        &[4.0],
        &options,
    );
    assert_eq!(y, Ok(vec![-1.0, 3.0]));
}

#[test]
fn one_value_per_channel_has_no_unbiased_variance() {
    let mut running = RunningStatistics::new(2);
    let mut step = |variance| {
        let rule = Running {
            variance,
            ..Running::default()
        };
        let options = bare().running(Some(rule));
        training(
            &[5.0, 6.0],
            None,
            shape(1, 2, 1),
            Parameters::default(),
            &options,
            Some(&mut running),
        )
    };
    assert_eq!(step(RunningVariance::Unbiased), Err(HostError::SingleValue));
    assert_eq!(
        step(RunningVariance::Biased).map(|forward| forward.y),
        Ok(vec![0.0; 2])
    );
    assert_eq!(running.batches, [1, 1]);
}

fn wrong<T>(what: &'static str, given: usize, needed: u64) -> Result<T, HostError> {
    Err(HostError::Length(LengthError {
        what,
        given,
        needed,
    }))
}

#[test]
fn what_does_not_fit_is_a_typed_error() {
    let (x, shape) = ([1.0; 6], shape(3, 2, 1));
    let none = Parameters::default();
    assert_eq!(
        training(&x[1..], None, shape, none, &bare(), None),
        wrong("x", 5, 6)
    );
    let gamma = Parameters {
        gamma: Some(&[1.0; 3]),
        beta: None,
    };
    assert_eq!(
        training(&x, None, shape, gamma, &bare().gamma(true), None),
        wrong("gamma", 3, 2)
    );
    assert_eq!(
        training(&x, None, shape, gamma, &bare(), None),
        Err(HostError::Unexpected { what: "gamma" })
    );
    assert_eq!(
        training(&x, None, shape, none, &bare().beta(true), None),
        Err(HostError::Missing { what: "beta" })
    );
    let learning = bare().running(Some(Running::default()));
    assert_eq!(
        training(
            &x,
            None,
            shape,
            none,
            &learning,
            Some(&mut RunningStatistics::new(1))
        ),
        wrong("running mean", 1, 2)
    );
    assert_eq!(
        training(&x, None, shape, none, &learning, None),
        Err(HostError::Missing {
            what: "running statistics"
        })
    );
    for epsilon in [-1e-5, f32::INFINITY] {
        assert_eq!(
            training(&x, None, shape, none, &bare().epsilon(epsilon), None),
            Err(HostError::Epsilon { epsilon })
        );
    }
    let rule = Running {
        update: Update::Exponential(1.5),
        ..Running::default()
    };
    assert_eq!(
        training(
            &x,
            None,
            shape,
            none,
            &bare().running(Some(rule)),
            Some(&mut RunningStatistics::new(2))
        ),
        Err(HostError::UpdateFactor { factor: 1.5 })
    );
    let fixed = Inference::default().gamma(false).beta(false);
    assert_eq!(
        inference(&x, None, shape, none, &[0.0; 2], &[1.0; 3], &fixed),
        wrong("variance", 3, 2)
    );
    assert_eq!(
        inference(&x, None, shape, none, &[0.0; 1], &[1.0; 2], &fixed),
        wrong("mean", 1, 2)
    );
}
