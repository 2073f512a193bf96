//! What cannot work is a typed error that says what was given and what is needed. Needs an adapter.

mod common;

use common::{bare, shape};
use wgpu_batchnorm::{
    Activation, Backward, BindError, Buffers, Derivative, Element, Gradient, Inference, Kernels,
    Limits, Packed, Plan, PlanError, Running, Shape, ShapeError, Statistics, Step, Tensor,
    Training, Tuning, Update, wgpu,
};

/// The error is this one, and its text has all of these in it.
#[track_caller]
fn assert_error<E: std::error::Error + PartialEq>(error: Option<E>, wanted: E, says: &[&str]) {
    assert_eq!(error.as_ref(), Some(&wanted));
    let text = wanted.to_string();
    for part in says {
        assert!(text.contains(part), "`{text}` does not say `{part}`");
    }
}

#[test]
fn kernels_plans_and_steps_go_to_other_threads() {
    fn shared<T: Send + Sync>() {}
    shared::<Kernels>();
    shared::<Plan>();
    shared::<Step>();
}

#[test]
fn shapes_without_meaning() {
    let rank = |sizes: &[usize]| Shape::channels_first(sizes).err();
    assert_error(
        rank(&[7]),
        ShapeError::Rank { rank: 1 },
        &["rank 1", "rank 2"],
    );
    assert_error(rank(&[]), ShapeError::Rank { rank: 0 }, &["rank 0"]);
    for axis in [3, -4] {
        let error = Shape::with_axis(&[2, 3, 4], axis).err();
        let wanted = ShapeError::Axis { axis, rank: 3 };
        assert_error(error, wanted, &[&axis.to_string(), "-3 to 2"]);
    }
    let large = Shape::channels_last(&[usize::MAX, 2, 2]).err();
    assert_error(large, ShapeError::TooLarge, &["64 bits"]);
}

#[test]
fn options_that_no_plan_exists_for() {
    let limits = Limits::default();
    let small = shape(2, 3, 4);
    let training = |options: &Training| Plan::training(&limits, small, options).err();

    for given in [-1e-5, f32::INFINITY, f32::NEG_INFINITY] {
        let wanted = PlanError::Epsilon { given };
        let says = [&given.to_string()[..], "at least 0"];
        assert_error(
            training(&Training::default().epsilon(given)),
            wanted.clone(),
            &says,
        );
        let inference = Plan::inference(&limits, small, &Inference::default().epsilon(given));
        assert_error(inference.err(), wanted, &says);
    }
    let nan = training(&Training::default().epsilon(f32::NAN));
    assert!(matches!(nan, Some(PlanError::Epsilon { given }) if given.is_nan()));

    for given in [-0.1, 1.5] {
        let running = Running {
            update: Update::Exponential(given),
            ..Running::default()
        };
        let error = training(&Training::default().running(Some(running)));
        let says = [&given.to_string()[..], "0 to 1"];
        assert_error(error, PlanError::UpdateFactor { given }, &says);
    }

    let single = Plan::training(&limits, shape(1, 5, 1), &Training::default()).err();
    assert_error(
        single,
        PlanError::SingleValue,
        &["one value per channel", "biased"],
    );
}

#[test]
fn shapes_too_large_to_plan() {
    let limits = Limits::default();
    let options = Inference::default();
    let given = 1 << 32;
    let long = Plan::inference(&limits, shape(given, 1, 1), &options).err();
    let wanted = PlanError::ValuesPerChannel { given };
    assert_error(long, wanted, &["4294967296", "4294967295"]);

    let channels = 20_000_000;
    let wide = Plan::inference(&limits, shape(1, channels, 1), &options).err();
    let wanted = PlanError::Channels {
        channels,
        needed: 12 * channels.next_multiple_of(64) + 256,
        limit: 128 << 20,
    };
    assert_error(wide, wanted, &["20000000", "134217728"]);

    // one channel of so many windows that their partials overflow a binding
    let tiny = Limits {
        binding_bytes: 4 << 10,
        ..limits
    };
    let error = Plan::training(&tiny, shape(1, 1, 1 << 20), &Training::default()).err();
    let Some(PlanError::Limit {
        what,
        given,
        needed,
    }) = error.clone()
    else {
        panic!("{error:?}");
    };
    assert_eq!(given, 4 << 10);
    assert!(needed > given);
    let wanted = PlanError::Limit {
        what,
        given,
        needed,
    };
    assert_error(error, wanted, &["binding", "4096", &needed.to_string()]);
}

