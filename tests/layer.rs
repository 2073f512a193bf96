//! A layer keeps what it is given: on the device, in files, and in PyTorch's files.

use std::path::Path;

use safetensors::Dtype;
use safetensors::tensor::TensorView;
use wgpu_batchnorm::{
    Element, Gpu, GpuOptions, HeaderError, Kernels, Layer, LayerError, LayerOptions, LayerState,
    Operation, Plan, Running, Shape, Tensor, TransferError, TunedPass, Tuning, TuningKey, Tunings,
    TuningsError, layers_to_safetensors, load_layers, save_layers,
};

const PYTORCH: &str = "tests/data/pytorch_layer.safetensors";

fn gpu() -> Gpu {
    Gpu::blocking(&GpuOptions::from_env()).expect("these tests need an adapter")
}

fn layer(gpu: &Gpu, channels: u64, options: &LayerOptions) -> Layer {
    Layer::new(gpu.device(), channels, options).expect("a layer")
}

fn read(gpu: &Gpu, layer: &Layer) -> LayerState {
    layer
        .blocking_read(gpu.device(), gpu.queue())
        .expect("the layer's state")
}

/// Every combination of gamma, beta and running statistics.
fn every_kind() -> impl Iterator<Item = LayerOptions> {
    (0..8).map(|kind| {
        LayerOptions::default()
            .gamma(kind & 1 == 0)
            .beta(kind & 2 == 0)
            .running((kind & 4 == 0).then(Running::default))
    })
}

/// A state for the options, of bit patterns that differ everywhere and among which are NaNs of every kind.
fn patterns(channels: u64, options: &LayerOptions, seed: u32) -> LayerState {
    let vector = |present: bool, index: u32| {
        present.then(|| {
            (0..channels as u32)
                .map(|channel| match channel {
                    0 => f32::from_bits(0x7f80_0001),
                    1 => f32::from_bits(0xffc0_1234),
                    2 => f32::NEG_INFINITY,
                    3 => -0.0,
                    4 => f32::from_bits(1),
                    _ => f32::from_bits(
                        (channel + 1000 * (index + 4 * seed)).wrapping_mul(0x9e37_79b9),
                    ),
                })
                .collect()
        })
    };
    let running = options.running.is_some();
    LayerState {
        gamma: vector(options.gamma, 0),
        beta: vector(options.beta, 1),
        running_mean: vector(running, 2),
        running_variance: vector(running, 3),
        batches: running.then_some(if channels == 0 {
            0
        } else {
            u64::from(u32::MAX - seed)
        }),
    }
}

/// The state as bits, in which NaNs are equal to themselves.
fn bits(state: &LayerState) -> (Vec<Option<Vec<u32>>>, Option<u64>) {
    let vectors = [
        &state.gamma,
        &state.beta,
        &state.running_mean,
        &state.running_variance,
    ];
    let bits = |values: &Vec<f32>| values.iter().map(|value| value.to_bits()).collect();
    (
        vectors.map(|values| values.as_ref().map(bits)).to_vec(),
        state.batches,
    )
}

#[test]
fn a_new_layer_has_gamma_1_beta_0_mean_0_variance_1_and_no_batches() {
    let gpu = gpu();
    for options in every_kind() {
        let state = read(&gpu, &layer(&gpu, 70, &options));
        let running = options.running.is_some();
        let expected = LayerState {
            gamma: options.gamma.then(|| vec![1.0; 70]),
            beta: options.beta.then(|| vec![0.0; 70]),
            running_mean: running.then(|| vec![0.0; 70]),
            running_variance: running.then(|| vec![1.0; 70]),
            batches: running.then_some(0),
        };
        assert_eq!(state, expected);
    }
}

#[test]
fn what_is_set_is_read_back_bit_for_bit() {
    let gpu = gpu();
    for channels in [0, 1, 5, 63, 64, 65, 1000] {
        for options in every_kind() {
            let layer = layer(&gpu, channels, &options);
            let state = patterns(channels, &options, 1);
            layer.set(gpu.queue(), &state).expect("set");
            assert_eq!(bits(&read(&gpu, &layer)), bits(&state));
            let reading = layer.read(gpu.device(), gpu.queue());
            let read = pollster::block_on(reading).expect("read");
            assert_eq!(bits(&read), bits(&state));
        }
    }
}

