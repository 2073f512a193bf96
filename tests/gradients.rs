//! The backward pass, and what is fused into both passes, where it is hard: every activation, values far from 0, empty
//! batches, memory in place. Needs an adapter.

mod common;

use common::layer_step::plans;
use common::{
    Device, Distribution, InPlace, LayerStep, Memory, Workspace, bare, lanes, resident, shape,
    split, teams, whole, with_subgroups,
};
use wgpu_batchnorm::{
    Activation, Buffers, Derivative, Element, Gradient, Inference, Plan, Stage, Statistics, Tensor,
    Tuning, Walk,
};

/// Every activation, leaky ReLU also with a slope that is negative.
fn activations() -> impl Iterator<Item = Activation> {
    let falling = Activation::LeakyRelu { slope: -0.5 };
    Activation::all(0.1).into_iter().chain([falling])
}

#[test]
fn every_activation_from_everything_that_tells_its_gradient() {
    for activation in activations() {
        for derivative in [Derivative::Input, Derivative::Output, Derivative::Mask] {
            // a mask is made from the output
            let tells = activation.gradient_from(derivative)
                && (derivative != Derivative::Mask || activation.gradient_from(Derivative::Output));
            if !tells || (activation == Activation::None && derivative != Derivative::Input) {
                continue;
            }
            let mut step = LayerStep::new(shape(4, 3, 10), activation, 1);
            step = step.with(|options| options.derivative(derivative));
            // up to where the upper corner and the tails are
            for gamma in &mut step.gamma {
                *gamma *= 4.0;
            }
            step.clone().prepared().assert_right(bare());
            step.residual().prepared().assert_right(bare());
        }
    }
}

/// Values whose mean is a million deviations: dx to 1e-5 of its largest value, whatever the path.
#[test]
fn values_far_from_zero_have_right_gradients_by_every_path() {
    let hard = Distribution::Normal {
        mean: 1e4,
        deviation: 1e-2,
    };
    let windows = bare().limited(|limits| limits.binding_bytes = 4 << 10);
    let sizes = [
        (7, 5, 132),
        (7, 5, 279),
        (7, 5, 243),
        (613, 12, 1),
        (413, 12, 1),
        (29, 8, 9),
    ];
    let paths: [(Tuning, &Device); 7] = [
        (whole(lanes()), bare()),
        (split(lanes()), bare()),
        (whole(teams(64)), with_subgroups()),
        (split(teams(64)), bare()),
        (resident(256), bare()),
        (resident(256), with_subgroups()),
        (lanes(), &windows),
    ];
    for (outer, channels, inner) in sizes {
        for (tuning, device) in &paths {
            let step = LayerStep::new(shape(outer, channels, inner), Activation::None, 3);
            let step = step.distributed(hard, 5).tuned(tuning.clone()).prepared();
            let outcome = step.assert_right(device);
            let exact = step.exact();
            let largest = |values: &[f64]| values.iter().fold(0.0, |m: f64, v| m.max(v.abs()));
            let checks = [
                ("dx", &outcome.input, &exact.input),
                ("dgamma", &outcome.gamma, &exact.gamma),
                ("dbeta", &outcome.beta, &exact.beta),
            ];
            for (name, actual, exact) in checks {
                let actual = actual.as_ref().expect("every gradient is written");
                let most = 1e-5 * largest(exact);
                for (&actual, &exact) in actual.iter().zip(exact) {
                    let error = (f64::from(actual) - exact).abs();
                    assert!(error <= most, "{name}: {actual} for {exact}: {step}");
                }
            }
        }
    }
}

#[test]
fn empty_batches_have_gradients_of_zero() {
    for (outer, channels, inner) in [(0, 3, 5), (2, 3, 0), (0, 8, 1)] {
        for statistics in [Statistics::Batch, Statistics::Fixed] {
            for gradient in [Gradient::Write, Gradient::Add] {
                let step = LayerStep::new(shape(outer, channels, inner), Activation::None, 1);
                let step = step.with(|options| {
                    options
                        .statistics(statistics)
                        .grad_gamma(gradient)
                        .grad_beta(gradient)
                });
                let outcome = step.assert_right(bare());
                let value = match gradient {
                    Gradient::Add => step.before,
                    _ => 0.0,
                };
                for vector in [outcome.gamma, outcome.beta] {
                    assert_eq!(vector, Some(vec![value; channels as usize]), "{step}");
                }
            }
        }
    }
}

