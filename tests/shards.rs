//! A batch in several places: statistics, merging, normalizing and both parts of the backward pass agree with the batch in
//! one place. Needs an adapter.

mod common;

use common::sharded::{Computed, Merging, compute};
use common::stored::rounding;
use common::{
    Device, Distribution, LayerStep, bare, lanes, shape, split, teams, whole, with_subgroups,
};
use wgpu_batchnorm::reference;
use wgpu_batchnorm::{
    Activation, Buffers, Element, Packed, Plan, Running, RunningVariance, Shape, Stage, Tensor,
    Training, Tuning, Update,
};

/// What a batch is cut into along its outer size.
const CUTS: [&[u64]; 6] = [
    &[11],
    &[4, 7],
    &[2, 6, 3],
    &[1, 2, 1, 3, 2, 1, 1],
    &[5, 0, 6],
    &[0, 11],
];

/// Every cut and way of merging is right, and within 1e-6 of the batch in one place.
#[track_caller]
fn assert_same_in_shards(step: &LayerStep, cuts: &[&[u64]], device: &Device) {
    let whole = step.assert_right(device);
    let wholes = [
        ("y", &Some(whole.y)),
        ("dx", &whole.input),
        ("dgamma", &whole.gamma),
        ("dbeta", &whole.beta),
    ];
    for cut in cuts {
        for merging in [Merging::First, Merging::Directly] {
            let what = format!("{cut:?}, {merging:?}, {step}");
            let computed = compute(step, cut, merging, device);
            let again = compute(step, cut, merging, device);
            let bits = |computed: &Computed| format!("{computed:?}");
            assert_eq!(bits(&computed), bits(&again), "{what}: not the same bits");
            computed
                .compare(step)
                .unwrap_or_else(|wrong| panic!("{what}: {wrong}"));
            let [gamma, beta] = &computed.gradients;
            let parts = [&computed.y, &computed.dx, gamma, beta];
            for ((name, whole), part) in wholes.iter().zip(parts) {
                let whole = whole.as_ref().expect("every gradient is written");
                let largest = whole
                    .iter()
                    .fold(1.0f32, |most, value| most.max(value.abs()));
                // a half that is rounded the other way is one step off
                let share = 1e-6 + 2.0 * rounding(step.options.element);
                let bound = share * f64::from(largest);
                for (index, (whole, part)) in whole.iter().zip(part).enumerate() {
                    let error = f64::from(whole - part).abs();
                    assert!(
                        error <= bound,
                        "{what}: {name}[{index}] is {part}, whole {whole}"
                    );
                }
            }
        }
    }
}

#[test]
fn shards_compute_what_the_batch_in_one_place_computes() {
    let all = shape(11, 5, 36);
    let step = LayerStep::new(all, Activation::Silu, 1)
        .tuned(lanes())
        .prepared();
    assert_same_in_shards(&step, &CUTS, bare());
}

#[test]
fn shards_of_other_layouts_and_storage() {
    let cuts: [&[u64]; 2] = [&[2, 6, 3], &[5, 0, 6]];
    let columns = LayerStep::new(shape(11, 12, 1), Activation::Relu, 1);
    assert_same_in_shards(
        &columns.tuned(whole(teams(64))).prepared(),
        &cuts,
        with_subgroups(),
    );
    let quads = LayerStep::new(shape(11, 8, 9), Activation::None, 1);
    assert_same_in_shards(&quads.tuned(split(lanes())).prepared(), &cuts, bare());
    let halves = LayerStep::new(shape(11, 3, 7), Activation::Relu, 1);
    let halves = halves.with(|options| options.element(Element::F16));
    assert_same_in_shards(&halves.tuned(split(teams(32))).prepared(), &cuts, bare());
}

#[test]
fn shards_of_means_of_a_million() {
    let far_off = Distribution::Normal {
        mean: 1e6,
        deviation: 1.0,
    };
    let step = LayerStep::new(shape(11, 4, 52), Activation::None, 1).distributed(far_off, 3);
    let cuts: [&[u64]; 3] = [&[4, 7], &[1, 2, 1, 3, 2, 1, 1], &[0, 11]];
    assert_same_in_shards(&step.tuned(split(lanes())).prepared(), &cuts, bare());
}

/// Moments of a batch, or of nothing, as words.
fn moments(x: &[f32], shape: Shape, tuning: &Tuning, device: &Device) -> Vec<u32> {
    let gpu = &device.gpu;
    let words = if x.is_empty() { &[0.0] } else { x };
    let at = gpu.upload(words, "x").expect("a small buffer");
    let guards = vec![0x7fc5_a5a5u32; 4 * shape.channels() as usize];
    let to = gpu.upload(&guards, "moments").expect("a small buffer");
    let plan = Plan::statistics(&device.limits, shape, Element::F32, Some(tuning)).expect("a plan");
    let x = Tensor::new(&at, 0, shape.len());
    let buffers = Buffers::input(x).moments(Tensor::whole(&to));
    let step = plan
        .bind(&device.kernels, buffers)
        .expect("fitting tensors");
    assert!(
        step.dispatches()
            .all(|d| matches!(d.stage, Stage::Statistics | Stage::Merge))
    );
    gpu.run("moments", |pass| step.record(pass));
    gpu.blocking_download(Tensor::whole(&to))
        .expect("a live device")
}

