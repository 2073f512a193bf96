//! The library as part of somebody else's pipeline: his pool, his pass, his shaders. Needs an adapter.

mod common;

use common::arena::{self, Arena, GUARD, Place, UNWRITTEN, tensor};
use common::compare::{Comparison, Tolerance};
use common::device::pipeline;
use common::{
    Placement, Problem, Random, Target, Workspace, bare, lanes, messages, shape, split, teams,
    whole, with_subgroups,
};
use wgpu_batchnorm::reference::{self, Parameters, RunningStatistics};
use wgpu_batchnorm::{
    Activation, Backward, Buffers, Derivative, Element, Gradient, Packed, Plan, Running, Shape,
    Step, Tensor, Training, Update, wgpu,
};

/// Offsets that are aligned for nothing, vec4 and bindings, and just not.
const OFFSETS: [u64; 6] = [0, 4, 8, 12, 252, 260];

#[test]
fn tensors_start_anywhere() {
    // rows, columns and quads where x and y allow vec4; of every length modulo 4
    for (outer, channels, inner) in [(3, 5, 7), (2, 4, 8), (2, 4, 9), (13, 8, 1), (3, 7, 2)] {
        let training = Problem::usual(outer, channels, inner).tuned(split(lanes()));
        for problem in [training.clone(), training.inference()] {
            let exact = problem.exact();
            for x in OFFSETS {
                for y in OFFSETS {
                    for pooled in [false, true] {
                        let placement = Placement {
                            pooled,
                            x,
                            y: Target::At(y),
                            vectors: (x + y) % 16,
                            packed_parameters: y % 8 == 0,
                            ..Placement::default()
                        };
                        let problem = problem.clone().placed(placement);
                        problem.assert_right_against(bare(), &exact);
                    }
                }
            }
        }
    }
}

#[test]
fn every_length_modulo_four_has_its_tail() {
    for inner in 1..10 {
        for (outer, channels) in [(1, 1), (2, 1), (1, 3), (3, 3), (2, 4)] {
            for tuning in [lanes(), teams(32)] {
                for pooled in [false, true] {
                    let training = Problem::usual(outer, channels, inner).tuned(tuning.clone());
                    let training = training.running(None).placed(Placement {
                        pooled,
                        ..Placement::default()
                    });
                    training.assert_right(bare());
                    training.inference().assert_right(bare());
                }
            }
        }
    }
}

#[test]
fn in_place_and_in_a_pool_with_the_callers_workspace() {
    for x in OFFSETS {
        for tuning in [whole(lanes()), split(lanes()), split(teams(32))] {
            for (outer, channels, inner) in [(4, 6, 10), (4, 4, 9), (50, 8, 1)] {
                let placement = Placement {
                    pooled: true,
                    gap: 3,
                    x,
                    y: Target::InPlace,
                    vectors: 8,
                    packed_parameters: false,
                    workspace: Workspace::Given,
                };
                let problem = Problem::usual(outer, channels, inner).unsaved();
                let problem = problem.tuned(tuning.clone()).placed(placement);
                problem.assert_right(with_subgroups());
                problem.inference().assert_right(with_subgroups());
            }
        }
    }
}

#[test]
fn the_callers_workspace_serves_as_well() {
    let mut problem = Problem::usual(40, 6, 10).tuned(split(lanes()));
    problem.placement.workspace = Workspace::Given;
    let plan = problem.plan(bare()).expect("a plan");
    assert!(plan.workspace_bytes() > 0);
    problem.assert_right(bare());
}

