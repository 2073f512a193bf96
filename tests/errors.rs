//! What cannot work is a typed error that says what was given and what is needed. Needs an adapter.

mod common;

use common::{bare, shape};
use wgpu_batchnorm::{
    BindError, Buffers, Element, Inference, Kernels, Limits, Packed, Plan, PlanError, Running,
    Shape, ShapeError, Step, Tensor, Training, Tuning, Update, wgpu,
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
