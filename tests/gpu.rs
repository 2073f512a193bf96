//! The device helper: what goes up comes back, and what cannot work says so.

use wgpu_batchnorm::{DeviceLimits, Gpu, GpuError, GpuOptions, Tensor, TransferError, wgpu};

fn gpu() -> Gpu {
    Gpu::blocking(&GpuOptions::from_env()).expect("these tests need an adapter")
}

#[test]
fn what_is_uploaded_comes_back_bit_for_bit() {
    let gpu = gpu();
    let bits: Vec<u32> = (0..5000u32).map(|i| i.wrapping_mul(0x9e37_79b9)).collect();
    let buffer = gpu.upload(&bits, "bits").expect("upload");
    let tensor = Tensor::whole(&buffer);
    assert_eq!(
        gpu.blocking_download::<u32>(tensor).expect("download"),
        bits
    );
    let part = Tensor::new(&buffer, 4 * 17, 100);
    assert_eq!(
        gpu.blocking_download::<u32>(part).expect("download"),
        bits[17..117]
    );
    let halves = gpu.blocking_download::<u16>(part).expect("download");
    assert_eq!(halves, bytemuck::cast_slice::<u32, u16>(&bits[17..117]));
}

#[test]
fn the_asynchronous_download_ends_though_nobody_else_polls() {
    let gpu = gpu();
    let buffer = gpu.upload(&[1.0f32, 2.0, 3.0], "x").expect("upload");
    let download = gpu.download::<f32>(Tensor::whole(&buffer));
    drop((buffer, gpu));
    // On a thread of its own: the future is Send and borrows nothing.
    let values = std::thread::spawn(|| pollster::block_on(download))
        .join()
        .expect("no panic")
        .expect("download");
    assert_eq!(values, [1.0, 2.0, 3.0]);
}

#[test]
fn a_download_sees_what_was_submitted_before_the_call_and_nothing_after() {
    let gpu = gpu();
    let buffer = gpu.upload(&[1u32], "x").expect("upload");
    let before = gpu.download::<u32>(Tensor::whole(&buffer));
    gpu.queue()
        .write_buffer(&buffer, 0, bytemuck::bytes_of(&2u32));
    let after = gpu.download::<u32>(Tensor::whole(&buffer));
    assert_eq!(pollster::block_on(before).expect("download"), [1]);
    assert_eq!(pollster::block_on(after).expect("download"), [2]);
}

#[test]
fn nothing_and_odd_halves_are_transferred_too() {
    let gpu = gpu();
    let empty = gpu.upload::<f32>(&[], "empty").expect("upload");
    assert!(Tensor::whole(&empty).is_empty());
    let none: Vec<f32> = gpu
        .blocking_download(Tensor::whole(&empty))
        .expect("download");
    assert!(none.is_empty());
    let none: Vec<f32> = pollster::block_on(gpu.download(Tensor::whole(&empty))).expect("download");
    assert!(none.is_empty());

    let halves = gpu.upload(&[1u16, 2, 3], "halves").expect("upload");
    let padded: Vec<u16> = gpu
        .blocking_download(Tensor::whole(&halves))
        .expect("download");
    assert_eq!(padded, [1, 2, 3, 0]);

    let zeros = gpu.zeros(3, "zeros").expect("buffer");
    let zeros: Vec<u32> = gpu
        .blocking_download(Tensor::whole(&zeros))
        .expect("download");
    assert_eq!(zeros, [0, 0, 0]);
}

#[test]
fn a_pass_is_recorded_and_submitted() {
    let gpu = gpu();
    gpu.run("nothing", |pass| {
        pass.push_debug_group("a");
        pass.pop_debug_group();
    });
    gpu.wait().expect("wait");
}