#[test]
fn each_vector_is_set_and_handed_out_alone() {
    let gpu = gpu();
    let options = LayerOptions::default();
    let layer = layer(&gpu, 100, &options);
    let state = patterns(100, &options, 2);
    let vector = |values: &Option<Vec<f32>>| values.clone().expect("present");
    let queue = gpu.queue();
    layer.set_gamma(queue, &vector(&state.gamma)).expect("set");
    layer.set_beta(queue, &vector(&state.beta)).expect("set");
    layer
        .set_running_mean(queue, &vector(&state.running_mean))
        .expect("set");
    layer
        .set_running_variance(queue, &vector(&state.running_variance))
        .expect("set");
    layer.set_batches(queue, u32::MAX - 2).expect("set");
    assert_eq!(bits(&read(&gpu, &layer)), bits(&state));

    let tensors = [
        (layer.gamma(), &state.gamma),
        (layer.beta(), &state.beta),
        (layer.running_mean(), &state.running_mean),
        (layer.running_variance(), &state.running_variance),
    ];
    for (tensor, values) in tensors {
        let tensor = tensor.expect("present");
        assert_eq!(tensor.offset() % 256, 0, "bindable on every device");
        let read: Vec<u32> = gpu.blocking_download(tensor).expect("download");
        assert_eq!(read, bytemuck::cast_slice::<f32, u32>(&vector(values)));
    }
    let batches: Vec<u32> = gpu
        .blocking_download(layer.batches().expect("present"))
        .expect("download");
    assert_eq!(batches, [u32::MAX - 2; 100]);

    let packed = layer.packed();
    assert_eq!(
        layer.parameters().map(|t| t.len()),
        Some(packed.parameters())
    );
    assert_eq!(layer.running().map(|t| t.len()), Some(packed.running()));
}

#[test]
fn what_does_not_fit_the_layer_is_a_typed_error_and_changes_nothing() {
    let gpu = gpu();
    let options = LayerOptions::default().beta(false);
    let layer = layer(&gpu, 3, &options);
    let before = read(&gpu, &layer);
    let good = LayerState {
        gamma: Some(vec![2.0; 3]),
        running_mean: Some(vec![3.0; 3]),
        running_variance: Some(vec![4.0; 3]),
        batches: Some(5),
        ..LayerState::default()
    };
    let cases = [
        (
            LayerState {
                running_variance: Some(vec![4.0; 4]),
                ..good.clone()
            },
            "running_variance has 4 values, but the layer has 3 channels",
        ),
        (
            LayerState {
                batches: None,
                ..good.clone()
            },
            "the layer needs batches, which is not there",
        ),
        (
            LayerState {
                beta: Some(vec![0.0; 3]),
                ..good.clone()
            },
            "beta was given, but the layer has none",
        ),
        (
            LayerState {
                batches: Some(u64::MAX),
                ..good.clone()
            },
            "batches is 18446744073709551615: 0 to 4294967295 is needed",
        ),
    ];
    for (state, message) in cases {
        let error = layer.set(gpu.queue(), &state).expect_err(message);
        assert_eq!(error.to_string(), message);
    }
    assert!(matches!(
        layer.set_gamma(gpu.queue(), &[1.0; 2]),
        Err(LayerError::Length {
            given: 2,
            needed: 3,
            ..
        })
    ));
    assert!(matches!(
        layer.set_beta(gpu.queue(), &[1.0; 3]),
        Err(LayerError::Unexpected { .. })
    ));
    assert_eq!(read(&gpu, &layer), before);
    layer.set(gpu.queue(), &good).expect("set");
    assert_eq!(read(&gpu, &layer), good);

    for channels in [u64::MAX, u64::MAX / 12, 1 << 30] {
        let error = Layer::new(gpu.device(), channels, &options).expect_err("too large");
        assert!(matches!(
            error,
            LayerError::Transfer(TransferError::Size { .. })
        ));
    }
}

#[test]
fn channels_that_have_seen_different_numbers_of_batches_have_no_one_number() {
    let gpu = gpu();
    let layer = layer(&gpu, 3, &LayerOptions::default());
    let batches = layer.batches().expect("running statistics");
    let counts = bytemuck::bytes_of(&[4u32, 6, 5]);
    gpu.queue()
        .write_buffer(batches.buffer(), batches.offset(), counts);
    assert!(matches!(
        layer.blocking_read(gpu.device(), gpu.queue()),
        Err(LayerError::BatchesDiffer { least: 4, most: 6 })
    ));
}