#[test]
fn a_plan_knows_the_texts_that_bound_steps_run() {
    let device = with_subgroups();
    for (outer, channels, inner) in [(4, 6, 10), (4, 4, 9), (300, 8, 1)] {
        for tuning in [whole(teams(32)), split(teams(32)), split(lanes())] {
            for element in Element::ALL {
                let shape = shape(outer, channels, inner);
                let training = Training::default()
                    .element(element)
                    .activation(Activation::Relu)
                    .residual(true)
                    .mask(true)
                    .tuning(tuning.clone());
                let backward = Backward::from(&training)
                    .derivative(Derivative::Mask)
                    .grad_residual(Gradient::Write)
                    .tuning(tuning.clone());
                let words = |values: u64| device.gpu.zeros(values, "words").expect("memory");
                let values = shape.len() * element.bytes() / 4 + 1;
                let of_shape: [_; 6] = std::array::from_fn(|_| words(values));
                let of_shape = of_shape
                    .each_ref()
                    .map(|buffer| Tensor::new(buffer, 0, shape.len()).stored_as(element));
                let [x, y, residual, dy, dx, dr] = of_shape;
                let packed = Packed::new(channels);
                let parameters = words(packed.parameters());
                let gradients = words(packed.parameters());
                let (saved, running) = (words(packed.saved()), words(packed.running()));
                let forward = Plan::training(&device.limits, shape, &training).expect("a plan");
                let mask = words(forward.mask_words());
                let back = Plan::backward(&device.limits, shape, &backward).expect("a plan");
                let there = Buffers::new(x, y)
                    .residual(residual)
                    .parameters(Tensor::whole(&parameters))
                    .saved(Tensor::whole(&saved))
                    .running(Tensor::whole(&running))
                    .mask(Tensor::whole(&mask));
                let again = Buffers::backward(x, dy)
                    .parameters(Tensor::whole(&parameters))
                    .saved(Tensor::whole(&saved))
                    .mask(Tensor::whole(&mask))
                    .grad_input(dx)
                    .grad_residual(dr)
                    .grad_parameters(Tensor::whole(&gradients));
                for (plan, buffers) in [(forward, there), (back, again)] {
                    let step = plan
                        .bind(&device.kernels, buffers)
                        .expect("tensors that fit");
                    let known: Vec<_> = plan.wgsl().collect();
                    let run: Vec<_> = step
                        .parts()
                        .map(|part| (part.info(), part.wgsl().to_owned()))
                        .collect();
                    assert_eq!(known, run);
                }
            }
        }
    }
}

/// Somebody else's shader: it doubles `count` values in place.
fn doubling(
    device: &wgpu::Device,
    buffer: &wgpu::Buffer,
    first: u32,
    count: u32,
) -> (wgpu::ComputePipeline, wgpu::BindGroup) {
    let text = format!(
        "@group(0) @binding(0) var<storage, read_write> pool: array<f32>;
         @compute @workgroup_size(64)
         fn main(@builtin(global_invocation_id) id: vec3<u32>) {{
             if id.x < {count}u {{ pool[{first}u + id.x] *= 2.0; }}
         }}"
    );
    pipeline(device, text, &[buffer])
}

/// Two layers, x -> batch norm -> h -> doubling -> h -> batch norm in place -> h, with everything in one pool.
struct Network {
    shape: Shape,
    input: Vec<f32>,
    gamma: [Vec<f32>; 2],
    beta: [Vec<f32>; 2],
    x: Place,
    h: Place,
    parameters: Place,
    gamma_apart: Place,
    beta_apart: Place,
    running: [Place; 2],
    saved: Place,
    workspace: [Place; 2],
}

impl Network {
    fn new(arena: &mut Arena, shape: Shape, offset: u64, options: &[Training; 2]) -> Self {
        let mut random = Random::new(offset);
        let len = shape.len() as usize;
        let input = random.vector(len, 2.0, 5.0);
        let channels = shape.channels() as usize;
        let packed = Packed::new(shape.channels());
        let stride = packed.stride() as usize;
        let [gamma, beta] =
            [0.5, -1.0].map(|low| [0, 1].map(|_| random.vector(channels, low, 1.5)));
        let pack = |vectors: &[&[f32]]| {
            let mut words = vec![GUARD; stride * vectors.len()];
            for (vector, to) in vectors.iter().zip(words.chunks_mut(stride)) {
                to[..channels].copy_from_slice(bytemuck::cast_slice(vector));
            }
            words
        };
        let state = [
            vec![0.0; channels],
            vec![1.0; channels],
            vec![0.0; channels],
        ];
        let state = pack(&state.each_ref().map(Vec::as_slice));
        let plans = options
            .each_ref()
            .map(|options| Plan::training(&bare().limits, shape, options).expect("a plan"));
        let mut workspace = || {
            let bytes = plans.iter().map(Plan::workspace_bytes).max().unwrap_or(0);
            arena.place(0, &vec![GUARD; bytes as usize / 4])
        };
        let workspace = [workspace(), workspace()];
        Self {
            x: arena.place(offset, bytemuck::cast_slice(&input)),
            parameters: arena.place(offset + 4, &pack(&[&gamma[0], &beta[0]])),
            running: [arena.place(offset, &state), arena.place(offset, &state)],
            h: arena.place(offset + 8, &vec![UNWRITTEN; len]),
            gamma_apart: arena.place(0, bytemuck::cast_slice(&gamma[1])),
            beta_apart: arena.place(offset, bytemuck::cast_slice(&beta[1])),
            saved: arena.place(
                4,
                &pack(&[
                    &state_of(channels),
                    &state_of(channels),
                    &state_of(channels),
                ]),
            ),
            workspace,
            shape,
            input,
            gamma,
            beta,
        }
    }

