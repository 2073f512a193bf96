//! A layer that trains: its running statistics move as PyTorch's do, and it then infers with them.

use safetensors::SafeTensors;
use wgpu_batchnorm::{
    Backward, Buffers, Gpu, GpuOptions, Kernels, Layer, LayerOptions, LayerState, Plan, Running,
    RunningVariance, Shape, Tensor, Update, reference,
};

const PYTORCH: &str = "tests/data/pytorch_layer.safetensors";
const SIZES: [usize; 4] = [4, 5, 3, 3];
const CHANNELS: usize = SIZES[1];

fn gpu() -> Gpu {
    Gpu::blocking(&GpuOptions::from_env()).expect("these tests need an adapter")
}

fn shape() -> Shape {
    Shape::channels_first(&SIZES).expect("a shape")
}

/// The batches that PyTorch trained on to make the file.
fn batches() -> Vec<Vec<f32>> {
    let bytes = std::fs::read(PYTORCH).expect("the file");
    let file = SafeTensors::deserialize(&bytes).expect("a file of tensors");
    let batch = |step| {
        let tensor = file.tensor(&format!("x.{step}")).expect("a batch");
        assert_eq!(tensor.shape(), SIZES);
        bytemuck::pod_collect_to_vec(tensor.data())
    };
    (0..3).map(batch).collect()
}

/// The channel of each value.
fn channel(index: usize) -> usize {
    index / (SIZES[2] * SIZES[3]) % CHANNELS
}

/// Mean and biased variance per channel, in f64.
fn moments(x: &[f32]) -> (Vec<f64>, Vec<f64>, f64) {
    let n = (x.len() / CHANNELS) as f64;
    let sum = |value: &dyn Fn(usize) -> f64| {
        let mut sums = vec![0.0; CHANNELS];
        for index in 0..x.len() {
            sums[channel(index)] += value(index) / n;
        }
        sums
    };
    let mean = sum(&|index| f64::from(x[index]));
    let variance = sum(&|index| (f64::from(x[index]) - mean[channel(index)]).powi(2));
    (mean, variance, n)
}

/// PyTorch's update of the running statistics in f64, from the state that the f32 layer starts with.
fn expected(state: &LayerState, batches: &[Vec<f32>], running: Running) -> [Vec<f64>; 2] {
    let widen = |values: &Option<Vec<f32>>| -> Vec<f64> {
        let values = values.as_ref().expect("running statistics");
        values.iter().copied().map(f64::from).collect()
    };
    let [mut mean, mut variance] = [widen(&state.running_mean), widen(&state.running_variance)];
    let mut seen = state.batches.expect("running statistics");
    for x in batches {
        seen += 1;
        let factor = match running.update {
            Update::Exponential(factor) => f64::from(factor),
            Update::Cumulative => 1.0 / seen as f64,
        };
        let (batch_mean, batch_variance, n) = moments(x);
        let unbiased = match running.variance {
            RunningVariance::Unbiased => n / (n - 1.0),
            RunningVariance::Biased => 1.0,
        };
        for c in 0..CHANNELS {
            mean[c] += factor * (batch_mean[c] - mean[c]);
            variance[c] += factor * (batch_variance[c] * unbiased - variance[c]);
        }
    }
    [mean, variance]
}

fn assert_close(given: &[f32], expected: impl IntoIterator<Item = f64>, what: &str) {
    let mut compared = 0;
    for (index, (&given, expected)) in given.iter().zip(expected).enumerate() {
        let tolerance = 2e-6 * expected.abs().max(1.0);
        assert!(
            (f64::from(given) - expected).abs() <= tolerance,
            "{what}[{index}]: {given}, expected {expected}"
        );
        compared += 1;
    }
    assert_eq!(compared, given.len(), "{what}");
}

/// Trains on the batches, all recorded into one pass, and gives each batch's output.
fn train(gpu: &Gpu, kernels: &Kernels, layer: &Layer, batches: &[Vec<f32>]) -> Vec<Vec<f32>> {
    let options = layer.training_options().saved(false);
    let plan = Plan::training(kernels.limits(), shape(), &options).expect("a plan");
    let tensors: Vec<_> = batches
        .iter()
        .map(|x| {
            let y = gpu.zeros(x.len() as u64, "y").expect("y");
            (gpu.upload(x, "x").expect("x"), y)
        })
        .collect();
    let steps: Vec<_> = tensors
        .iter()
        .map(|(x, y)| {
            let buffers = layer.buffers(Tensor::whole(x), Tensor::whole(y));
            pollster::block_on(plan.bind_checked(kernels, buffers)).expect("a step")
        })
        .collect();
    gpu.run("train", |pass| {
        for step in &steps {
            step.record(pass);
        }
    });
    tensors
        .iter()
        .map(|(_, y)| gpu.blocking_download(Tensor::whole(y)).expect("download"))
        .collect()
}