#[test]
fn transfers_that_cannot_work_are_typed_errors() {
    let gpu = gpu();
    let buffer = gpu.zeros(10, "x").expect("buffer");
    let error = |tensor| {
        gpu.blocking_download::<f32>(tensor)
            .expect_err("must not be read")
    };
    let range = error(Tensor::new(&buffer, 4, 10));
    assert!(matches!(range, TransferError::Range { end: 44, size: 40 }));
    let offset = error(Tensor::new(&buffer, 2, 1));
    assert!(matches!(
        offset,
        TransferError::Offset {
            given: 2,
            needed: 4
        }
    ));
    let overflow = error(Tensor::new(&buffer, 0, u64::MAX));
    assert!(matches!(overflow, TransferError::Range { size: 40, .. }));

    let value = gpu.blocking_download::<[f32; 4]>(Tensor::whole(&buffer));
    assert!(matches!(
        value,
        Err(TransferError::Value {
            bytes: 40,
            value: 16
        })
    ));
    let value = gpu.blocking_download::<()>(Tensor::whole(&buffer));
    assert!(matches!(value, Err(TransferError::Value { value: 0, .. })));

    let sink = gpu.device().create_buffer(&wgpu::BufferDescriptor {
        label: None,
        size: 4,
        usage: wgpu::BufferUsages::COPY_DST,
        mapped_at_creation: false,
    });
    assert!(matches!(
        error(Tensor::whole(&sink)),
        TransferError::Usage { .. }
    ));

    let limit = gpu.device().limits().max_buffer_size;
    for values in [limit / 4 + 1, u64::MAX] {
        let size = gpu.zeros(values, "too large");
        assert!(matches!(size, Err(TransferError::Size { .. })));
    }
}

#[test]
fn the_options_choose_adapter_features_and_limits() {
    let adapter = gpu().adapter().get_info().name;
    let part = &adapter[1..adapter.len() - 1];
    for name in [part.to_uppercase(), part.to_lowercase()] {
        let gpu = Gpu::blocking(&GpuOptions::default().adapter(name)).expect("the same adapter");
        assert_eq!(gpu.adapter().get_info().name, adapter);
    }
    let found = match Gpu::blocking(&GpuOptions::default().adapter("no such adapter")) {
        Err(GpuError::NoMatch { found, .. }) => found,
        other => panic!("{other:?}"),
    };
    assert!(found.contains(&adapter));

    let bare = GpuOptions::default()
        .adapter(&adapter)
        .optional_features(wgpu::Features::empty());
    let gpu = Gpu::blocking(&bare).expect("a bare device");
    assert!(gpu.device().features().is_empty());
    assert_eq!(gpu.device().limits(), wgpu::Limits::default());

    let full = bare.clone().limits(DeviceLimits::Adapter);
    let gpu = Gpu::blocking(&full).expect("a device with the adapter's limits");
    assert_eq!(gpu.device().limits(), gpu.adapter().limits());

    let buffers_up_to = |max_buffer_size| {
        bare.clone()
            .limits(DeviceLimits::Custom(Box::new(wgpu::Limits {
                max_buffer_size,
                ..Default::default()
            })))
    };
    let custom = buffers_up_to(1 << 20);
    let gpu = Gpu::blocking(&custom).expect("a device with small buffers");
    assert!(matches!(
        gpu.upload(&vec![0u8; (1 << 20) + 1], "x"),
        Err(TransferError::Size {
            limit: 0x10_0000,
            ..
        })
    ));
    let impossible = buffers_up_to(u64::MAX);
    assert!(matches!(
        Gpu::blocking(&impossible),
        Err(GpuError::Device { .. })
    ));
}

#[test]
fn no_backend_says_what_to_install() {
    let none = GpuOptions::default().backends(wgpu::Backends::empty());
    for options in [none.clone(), none.adapter("any")] {
        let error = Gpu::blocking(&options).expect_err("there is no adapter");
        assert!(error.to_string().contains("mesa-vulkan-drivers"), "{error}");
    }
    let features = wgpu::Features::all_experimental_mask();
    let missing = Gpu::blocking(&GpuOptions::default().required_features(features));
    assert!(matches!(missing, Err(GpuError::Features { .. })));
}
