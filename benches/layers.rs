//! Fifty small layers in one pass, beside what their dispatches cost alone. `cargo bench --bench layers`
//!
//! A small layer takes little more time than starting its kernels does, so the cost of a network's many is that of their dispatches.
//! All times are those of one layer, from its recording to its completion: of fifty different ones, 1x64x7x7 to 2x260x7x7, in
//! one pass and one submission; of the same fifty with a submission each; and of what is to be compared with them:
//!
//! - `empty workgroup`: as many dispatches, each of one workgroup whose kernel does nothing;
//! - `empty grids`: the same with the grids of the fifty layers;
//! - `1x8x2x2`: fifty layers that have next to nothing to compute, with all that binding them takes.

#[path = "common/empty.rs"]
mod empty;
#[path = "common/short.rs"]
mod short;
#[path = "common/tensors.rs"]
mod tensors;

use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};
use wgpu_batchnorm::{
    DeviceLimits, Element, Gpu, GpuOptions, Inference, Kernels, Plan, Shape, Step, Tensor,
    Training, wgpu,
};

use empty::empty;
use short::short;
use tensors::Tensors;

const LAYERS: u32 = 50;

#[derive(Clone, Copy)]
enum Direction {
    Inference,
    Training,
}

/// Layers bound to tensors of their own.
struct Layers {
    steps: Vec<Step>,
    /// Of all their dispatches.
    grids: Vec<[u32; 2]>,
}

impl Layers {
    fn new(gpu: &Gpu, kernels: &Kernels, direction: Direction, shapes: &[Shape]) -> Self {
        let limits = kernels.limits();
        let mut layers = Self {
            steps: Vec::new(),
            grids: Vec::new(),
        };
        for &shape in shapes {
            let tensors = Tensors::new(gpu, shape, Element::F32);
            let (plan, buffers) = match direction {
                Direction::Inference => (
                    Plan::inference(limits, shape, &Inference::default()),
                    tensors.buffers(),
                ),
                Direction::Training => (
                    Plan::training(limits, shape, &Training::default()),
                    tensors.buffers().saved(Tensor::whole(&tensors.saved)),
                ),
            };
            let plan = plan.expect("more than one value");
            let step = plan.bind(kernels, buffers).expect("fitting tensors");
            layers
                .grids
                .extend(plan.dispatches().map(|dispatch| dispatch.grid));
            layers.steps.push(step);
        }
        layers
    }
}

/// The time of one layer, where `submit` submits all of them.
fn per_layer(gpu: &Gpu, times: u64, submit: impl Fn()) -> Duration {
    let start = Instant::now();
    for _ in 0..times {
        submit();
        gpu.wait().expect("a live device");
    }
    start.elapsed() / LAYERS
}

fn layers(criterion: &mut Criterion) {
    let gpu = Gpu::blocking(&GpuOptions::from_env().limits(DeviceLimits::Adapter))
        .expect("benches need an adapter");
    let info = gpu.adapter().get_info();
    println!("{} ({} {})", info.name, info.driver, info.driver_info);
    let kernels = Kernels::new(gpu.device());
    let different: Vec<Shape> = (0..LAYERS as usize)
        .map(|index| Shape::channels_first(&[1 + index % 2, 64 + 4 * index, 7, 7]))
        .collect::<Result<_, _>>()
        .expect("small sizes");
    let tiny = Shape::channels_first(&[1, 8, 2, 2]).expect("small sizes");
    let tiny = vec![tiny; LAYERS as usize];
    let empty = empty(gpu.device());

    for (name, direction) in [
        ("inference", Direction::Inference),
        ("training", Direction::Training),
    ] {
        let different = Layers::new(&gpu, &kernels, direction, &different);
        let tiny = Layers::new(&gpu, &kernels, direction, &tiny);
        let mut group = criterion.benchmark_group(format!(
            "{name}, one of {LAYERS} layers ({} dispatches)",
            different.grids.len()
        ));
        let mut one_pass = |name: &str, record: &dyn Fn(&mut wgpu::ComputePass<'_>)| {
            let submit = || {
                gpu.run("layers", record);
            };
            submit();
            group.bench_function(name, |bencher| {
                bencher.iter_custom(|times| per_layer(&gpu, times, submit));
            });
        };
        let dispatches = |pass: &mut wgpu::ComputePass<'_>,
                          grids: &mut dyn Iterator<Item = [u32; 2]>| {
            for [x, y] in grids {
                pass.set_pipeline(&empty);
                pass.dispatch_workgroups(x, y, 1);
            }
        };
        one_pass("empty workgroup", &|pass| {
            dispatches(pass, &mut different.grids.iter().map(|_| [1, 1]));
        });
        one_pass("empty grids", &|pass| {
            dispatches(pass, &mut different.grids.iter().copied());
        });
        one_pass("1x8x2x2", &|pass| {
            tiny.steps.iter().for_each(|step| step.record(pass));
        });
        one_pass("one pass", &|pass| {
            different.steps.iter().for_each(|step| step.record(pass));
        });
        group.bench_function("a submission each", |bencher| {
            bencher.iter_custom(|times| {
                per_layer(&gpu, times, || {
                    for step in &different.steps {
                        gpu.run("layer", |pass| step.record(pass));
                    }
                })
            });
        });
        group.finish();
    }
}

criterion_group! {
    name = benches;
    config = short();
    targets = layers
}
criterion_main!(benches);
