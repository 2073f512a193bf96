//! The copy kernel that every speed is measured against.
//!
//! Batch normalization is bound by memory traffic, so the honest measure of a kernel is how near it comes to a copy of
//! the same tensor through the same buffers. The fastest way to copy differs between adapters and sizes: time every
//! one of [`CopyGeometry::candidates`], and take the best.
//!
//! ```no_run
//! use std::time::Instant;
//! use wgpu_batchnorm::yardstick::{CopyGeometry, CopyKernel};
//! use wgpu_batchnorm::{Gpu, GpuOptions, Kernels, Tensor};
//!
//! let gpu = Gpu::blocking(&GpuOptions::default())?;
//! let limits = Kernels::new(gpu.device()).limits().clone();
//! let (x, y) = (gpu.zeros(1 << 24, "x")?, gpu.zeros(1 << 24, "y")?);
//! for geometry in CopyGeometry::candidates(&limits, 1 << 24) {
//!     let copy = CopyKernel::new(gpu.device(), &limits, geometry).bind(Tensor::whole(&x), Tensor::whole(&y))?;
//!     gpu.run("warm up", |pass| copy.record(pass));
//!     gpu.wait()?;
//!     let start = Instant::now();
//!     gpu.run("copy", |pass| copy.record(pass));
//!     gpu.wait()?;
//!     println!("{geometry}: {:?}", start.elapsed());
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod geometry;

use std::borrow::Cow;

use thiserror::Error;

use crate::kernels::layouts;
use crate::limits::Limits;
use crate::tensor::Tensor;

pub use geometry::{Access, CopyGeometry};
use geometry::{Range, Window, windows};

/// The WGSL of the copy kernel.
pub const SOURCE: &str = include_str!("../../shaders/yardstick/copy.wgsl");

/// Tensors that cannot be copied.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum CopyError {
    /// Source and destination differ in length.
    #[error("x has {x} values, but y has {y}")]
    Length {
        /// Values of the source.
        x: u64,
        /// Values of the destination.
        y: u64,
    },
    /// Source and destination share a buffer, which no dispatch may both read and write through two bindings.
    #[error("x and y are in one buffer: a copy needs two")]
    OneBuffer,
    /// An offset that a binding cannot start at.
    #[error("a tensor starts at byte {given}: a multiple of {needed} is needed")]
    Offset {
        /// The offset given.
        given: u64,
        /// What it must be a multiple of.
        needed: u64,
    },
    /// A tensor that ends after its buffer.
    #[error("a tensor ends at byte {end}, its buffer has {size}")]
    Range {
        /// One past the last byte of the tensor.
        end: u64,
        /// The buffer's size.
        size: u64,
    },
}

/// The copy kernel in one geometry, compiled for a device.
#[derive(Clone, Debug)]
pub struct CopyKernel {
    device: wgpu::Device,
    limits: Limits,
    geometry: CopyGeometry,
    layout: wgpu::BindGroupLayout,
    main: wgpu::ComputePipeline,
    rest: wgpu::ComputePipeline,
}