#[test]
fn one_value_one_channel_and_odd_sizes() {
    for element in Element::ALL {
        for (outer, channels, inner) in [
            (1, 5, 1),
            (1, 1, 1),
            (9, 1, 1),
            (1, 1, 77),
            (3, 1, 7),
            (5, 3, 7),
            (3, 6, 3),
            (5, 7, 1),
        ] {
            let shape = shape(outer, channels, inner);
            let mut step = LayerStep::new(shape, Activation::Relu, 2).residual();
            step = step.with(|options| options.element(element));
            // 1 / sqrt(1e-5) would magnify the roundings of a lonely value
            step.options.epsilon = 0.1;
            step.tuned(lanes()).prepared().assert_right(bare());
        }
    }
}

#[test]
fn gradients_take_the_place_of_dy_and_y_that_of_the_residual() {
    for input in [InPlace::GradInput, InPlace::GradResidual] {
        for tuning in [
            whole(lanes()),
            split(lanes()),
            split(teams(32)),
            resident(16),
        ] {
            for (outer, channels, inner) in [(4, 6, 10), (4, 4, 9), (50, 8, 1)] {
                for element in [Element::F32, Element::F16] {
                    let shape = shape(outer, channels, inner);
                    let step = LayerStep::new(shape, Activation::Relu, 2).residual();
                    let mut step = step
                        .with(|options| options.element(element).derivative(Derivative::Output));
                    step.memory = Memory {
                        pooled: true,
                        gap: 3,
                        offset: 4,
                        vectors: 8,
                        packed: false,
                        input,
                        y_over_residual: true,
                        workspace: Workspace::Given,
                    };
                    step.tuned(tuning.clone()).prepared().assert_right(bare());
                }
            }
        }
    }
}

#[test]
fn the_same_step_has_the_same_bits() {
    for (outer, channels, inner) in [(40, 6, 30), (413, 12, 1), (29, 8, 9)] {
        for (tuning, device) in [
            (split(lanes()), bare()),
            (split(teams(64)), bare()),
            (whole(teams(64)), with_subgroups()),
            (resident(256), bare()),
            (resident(256), with_subgroups()),
        ] {
            let shape = shape(outer, channels, inner);
            let step = LayerStep::new(shape, Activation::Gelu, 4)
                .tuned(tuning)
                .prepared();
            let words = [0, 1].map(|_| step.assert_right(device).words);
            assert!(words[0] == words[1], "{step}");
        }
    }
}

/// A gradient that is skipped costs nothing: what only it needs is not read, and stages that only it needs are not there.
#[test]
fn what_is_skipped_is_not_computed() {
    let small = shape(4, 3, 10);
    let step = LayerStep::new(small, Activation::None, 1);
    let stages = |step: &LayerStep| -> Vec<_> {
        let [_, backward] = plans(bare(), step.shape, &step.options).expect("a plan");
        backward
            .dispatches()
            .map(|dispatch| dispatch.stage)
            .collect()
    };
    let skip = Gradient::Skip;
    let sums = step
        .clone()
        .tuned(split(lanes()))
        .with(|options| options.grad_input(skip));
    assert_eq!(
        stages(&sums),
        [Stage::GradientSums, Stage::GradientFinalize]
    );
    sums.assert_right(bare());
    let frozen = step.clone().with(|options| {
        let options = options.statistics(Statistics::Fixed);
        options.grad_gamma(skip).grad_beta(skip)
    });
    assert_eq!(
        stages(&frozen),
        [Stage::GradientFinalize, Stage::GradientInput]
    );
    frozen.assert_right(bare());
    let residual = step
        .residual()
        .with(|options| options.grad_input(skip).grad_gamma(skip).grad_beta(skip));
    assert_eq!(
        stages(&residual),
        [Stage::GradientFinalize, Stage::GradientInput]
    );
    residual.assert_right(bare());
}

