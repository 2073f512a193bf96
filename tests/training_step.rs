//! A whole training loop on the device, that of `examples/train.rs`, beside the same loop on the host in f64: after 50 steps
//! every parameter and every running statistic is the same.

#[path = "../examples/train/pipeline.rs"]
mod pipeline;

use pipeline::{Network, Sizes, TrainingStep, spirals, weights};
use wgpu_batchnorm::reference::{self, FixedStatistics, Parameters, RunningStatistics};
use wgpu_batchnorm::{
    Activation, Backward, Gpu, GpuOptions, Inference, Kernels, LayerState, Shape, Statistics,
    Tensor, Training,
};

const STEPS: usize = 50;
const LEARNING_RATE: f64 = 0.25;

/// The largest difference to the host after 50 steps, where parameters are about 1. A step's rounding errors are about 1e-7 of
/// its update, and later steps carry them on: together they came to 5e-7 where all functions are exact. Devices may take
/// exp and inverse square root with errors some times larger.
const TOLERANCE: f64 = 1e-5;

/// The gradient of ReLU jumps at 0. A value nearer to it than the rounding errors might fall on the other side on the
/// device, which would be a right result and another one.
const KINK: f64 = 2e-5;

/// 864 hidden values a step, none of which comes near the kink in 50 steps.
fn sizes() -> Sizes {
    Sizes {
        rows: 72,
        inputs: 2,
        hidden: 12,
        classes: 3,
    }
}

/// The network on the host.
struct Twin {
    sizes: Sizes,
    x: Vec<f64>,
    labels: Vec<u32>,
    first: Vec<f64>,
    second: Vec<f64>,
    gamma: Vec<f64>,
    beta: Vec<f64>,
    running: RunningStatistics,
    loss: f64,
    /// The least distance of a value from the kink of ReLU in all steps.
    nearest_to_kink: f64,
}

fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&value| value.into()).collect()
}

fn narrow(values: &[f64]) -> Vec<f32> {
    values.iter().map(|&value| value as f32).collect()
}

/// `a b` with `a` of `[rows, inner]` and `b` of `[inner, columns]`, both read through their index functions.
fn product(
    [rows, inner, columns]: [usize; 3],
    a: impl Fn(usize, usize) -> f64,
    b: impl Fn(usize, usize) -> f64,
) -> Vec<f64> {
    (0..rows * columns)
        .map(|at| {
            (0..inner)
                .map(|i| a(at / columns, i) * b(i, at % columns))
                .sum()
        })
        .collect()
}

fn descend(parameters: &mut [f64], gradients: &[f64]) {
    for (parameter, gradient) in parameters.iter_mut().zip(gradients) {
        *parameter -= LEARNING_RATE * gradient;
    }
}