#[test]
fn three_steps_move_the_running_statistics_as_pytorch_moves_them() {
    let gpu = gpu();
    let kernels = Kernels::new(gpu.device());
    let batches = batches();
    let updates = [
        (Update::Exponential(0.1), "exponential."),
        (Update::Cumulative, "cumulative."),
    ];
    for (update, pytorch) in updates {
        for variance in [RunningVariance::Unbiased, RunningVariance::Biased] {
            let running = Running { update, variance };
            let options = LayerOptions::default().running(Some(running));
            let layer = Layer::new(gpu.device(), CHANNELS as u64, &options).expect("a layer");
            let before = LayerState::load(PYTORCH, "model.stem.1.").expect("the file");
            layer.set(gpu.queue(), &before).expect("set");
            train(&gpu, &kernels, &layer, &batches);
            let after = layer
                .blocking_read(gpu.device(), gpu.queue())
                .expect("read");

            let [mean, variance] = expected(&before, &batches, running);
            let given = |values: &Option<Vec<f32>>| values.clone().expect("running statistics");
            assert_close(&given(&after.running_mean), mean, "running mean");
            assert_close(
                &given(&after.running_variance),
                variance,
                "running variance",
            );
            assert_eq!(after.batches, Some(7 + 3));
            assert_eq!((&after.gamma, &after.beta), (&before.gamma, &before.beta));

            if running.variance == RunningVariance::Unbiased {
                let pytorch = LayerState::load(PYTORCH, pytorch).expect("the file");
                assert_eq!(after.batches, pytorch.batches);
                for (given, pytorch) in [
                    (&after.running_mean, &pytorch.running_mean),
                    (&after.running_variance, &pytorch.running_variance),
                ] {
                    let pytorch = pytorch.as_ref().expect("running statistics");
                    let given = given.as_ref().expect("running statistics");
                    assert_close(given, pytorch.iter().map(|&v| v.into()), "PyTorch's");
                }
            }
        }
    }
}