    fn bind(&self, pool: &[wgpu::Buffer], options: &[Training; 2]) -> [Step; 2] {
        let at = |place| tensor(pool, place);
        let plan = |options| Plan::training(&bare().limits, self.shape, options).expect("a plan");
        let first = Buffers::new(at(self.x), at(self.h))
            .label("first")
            .parameters(at(self.parameters))
            .running(at(self.running[0]))
            .saved(at(self.saved))
            .workspace(at(self.workspace[0]));
        let second = Buffers::new(at(self.h), at(self.h))
            .label("second")
            .gamma(at(self.gamma_apart))
            .beta(at(self.beta_apart))
            .running(at(self.running[1]))
            .workspace(at(self.workspace[1]));
        [
            plan(&options[0])
                .bind(&bare().kernels, first)
                .expect("fitting tensors"),
            plan(&options[1])
                .bind(&bare().kernels, second)
                .expect("fitting tensors"),
        ]
    }

    fn written(&self) -> Vec<Place> {
        let channels = self.shape.channels() as usize;
        let stride = Packed::new(self.shape.channels()).stride() as usize;
        let parts = |place: Place| (0..3).map(move |n| place.part(n * stride, channels));
        let mut written = vec![self.h];
        written.extend(self.workspace);
        for place in [self.running[0], self.running[1], self.saved] {
            written.extend(parts(place));
        }
        written
    }

    /// h after one or more passes, and the running statistics of both layers.
    fn exact(&self, options: &[Training; 2], passes: u32) -> (Vec<f64>, [RunningStatistics; 2]) {
        let mut states = [0, 1].map(|_| RunningStatistics::new(self.shape.channels() as usize));
        let mut h = vec![];
        for _ in 0..passes {
            let layer = |x: &[f32], index: usize, state: &mut RunningStatistics| {
                let parameters = Parameters::new(&self.gamma[index], &self.beta[index]);
                let options = &options[index];
                reference::training(x, None, self.shape, parameters, options, Some(state))
                    .expect("a problem that can be computed")
                    .y
            };
            let first = layer(&self.input, 0, &mut states[0]);
            let doubled: Vec<f32> = first.iter().map(|h| 2.0 * *h as f32).collect();
            h = layer(&doubled, 1, &mut states[1]);
        }
        (h, states)
    }

    fn assert_right(&self, words: &[u32], options: &[Training; 2], passes: u32) {
        let (h, states) = self.exact(options, passes);
        let channels = self.shape.channels() as usize;
        let stride = Packed::new(self.shape.channels()).stride() as usize;
        let floats = |place: Place| {
            bytemuck::cast_slice::<u32, f32>(&words[place.start..place.start + place.len])
        };
        let compare = |name: &str, actual: &[f32], expected: &[f64], tolerance| {
            let compared = Comparison::new(actual, expected, tolerance);
            assert!(compared.is_within(), "{}", compared.describe(name));
        };
        // the second layer sees what the first one rounds, magnified by its inverse standard deviation
        compare("h", floats(self.h), &h, Tolerance::Scaled(4e-6));
        for (place, state) in self.running.into_iter().zip(&states) {
            let part = |n: usize| floats(place.part(n * stride, channels));
            compare("running mean", part(0), &state.mean, Tolerance::PROMISE);
            compare(
                "running variance",
                part(1),
                &state.variance,
                Tolerance::Scaled(4e-6),
            );
            let batches = bytemuck::cast_slice::<f32, u32>(part(2));
            assert_eq!(batches, state.batches);
        }
    }
}

fn state_of(channels: usize) -> Vec<f32> {
    vec![f32::from_bits(UNWRITTEN); channels]
}

#[test]
fn two_layers_and_somebody_elses_shader_share_one_pass_and_one_pool() {
    let options = |epsilon, update| {
        let running = Running {
            update,
            ..Running::default()
        };
        let first = Training::default().epsilon(epsilon).running(Some(running));
        let first = first.tuning(split(lanes()));
        let second = first.clone().saved(false).epsilon(2.0 * epsilon);
        [first, second]
    };
    let options = [
        options(1e-5, Update::Exponential(0.1)),
        options(1e-2, Update::Cumulative),
    ];
    let gpu = &bare().gpu;
    let mut arena = Arena::new(true, 0);
    // different shapes and parameters, in one pool with all per-channel vectors
    let networks = [
        Network::new(&mut arena, shape(6, 5, 14), 4, &options[0]),
        Network::new(&mut arena, shape(33, 12, 1), 12, &options[1]),
    ];
    let pool = arena.upload(gpu);
    let [pool_buffer] = &pool[..] else {
        panic!("one pool");
    };

    // made once, recorded in every pass
    let steps = [0, 1].map(|n| networks[n].bind(&pool, &options[n]));
    let shaders = networks.each_ref().map(|network| {
        let (first, count) = (network.h.start as u32, network.h.len as u32);
        (doubling(gpu.device(), pool_buffer, first, count), count)
    });

    let passes = 3;
    let mut encoder = gpu.device().create_command_encoder(&Default::default());
    for _ in 0..passes {
        let mut pass = encoder.begin_compute_pass(&Default::default());
        for ([first, second], ((pipeline, group), count)) in steps.iter().zip(&shaders) {
            first.record(&mut pass);
            pass.set_pipeline(pipeline);
            pass.set_bind_group(0, group, &[]);
            pass.dispatch_workgroups(count.div_ceil(64), 1, 1);
            second.record(&mut pass);
        }
    }
    gpu.queue().submit([encoder.finish()]);

    let after = arena::download(gpu, &pool);
    messages::assert_quiet();
    for (network, options) in networks.iter().zip(&options) {
        network.assert_right(&after[0], options, passes);
    }
    let written: Vec<_> = networks.iter().flat_map(Network::written).collect();
    assert_eq!(arena::touched(&arena.words, &after, &written), None);
}

