//! The processor's path beside the loops of a textbook. `cargo bench --bench cpu`
//!
//! Throughput counts the least traffic, as the command does: inference reads and writes the tensor once, training reads
//! it twice. The library's path runs on all cores, the textbook's loops on one.

use std::hint::black_box;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use wgpu_batchnorm::cpu::{self, Parameters, RunningMut, SavedMut};
use wgpu_batchnorm::{HostError, Inference, Shape, Training};

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

const TRAINING: [(&str, TrainingPass); 2] =
    [("cpu", cpu::training), ("textbook", cpu::textbook_training)];
const INFERENCE: [(&str, InferencePass); 2] = [
    ("cpu", cpu::inference),
    ("textbook", cpu::textbook_inference),
];

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