#[test]
fn what_is_saved_is_loaded_bit_for_bit() {
    let gpu = gpu();
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("layer.safetensors");
    for channels in [0, 1, 100] {
        for (prefix, options) in ["", "layer1.0.bn1."].into_iter().cycle().zip(every_kind()) {
            let [one, other] = [0, 1].map(|_| layer(&gpu, channels, &options));
            let state = patterns(channels, &options, 3);
            one.set(gpu.queue(), &state).expect("set");
            one.save(gpu.device(), gpu.queue(), &path, prefix)
                .expect("save");
            other.load(gpu.queue(), &path, prefix).expect("load");
            assert_eq!(bits(&read(&gpu, &other)), bits(&state));
        }
    }
}

#[test]
fn one_file_holds_several_layers() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("model.safetensors");
    let states: Vec<(String, LayerState)> = every_kind()
        .enumerate()
        .map(|(index, options)| {
            let state = patterns(index as u64, &options, index as u32);
            (format!("layers.{index}.bn."), state)
        })
        .collect();
    save_layers(&path, states.iter().map(|(prefix, state)| (prefix, state))).expect("save");
    let loaded = load_layers(&path, states.iter().map(|(prefix, _)| prefix)).expect("load");
    for (loaded, (prefix, state)) in loaded.iter().zip(&states) {
        assert_eq!(bits(loaded), bits(state), "{prefix}");
        let alone = LayerState::load(&path, prefix).expect("load");
        assert_eq!(bits(&alone), bits(state), "{prefix}");
    }
    assert_eq!(
        LayerState::load(&path, "another.").expect("load"),
        LayerState::default()
    );
    let twice = [
        ("a.", &states[0].1),
        ("b.", &states[0].1),
        ("a.", &states[0].1),
    ];
    let error = save_layers(&path, twice).expect_err("one prefix twice");
    assert!(
        matches!(&error, LayerError::Twice { tensor } if tensor == "a.bias"),
        "{error}"
    );
    assert!(load_layers(&path, ["layers.0.bn."]).is_ok(), "the old file");
}

#[test]
fn the_file_of_a_pytorch_model_loads_as_it_is() {
    let gpu = gpu();
    let stem = layer(&gpu, 5, &LayerOptions::default());
    stem.load(gpu.queue(), PYTORCH, "model.stem.1.")
        .expect("load");
    let expected = LayerState {
        gamma: Some(vec![1.0, 1.125, 1.25, 1.375, 1.5]),
        beta: Some(vec![-1.0, -0.75, -0.5, -0.25, 0.0]),
        running_mean: Some(vec![-2.0, -1.0, 0.0, 1.0, 2.0]),
        running_variance: Some(vec![0.5, 1.5, 2.5, 3.5, 4.5]),
        batches: Some(7),
    };
    assert_eq!(read(&gpu, &stem), expected);

    let plain = LayerOptions::default().gamma(false).beta(false);
    let plain = layer(&gpu, 3, &plain);
    plain
        .load(gpu.queue(), PYTORCH, "model.plain.")
        .expect("load");
    assert_eq!(read(&gpu, &plain).running_variance, Some(vec![1.0; 3]));

    let frozen = layer(&gpu, 3, &LayerOptions::default().running(None));
    frozen
        .load(gpu.queue(), PYTORCH, "model.frozen.")
        .expect("load");
    assert_eq!(read(&gpu, &frozen).gamma, Some(vec![2.0, 3.0, 4.0]));

    // A layer of another kind than the file's is told which tensor it is about.
    let error = |layer: &Layer, prefix| {
        layer
            .load(gpu.queue(), PYTORCH, prefix)
            .expect_err("another kind of layer")
            .to_string()
    };
    assert_eq!(
        error(&stem, "model.stem.0."),
        "model.stem.0.weight has the shape [5, 1, 2, 2]: a vector, [channels], is needed"
    );
    assert_eq!(
        error(&stem, "stem.1."),
        "the layer needs stem.1.weight, which is not there"
    );
    assert_eq!(
        error(&frozen, "model.stem.1."),
        "model.stem.1.weight has 5 values, but the layer has 3 channels"
    );
    assert_eq!(
        error(&frozen, "model.plain."),
        "the layer needs model.plain.weight, which is not there"
    );
    assert_eq!(
        error(&plain, "model.frozen."),
        "model.frozen.weight was given, but the layer has none"
    );
}