#[test]
fn one_plan_is_bound_to_many_tensors_and_statistics_follow_submission() {
    let shape = shape(5, 3, 8);
    let limits = &bare().limits;
    let gpu = &bare().gpu;
    let options = Training::default().gamma(false).beta(false).saved(false);
    let plan = Plan::training(limits, shape, &options).expect("a plan");
    let packed = Packed::new(3);
    let state = packed
        .pack(&[&[0.0; 3], &[1.0; 3], &[0.0; 3]])
        .expect("three channels");
    let running = gpu.upload(&state, "running").expect("a small buffer");

    let batches: Vec<Vec<f32>> = (0..6)
        .map(|batch| Random::new(batch).vector(120, batch as f32, 3.0 * batch as f32 + 1.0))
        .collect();
    let bound: Vec<_> = batches
        .iter()
        .map(|batch| {
            let x = gpu.upload(batch, "x").expect("a small buffer");
            let y = gpu.zeros(120, "y").expect("a small buffer");
            let buffers = Buffers::new(Tensor::whole(&x), Tensor::whole(&y));
            let buffers = buffers.running(Tensor::whole(&running));
            (
                plan.bind(&bare().kernels, buffers)
                    .expect("fitting tensors"),
                y,
            )
        })
        .collect();

    // bound and encoded in one order, submitted in another
    let order = [3, 0, 5, 1, 4, 2];
    let mut encoded: Vec<_> = bound
        .iter()
        .map(|(step, _)| {
            let mut encoder = gpu.device().create_command_encoder(&Default::default());
            step.record(&mut encoder.begin_compute_pass(&Default::default()));
            Some(encoder.finish())
        })
        .collect();
    let mut exact = RunningStatistics::new(3);
    for index in order {
        gpu.queue().submit(encoded[index].take());
        let parameters = Parameters::default();
        let forward = reference::training(
            &batches[index],
            None,
            shape,
            parameters,
            &options,
            Some(&mut exact),
        )
        .expect("a problem that can be computed");
        let y: Vec<f32> = gpu
            .blocking_download(Tensor::whole(&bound[index].1))
            .expect("y");
        let compared = Comparison::new(&y, &forward.y, Tolerance::PROMISE);
        assert!(compared.is_within(), "{}", compared.describe("y"));
    }
    let state: Vec<f32> = gpu
        .blocking_download(Tensor::whole(&running))
        .expect("running");
    for (index, exact) in [&exact.mean, &exact.variance].into_iter().enumerate() {
        let vector = packed.vector(&state, index).expect("three vectors");
        let compared = Comparison::new(vector, exact, Tolerance::PROMISE);
        assert!(compared.is_within(), "{}", compared.describe("running"));
    }
    let counts: &[f32] = packed.vector(&state, 2).expect("three vectors");
    assert_eq!(bytemuck::cast_slice::<f32, u32>(counts), [6; 3]);
    messages::assert_quiet();
}

#[test]
fn what_is_bound_checked_runs() {
    let shape = shape(2, 3, 4);
    let options = Training::default()
        .gamma(false)
        .beta(false)
        .running(None)
        .saved(false);
    let plan = Plan::training(&bare().limits, shape, &options).expect("a plan");
    let own = bare().gpu.zeros(24, "own").expect("a small buffer");
    let y = bare().gpu.zeros(24, "y").expect("a small buffer");
    let buffers = Buffers::new(Tensor::whole(&own), Tensor::whole(&y));
    let step = pollster::block_on(plan.bind_checked(&bare().kernels, buffers));
    let step = step.expect("fitting tensors");
    bare().gpu.run("after", |pass| step.record(pass));
    bare().gpu.wait().expect("a live device");
}