impl Twin {
    fn step(&mut self, statistics: Statistics) {
        let [rows, inputs, hidden, classes] = [
            self.sizes.rows,
            self.sizes.inputs,
            self.sizes.hidden,
            self.sizes.classes,
        ]
        .map(|size| size as usize);
        let shape = Shape::channels_last(&[rows, hidden]).expect("a shape");
        let (gamma, beta) = (narrow(&self.gamma), narrow(&self.beta));
        let parameters = Parameters::new(&gamma, &beta);
        let (mean, variance) = (narrow(&self.running.mean), narrow(&self.running.variance));
        let frozen = FixedStatistics {
            mean: &mean,
            variance: &variance,
        };

        let x = |row: usize, column: usize| self.x[row * inputs + column];
        let weight = |row: usize, column: usize| self.first[row * hidden + column];
        let linear = narrow(&product([rows, inputs, hidden], x, weight));
        let (z, active, backward, frozen) = match statistics {
            Statistics::Batch => {
                let options = Training::default().running(None);
                let z = reference::training(&linear, None, shape, parameters, &options, None);
                let options = Training::default().activation(Activation::Relu);
                let running = Some(&mut self.running);
                let y = reference::training(&linear, None, shape, parameters, &options, running);
                let backward = Backward::from(&options);
                (z.expect("z").y, y.expect("y").y, backward, None)
            }
            Statistics::Fixed => {
                let normalized = |options: &Inference| {
                    let (mean, variance) = (frozen.mean, frozen.variance);
                    reference::inference(&linear, None, shape, parameters, mean, variance, options)
                        .expect("y")
                };
                let options = Inference::default().activation(Activation::Relu);
                (
                    normalized(&Inference::default()),
                    normalized(&options),
                    Backward::from(&options),
                    Some(frozen),
                )
            }
        };
        for z in z {
            self.nearest_to_kink = self.nearest_to_kink.min(z.abs());
        }

        // the bias is the weight of a one beside each row
        let active = |row: usize, column: usize| {
            if column == hidden {
                1.0
            } else {
                active[row * hidden + column]
            }
        };
        let weight = |row: usize, column: usize| self.second[row * classes + column];
        let logits = product([rows, hidden + 1, classes], active, weight);
        self.loss = 0.0;
        let mut grad_logits = vec![];
        for (row, &label) in logits.chunks(classes).zip(&self.labels) {
            let sum: f64 = row.iter().map(|logit| logit.exp()).sum();
            self.loss += (sum.ln() - row[label as usize]) / rows as f64;
            grad_logits.extend(row.iter().enumerate().map(|(class, logit)| {
                (logit.exp() / sum - f64::from(u8::from(class == label as usize))) / rows as f64
            }));
        }

        let grad = |row: usize, column: usize| grad_logits[row * classes + column];
        let active = |column: usize, row: usize| active(row, column);
        let grad_second = product([hidden + 1, rows, classes], active, grad);
        let weight = |column: usize, row: usize| weight(row, column);
        let grad_active = product([rows, classes, hidden], grad, weight);
        let gradients = reference::backward(
            &linear,
            &narrow(&grad_active),
            None,
            shape,
            parameters,
            frozen,
            &backward,
        )
        .expect("gradients");
        let grad = |row: usize, column: usize| gradients.input[row * hidden + column];
        let grad_first = product([inputs, rows, hidden], |i, row| x(row, i), grad);

        descend(&mut self.first, &grad_first);
        descend(&mut self.gamma, &gradients.gamma);
        descend(&mut self.beta, &gradients.beta);
        descend(&mut self.second, &grad_second);
    }
}

/// What a network is like at some time.
struct Snapshot {
    first: Vec<f32>,
    second: Vec<f32>,
    norm: LayerState,
    loss: f32,
}

fn some(values: Option<&Vec<f32>>) -> &[f32] {
    values.expect("the layer has it")
}

impl Snapshot {
    fn of(network: &Network, gpu: &Gpu) -> Self {
        let read = |buffer| {
            gpu.blocking_download(Tensor::whole(buffer))
                .expect("download")
        };
        let norm = network.norm.blocking_read(gpu.device(), gpu.queue());
        Self {
            first: read(&network.first),
            second: read(&network.second),
            norm: norm.expect("read"),
            loss: network.loss(gpu).expect("download"),
        }
    }

    /// The largest difference to the host's values.
    fn difference(&self, twin: &Twin) -> f64 {
        [
            (&self.first[..], &twin.first),
            (&self.second[..], &twin.second),
            (some(self.norm.gamma.as_ref()), &twin.gamma),
            (some(self.norm.beta.as_ref()), &twin.beta),
            (some(self.norm.running_mean.as_ref()), &twin.running.mean),
            (
                some(self.norm.running_variance.as_ref()),
                &twin.running.variance,
            ),
            (&[self.loss][..], &vec![twin.loss]),
        ]
        .into_iter()
        .flat_map(|(device, host)| {
            assert_eq!(device.len(), host.len());
            device.iter().zip(host)
        })
        .map(|(&device, &host)| (f64::from(device) - host).abs())
        // a NaN is no less than anything
        .fold(
            0.0,
            |most, difference| {
                if difference <= most { most } else { difference }
            },
        )
    }
}

/// A network on the device and its twin, at their beginning.
fn start(gpu: &Gpu) -> (Network, Twin) {
    let sizes = sizes();
    let (x, labels) = spirals(sizes.rows);
    let first = weights(sizes.inputs * sizes.hidden);
    let second = weights((sizes.hidden + 1) * sizes.classes);
    let channels = sizes.hidden as usize;
    let twin = Twin {
        x: wide(&x),
        labels: labels.clone(),
        first: wide(&first),
        second: wide(&second),
        gamma: vec![1.0; channels],
        beta: vec![0.0; channels],
        running: RunningStatistics::new(channels),
        loss: f64::NAN,
        nearest_to_kink: f64::INFINITY,
        sizes: self::sizes(),
    };
    let network = Network::new(gpu, sizes, &x, &labels, [&first, &second]).expect("a network");
    (network, twin)
}

