//! The processor's path beside the loops of a textbook. `cargo bench --bench cpu`
//!
//! Throughput counts the least traffic, as the command does: inference reads and writes the tensor once, training reads
//! it twice, and the backward pass reads two tensors twice and writes one. The library's path runs on all cores, the textbook's loops on one.

use std::hint::black_box;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use wgpu_batchnorm::cpu::{
    self, GradientsMut, NormalizedBy, Parameters, RunningMut, Saved, SavedMut,
};
use wgpu_batchnorm::{Activation, Backward, HostError, Inference, Shape, Training};

type TrainingPass = fn(
    &[f32],
    Option<&[f32]>,
    &mut [f32],
    Shape,
    Parameters<'_>,
    &Training,
    Option<RunningMut<'_>>,
    Option<SavedMut<'_>>,
) -> Result<(), HostError>;
type InferencePass = fn(
    &[f32],
    Option<&[f32]>,
    &mut [f32],
    Shape,
    Parameters<'_>,
    &[f32],
    &[f32],
    &Inference,
) -> Result<(), HostError>;
type BackwardPass = fn(
    &[f32],
    &[f32],
    Option<&[f32]>,
    Shape,
    Parameters<'_>,
    NormalizedBy<'_>,
    &Backward,
    GradientsMut<'_>,
) -> Result<(), HostError>;

const TRAINING: [(&str, TrainingPass); 2] =
    [("cpu", cpu::training), ("textbook", cpu::textbook_training)];
const INFERENCE: [(&str, InferencePass); 2] = [
    ("cpu", cpu::inference),
    ("textbook", cpu::textbook_inference),
];
const BACKWARD: [(&str, BackwardPass); 2] =
    [("cpu", cpu::backward), ("textbook", cpu::textbook_backward)];

fn shapes() -> [(&'static str, Shape); 3] {
    [
        (
            "channels-first 8x256x56x56",
            Shape::channels_first(&[8, 256, 56, 56]),
        ),
        (
            "channels-last 8x56x56x256",
            Shape::channels_last(&[8, 56, 56, 256]),
        ),
        (
            "channels-first 8x2048x7x7",
            Shape::channels_first(&[8, 2048, 7, 7]),
        ),
    ]
    .map(|(name, shape)| (name, shape.expect("small sizes")))
}

fn cpu(criterion: &mut Criterion) {
    for (name, shape) in shapes() {
        let x: Vec<f32> = (0..shape.len())
            .map(|index| (index % 251) as f32 / 50.0)
            .collect();
        let mut y = vec![0.0; x.len()];
        let ones = vec![1.0; shape.channels() as usize];
        let zeros = vec![0.0; shape.channels() as usize];
        let parameters = Parameters::new(&ones, &zeros);

        let mut group = criterion.benchmark_group(name);
        group.throughput(Throughput::Bytes(2 * 4 * shape.len()));
        for (path, pass) in INFERENCE {
            let options = Inference::default();
            group.bench_function(BenchmarkId::new("inference", path), |bencher| {
                bencher.iter(|| {
                    let (x, y) = (black_box(&x), black_box(&mut y));
                    pass(x, None, y, shape, parameters, &zeros, &ones, &options)
                        .expect("fitting slices");
                });
            });
        }
        group.throughput(Throughput::Bytes(3 * 4 * shape.len()));
        for (path, pass) in TRAINING {
            let options = Training::default().running(None).saved(false);
            group.bench_function(BenchmarkId::new("training", path), |bencher| {
                bencher.iter(|| {
                    let (x, y) = (black_box(&x), black_box(&mut y));
                    pass(x, None, y, shape, parameters, &options, None, None)
                        .expect("fitting slices");
                });
            });
        }
        group.throughput(Throughput::Bytes(5 * 4 * shape.len()));
        let dy: Vec<f32> = x.iter().rev().copied().collect();
        let (mut dgamma, mut dbeta) = (zeros.clone(), zeros.clone());
        let normalized_by = NormalizedBy::Batch(Saved {
            mean: &zeros,
            remainder: &zeros,
            invstd: &ones,
        });
        for (path, pass) in BACKWARD {
            for activation in [Activation::None, Activation::Relu] {
                let options = Backward::default().activation(activation);
                let name = match activation {
                    Activation::None => "backward".into(),
                    activation => format!("backward of {}", activation.name()),
                };
                group.bench_function(BenchmarkId::new(name, path), |bencher| {
                    bencher.iter(|| {
                        let gradients = GradientsMut {
                            input: Some(black_box(&mut y)),
                            gamma: Some(&mut dgamma),
                            beta: Some(&mut dbeta),
                            residual: None,
                        };
                        let (x, dy) = (black_box(&x), black_box(&dy));
                        pass(
                            x,
                            dy,
                            None,
                            shape,
                            parameters,
                            normalized_by,
                            &options,
                            gradients,
                        )
                        .expect("fitting slices");
                    });
                });
            }
        }
        group.finish();
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(2));
    targets = cpu
}
criterion_main!(benches);
