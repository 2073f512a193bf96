//! Each path of a plan alone, beside the copy kernel on the same adapter. `cargo bench --bench stages`
//!
//! A plan has no switch for a single stage. So each path is forced by a [`Tuning`], and named by the stages it is made
//! of: `inference` is the normalize stage alone; `resident` and `fused` are one dispatch; `coefficients + normalize` is two;
//! `split` adds the merging of partial moments. What a stage costs is the difference between two of them. A path that no tuning
//! reaches on this shape is left out.
//!
//! Throughput counts the least traffic (inference reads and writes the tensor once, training reads it twice but where it
//! is resident; a copy reads and writes it once), so a row over the row of `copy` is the `copy_fraction` of the command.

#[path = "common/empty.rs"]
mod empty;
#[path = "common/short.rs"]
mod short;
#[path = "common/tensors.rs"]
mod tensors;

use std::time::{Duration, Instant};

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main};
use wgpu_batchnorm::yardstick::{CopyGeometry, CopyKernel, CopyStep};
use wgpu_batchnorm::{
    Buffers, DeviceLimits, Element, Gpu, GpuOptions, Inference, Kernels, Plan, Shape, Step, Tensor,
    Training, Tuning, wgpu,
};

use empty::empty;
use short::short;
use tensors::Tensors;

/// Recordings in one submission at most.
const RECORDINGS: u64 = 256;

/// A device and what was compiled for it.
struct Bench {
    gpu: Gpu,
    kernels: Kernels,
}

impl Bench {
    fn new() -> Self {
        let options = GpuOptions::from_env().limits(DeviceLimits::Adapter);
        let gpu = Gpu::blocking(&options).expect("benches need an adapter");
        let info = gpu.adapter().get_info();
        println!("{} ({} {})", info.name, info.driver, info.driver_info);
        let kernels = Kernels::new(gpu.device());
        Self { gpu, kernels }
    }

