//! The yardstick copies, all of the tensor and nothing else, in every geometry. Needs an adapter.

use wgpu_batchnorm::yardstick::{CopyError, CopyGeometry, CopyKernel};
use wgpu_batchnorm::{Gpu, GpuOptions, Kernels, Limits, Tensor};

const UNTOUCHED: f32 = -1.0;

fn values(len: u64) -> Vec<f32> {
    (0..len).map(|value| value as f32).collect()
}

/// Copies the values after the first 256 bytes of a buffer to after the first 512 of another; gives all of that.
fn copied(gpu: &Gpu, limits: &Limits, geometry: CopyGeometry, len: u64) -> Vec<f32> {
    let x = gpu
        .upload(&[vec![UNTOUCHED; 64], values(len)].concat(), "x")
        .expect("a small buffer");
    let y = gpu
        .upload(&vec![UNTOUCHED; 128 + len as usize + 9], "y")
        .expect("a small buffer");
    let kernel = CopyKernel::new(gpu.device(), limits, geometry);
    let step = kernel
        .bind(Tensor::new(&x, 256, len), Tensor::new(&y, 512, len))
        .expect("fitting tensors");
    gpu.run("copy", |pass| step.record(pass));
    gpu.blocking_download(Tensor::whole(&y))
        .expect("a live device")
}

#[test]
fn every_geometry_copies_the_tensor_and_nothing_else() {
    let gpu = Gpu::blocking(&GpuOptions::from_env()).expect("an adapter");
    let whole = Kernels::new(gpu.device()).limits().clone();
    let cut = Limits {
        binding_bytes: 16 << 10,
        workgroups_per_dimension: 3,
        ..whole.clone()
    };
    for limits in [whole, cut] {
        for len in [1, 3, 4, 1023, 4096, 50_002] {
            for geometry in CopyGeometry::candidates(&limits, len) {
                let y = copied(&gpu, &limits, geometry, len);
                let (before, rest) = y.split_at(128);
                let (tensor, behind) = rest.split_at(len as usize);
                assert_eq!(tensor, values(len), "{len} values, {geometry}");
                assert!(
                    before.iter().chain(behind).all(|&value| value == UNTOUCHED),
                    "{len} values, {geometry}"
                );
            }
        }
    }
}

#[test]
fn tensors_that_cannot_be_copied_are_typed_errors() {
    let gpu = Gpu::blocking(&GpuOptions::from_env()).expect("an adapter");
    let limits = Limits::default();
    let kernel = CopyKernel::new(
        gpu.device(),
        &limits,
        CopyGeometry::candidates(&limits, 4)[0],
    );
    let [x, y] = ["x", "y"].map(|label| gpu.zeros(100, label).expect("a small buffer"));
    let bind = |x, y| kernel.bind(x, y).err();
    let all = Tensor::whole;
    assert_eq!(bind(all(&x), all(&y)), None);
    assert_eq!(
        bind(all(&x), Tensor::new(&y, 0, 99)),
        Some(CopyError::Length { x: 100, y: 99 })
    );
    assert_eq!(bind(all(&x), all(&x)), Some(CopyError::OneBuffer));
    let apart = bind(Tensor::new(&x, 4, 10), Tensor::new(&y, 0, 10));
    assert_eq!(
        apart,
        Some(CopyError::Offset {
            given: 4,
            needed: 256
        })
    );
    let beyond = bind(Tensor::new(&x, 256, 37), Tensor::new(&y, 0, 37));
    assert_eq!(
        beyond,
        Some(CopyError::Range {
            end: 404,
            size: 400
        })
    );
}