#[test]
fn tunings_out_of_range() {
    let limits = Limits::default();
    let good = Tuning::for_limits(&limits);
    let cases = [
        (
            "workgroup_size",
            48,
            Tuning {
                workgroup_size: 48,
                ..good.clone()
            },
        ),
        (
            "workgroup_size",
            512,
            Tuning {
                workgroup_size: 512,
                ..good.clone()
            },
        ),
        (
            "workgroup_size",
            0,
            Tuning {
                workgroup_size: 0,
                ..good.clone()
            },
        ),
        (
            "workgroups",
            0,
            Tuning {
                workgroups: 0,
                ..good.clone()
            },
        ),
        (
            "values_per_workgroup",
            0,
            Tuning {
                values_per_workgroup: 0,
                ..good.clone()
            },
        ),
        (
            "block",
            0,
            Tuning {
                block: 0,
                ..good.clone()
            },
        ),
        (
            "tile_rows",
            1 << 21,
            Tuning {
                tile_rows: 1 << 21,
                ..good.clone()
            },
        ),
        (
            "resident_accesses",
            17,
            Tuning {
                resident_accesses: 17,
                ..good.clone()
            },
        ),
        (
            "resident_workgroups",
            0,
            Tuning {
                resident_workgroups: 0,
                ..good.clone()
            },
        ),
    ];
    let plan = |limits: &Limits, tuning: Tuning| {
        Plan::training(limits, shape(2, 3, 4), &Training::default().tuning(tuning)).err()
    };
    for (name, value, tuning) in cases {
        let error = plan(&limits, tuning);
        let Some(PlanError::Tuning {
            what,
            given,
            needed,
        }) = error.clone()
        else {
            panic!("{name}: {error:?}");
        };
        assert_eq!((what, given), (name, value));
        let text = error.map(|error| error.to_string()).unwrap_or_default();
        for part in [name, &value.to_string(), &needed] {
            assert!(text.contains(part), "{text}");
        }
    }
    // more lanes than workgroup memory holds moments of
    let poor = Limits {
        workgroup_memory: 4 << 10,
        ..limits
    };
    let error = plan(&poor, good);
    assert!(
        matches!(error, Some(PlanError::Tuning { given: 256, .. })),
        "{error:?}"
    );
}

fn buffer(bytes: u64, usage: wgpu::BufferUsages) -> wgpu::Buffer {
    bare().gpu.device().create_buffer(&wgpu::BufferDescriptor {
        label: None,
        size: bytes,
        usage,
        mapped_at_creation: false,
    })
}

fn storage(values: u64) -> wgpu::Buffer {
    buffer(4 * values, wgpu::BufferUsages::STORAGE)
}

fn bind(plan: &Plan, buffers: Buffers<'_>) -> Option<BindError> {
    plan.bind(&bare().kernels, buffers).err()
}