/// A file with one tensor.
fn file(name: &str, dtype: Dtype, shape: &[usize], data: &[u8]) -> Vec<u8> {
    let view = TensorView::new(dtype, shape.into(), data).expect("a tensor");
    safetensors::serialize([(name, view)], None).expect("a file")
}

#[test]
fn bad_files_are_typed_errors_that_say_what_is_wrong() {
    let good = LayerState {
        gamma: Some(vec![1.0; 4]),
        batches: Some(3),
        ..LayerState::default()
    }
    .to_safetensors("bn.")
    .expect("a file");
    let bad = |bytes: &[u8]| LayerState::from_safetensors(bytes, "bn.").expect_err("a bad file");
    for length in 0..good.len() {
        let error = bad(&good[..length]);
        assert!(matches!(error, LayerError::Header(_)), "{error}");
    }
    for bytes in [b"not a file of tensors".as_slice(), &[0xff; 64]] {
        assert!(matches!(bad(bytes), LayerError::Header(_)));
    }
    // eight tensors of nearly 2^61 bytes end just below 2^64
    let size: u64 = (1 << 61) - 4;
    let entries: Vec<String> = (0..8)
        .map(|i| {
            let (start, end, len) = (i * size, (i + 1) * size, size / 4);
            format!(r#""t{i}":{{"dtype":"F32","shape":[{len}],"data_offsets":[{start},{end}]}}"#)
        })
        .collect();
    let header = format!("{{{}}}", entries.join(","));
    let lie = [&(header.len() as u64).to_le_bytes(), header.as_bytes()].concat();
    assert!(matches!(
        bad(&lie),
        LayerError::Header(HeaderError::Outside { .. })
    ));

    let cases = [
        (
            file("bn.weight", Dtype::I32, &[2], &[0; 8]),
            "bn.weight is of type I32: F32, F64, F16 or BF16 is needed",
        ),
        (
            file("bn.bias", Dtype::F32, &[2, 1], &[0; 8]),
            "bn.bias has the shape [2, 1]: a vector, [channels], is needed",
        ),
        (
            file("bn.running_mean", Dtype::F32, &[], &[0; 4]),
            "bn.running_mean has the shape []: a vector, [channels], is needed",
        ),
        (
            file("bn.running_var", Dtype::BOOL, &[2], &[0; 2]),
            "bn.running_var is of type BOOL: F32, F64, F16 or BF16 is needed",
        ),
        (
            file("bn.num_batches_tracked", Dtype::F32, &[], &[0; 4]),
            "bn.num_batches_tracked is of type F32: I64 is needed",
        ),
        (
            file("bn.num_batches_tracked", Dtype::I64, &[1], &[0; 8]),
            "bn.num_batches_tracked has the shape [1]: a scalar, [], is needed",
        ),
        (
            file("bn.num_batches_tracked", Dtype::I64, &[0], &[]),
            "bn.num_batches_tracked has the shape [0]: a scalar, [], is needed",
        ),
        (
            file(
                "bn.num_batches_tracked",
                Dtype::I64,
                &[],
                &(-2i64).to_le_bytes(),
            ),
            "bn.num_batches_tracked is -2: 0 to 9223372036854775807 is needed",
        ),
    ];
    for (bytes, message) in cases {
        assert_eq!(bad(&bytes).to_string(), message);
    }

    let too_many = LayerState {
        batches: Some(1 << 63),
        ..LayerState::default()
    };
    assert!(matches!(
        too_many.to_safetensors(""),
        Err(LayerError::Batches { .. })
    ));
}

#[test]
fn a_number_of_batches_above_32_bits_does_not_load() {
    let gpu = gpu();
    let options = LayerOptions::default().gamma(false).beta(false);
    let layer = layer(&gpu, 2, &options);
    let before = read(&gpu, &layer);
    let state = LayerState {
        batches: Some(1 << 32),
        ..before.clone()
    };
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("layer.safetensors");
    state.save(&path, "bn.").expect("save");
    let error = layer.load(gpu.queue(), &path, "bn.").expect_err("too many");
    assert_eq!(
        error.to_string(),
        "bn.num_batches_tracked is 4294967296: 0 to 4294967295 is needed"
    );
    assert_eq!(read(&gpu, &layer), before);
}

#[test]
fn files_that_cannot_be_read_or_written_are_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("missing").join("layer.safetensors");
    let state = LayerState::default();
    for result in [
        LayerState::load(&path, "").map(drop),
        state.save(&path, ""),
        load_layers(&path, [""]).map(drop),
    ] {
        match result {
            Err(LayerError::Io { path: named, .. }) => {
                assert_eq!(Path::new(&named), path);
            }
            other => panic!("{other:?}"),
        }
    }
    // A folder in the place of the file: the last step of the save fails, and cleans up.
    let occupied = folder.path().join("occupied");
    std::fs::create_dir(&occupied).expect("a folder");
    assert!(matches!(
        state.save(&occupied, ""),
        Err(LayerError::Io { .. })
    ));
    let left = std::fs::read_dir(folder.path()).expect("list").count();
    assert_eq!(left, 1);
}

