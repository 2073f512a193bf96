//! A batch in several places: statistics, merging, normalizing and both parts of the backward pass agree with the batch in
//! one place. Needs an adapter.

mod common;

use common::compare::{Comparison, Tolerance};
use common::stored::{decode, encode, rounding};
use common::{
    Device, Distribution, LayerStep, bare, lanes, messages, shape, split, teams, whole,
    with_subgroups,
};
use wgpu_batchnorm::reference::{self, Parameters, RunningStatistics};
use wgpu_batchnorm::{
    Activation, Buffers, Element, Gradient, Packed, Plan, Running, RunningVariance, Shape, Stage,
    Tensor, Training, Tuning, Update, wgpu,
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

/// How the moments of the shards become the batch's.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Merging {
    /// By a plan of its own.
    First,
    /// By every shard.
    Directly,
}

/// What all shards together computed.
#[derive(Clone, Debug, PartialEq)]
struct Computed {
    y: Vec<f32>,
    dx: Vec<f32>,
    /// gamma and beta, of the batch.
    gradients: [Vec<f32>; 2],
    /// Of each shard.
    running: Vec<Vec<u32>>,
    saved: Vec<Vec<f32>>,
}

fn training(step: &LayerStep) -> Training {
    let options = Training::default()
        .epsilon(step.options.epsilon)
        .element(step.options.element)
        .activation(step.options.activation);
    match &step.options.tuning {
        Some(tuning) => options.tuning(tuning.clone()),
        None => options,
    }
}

/// One shard's buffers.
struct Shard {
    shape: Shape,
    x: wgpu::Buffer,
    dy: wgpu::Buffer,
    y: wgpu::Buffer,
    dx: wgpu::Buffer,
    running: wgpu::Buffer,
    saved: wgpu::Buffer,
}

impl Shard {
    fn values<'a>(&self, buffer: &'a wgpu::Buffer, element: Element) -> Tensor<'a> {
        Tensor::new(buffer, 0, self.shape.len()).stored_as(element)
    }
}

