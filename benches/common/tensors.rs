//! Tensors on the GPU, for benches.

// Where they begin is as in the command.
#[path = "../../src/cli/bench/apart.rs"]
#[allow(dead_code, reason = "the command copies as well")]
mod apart;

use wgpu_batchnorm::{Buffers, Element, Gpu, Packed, Shape, Tensor, wgpu};

use apart::Apart;

/// Tensors of one shape.
pub struct Tensors {
    pub x: Apart,
    pub y: Apart,
    #[allow(dead_code, reason = "some benches only go forward")]
    pub grad_input: Apart,
    pub parameters: wgpu::Buffer,
    pub running: wgpu::Buffer,
    pub saved: wgpu::Buffer,
    len: u64,
    /// How those of the shape of x are stored.
    pub element: Element,
}

impl Tensors {
    /// Each of the shape of x begins elsewhere.
    #[allow(dead_code, reason = "some benches place them")]
    pub fn new(gpu: &Gpu, shape: Shape, element: Element) -> Self {
        Self::placed(gpu, shape, element, [0, 1, 2])
    }

    /// Those of the shape of x begin where the first, second or third of a pass does in the command.
    pub fn placed(gpu: &Gpu, shape: Shape, element: Element, places: [usize; 3]) -> Self {
        let packed = Packed::new(shape.channels());
        let channels = shape.channels() as usize;
        let (zeros, ones) = (vec![0.0; channels], vec![1.0; channels]);
        let pack = |vectors: &[&[f32]], label| {
            let values = packed.pack(vectors).expect("vectors of one length");
            gpu.upload(&values, label).expect("a small buffer")
        };
        let x: Vec<u8> = (0..shape.len())
            .map(|index| (index % 251) as f32 / 50.0)
            .flat_map(|value| stored(value, element))
            .collect();
        let x = Apart::upload(gpu, &x, places[0], "x").expect("a buffer");
        let room = |place, label| Apart::room(gpu, x.bytes(), place, label).expect("a buffer");
        Self {
            y: room(places[1], "y"),
            grad_input: room(places[2], "grad_input"),
            x,
            parameters: pack(&[&ones, &zeros], "parameters"),
            running: pack(&[&zeros, &ones, &zeros], "running"),
            saved: pack(&[&zeros, &zeros, &ones], "saved"),
            len: shape.len(),
            element,
        }
    }

    /// A tensor of the shape of x.
    pub const fn values<'a>(&self, of: &'a Apart) -> Tensor<'a> {
        of.values(self.len, self.element)
    }

    pub fn buffers(&self) -> Buffers<'_> {
        Buffers::new(self.values(&self.x), self.values(&self.y))
            .parameters(Tensor::whole(&self.parameters))
            .running(Tensor::whole(&self.running))
    }
}

/// The bytes of a value.
fn stored(value: f32, element: Element) -> impl Iterator<Item = u8> {
    let bytes = match element {
        Element::F32 => value.to_le_bytes().to_vec(),
        Element::F16 => half::f16::from_f32(value).to_le_bytes().to_vec(),
        Element::Bf16 => half::bf16::from_f32(value).to_le_bytes().to_vec(),
    };
    bytes.into_iter()
}