#[test]
fn tensors_missing_superfluous_or_given_twice() {
    let limits = &bare().limits;
    let small = shape(2, 3, 4);
    let packed = Packed::new(3);
    let [x, y] = [24, 24].map(storage);
    let [vectors, pair, trio] = [3, packed.parameters(), packed.running()].map(storage);
    let other = storage(packed.saved());
    let mean = storage(3);
    let t = Tensor::whole;
    let plain = || Buffers::new(t(&x), t(&y));
    let all = Training::default();
    let none = Training::default()
        .gamma(false)
        .beta(false)
        .running(None)
        .saved(false);
    let training = |options: &Training| Plan::training(limits, small, options).expect("a plan");
    let inference = Plan::inference(limits, small, &Inference::default()).expect("a plan");

    let missing = |tensor| BindError::Missing { tensor };
    for (plan, buffers, tensor) in [
        (training(&all), plain(), "gamma"),
        (training(&all), plain().gamma(t(&vectors)), "beta"),
        (training(&all), plain().parameters(t(&pair)), "running"),
        (
            training(&all),
            plain().parameters(t(&pair)).running(t(&trio)),
            "saved",
        ),
        (
            inference.clone(),
            plain().parameters(t(&pair)),
            "running or statistics",
        ),
    ] {
        assert_error(
            bind(&plan, buffers),
            missing(tensor),
            &[tensor, "not given"],
        );
    }

    let unused = |tensor| BindError::Unused { tensor };
    for (buffers, tensor) in [
        (plain().gamma(t(&vectors)), "gamma"),
        (plain().beta(t(&vectors)), "beta"),
        (plain().parameters(t(&pair)), "parameters"),
        (plain().running(t(&trio)), "running"),
        (plain().statistics(t(&vectors), t(&mean)), "statistics"),
        (plain().saved(t(&trio)), "saved"),
    ] {
        let error = bind(&training(&none), buffers);
        assert_error(error, unused(tensor), &[tensor, "does not use it"]);
    }

    let twice = |first, second| BindError::Twice { first, second };
    let given = || {
        plain()
            .parameters(t(&pair))
            .running(t(&trio))
            .saved(t(&other))
    };
    for (error, first, second) in [
        (
            bind(&training(&all), given().gamma(t(&vectors))),
            "gamma",
            "parameters",
        ),
        (
            bind(&training(&all), given().beta(t(&vectors))),
            "beta",
            "parameters",
        ),
        (
            bind(
                &inference,
                plain()
                    .parameters(t(&pair))
                    .running(t(&trio))
                    .statistics(t(&vectors), t(&mean)),
            ),
            "running",
            "statistics",
        ),
    ] {
        assert_error(error, twice(first, second), &[first, second, "both given"]);
    }
    assert_eq!(bind(&training(&all), given()), None);
}

#[test]
fn tensors_of_wrong_length_place_or_usage() {
    let limits = &bare().limits;
    let options = Training::default()
        .running(None)
        .saved(false)
        .tuning(Tuning {
            workgroups: 64,
            values_per_workgroup: 1,
            ..Tuning::for_limits(limits)
        });
    let plan = Plan::training(limits, shape(8, 3, 4), &options).expect("a plan");
    let workspace_values = plan.workspace_bytes() / 4;
    assert!(workspace_values > 0);
    let [x, y, gamma, beta] = [200, 200, 20, 20].map(storage);
    let scratch = storage(workspace_values + 64);
    let n = 96;
    let given = |x, y, gamma, beta| Buffers::new(x, y).gamma(gamma).beta(beta);
    let good = (
        Tensor::new(&x, 0, n),
        Tensor::new(&y, 0, n),
        Tensor::new(&gamma, 0, 3),
        Tensor::new(&beta, 0, 3),
    );
    let good_buffers = || given(good.0, good.1, good.2, good.3);
    assert_eq!(bind(&plan, good_buffers()), None);

    let length = |tensor, given, needed| BindError::Length {
        tensor,
        given,
        needed,
    };
    let error = bind(&plan, given(Tensor::new(&x, 0, 95), good.1, good.2, good.3));
    assert_error(error, length("x", 95, 96), &["x has 95", "96"]);
    let error = bind(&plan, given(good.0, Tensor::whole(&y), good.2, good.3));
    assert_error(error, length("y", 200, 96), &["y has 200", "96"]);
    let error = bind(
        &plan,
        given(good.0, good.1, Tensor::new(&gamma, 0, 4), good.3),
    );
    assert_error(error, length("gamma", 4, 3), &["gamma has 4", "needs 3"]);
    let short = Tensor::new(&scratch, 0, workspace_values - 1);
    let error = bind(&plan, good_buffers().workspace(short));
    let wanted = length("workspace", workspace_values - 1, workspace_values);
    assert_error(error, wanted, &["workspace", &workspace_values.to_string()]);
    assert_eq!(
        bind(&plan, good_buffers().workspace(Tensor::whole(&scratch))),
        None
    );

    let offset = |tensor, given, needed| BindError::Offset {
        tensor,
        given,
        needed,
    };
    let error = bind(&plan, given(good.0, Tensor::new(&y, 6, n), good.2, good.3));
    assert_error(error, offset("y", 6, 4), &["byte 6", "multiple of 4"]);
    let alignment = limits.offset_alignment;
    let apart = Tensor::new(&scratch, 4, workspace_values);
    let error = bind(&plan, good_buffers().workspace(apart));
    let says = ["byte 4", &format!("multiple of {alignment}")];
    assert_error(error, offset("workspace", 4, alignment), &says);

    let range = |tensor, end, size| BindError::Range { tensor, end, size };
    let error = bind(
        &plan,
        given(Tensor::new(&x, 420, n), good.1, good.2, good.3),
    );
    assert_error(error, range("x", 804, 800), &["x ends at byte 804", "800"]);
    let error = bind(
        &plan,
        given(good.0, good.1, good.2, Tensor::new(&beta, u64::MAX - 3, 3)),
    );
    assert_error(error, range("beta", u64::MAX, 80), &["beta", "80"]);

    // three halves end at byte 6, their last word at byte 8
    let halves = options.element(Element::F16).gamma(false).beta(false);
    let halves = Plan::training(limits, shape(3, 1, 1), &halves).expect("a plan");
    for (size, wanted) in [(8, None), (6, Some(range("x", 8, 6)))] {
        let cut = buffer(size, wgpu::BufferUsages::STORAGE);
        let half = |buffer| Tensor::new(buffer, 0, 3).stored_as(Element::F16);
        let error = bind(&halves, Buffers::new(half(&cut), half(&y)));
        assert_eq!(error, wanted);
    }
    let error = bind(
        &halves,
        Buffers::new(
            Tensor::new(&x, 0, 3).stored_as(Element::F16),
            Tensor::new(&y, 0, 3).stored_as(Element::Bf16),
        ),
    );
    let element = BindError::Element {
        tensor: "y",
        given: Element::Bf16,
        needed: Element::F16,
    };
    assert_error(error, element, &["y", "bf16", "for f16"]);

    let sink = buffer(400, wgpu::BufferUsages::COPY_DST);
    let usage = BindError::Usage {
        tensor: "x",
        given: wgpu::BufferUsages::COPY_DST,
    };
    let error = bind(
        &plan,
        given(Tensor::new(&sink, 0, n), good.1, good.2, good.3),
    );
    assert_error(error, usage, &["x", "COPY_DST", "STORAGE"]);
}