/// Computes a step over shards of these outer sizes.
#[allow(clippy::too_many_lines, reason = "one stage after another")]
fn compute(step: &LayerStep, cut: &[u64], merging: Merging, device: &Device) -> Computed {
    let Device {
        gpu,
        kernels,
        limits,
    } = device;
    let element = step.options.element;
    let (channels, inner) = (step.shape.channels(), step.shape.inner());
    let packed = Packed::new(channels);
    let up = |words: &[u32]| gpu.upload(words, "shard").expect("a small buffer");
    let vectors = |vectors: &[&[f32]]| {
        let words = packed.pack(vectors).expect("vectors of all channels");
        up(bytemuck::cast_slice(&words))
    };
    let width = channels as usize;
    let parameters = vectors(&[&step.gamma, &step.beta]);
    let mut first = 0;
    let shards: Vec<Shard> = cut
        .iter()
        .map(|&outer| {
            let shape = shape(outer, channels, inner);
            let part = first..first + shape.len() as usize;
            first = part.end;
            // no buffer is empty
            let tensor = |values: &[f32]| match encode(element, values) {
                words if words.is_empty() => up(&[0]),
                words => up(&words),
            };
            let nothing = vec![0.0; shape.len() as usize];
            Shard {
                shape,
                x: tensor(&step.x[part.clone()]),
                dy: tensor(&step.dy[part]),
                y: tensor(&nothing),
                dx: tensor(&nothing),
                running: vectors(&[&vec![0.0; width], &vec![1.0; width], &vec![0.0; width]]),
                saved: gpu.zeros(packed.saved(), "saved").expect("a small buffer"),
            }
        })
        .collect();
    assert_eq!(first, step.x.len(), "the cut is of the whole batch");

    let count = cut.len() as u64;
    let words = Tensor::whole;
    // moments that no vec4 is aligned with
    let all = gpu
        .zeros(1 + 4 * channels * count, "shards")
        .expect("a small buffer");
    let merged = gpu.zeros(4 * channels, "moments").expect("a small buffer");
    let at = |n: u64| Tensor::new(&all, 4 + 16 * channels * n, 4 * channels);
    let of_all = Tensor::new(&all, 4, 4 * channels * count);
    let tuning = step.options.tuning.as_ref();
    let mut steps = vec![];
    for (shard, n) in shards.iter().zip(0..) {
        let values = |buffer| shard.values(buffer, element);
        let plan = Plan::statistics(limits, shard.shape, element, tuning).expect("a plan");
        let buffers = Buffers::input(values(&shard.x)).moments(at(n));
        steps.push(plan.bind(kernels, buffers).expect("fitting tensors"));
    }
    if merging == Merging::First {
        let plan = Plan::merge(limits, channels, count, tuning).expect("a plan");
        let buffers = Buffers::merge(of_all, words(&merged));
        steps.push(plan.bind(kernels, buffers).expect("fitting tensors"));
    }
    let (moments, moments_of) = match merging {
        Merging::First => (words(&merged), 1),
        Merging::Directly => (of_all, count),
    };
    let gradients = gpu
        .zeros(packed.parameters(), "gradients")
        .expect("a small buffer");
    let backward = &step.options;
    let sums = backward
        .clone()
        .grad_input(Gradient::Skip)
        .grad_gamma(Gradient::Add)
        .grad_beta(Gradient::Add);
    for shard in &shards {
        let values = |buffer| shard.values(buffer, element);
        let plan = Plan::training_from_moments(limits, shard.shape, moments_of, &training(step));
        let buffers = Buffers::new(values(&shard.x), values(&shard.y))
            .parameters(words(&parameters))
            .running(words(&shard.running))
            .saved(words(&shard.saved))
            .shards(moments);
        let bound = plan.expect("a plan").bind(kernels, buffers);
        steps.push(bound.expect("fitting tensors"));
    }
    for shard in &shards {
        let [x, dy] = [&shard.x, &shard.dy].map(|buffer| shard.values(buffer, element));
        let plan = Plan::backward(limits, shard.shape, &sums).expect("a plan");
        let buffers = Buffers::backward(x, dy)
            .parameters(words(&parameters))
            .saved(words(&shard.saved))
            .grad_parameters(words(&gradients));
        steps.push(plan.bind(kernels, buffers).expect("fitting tensors"));
    }
    for shard in &shards {
        let [x, dy, dx] =
            [&shard.x, &shard.dy, &shard.dx].map(|buffer| shard.values(buffer, element));
        let n = step.shape.values_per_channel();
        let plan = Plan::backward_from_gradients(limits, shard.shape, n, backward);
        let buffers = Buffers::backward(x, dy)
            .parameters(words(&parameters))
            .saved(words(&shard.saved))
            .grad_parameters(words(&gradients))
            .grad_input(dx);
        let bound = plan.expect("a plan").bind(kernels, buffers);
        steps.push(bound.expect("fitting tensors"));
    }
    gpu.run("shards", |pass| {
        steps.iter().for_each(|step| step.record(pass))
    });

    let down = |buffer| -> Vec<u32> {
        let words = gpu.blocking_download(Tensor::whole(buffer));
        words.expect("a live device")
    };
    let floats = |buffer| bytemuck::cast_slice::<u32, f32>(&down(buffer)).to_vec();
    let tensor = |of: fn(&Shard) -> &wgpu::Buffer| {
        let parts = shards.iter().map(|shard| {
            let len = shard.shape.len() as usize;
            if len == 0 {
                return vec![];
            }
            decode(element, &down(of(shard)), len)
        });
        parts.flatten().collect()
    };
    let gradients = floats(&gradients);
    let computed = Computed {
        y: tensor(|shard| &shard.y),
        dx: tensor(|shard| &shard.dx),
        gradients: [0, 1].map(|n| packed.vector(&gradients, n).expect("two vectors").to_vec()),
        running: shards.iter().map(|shard| down(&shard.running)).collect(),
        saved: shards.iter().map(|shard| floats(&shard.saved)).collect(),
    };
    messages::assert_quiet();
    computed
}

/// The statistics that every shard keeps are the same, and the batch's.
#[track_caller]
fn assert_statistics(step: &LayerStep, computed: &Computed, what: &str) {
    let packed = Packed::new(step.shape.channels());
    let mut running = RunningStatistics::new(step.shape.channels() as usize);
    let forward = reference::training(
        &step.x,
        None,
        step.shape,
        Parameters::new(&step.gamma, &step.beta),
        &training(step),
        Some(&mut running),
    )
    .expect("a problem that can be computed");
    for (index, words) in computed.running.iter().enumerate() {
        assert_eq!(
            words, &computed.running[0],
            "{what}: the running statistics differ"
        );
        let floats = bytemuck::cast_slice::<u32, f32>(words);
        for (n, exact) in [&running.mean, &running.variance].into_iter().enumerate() {
            let vector = packed.vector(floats, n).expect("three vectors");
            let compared = Comparison::new(vector, exact, Tolerance::PROMISE);
            assert!(
                compared.is_within(),
                "{what}, shard {index}: {}",
                compared.describe("running")
            );
        }
        assert_eq!(
            packed.vector(words, 2),
            Some(&running.batches[..]),
            "{what}"
        );
    }
    for saved in &computed.saved {
        let vector = |n| packed.vector(saved, n).expect("three vectors");
        for (channel, (mean, invstd)) in forward.mean.iter().zip(&forward.invstd).enumerate() {
            let [hi, lo, saved] = [0, 1, 2].map(|n| f64::from(vector(n)[channel]));
            let near = 2e-6 / invstd + 1e-12 * mean.abs();
            assert!(
                (hi + lo - mean).abs() <= near,
                "{what}: {hi} + {lo} for {mean}"
            );
            assert!(
                (saved - invstd).abs() <= 2e-6 * invstd,
                "{what}: {saved} for {invstd}"
            );
        }
    }
}

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
            assert_statistics(step, &computed, &what);
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