#[test]
fn moments_are_counts_means_in_two_parts_and_squares() {
    for (outer, channels, inner) in [
        (7, 5, 132),
        (613, 12, 1),
        (29, 8, 9),
        (23, 1024, 1),
        (0, 3, 5),
    ] {
        let distribution = Distribution::Normal {
            mean: 1e4,
            deviation: 1.0,
        };
        let step = LayerStep::new(shape(outer, channels, inner), Activation::None, 1);
        let step = step.distributed(distribution, 7);
        let exact = reference::statistics(&step.x, step.shape).expect("values of the shape");
        for tuning in [whole(lanes()), split(lanes()), split(teams(64))] {
            let words = moments(&step.x, step.shape, &tuning, bare());
            for (words, exact) in words.chunks(4).zip(&exact) {
                let [mean, rest, m2] = [1, 2, 3].map(|n| f64::from(f32::from_bits(words[n])));
                assert_eq!(u64::from(words[0]), exact.count);
                let near = 2e-6 * exact.variance().sqrt() + 1e-12 * exact.mean.abs();
                if exact.count == 0 {
                    assert_eq!(words, [0; 4]);
                    continue;
                }
                assert!(
                    (mean + rest - exact.mean).abs() <= near,
                    "{mean} + {rest}: {exact:?}"
                );
                // the first part is the rounded mean
                assert!(rest.abs() <= 1e-7 * mean.abs(), "{mean} + {rest}");
                let variance = m2 / exact.count as f64;
                assert!(
                    (variance - exact.variance()).abs() <= 4e-6 * exact.variance(),
                    "{m2}: {exact:?}"
                );
            }
        }
    }
}

/// A batch of nothing leaves the running statistics; one value has no unbiased variance.
#[test]
fn running_statistics_of_no_value_and_of_one() {
    let gpu = &bare().gpu;
    let packed = Packed::new(2);
    for (count, variance) in [(0u32, None), (1, Some(f32::NAN)), (2, Some(8.0f32))] {
        let word = |value: f32| value.to_bits();
        let channel = [
            count,
            word(3.0),
            0,
            word(8.0 * f32::from(u8::from(count > 1))),
        ];
        let shards = gpu
            .upload(&[channel, channel].concat(), "shards")
            .expect("a small buffer");
        let state = packed
            .pack(&[&[0.5; 2], &[1.0; 2], &[0.0; 2]])
            .expect("two channels");
        let running = gpu.upload(&state, "running").expect("a small buffer");
        let [x, y] = ["x", "y"].map(|label| gpu.zeros(6, label).expect("a small buffer"));
        let rule = Running {
            update: Update::Exponential(0.5),
            variance: RunningVariance::Unbiased,
        };
        let options = Training::default()
            .gamma(false)
            .beta(false)
            .saved(false)
            .running(Some(rule));
        let plan = Plan::training_from_moments(&bare().limits, shape(3, 2, 1), 1, &options);
        let buffers = Buffers::new(Tensor::whole(&x), Tensor::whole(&y))
            .running(Tensor::whole(&running))
            .shards(Tensor::whole(&shards));
        let step = plan
            .expect("a plan")
            .bind(&bare().kernels, buffers)
            .expect("fitting tensors");
        gpu.run("one", |pass| step.record(pass));
        let after: Vec<f32> = gpu
            .blocking_download(Tensor::whole(&running))
            .expect("a live device");
        let vector = |n| packed.vector(&after, n).expect("three vectors")[1];
        match variance {
            None => assert_eq!([vector(0), vector(1)], [0.5, 1.0]),
            Some(batch) => {
                assert_eq!(vector(0), 0.5 + 0.5 * 2.5);
                let wanted = 1.0 + 0.5 * (batch - 1.0);
                assert!(
                    vector(1) == wanted || vector(1).is_nan() && wanted.is_nan(),
                    "{}",
                    vector(1)
                );
            }
        }
        assert_eq!(vector(2).to_bits(), u32::from(count > 0));
    }
}

/// The backward pass from gradients scales by the whole batch's number of values, and needs no sums.
#[test]
fn the_backward_pass_from_gradients_gathers_nothing() {
    let step = LayerStep::new(shape(4, 3, 10), Activation::None, 1);
    let plan = Plan::backward_from_gradients(&bare().limits, step.shape, 80, &step.options);
    let stages: Vec<_> = plan
        .expect("a plan")
        .dispatches()
        .map(|d| d.stage)
        .collect();
    assert_eq!(stages, [Stage::GivenGradients, Stage::GradientInput]);
}