#[test]
fn tensors_that_overlap() {
    let limits = &bare().limits;
    let n = 24;
    let pool = storage(1000);
    let other = storage(n);
    let at = |offset: u64, len| Tensor::new(&pool, 4 * offset, len);
    let packed = Packed::new(3);
    let options = Training::default().beta(false).running(None);
    let plan = Plan::training(limits, shape(2, 3, 4), &options).expect("a plan");
    let overlap = |first, second| BindError::Overlap { first, second };
    let says = ["overlap"];

    let bound = |x, y, gamma, saved| bind(&plan, Buffers::new(x, y).gamma(gamma).saved(saved));
    let saved = || at(400, packed.saved());
    let error = bound(at(0, n), at(23, n), at(200, 3), saved());
    assert_error(error, overlap("x", "y"), &says);
    let error = bound(at(0, n), at(24, n), at(47, 3), saved());
    assert_error(error, overlap("y", "gamma"), &says);
    let error = bound(at(420, n), at(24, n), at(100, 3), saved());
    assert_error(error, overlap("x", "saved"), &says);
    // what is only read may overlap
    assert_eq!(bound(at(0, n), at(24, n), at(5, 3), saved()), None);
    // in place destroys what a backward pass reads
    let error = bound(at(0, n), at(0, n), at(200, 3), saved());
    assert_error(error, BindError::InPlaceTraining, &["saved(false)"]);
    let unsaved = Plan::training(limits, shape(2, 3, 4), &options.saved(false)).expect("a plan");
    assert_eq!(
        bind(&unsaved, Buffers::new(at(0, n), at(0, n)).gamma(at(200, 3))),
        None
    );
    // the same bytes of another buffer are other bytes
    let elsewhere = Buffers::new(Tensor::whole(&other), at(0, n)).gamma(at(200, 3));
    assert_eq!(bind(&unsaved, elsewhere), None);
}

