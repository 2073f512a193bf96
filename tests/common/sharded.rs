//! A layer's step over a batch that is in several places.

use wgpu_batchnorm::reference::{self, Parameters, RunningStatistics};
use wgpu_batchnorm::{Buffers, Element, Gradient, Packed, Plan, Shape, Tensor, Training, wgpu};

use super::compare::{Comparison, Tolerance};
use super::stored::{self, decode, encode};
use super::{Device, LayerStep, messages, shape};

/// How the moments of the shards become the batch's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Merging {
    /// By a plan of its own.
    First,
    /// By every shard.
    Directly,
}

/// What all shards together computed.
#[derive(Clone, Debug, PartialEq)]
pub struct Computed {
    pub y: Vec<f32>,
    pub dx: Vec<f32>,
    /// gamma and beta, of the batch.
    pub gradients: [Vec<f32>; 2],
    /// Of each shard.
    pub running: Vec<Vec<u32>>,
    pub saved: Vec<Vec<f32>>,
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
pub fn compute(step: &LayerStep, cut: &[u64], merging: Merging, device: &Device) -> Computed {
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
        for step in &steps {
            step.record(pass);
        }
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

impl Computed {
    /// What is wrong, first of all: gradients, and statistics that every shard keeps alike.
    pub fn compare(&self, step: &LayerStep) -> Result<(), String> {
        let packed = Packed::new(step.shape.channels());
        let mut running = RunningStatistics::new(step.shape.channels() as usize);
        let parameters = Parameters::new(&step.gamma, &step.beta);
        let options = training(step);
        let forward = reference::training(
            &step.x,
            None,
            step.shape,
            parameters,
            &options,
            Some(&mut running),
        )
        .expect("a problem that can be computed");
        let exact = step.exact();
        let [gamma, beta] = &self.gradients;
        for (name, actual, exact) in [
            ("y", &self.y, &forward.y),
            ("dx", &self.dx, &exact.input),
            ("dgamma", gamma, &exact.gamma),
            ("dbeta", beta, &exact.beta),
        ] {
            // sums and differences of the largest values
            let largest = exact
                .iter()
                .fold(1.0f64, |most, value| most.max(value.abs()));
            let share = 5e-6 + stored::rounding(step.options.element);
            let tolerance = Tolerance::Sum {
                absolute: share * largest,
                relative: 0.0,
            };
            let compared = Comparison::new(actual, exact, tolerance);
            if !compared.is_within() {
                return Err(compared.describe(name));
            }
        }
        for words in &self.running {
            let floats = bytemuck::cast_slice::<u32, f32>(words);
            for (n, exact) in [&running.mean, &running.variance].into_iter().enumerate() {
                let vector = packed.vector(floats, n).expect("three vectors");
                let compared = Comparison::new(vector, exact, Tolerance::PROMISE);
                if !compared.is_within() {
                    return Err(compared.describe("running"));
                }
            }
            if words != &self.running[0] || packed.vector(words, 2) != Some(&running.batches[..]) {
                return Err("the running statistics differ".to_owned());
            }
        }
        for saved in &self.saved {
            let vector = |n| packed.vector(saved, n).expect("three vectors");
            for (channel, (mean, invstd)) in forward.mean.iter().zip(&forward.invstd).enumerate() {
                let [hi, lo, saved] = [0, 1, 2].map(|n| f64::from(vector(n)[channel]));
                let near = 2e-6 / invstd + 1e-12 * mean.abs();
                let right =
                    (hi + lo - mean).abs() <= near && (saved - invstd).abs() <= 2e-6 * invstd;
                if !right {
                    return Err(format!("saved {hi} + {lo}, {saved} for {mean}, {invstd}"));
                }
            }
        }
        Ok(())
    }
}