    /// The time of so many recordings, all in few submissions, from submission to completion.
    fn time(&self, times: u64, mut record: impl FnMut(&mut wgpu::ComputePass<'_>)) -> Duration {
        let start = Instant::now();
        let mut left = times;
        while left > 0 {
            let now = left.min(RECORDINGS);
            self.gpu
                .run("bench", |pass| (0..now).for_each(|_| record(pass)));
            left -= now;
        }
        self.gpu.wait().expect("a live device");
        start.elapsed()
    }

    /// The fastest copy of these tensors.
    fn copy(&self, tensors: &Tensors) -> CopyStep {
        let limits = self.kernels.limits();
        let x = tensors.x.words();
        CopyGeometry::candidates(limits, x.len())
            .into_iter()
            .map(|geometry| {
                let step = CopyKernel::new(self.gpu.device(), limits, geometry)
                    .bind(x, tensors.y.words())
                    .expect("two tensors of one length");
                self.time(1, |pass| step.record(pass));
                let best = (0..5).map(|_| self.time(4, |pass| step.record(pass))).min();
                (best, step)
            })
            .min_by_key(|(best, _)| *best)
            .expect("every device has candidates")
            .1
    }

    fn training(&self, shape: Shape, tuning: Tuning) -> Plan {
        let options = Training::default().tuning(tuning);
        Plan::training(self.kernels.limits(), shape, &options).expect("a valid tuning")
    }

    /// Every path that a tuning leads to on this shape, by the stages it is made of.
    fn paths(&self, shape: Shape) -> Vec<(String, Plan)> {
        let limits = self.kernels.limits();
        let usual = Tuning::for_limits(limits);
        let resident = Tuning {
            resident_accesses: 16,
            resident_workgroups: 1,
            ..usual.clone()
        };
        let fused = Tuning {
            workgroups: 1,
            fused_bytes: u64::MAX,
            resident_accesses: 0,
            ..usual.clone()
        };
        let coefficients = Tuning {
            fused_bytes: 0,
            ..fused.clone()
        };
        let split = Tuning {
            workgroups: 1024,
            resident_accesses: 0,
            ..usual.clone()
        };
        let mut paths: Vec<(String, Plan)> = Vec::new();
        for (name, tuning) in [
            ("as planned", usual),
            ("one read", resident),
            ("one dispatch", fused),
            ("whole channels", coefficients),
            ("split", split),
        ] {
            let plan = self.training(shape, tuning);
            let stages = stages(&plan);
            if name == "as planned" || paths.iter().skip(1).all(|(known, _)| *known != stages) {
                let name = match name {
                    "as planned" => format!("as planned: {stages}"),
                    _ => stages,
                };
                paths.push((name, plan));
            }
        }
        paths
    }

    fn bind(&self, plan: &Plan, buffers: Buffers<'_>) -> Step {
        plan.bind(&self.kernels, buffers).expect("fitting tensors")
    }
}

/// The plan's stages without repetition, as in `statistics + finalize + normalize`.
fn stages(plan: &Plan) -> String {
    let mut names: Vec<&str> = Vec::new();
    for dispatch in plan.dispatches() {
        let name = dispatch.stage.name().trim_start_matches("forward/");
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names.join(" + ")
}

fn shapes() -> [(&'static str, Shape); 4] {
    [
        (
            "channels-first 8x256x56x56",
            Shape::channels_first(&[8, 256, 56, 56]),
        ),
        (
            "channels-first 8x2048x7x7",
            Shape::channels_first(&[8, 2048, 7, 7]),
        ),
        (
            "channels-last 8x56x56x256",
            Shape::channels_last(&[8, 56, 56, 256]),
        ),
        ("2-D 4096x1024", Shape::channels_last(&[4096, 1024])),
    ]
    .map(|(name, shape)| (name, shape.expect("small sizes")))
}

fn large(criterion: &mut Criterion) {
    let bench = Bench::new();
    for (name, shape) in shapes() {
        let tensors = Tensors::new(&bench.gpu, shape, Element::F32);
        let mut group = criterion.benchmark_group(name);
        let step = bench.copy(&tensors);
        row(&mut group, &bench, "copy", 8 * shape.len(), |pass| {
            step.record(pass);
        });

        let plan = Plan::inference(bench.kernels.limits(), shape, &Inference::default())
            .expect("a small shape");
        let step = bench.bind(&plan, tensors.buffers());
        let traffic = plan.minimum_traffic();
        row(&mut group, &bench, "inference", traffic, |pass| {
            step.record(pass);
        });

        for (stages, plan) in bench.paths(shape) {
            let saved = Tensor::whole(&tensors.saved);
            let step = bench.bind(&plan, tensors.buffers().saved(saved));
            let traffic = plan.minimum_traffic();
            let name = format!("training, {stages}");
            row(&mut group, &bench, &name, traffic, |pass| step.record(pass));
        }
        group.finish();
    }
}

fn row(
    group: &mut BenchmarkGroup<'_, WallTime>,
    bench: &Bench,
    name: &str,
    traffic: u64,
    mut record: impl FnMut(&mut wgpu::ComputePass<'_>),
) {
    group.throughput(Throughput::Bytes(traffic));
    group.bench_function(name, |bencher| {
        bencher.iter_custom(|times| bench.time(times, &mut record));
    });
}

/// A small layer submitted alone and waited for, beside an empty dispatch: what is left is the cost of a start.
fn small(criterion: &mut Criterion) {
    let bench = Bench::new();
    let alone = |times: u64, record: &dyn Fn(&mut wgpu::ComputePass<'_>)| {
        (0..times).map(|_| bench.time(1, record)).sum::<Duration>()
    };
    let mut group = criterion.benchmark_group("submit to done");
    let empty = empty(bench.gpu.device());
    group.bench_function("empty dispatch", |bencher| {
        bencher.iter_custom(|times| {
            alone(times, &|pass| {
                pass.set_pipeline(&empty);
                pass.dispatch_workgroups(1, 1, 1);
            })
        });
    });
    let shape = Shape::channels_first(&[2, 16, 8, 8]).expect("small sizes");
    let tensors = Tensors::new(&bench.gpu, shape, Element::F32);
    let limits = bench.kernels.limits();
    let training =
        Plan::training(limits, shape, &Training::default()).expect("more than one value");
    let inference = Plan::inference(limits, shape, &Inference::default()).expect("a small shape");
    let saved = tensors.buffers().saved(Tensor::whole(&tensors.saved));
    for (name, step) in [
        (
            "inference 2x16x8x8",
            bench.bind(&inference, tensors.buffers()),
        ),
        ("training 2x16x8x8", bench.bind(&training, saved)),
    ] {
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|times| alone(times, &|pass| step.record(pass)));
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = short();
    targets = large, small
}
criterion_main!(benches);