#[test]
fn neighbours_that_no_binding_holds() {
    // x and y share a binding where they stand less than an alignment apart: here it would be longer than one may be
    let device = bare().limited(|limits| limits.binding_bytes = 4 << 10);
    let n = 900;
    let options = Inference::default().gamma(false).beta(false);
    let plan = Plan::inference(&device.limits, shape(1, 1, n), &options).expect("a plan");
    let pool = storage(2 * n + 1);
    let statistics = [storage(1), storage(1)];
    let bind = |x, y| {
        let [mean, variance] = statistics.each_ref().map(Tensor::whole);
        let buffers = Buffers::new(x, y).statistics(mean, variance);
        plan.bind(&device.kernels, buffers).err()
    };
    let error = bind(Tensor::new(&pool, 4, n), Tensor::new(&pool, 4 * (n + 1), n));
    let wanted = BindError::Apart {
        first: "x",
        second: "y",
        needed: 4 * (2 * n + 1),
        limit: 4 << 10,
        alignment: device.limits.offset_alignment,
    };
    assert_error(
        error,
        wanted,
        &["x and y", "7204", "4096", "256 bytes apart"],
    );
}

#[test]
fn a_buffer_of_another_device_is_told_by_the_device() {
    let options = Inference::default().gamma(false).beta(false);
    let plan = Plan::inference(&bare().limits, shape(1, 1, 4), &options).expect("a plan");
    let adapter = bare().gpu.adapter();
    let (device, _queue) =
        pollster::block_on(adapter.request_device(&wgpu::DeviceDescriptor::default()))
            .expect("a second device");
    let foreign = device.create_buffer(&wgpu::BufferDescriptor {
        label: None,
        size: 16,
        usage: wgpu::BufferUsages::STORAGE,
        mapped_at_creation: false,
    });
    let [x, mean, variance] = [4, 1, 1].map(storage);
    let buffers = Buffers::new(Tensor::whole(&x), Tensor::whole(&foreign))
        .statistics(Tensor::whole(&mean), Tensor::whole(&variance));
    let error = pollster::block_on(plan.bind_checked(&bare().kernels, buffers));
    let error = error.expect_err("a buffer of another device");
    assert!(
        matches!(&error, BindError::Device { message } if !message.is_empty()),
        "{error}"
    );
    assert!(error.to_string().starts_with("wgpu: "), "{error}");
}

const LEAKY: Activation = Activation::LeakyRelu { slope: -0.5 };

#[test]
fn activations_without_the_mask_or_gradient_that_is_asked_for() {
    let limits = Limits::default();
    let small = shape(2, 3, 4);
    let training = |options: &Training| Plan::training(&limits, small, options).err();
    let backward = |options: &Backward| Plan::backward(&limits, small, options).err();

    for given in [f32::INFINITY, f32::NEG_INFINITY] {
        let activation = Activation::LeakyRelu { slope: given };
        let says = ["slope", &given.to_string(), "finite"];
        let wanted = PlanError::Slope { given };
        let error = training(&Training::default().activation(activation));
        assert_error(error, wanted.clone(), &says);
        let options = Inference::default().activation(activation);
        let error = Plan::inference(&limits, small, &options).err();
        assert_error(error, wanted.clone(), &says);
        let error = backward(&Backward::default().activation(activation));
        assert_error(error, wanted, &says);
    }
    let nan = Training::default().activation(Activation::LeakyRelu { slope: f32::NAN });
    assert!(matches!(training(&nan), Some(PlanError::Slope { given }) if given.is_nan()));

    let silent = [
        Activation::None,
        Activation::Silu,
        Activation::Gelu,
        Activation::GeluTanh,
        LEAKY,
    ];
    for activation in silent {
        let wanted = PlanError::Mask {
            activation: activation.name(),
        };
        let says = ["mask", activation.name(), "ReLU6"];
        let options = Training::default().activation(activation).mask(true);
        assert_error(training(&options), wanted.clone(), &says);
        let options = Inference::default().activation(activation).mask(true);
        let error = Plan::inference(&limits, small, &options).err();
        assert_error(error, wanted, &says);
    }

    for (activation, given) in [
        (Activation::Silu, Derivative::Output),
        (Activation::Gelu, Derivative::Output),
        (Activation::GeluTanh, Derivative::Mask),
        (LEAKY, Derivative::Output),
    ] {
        let options = Backward::default().activation(activation).derivative(given);
        let wanted = PlanError::Derivative {
            activation: activation.name(),
            given,
        };
        let says = [activation.name(), &format!("{given:?}")[..]];
        assert_error(backward(&options), wanted.clone(), &says);
        let error = Plan::backward_from_gradients(&limits, small, 8, &options).err();
        assert_error(error, wanted, &says);
    }
    let epsilon = backward(&Backward::default().epsilon(-1.0));
    assert_error(epsilon, PlanError::Epsilon { given: -1.0 }, &["-1"]);
}