#[test]
fn the_tensors_handed_out_are_parts_of_the_packed_ones() {
    let gpu = gpu();
    for options in every_kind() {
        let layer = layer(&gpu, 10, &options);
        let inside = |part: Option<Tensor<'_>>, whole: Option<Tensor<'_>>| match (part, whole) {
            (Some(part), Some(whole)) => part.buffer() == whole.buffer() && part.len() == 10,
            (part, _) => part.is_none(),
        };
        assert!(inside(layer.gamma(), layer.parameters()));
        assert!(inside(layer.beta(), layer.parameters()));
        assert!(inside(layer.running_mean(), layer.running()));
        assert!(inside(layer.batches(), layer.running()));
        assert_eq!(layer.gamma().is_some(), options.gamma);
        assert_eq!(layer.beta().is_some(), options.beta);
        assert_eq!(layer.running().is_some(), options.running.is_some());
    }
}

#[test]
fn bytes_and_files_are_the_same() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("layer.safetensors");
    let state = patterns(9, &LayerOptions::default(), 4);
    save_layers(&path, [("a.", &state), ("b.", &state)]).expect("save");
    let bytes = layers_to_safetensors([("b.", &state), ("a.", &state)]).expect("bytes");
    assert_eq!(std::fs::read(&path).expect("read"), bytes);
}

#[test]
fn tunings_from_a_file_reach_every_plan_of_a_layer() {
    let gpu = gpu();
    let kernels = Kernels::new(gpu.device());
    let limits = kernels.limits();
    let shape = Shape::channels_first(&[4, 8, 6, 6]).expect("a shape");
    let key = TuningKey::new(&gpu.adapter().get_info());
    let mut tunings = Tunings::new(key.clone());
    for (operation, workgroup_size) in Operation::ALL.into_iter().zip([2, 4, 16]) {
        tunings.insert(TunedPass {
            operation,
            element: Element::F32,
            shape,
            tuning: Tuning {
                workgroup_size,
                ..Tuning::for_limits(limits)
            },
            gain: 1.25,
            copy_fraction: Some(1.0),
        });
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join(key.file_name());
    tunings.save(&path).expect("writable");
    let loaded = Tunings::load(&path, &kernels).expect("a file");
    assert_eq!(loaded, tunings);
    let missing = Tunings::load(folder.path().join("none.json"), &kernels);
    assert!(
        matches!(missing, Err(TuningsError::Io { .. })),
        "{missing:?}"
    );

    let sizes = |tunings: Option<Tunings>| {
        let layer = layer(&gpu, 8, &LayerOptions::default().tunings(tunings));
        [
            Plan::inference(limits, shape, &layer.inference_options()),
            Plan::training(limits, shape, &layer.training_options()),
            Plan::backward(limits, shape, &layer.backward_options()),
        ]
        .map(|plan| {
            let plan = plan.expect("a plan");
            let first = plan.dispatches().next().expect("a dispatch");
            first.workgroup_size
        })
    };
    assert_eq!(sizes(Some(loaded)), [2, 4, 16]);
    let usual = u64::from(Tuning::for_limits(limits).workgroup_size);
    assert_eq!(sizes(None), [usual; 3]);
}