#[test]
fn each_librarys_momentum_moves_the_running_statistics_as_that_library_does() {
    let gpu = gpu();
    let kernels = Kernels::new(gpu.device());
    let batch = &batches()[..1];
    let (mean, variance, n) = moments(&batch[0]);
    let unbiased = n / (n - 1.0);
    // old, mean and biased variance of the batch: as each library's documentation writes the update
    let pytorch = |old: f64, new: f64| (1.0 - 0.2) * old + 0.2 * new;
    let retained = |old: f64, new: f64| 0.7 * old + (1.0 - 0.7) * new;
    type Rule<'a> = &'a dyn Fn(f64, f64) -> f64;
    let rules: [(Running, Rule<'_>, f64); 4] = [
        (Running::pytorch(Some(0.2)), &pytorch, unbiased),
        (Running::pytorch(None), &|_, new| new, unbiased),
        (Running::keras(0.7), &retained, 1.0),
        (Running::onnx(0.7), &retained, 1.0),
    ];
    for (running, rule, correction) in rules {
        let options = LayerOptions::default().running(Some(running));
        let layer = Layer::new(gpu.device(), CHANNELS as u64, &options).expect("a layer");
        train(&gpu, &kernels, &layer, batch);
        let after = layer
            .blocking_read(gpu.device(), gpu.queue())
            .expect("read");
        let given = |values: Option<Vec<f32>>| values.expect("running statistics");
        let expected = mean.iter().map(|&mean| rule(0.0, mean));
        assert_close(&given(after.running_mean), expected, "running mean");
        let expected = variance.iter().map(|&v| rule(1.0, correction * v));
        assert_close(&given(after.running_variance), expected, "running variance");
    }
}

/// A layer of each kind, with or without gamma, beta and running statistics: its options, and the state that it has.
fn layers(gpu: &Gpu) -> impl Iterator<Item = (Layer, LayerOptions, LayerState)> {
    let state = LayerState::load(PYTORCH, "model.stem.1.").expect("the file");
    (0..8).map(move |kind| {
        let options = LayerOptions::default()
            .epsilon(1e-3)
            .gamma(kind & 1 == 0)
            .beta(kind & 2 == 0)
            .running((kind & 4 == 0).then(Running::default));
        let running = options.running.is_some();
        let own = LayerState {
            gamma: state.gamma.clone().filter(|_| options.gamma),
            beta: state.beta.clone().filter(|_| options.beta),
            running_mean: state.running_mean.clone().filter(|_| running),
            running_variance: state.running_variance.clone().filter(|_| running),
            batches: state.batches.filter(|_| running),
        };
        let layer = Layer::new(gpu.device(), CHANNELS as u64, &options).expect("a layer");
        layer.set(gpu.queue(), &own).expect("set");
        (layer, options, own)
    })
}

#[test]
fn layers_of_every_kind_go_back() {
    let gpu = gpu();
    let kernels = Kernels::new(gpu.device());
    let batches = batches();
    let (x, dy) = (&batches[0], &batches[1]);
    for (layer, options, own) in layers(&gpu) {
        let packed = layer.packed();
        let values = x.len() as u64;
        let (x_buffer, dy_buffer) = (gpu.upload(x, "x"), gpu.upload(dy, "dy"));
        let (x_buffer, dy_buffer) = (x_buffer.expect("x"), dy_buffer.expect("dy"));
        let zeros = |values| gpu.zeros(values, "zeros").expect("a buffer");
        let (y, dx, saved) = (zeros(values), zeros(values), zeros(packed.saved()));
        let gradients = zeros(packed.parameters());
        let [x_tensor, dy_tensor, y, dx, saved, gradients] =
            [&x_buffer, &dy_buffer, &y, &dx, &saved, &gradients].map(Tensor::whole);

        // frozen statistics need some
        let ways = if options.running.is_some() {
            &[false, true][..]
        } else {
            &[false]
        };
        for &frozen in ways {
            let backward = if frozen {
                Backward::from(&layer.inference_options())
            } else {
                layer.backward_options()
            };
            let mut buffers = layer.backward_buffers(x_tensor, dy_tensor).grad_input(dx);
            if layer.parameters().is_some() {
                buffers = buffers.grad_parameters(gradients);
            }
            buffers = match layer.running().filter(|_| frozen) {
                Some(running) => buffers.running(running),
                None => buffers.saved(saved),
            };
            let limits = kernels.limits();
            let forward = Plan::training(limits, shape(), &layer.training_options().running(None));
            let forward = forward.expect("a plan");
            let mut forward_buffers = Buffers::new(x_tensor, y).saved(saved);
            if let Some(parameters) = layer.parameters() {
                forward_buffers = forward_buffers.parameters(parameters);
            }
            let forward = forward.bind(&kernels, forward_buffers).expect("a step");
            let plan = Plan::backward(limits, shape(), &backward).expect("a plan");
            let step = pollster::block_on(plan.bind_checked(&kernels, buffers)).expect("a step");
            gpu.run("there and back", |pass| {
                forward.record(pass);
                step.record(pass);
            });

            let parameters = reference::Parameters {
                gamma: own.gamma.as_deref(),
                beta: own.beta.as_deref(),
            };
            let fixed = own
                .running_mean
                .as_deref()
                .zip(own.running_variance.as_deref());
            let fixed = fixed.map(|(mean, variance)| reference::FixedStatistics { mean, variance });
            let exact = reference::backward(
                x,
                dy,
                None,
                shape(),
                parameters,
                fixed.filter(|_| frozen),
                &backward,
            )
            .expect("gradients");
            let download = |tensor| gpu.blocking_download::<f32>(tensor).expect("download");
            assert_close(&download(dx), exact.input, "dx");
            let gradients = download(gradients);
            for (index, there, exact) in [
                (0, options.gamma, &exact.gamma),
                (1, options.beta, &exact.beta),
            ] {
                let given = packed.vector(&gradients, index).expect("packed");
                let none = vec![0.0; CHANNELS];
                let expected = if there { exact } else { &none };
                assert_close(given, expected.iter().copied(), "a gradient of a parameter");
            }
        }
    }
}

#[test]
fn layers_of_every_kind_train_and_infer() {
    let gpu = gpu();
    let kernels = Kernels::new(gpu.device());
    let batches = batches();
    let x = &batches[0];
    for (layer, options, own) in layers(&gpu) {
        let normalized = |mean: &[f64], variance: &[f64]| -> Vec<f64> {
            let affine = |values: &Option<Vec<f32>>, c: usize, none: f64| {
                values.as_ref().map_or(none, |values| values[c].into())
            };
            let y = |(index, &x): (usize, &f32)| {
                let c = channel(index);
                let xhat = (f64::from(x) - mean[c]) / (variance[c] + f64::from(1e-3f32)).sqrt();
                xhat * affine(&own.gamma, c, 1.0) + affine(&own.beta, c, 0.0)
            };
            x.iter().enumerate().map(y).collect()
        };

        let y = train(&gpu, &kernels, &layer, &batches[..1]);
        let (mean, variance, _) = moments(x);
        assert_close(&y[0], normalized(&mean, &variance), "training");

        let plan = Plan::inference(kernels.limits(), shape(), &layer.inference_options());
        let (x_buffer, y_buffer) = (
            gpu.upload(x, "x").expect("x"),
            gpu.zeros(x.len() as u64, "y").expect("y"),
        );
        let given = gpu
            .upload(&[1.0f32, 2.0, 3.0, 4.0, 5.0], "given")
            .expect("statistics");
        let mut buffers = layer.buffers(Tensor::whole(&x_buffer), Tensor::whole(&y_buffer));
        let [mean, variance] = match options.running {
            Some(running) => expected(&own, &batches[..1], running),
            None => {
                buffers = buffers.statistics(Tensor::whole(&given), Tensor::whole(&given));
                [(); 2].map(|()| vec![1.0, 2.0, 3.0, 4.0, 5.0])
            }
        };
        let step = plan
            .expect("a plan")
            .bind(&kernels, buffers)
            .expect("a step");
        gpu.run("infer", |pass| step.record(pass));
        let y: Vec<f32> = gpu
            .blocking_download(Tensor::whole(&y_buffer))
            .expect("download");
        assert_close(&y, normalized(&mean, &variance), "inference");
    }
}