impl CopyKernel {
    /// Compiles the kernel.
    pub fn new(device: &wgpu::Device, limits: &Limits, geometry: CopyGeometry) -> Self {
        let module = device.create_shader_module(wgpu::ShaderModuleDescriptor {
            label: Some("yardstick/copy"),
            source: wgpu::ShaderSource::Wgsl(Cow::Borrowed(SOURCE)),
        });
        let storage = [true, false].map(|read_only| wgpu::BufferBindingType::Storage { read_only });
        let (layout, pipeline_layout) = layouts(device, "yardstick/copy", storage.into_iter());
        let pipeline = |access: Access| {
            device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
                label: Some("yardstick/copy"),
                layout: Some(&pipeline_layout),
                module: &module,
                entry_point: Some(access.entry_point()),
                compilation_options: wgpu::PipelineCompilationOptions {
                    constants: &[
                        ("LANES", f64::from(geometry.workgroup_size)),
                        ("TEAM", f64::from(geometry.team)),
                    ],
                    zero_initialize_workgroup_memory: false,
                },
                cache: None,
            })
        };
        Self {
            main: pipeline(geometry.access),
            rest: pipeline(Access::Value),
            device: device.clone(),
            limits: limits.clone(),
            geometry,
            layout,
        }
    }

    /// The geometry it was compiled for.
    pub const fn geometry(&self) -> CopyGeometry {
        self.geometry
    }

    /// Binds a source and a destination. Tensors above one binding are copied in several dispatches, one after
    /// another.
    ///
    /// # Errors
    /// Where the lengths differ, both are in one buffer, an offset is not a multiple of
    /// [`Limits::offset_alignment`], or a tensor ends after its buffer.
    pub fn bind(&self, x: Tensor<'_>, y: Tensor<'_>) -> Result<CopyStep, CopyError> {
        if x.len() != y.len() {
            return Err(CopyError::Length {
                x: x.len(),
                y: y.len(),
            });
        }
        if x.buffer() == y.buffer() {
            return Err(CopyError::OneBuffer);
        }
        for tensor in [x, y] {
            let needed = self.limits.offset_alignment;
            if !tensor.offset().is_multiple_of(needed) {
                return Err(CopyError::Offset {
                    given: tensor.offset(),
                    needed,
                });
            }
            let size = tensor.buffer().size();
            if tensor.end() > size {
                return Err(CopyError::Range {
                    end: tensor.end(),
                    size,
                });
            }
        }
        let windows = windows(&self.limits, &self.geometry, x.len());
        let dispatches = windows
            .into_iter()
            .map(|window| self.dispatch(x, y, window))
            .collect();
        Ok(CopyStep { dispatches })
    }

    fn dispatch<'a>(&self, x: Tensor<'a>, y: Tensor<'a>, window: Window) -> Dispatch {
        let Range {
            start,
            end,
            chunk,
            row,
            rows,
        } = window.range;
        let words = [start, end, chunk, row];
        let uniform = self.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("yardstick/copy range"),
            size: size_of_val(&words) as u64,
            usage: wgpu::BufferUsages::UNIFORM,
            mapped_at_creation: true,
        });
        uniform
            .get_mapped_range_mut(..)
            .expect("the buffer was created mapped")
            .copy_from_slice(bytemuck::cast_slice(&words));
        uniform.unmap();
        let bind = |binding, tensor: Tensor<'a>| wgpu::BindGroupEntry {
            binding,
            resource: wgpu::BindingResource::Buffer(wgpu::BufferBinding {
                buffer: tensor.buffer(),
                offset: tensor.offset() + window.offset,
                size: wgpu::BufferSize::new(window.bytes),
            }),
        };
        let bind_group = self.device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some("yardstick/copy"),
            layout: &self.layout,
            entries: &[
                wgpu::BindGroupEntry {
                    binding: 0,
                    resource: uniform.as_entire_binding(),
                },
                bind(1, x),
                bind(2, y),
            ],
        });
        let pipeline = if window.access == self.geometry.access {
            &self.main
        } else {
            &self.rest
        };
        Dispatch {
            pipeline: pipeline.clone(),
            bind_group,
            grid: [row, rows],
        }
    }
}

#[derive(Clone, Debug)]
struct Dispatch {
    pipeline: wgpu::ComputePipeline,
    bind_group: wgpu::BindGroup,
    grid: [u32; 2],
}

/// A copy bound to its tensors.
#[derive(Clone, Debug)]
pub struct CopyStep {
    dispatches: Vec<Dispatch>,
}

impl CopyStep {
    /// Records the copy into the caller's pass, whose pipeline and bind group 0 it sets.
    pub fn record(&self, pass: &mut wgpu::ComputePass<'_>) {
        for dispatch in &self.dispatches {
            pass.set_pipeline(&dispatch.pipeline);
            pass.set_bind_group(0, &dispatch.bind_group, &[]);
            let [columns, rows] = dispatch.grid;
            pass.dispatch_workgroups(columns, rows, 1);
        }
    }
}