/// Inference in place, over x and over the residual, of every storage; one value short of a word leaves the rest of it.
#[test]
fn inference_in_place_of_every_storage() {
    use common::stored::{NEIGHBOUR, decode, encode, rounded, rounding};

    let gpu = &bare().gpu;
    for element in Element::ALL {
        for (outer, channels, inner) in [(3, 5, 7), (6, 4, 10), (9, 3, 1)] {
            for over_residual in [false, true] {
                let step = LayerStep::new(shape(outer, channels, inner), Activation::None, 8);
                let [x, residual] = [&step.x, &step.residual].map(|v| rounded(element, v));
                let [mean, variance] = &step.fixed;
                let options = Inference::default()
                    .gamma(false)
                    .beta(false)
                    .residual(true)
                    .activation(Activation::Relu6)
                    .element(element);
                let plan = Plan::inference(&bare().limits, step.shape, &options).expect("a plan");
                let up = |words: &[u32]| gpu.upload(words, "t").expect("a small buffer");
                let [at_x, at_residual] = [&x, &residual].map(|v| up(&encode(element, v)));
                let [at_mean, at_variance] = [mean, variance].map(|v| up(bytemuck::cast_slice(v)));
                let len = x.len();
                let at = |buffer| Tensor::new(buffer, 0, len as u64).stored_as(element);
                let y = if over_residual { &at_residual } else { &at_x };
                let buffers = Buffers::new(at(&at_x), at(y))
                    .residual(at(&at_residual))
                    .statistics(Tensor::whole(&at_mean), Tensor::whole(&at_variance));
                let bound = plan
                    .bind(&bare().kernels, buffers)
                    .expect("fitting tensors");
                gpu.run("in place", |pass| bound.record(pass));
                let words: Vec<u32> = gpu.blocking_download(Tensor::whole(y)).expect("y");
                let exact = wgpu_batchnorm::reference::inference(
                    &x,
                    Some(&residual),
                    step.shape,
                    Default::default(),
                    mean,
                    variance,
                    &options,
                )
                .expect("a problem that can be computed");
                let actual = decode(element, &words, len);
                for (actual, exact) in actual.iter().zip(&exact) {
                    let bound = 5e-6 + (5e-6 + rounding(element)) * exact.abs();
                    assert!(
                        (f64::from(*actual) - exact).abs() <= bound,
                        "{actual} for {exact}"
                    );
                }
                if element != Element::F32 && len % 2 == 1 {
                    let behind = words.last().map(|word| (word >> 16) as u16);
                    assert_eq!(behind, Some(NEIGHBOUR));
                }
            }
        }
    }
}

/// A NaN of dy is in every gradient of its channel and in no other channel's.
#[test]
fn a_nan_stays_in_its_channel() {
    for (outer, channels, inner) in [(4, 4, 10), (4, 4, 9), (50, 4, 1)] {
        for tuning in [
            whole(lanes()),
            split(lanes()),
            whole(teams(64)),
            resident(8),
            resident(64),
        ] {
            let shape = shape(outer, channels, inner);
            let mut step = LayerStep::new(shape, Activation::None, 4).tuned(tuning);
            step.dy[inner as usize] = f32::NAN;
            let outcome = step.solve(bare()).expect("a step that can be computed");
            let dx = outcome.input.expect("every gradient is written");
            for (index, dx) in dx.iter().enumerate() {
                let channel = index / inner as usize % channels as usize;
                assert_eq!(dx.is_nan(), channel == 1, "dx[{index}] is {dx}: {step}");
            }
            for vector in [outcome.gamma, outcome.beta] {
                let vector = vector.expect("every gradient is written");
                let nan: Vec<_> = vector.iter().map(|value| value.is_nan()).collect();
                assert_eq!(nan, [false, true, false, false]);
            }
        }
    }
}

/// Eight halves are one access where tensors start at multiples of 16 bytes, and only there.
#[test]
fn halves_that_start_anywhere_are_right() {
    use Walk::{Columns, Rows, Runs, SharedRuns};

    for (sizes, tuning, walk) in [
        ((7, 5, 280), whole(lanes()), Rows),
        ((7, 5, 280), split(lanes()), Runs),
        ((5, 6, 140), split(lanes()), SharedRuns),
        ((613, 24, 1), whole(lanes()), Columns),
        ((613, 24, 1), split(lanes()), Columns),
    ] {
        for offset in [0, 4, 8, 12, 16, 24, 252, 256, 264] {
            let (outer, channels, inner) = sizes;
            let shape = shape(outer, channels, inner);
            let step = LayerStep::new(shape, Activation::None, offset);
            let mut step = step.with(|options| options.element(Element::Bf16));
            step.memory.offset = offset;
            let step = step.tuned(tuning.clone()).prepared();
            let outcome = step.assert_right(bare());
            let last = outcome.forward.last().expect("a dispatch");
            let wide = (last.walk, last.width) == (walk, 8);
            assert_eq!(wide, offset % 16 == 0, "{sizes:?}, {offset}: {last:?}");
        }
    }
}