#[test]
fn backward_passes_without_a_gradient_or_a_residual() {
    let limits = Limits::default();
    let small = shape(2, 3, 4);
    let skip = Gradient::Skip;
    let without_input = Backward::default().grad_input(skip);
    let nothing = without_input.clone().grad_gamma(skip).grad_beta(skip);
    let says = ["every gradient is skipped"];
    let error = Plan::backward(&limits, small, &nothing).err();
    assert_error(error, PlanError::NoGradient, &says);
    // from gradients of gamma and beta those are not asked for
    let error = Plan::backward_from_gradients(&limits, small, 8, &without_input).err();
    assert_error(error, PlanError::NoGradient, &says);
    assert!(Plan::backward(&limits, small, &without_input).is_ok());

    let residual = Backward::default().grad_residual(Gradient::Write);
    let says = ["gradient of the residual", "no residual"];
    let error = Plan::backward(&limits, small, &residual).err();
    assert_error(error, PlanError::NoResidual, &says);
    let error = Plan::backward_from_gradients(&limits, small, 8, &residual).err();
    assert_error(error, PlanError::NoResidual, &says);
}

#[test]
fn no_shards_and_more_than_a_binding_holds() {
    let limits = Limits::default();
    let small = shape(2, 3, 4);
    let most = ((128 << 20) - 256) / 48;
    for given in [0, most + 1, u64::MAX] {
        let wanted = PlanError::Shards { given, most };
        let says = [&given.to_string()[..], &most.to_string()];
        let error = Plan::merge(&limits, 3, given, None).err();
        assert_error(error, wanted.clone(), &says);
        let options = Training::default();
        let error = Plan::training_from_moments(&limits, small, given, &options).err();
        assert_error(error, wanted, &says);
    }
    assert!(Plan::merge(&limits, 3, most, None).is_ok());
}

#[test]
fn rows_of_halves_longer_than_words_are_counted() {
    // in windows, so that the row itself is what is too long
    let given = (1 << 31) + 1;
    let limits = Limits::default();
    let tuning = Tuning {
        workgroups: 1 << 20,
        ..Tuning::for_limits(&limits)
    };
    let plan = |element| {
        let options = Inference::default().element(element).tuning(tuning.clone());
        Plan::inference(&limits, shape(1, 3, given), &options).err()
    };
    let says = ["2147483649", "f16 or bf16"];
    assert_error(plan(Element::F16), PlanError::HalfRow { given }, &says);
    assert_eq!(plan(Element::F32), None);
}

