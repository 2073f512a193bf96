//! The device helper: what goes up comes back, and what cannot work says so.

use half::{bf16, f16};
use wgpu_batchnorm::{
    DeviceLimits, Element, Gpu, GpuError, GpuOptions, Tensor, TransferError, wgpu,
};

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
fn a_download_keeps_no_executor_busy() {
    use std::future::Future;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::{Context, Poll, Wake, Waker};

    struct Wakes(AtomicUsize, std::thread::Thread);
    impl Wake for Wakes {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
            self.1.unpark();
        }
    }

    let gpu = gpu();
    let buffer = gpu.zeros(1 << 22, "x").expect("a buffer");
    let mut download = std::pin::pin!(gpu.download::<u32>(Tensor::whole(&buffer)));
    let wakes = Arc::new(Wakes(AtomicUsize::new(0), std::thread::current()));
    let waker = Waker::from(Arc::clone(&wakes));
    let values = loop {
        match download.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(values) => break values.expect("download"),
            Poll::Pending => std::thread::park(),
        }
    };
    assert_eq!(values.len(), 1 << 22);
    // One when the device is done, and one for the mapping should it come after.
    let wakes = wakes.0.load(Ordering::Relaxed);
    assert!(wakes <= 2, "polled {wakes} times");
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
fn tensors_of_halves_come_back_as_long_as_they_are() {
    let gpu = gpu();
    let values: Vec<f16> = (0..9u8).map(|i| f16::from_f32(i.into())).collect();
    let buffer = gpu.upload(&values, "halves").expect("upload");
    assert_eq!(buffer.size(), 4 * Element::F16.words(9));
    for (first, len) in [(0, 9), (0, 8), (0, 1), (2, 7), (4, 4), (8, 1), (4, 0)] {
        let tensor = Tensor::new(&buffer, 2 * first as u64, len as u64).stored_as(Element::F16);
        let expected = &values[first..first + len];
        let read: Vec<f16> = gpu.blocking_download(tensor).expect("download");
        assert_eq!(read, expected);
        let read: Vec<f16> = pollster::block_on(gpu.download(tensor)).expect("download");
        assert_eq!(read, expected);
        let read: Vec<u16> = gpu.blocking_download(tensor).expect("download");
        assert_eq!(read, bytemuck::cast_slice::<f16, u16>(expected));
    }
    let bits = [0x3f80u16, 0x4000, 0x7fc0];
    let buffer = gpu.upload(&bits, "bfloats").expect("upload");
    let tensor = Tensor::new(&buffer, 0, 3).stored_as(Element::Bf16);
    let read: Vec<bf16> = gpu.blocking_download(tensor).expect("download");
    assert_eq!(read.iter().map(|v| v.to_bits()).collect::<Vec<_>>(), bits);
}

#[test]
fn halves_are_not_read_as_values_of_another_size() {
    let gpu = gpu();
    let buffer = gpu.upload(&[1u16, 2, 3, 4], "halves").expect("upload");
    for element in [Element::F16, Element::Bf16] {
        let tensor = Tensor::new(&buffer, 0, 4).stored_as(element);
        let errors = [
            gpu.blocking_download::<f32>(tensor).map(drop),
            gpu.blocking_download::<u8>(tensor).map(drop),
            gpu.blocking_download::<[u16; 2]>(tensor).map(drop),
            gpu.blocking_download::<()>(tensor).map(drop),
        ];
        for (error, size) in errors.into_iter().zip([4, 1, 4, 0]) {
            match error.expect_err("must not be read") {
                TransferError::Element { element: e, value } => {
                    assert_eq!((e, value), (element, size));
                }
                other => panic!("{other}"),
            }
        }
        // as with f32 an offset is a multiple of 4
        let odd = Tensor::new(&buffer, 2, 1).stored_as(element);
        let odd = gpu.blocking_download::<u16>(odd);
        assert!(matches!(odd, Err(TransferError::Offset { given: 2, .. })));
        let long = Tensor::new(&buffer, 4, 3).stored_as(element);
        let long = gpu.blocking_download::<u16>(long);
        let range = TransferError::Range { end: 12, size: 8 }.to_string();
        assert_eq!(long.expect_err("too long").to_string(), range);
    }

    // Three halves end within this buffer, but not the word that holds the last of them.
    let buffer = gpu.device().create_buffer(&wgpu::BufferDescriptor {
        label: None,
        size: 6,
        usage: wgpu::BufferUsages::COPY_SRC,
        mapped_at_creation: false,
    });
    let tensor = Tensor::new(&buffer, 0, 3).stored_as(Element::F16);
    let cut = gpu.blocking_download::<u16>(tensor);
    assert!(matches!(cut, Err(TransferError::Range { end: 8, size: 6 })));
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