#[test]
fn long_walks_come_to_their_end() {
    // some drivers end a nest of loops after 65535 turns
    for (sizes, element) in [
        ((20_000, 2, 100), Element::F32),
        ((20_000, 4, 49), Element::F32),
        ((20_000, 8, 49), Element::Bf16),
        ((70_000, 8, 1), Element::F32),
    ] {
        let (outer, channels, inner) = sizes;
        let step = LayerStep::new(shape(outer, channels, inner), Activation::None, 0);
        let step = step.with(|options| options.element(element));
        for tuning in [whole(lanes()), split(lanes())] {
            step.clone().tuned(tuning).prepared().assert_right(bare());
        }
    }
}

/// The paths that the tests above mean to take.
#[test]
fn shapes_take_the_walks_that_they_are_for() {
    let walks = |(outer, channels, inner), tuning: Tuning, element| {
        let step = LayerStep::new(shape(outer, channels, inner), Activation::None, 0);
        let step = step.tuned(tuning).with(|options| options.element(element));
        let [_, backward] = plans(bare(), step.shape, &step.options).expect("a plan");
        let all = backward
            .dispatches()
            .map(|dispatch| (dispatch.stage, dispatch.walk));
        all.collect::<Vec<_>>()
    };
    let fused = |walk| vec![(Stage::GradientFused, walk)];
    let f32 = Element::F32;
    assert_eq!(walks((7, 5, 132), whole(lanes()), f32), fused(Walk::Rows));
    assert_eq!(
        walks((613, 12, 1), whole(lanes()), f32),
        fused(Walk::Columns)
    );
    assert_eq!(walks((29, 8, 9), whole(lanes()), f32), fused(Walk::Quads));
    for (sizes, walk) in [
        ((7, 5, 132), Walk::Rows),
        ((7, 5, 243), Walk::Rows),
        ((413, 12, 1), Walk::Columns),
        ((29, 8, 9), Walk::Rows),
    ] {
        let held = [(Stage::GradientResident, walk)];
        assert_eq!(walks(sizes, resident(256), f32), held);
    }
    assert_eq!(
        walks((29, 8, 9), split(lanes()), f32),
        [
            (Stage::GradientSums, Walk::Quads),
            (Stage::GradientFinalize, Walk::Rows),
            (Stage::GradientInput, Walk::Planes),
        ]
    );
    for (inner, sums, walk) in [
        (15, Walk::Quads, Walk::Planes),
        (17, Walk::SharedRuns, Walk::SharedRuns),
        (1023, Walk::SharedRuns, Walk::SharedRuns),
        (1025, Walk::Quads, Walk::Quads),
        (60, Walk::Rows, Walk::Planes),
        (64, Walk::Runs, Walk::Runs),
        (4092, Walk::Runs, Walk::Runs),
        (4096, Walk::Rows, Walk::Rows),
    ] {
        assert_eq!(
            walks((29, 8, inner), split(lanes()), f32),
            [
                (Stage::GradientSums, sums),
                (Stage::GradientFinalize, Walk::Rows),
                (Stage::GradientInput, walk),
            ]
        );
    }
    assert_eq!(
        walks((5, 3, 7), whole(lanes()), Element::F16),
        [
            (Stage::GradientCoefficients, Walk::Rows),
            (Stage::GradientInput, Walk::Words),
        ]
    );
}

/// Where x is NaN the activation's gradient is the reference's: ReLU and ReLU6 let it pass, leaky ReLU takes its slope.
#[test]
fn at_a_nan_the_gradient_is_that_of_the_reference() {
    for activation in [
        Activation::Relu,
        Activation::Relu6,
        Activation::LeakyRelu { slope: 0.25 },
    ] {
        let mut step = LayerStep::new(shape(4, 4, 8), activation, 6)
            .with(|options| {
                options
                    .statistics(Statistics::Fixed)
                    .grad_gamma(Gradient::Skip)
            })
            .prepared();
        step.x[9] = f32::NAN;
        let exact = step.exact().input[9];
        assert!(exact != 0.0 && exact.is_finite());
        let outcome = step.solve(bare()).expect("a step that can be computed");
        let dx = f64::from(outcome.input.expect("it is written")[9]);
        assert!(
            (dx - exact).abs() <= 1e-6 * exact.abs(),
            "{dx} for {exact}: {step}"
        );
    }
}