#[test]
fn tensors_of_the_backward_pass() {
    let limits = &bare().limits;
    let small = shape(2, 3, 4);
    let packed = Packed::new(3);
    let [x, dy, dx, other] = [24, 24, 24, 24].map(storage);
    let [pair, trio, gradients, vector] =
        [packed.parameters(), packed.saved(), packed.parameters(), 3].map(storage);
    let mask = storage(1);
    let t = Tensor::whole;
    let plan = |options: &Backward| Plan::backward(limits, small, options).expect("a plan");
    let plain = || Buffers::backward(t(&x), t(&dy));
    let all = || {
        let buffers = plain().parameters(t(&pair)).saved(t(&trio));
        buffers.grad_input(t(&dx)).grad_parameters(t(&gradients))
    };
    let batch = plan(&Backward::default());
    assert_eq!(bind(&batch, all()), None);

    let frozen = plan(&Backward::default().statistics(Statistics::Fixed));
    let relu = Backward::default().activation(Activation::Relu);
    let from_output = plan(&relu.clone().derivative(Derivative::Output));
    let from_mask = plan(&relu.clone().derivative(Derivative::Mask));
    let with_residual = relu.residual(true);
    let from_input = plan(&with_residual);
    let grad_residual = plan(&with_residual.grad_residual(Gradient::Write));
    for (plan, buffers, tensor) in [
        (&batch, Buffers::input(t(&x)), "grad_output"),
        (&batch, plain(), "grad_input"),
        (&batch, plain().grad_input(t(&dx)), "gamma"),
        (
            &batch,
            plain().grad_input(t(&dx)).parameters(t(&pair)),
            "saved",
        ),
        (
            &batch,
            plain()
                .grad_input(t(&dx))
                .parameters(t(&pair))
                .saved(t(&trio)),
            "grad_gamma",
        ),
        (
            &batch,
            plain()
                .grad_input(t(&dx))
                .parameters(t(&pair))
                .saved(t(&trio))
                .grad_gamma(t(&vector)),
            "grad_beta",
        ),
        (
            &frozen,
            plain().grad_input(t(&dx)).parameters(t(&pair)),
            "running or statistics",
        ),
        (&from_output, all(), "y"),
        (&from_mask, all(), "mask"),
        (&from_input, all(), "residual"),
        (&grad_residual, all().residual(t(&other)), "grad_residual"),
    ] {
        let wanted = BindError::Missing { tensor };
        assert_error(bind(plan, buffers), wanted, &[tensor, "not given"]);
    }
    for (buffers, tensor) in [
        (all().output(t(&other)), "y"),
        (all().mask(t(&mask)), "mask"),
        (all().residual(t(&other)), "residual"),
        (all().grad_residual(t(&other)), "grad_residual"),
        (all().running(t(&trio)), "running"),
        (all().statistics(t(&vector), t(&vector)), "statistics"),
        (all().shards(t(&other)), "shards"),
        (all().moments(t(&other)), "moments"),
    ] {
        let wanted = BindError::Unused { tensor };
        assert_error(bind(&batch, buffers), wanted, &[tensor, "does not use it"]);
    }
    for (buffers, first) in [
        (all().grad_gamma(t(&vector)), "grad_gamma"),
        (all().grad_beta(t(&vector)), "grad_beta"),
    ] {
        let second = "grad_parameters";
        let wanted = BindError::Twice { first, second };
        assert_error(
            bind(&batch, buffers),
            wanted,
            &[first, second, "both given"],
        );
    }
    // forward plans have no gradients, and moments no y
    let forward = Plan::inference(limits, small, &Inference::default()).expect("a plan");
    let unused = BindError::Unused {
        tensor: "grad_output",
    };
    assert_error(bind(&forward, plain()), unused, &["grad_output"]);
    let moments = Plan::statistics(limits, small, Element::F32, None).expect("a plan");
    let missing = BindError::Missing { tensor: "moments" };
    let error = bind(&moments, Buffers::input(t(&x)));
    assert_error(error, missing, &["moments"]);
    let merge = Plan::merge(limits, 3, 2, None).expect("a plan");
    let missing = BindError::Missing { tensor: "shards" };
    let [twelve, two_shards] = [12, 24].map(storage);
    let error = bind(&merge, Buffers::default().moments(t(&twelve)));
    assert_error(error, missing, &["shards"]);
    let length = BindError::Length {
        tensor: "shards",
        given: 12,
        needed: 24,
    };
    let [given, to] = [&twelve, &two_shards].map(t);
    let error = bind(
        &merge,
        Buffers::merge(given, Tensor::new(&two_shards, 0, 12)),
    );
    assert_error(error, length, &["shards has 12", "24"]);
    assert_eq!(bind(&merge, Buffers::merge(to, given)), None);
}

#[test]
fn tensors_stored_otherwise() {
    let limits = &bare().limits;
    let options = Inference::default().gamma(false).beta(false);
    let plan = |element| {
        let options = options.clone().element(element);
        Plan::inference(limits, shape(1, 1, 8), &options).expect("a plan")
    };
    let [x, y, mean, variance] = [8, 8, 1, 1].map(storage);
    let statistics = |x, y| {
        let [mean, variance] = [&mean, &variance].map(Tensor::whole);
        Buffers::new(x, y).statistics(mean, variance)
    };
    let at = |buffer, element| Tensor::new(buffer, 0, 8).stored_as(element);
    for needed in Element::ALL {
        for given in Element::ALL.into_iter().filter(|given| *given != needed) {
            let says = [given.name(), needed.name()];
            for (tensor, of_x, of_y) in [("x", given, needed), ("y", needed, given)] {
                let error = bind(&plan(needed), statistics(at(&x, of_x), at(&y, of_y)));
                let wanted = BindError::Element {
                    tensor,
                    given,
                    needed,
                };
                assert_error(error, wanted, &says);
            }
        }
        let error = bind(&plan(needed), statistics(at(&x, needed), at(&y, needed)));
        assert_eq!(error, None);
    }
    // per-channel vectors are f32 whatever x is
    let half = Tensor::new(&mean, 0, 1).stored_as(Element::F16);
    let buffers = Buffers::new(at(&x, Element::F16), at(&y, Element::F16));
    let buffers = buffers.statistics(half, Tensor::whole(&variance));
    let wanted = BindError::Element {
        tensor: "mean",
        given: Element::F16,
        needed: Element::F32,
    };
    let error = bind(&plan(Element::F16), buffers);
    assert_error(error, wanted, &["mean", "f16", "f32"]);
    // half of the bytes are enough for halves, and no fewer
    let short = storage(3);
    let range = BindError::Range {
        tensor: "x",
        end: 16,
        size: 12,
    };
    let buffers = statistics(at(&short, Element::Bf16), at(&y, Element::Bf16));
    assert_error(
        bind(&plan(Element::Bf16), buffers),
        range,
        &["x ends at byte 16"],
    );
}