fn gpu() -> (Gpu, Kernels) {
    let gpu = Gpu::blocking(&GpuOptions::from_env()).expect("these tests need an adapter");
    let kernels = Kernels::new(gpu.device());
    (gpu, kernels)
}

fn bind(network: &Network, gpu: &Gpu, kernels: &Kernels, statistics: Statistics) -> TrainingStep {
    network
        .training_step(gpu, kernels, statistics, LEARNING_RATE)
        .expect("a step")
}

fn assert_equal(network: &Snapshot, twin: &Twin) {
    assert!(
        twin.nearest_to_kink >= KINK,
        "a value came within {:e} of the kink: take other inputs",
        twin.nearest_to_kink
    );
    let difference = network.difference(twin);
    assert!(
        difference <= TOLERANCE,
        "after {STEPS} steps device and host differ by {difference:e}"
    );
}

#[test]
fn fifty_steps_of_training_end_where_they_end_on_the_host() {
    let (gpu, kernels) = gpu();
    let (network, mut twin) = start(&gpu);
    let step = bind(&network, &gpu, &kernels, Statistics::Batch);
    step.run(&gpu);
    let first_loss = network.loss(&gpu).expect("download");
    for _ in 1..STEPS {
        step.run(&gpu);
    }
    for _ in 0..STEPS {
        twin.step(Statistics::Batch);
    }
    let end = Snapshot::of(&network, &gpu);
    assert_equal(&end, &twin);
    assert_eq!(end.norm.batches, Some(STEPS as u64));
    assert!(
        end.loss < 0.7 * first_loss,
        "the loss fell from {first_loss} to {} only",
        end.loss
    );
}

#[test]
fn frozen_statistics_stay_while_gamma_and_beta_learn() {
    let (gpu, kernels) = gpu();
    let (network, mut twin) = start(&gpu);
    // statistics of some other data than the batch
    let spread = weights(sizes().hidden);
    let mean: Vec<f32> = spread.iter().map(|value| 0.3 * value).collect();
    let variance: Vec<f32> = spread.iter().map(|value| 0.6 + 0.4 * value).collect();
    let batches = vec![7; spread.len()];
    let norm = &network.norm;
    norm.set_running_mean(gpu.queue(), &mean).expect("set");
    norm.set_running_variance(gpu.queue(), &variance)
        .expect("set");
    norm.set_batches(gpu.queue(), 7).expect("set");
    twin.running = RunningStatistics::from_f32(&mean, &variance, &batches).expect("statistics");

    let step = bind(&network, &gpu, &kernels, Statistics::Fixed);
    for _ in 0..STEPS {
        step.run(&gpu);
        twin.step(Statistics::Fixed);
    }
    let end = Snapshot::of(&network, &gpu);
    assert_equal(&end, &twin);
    assert_eq!(some(end.norm.running_mean.as_ref()), mean);
    assert_eq!(some(end.norm.running_variance.as_ref()), variance);
    assert_eq!(end.norm.batches, Some(7));
    let moved = |values: &[f32], from: f32| values.iter().all(|value| (value - from).abs() > 1e-3);
    assert!(moved(some(end.norm.gamma.as_ref()), 1.0) && moved(some(end.norm.beta.as_ref()), 0.0));
}

#[test]
fn steps_in_one_encoder_are_steps_one_by_one() {
    let (gpu, kernels) = gpu();
    let [apart, together] = [false, true].map(|together| {
        let (network, _) = start(&gpu);
        let step = bind(&network, &gpu, &kernels, Statistics::Batch);
        if together {
            let mut encoder = gpu.device().create_command_encoder(&Default::default());
            for _ in 0..STEPS {
                step.record(&mut encoder);
            }
            gpu.queue().submit([encoder.finish()]);
        } else {
            for _ in 0..STEPS {
                step.run(&gpu);
            }
        }
        Snapshot::of(&network, &gpu)
    });
    assert_eq!(apart.first, together.first);
    assert_eq!(apart.second, together.second);
    assert_eq!(apart.norm, together.norm);
}
