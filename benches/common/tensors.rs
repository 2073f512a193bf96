//! Tensors on the GPU, for benches.

use wgpu_batchnorm::{Buffers, Gpu, Packed, Shape, Tensor, wgpu};

/// Tensors of one shape.
pub struct Tensors {
    pub x: wgpu::Buffer,
    pub y: wgpu::Buffer,
    pub parameters: wgpu::Buffer,
    pub running: wgpu::Buffer,
    pub saved: wgpu::Buffer,
}

impl Tensors {
    pub fn new(gpu: &Gpu, shape: Shape) -> Self {
        let packed = Packed::new(shape.channels());
        let channels = shape.channels() as usize;
        let (zeros, ones) = (vec![0.0; channels], vec![1.0; channels]);
        let pack = |vectors: &[&[f32]], label| {
            let values = packed.pack(vectors).expect("vectors of one length");
            gpu.upload(&values, label).expect("a small buffer")
        };
        let x: Vec<f32> = (0..shape.len())
            .map(|index| (index % 251) as f32 / 50.0)
            .collect();
        Self {
            x: gpu.upload(&x, "x").expect("a buffer"),
            y: gpu.zeros(shape.len(), "y").expect("a buffer"),
            parameters: pack(&[&ones, &zeros], "parameters"),
            running: pack(&[&zeros, &ones, &zeros], "running"),
            saved: pack(&[&zeros, &zeros, &ones], "saved"),
        }
    }

    pub fn buffers(&self) -> Buffers<'_> {
        Buffers::new(Tensor::whole(&self.x), Tensor::whole(&self.y))
            .parameters(Tensor::whole(&self.parameters))
            .running(Tensor::whole(&self.running))
    }
}