#[test]
fn gradients_that_overlap() {
    let limits = &bare().limits;
    let n = 24;
    let pool = storage(2000);
    let at = |offset: u64, len| Tensor::new(&pool, 4 * offset, len);
    let packed = Packed::new(3);
    let options = Backward::default()
        .residual(true)
        .grad_residual(Gradient::Write)
        .gamma(false)
        .grad_gamma(Gradient::Skip)
        .beta(false);
    let plan = Plan::backward(limits, shape(2, 3, 4), &options).expect("a plan");
    let bound = |x, dy, dx, dr, dbeta| {
        let buffers = Buffers::backward(x, dy).saved(at(1000, packed.saved()));
        let buffers = buffers.grad_input(dx).grad_residual(dr);
        bind(&plan, buffers.grad_beta(dbeta))
    };
    let [x, dy, dx, dr] = [0, 100, 200, 300].map(|offset| at(offset, n));
    let dbeta = at(400, 3);
    assert_eq!(bound(x, dy, dx, dr, dbeta), None);
    // exactly in place of dy
    assert_eq!(bound(x, dy, dy, dr, dbeta), None);
    assert_eq!(bound(x, dy, dx, dy, dbeta), None);
    let overlap = |first, second| BindError::Overlap { first, second };
    let says = ["overlap", "grad_input or grad_residual"];
    for (error, first, second) in [
        (bound(x, dy, x, dr, dbeta), "x", "grad_input"),
        (bound(x, dy, dx, x, dbeta), "x", "grad_residual"),
        (bound(x, dy, dy, dy, dbeta), "grad_input", "grad_residual"),
        (
            bound(x, dy, at(101, n), dr, dbeta),
            "grad_output",
            "grad_input",
        ),
        (
            bound(x, dy, dx, at(99, n), dbeta),
            "grad_output",
            "grad_residual",
        ),
        (bound(x, dy, dx, dr, at(223, 3)), "grad_input", "grad_beta"),
        (bound(x, dy, dx, dr, at(1010, 3)), "saved", "grad_beta"),
    ] {
        assert_error(error, overlap(first, second), &says);
    }
    // what is only read may overlap
    assert_eq!(bound(x, x, dx, dr, dbeta), None);

    // y over the residual is a result over what it comes from, with saved statistics as well
    let options = Training::default()
        .gamma(false)
        .beta(false)
        .running(None)
        .residual(true);
    let plan = Plan::training(limits, shape(2, 3, 4), &options).expect("a plan");
    let bound = |x, y, residual| {
        let buffers = Buffers::new(x, y).saved(at(1000, packed.saved()));
        bind(&plan, buffers.residual(residual))
    };
    assert_eq!(bound(x, dx, dx), None);
    let error = bound(x, x, dr);
    assert_error(error, BindError::InPlaceTraining, &["saved(false)"]);
    let error = bound(x, dx, at(201, n));
    assert_error(
        error,
        overlap("y", "residual"),
        &["y may take the place of x or of the residual"],
    );

    // moments are not merged in place
    let merge = Plan::merge(limits, 3, 1, None).expect("a plan");
    let error = bind(&merge, Buffers::merge(at(0, 12), at(0, 12)));
    assert_error(error, overlap("shards", "moments"), &["overlap"]);
}
