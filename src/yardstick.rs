//! The copy kernel that every speed is measured against.
//!
//! Batch normalization is bound by memory traffic, so the honest measure of a kernel is how near it comes to a copy of
//! the same tensor through the same buffers. The fastest way to copy differs between adapters and sizes: time every
//! one of [`CopyGeometry::candidates`], and take the best.

use std::borrow::Cow;
use std::fmt;

use thiserror::Error;

use crate::limits::Limits;
use crate::tensor::Tensor;

/// The WGSL of the copy kernel.
pub const SOURCE: &str = include_str!("../shaders/yardstick/copy.wgsl");

/// What a lane moves in one step of its loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Access {
    /// One value.
    Value,
    /// One vec4.
    Vec4,
    /// Two vec4, loaded before either is stored.
    TwoVec4,
    /// Four vec4, loaded before any is stored.
    FourVec4,
}

impl Access {
    const fn entry_point(self) -> &'static str {
        match self {
            Self::Value => "scalar",
            Self::Vec4 => "one",
            Self::TwoVec4 => "two",
            Self::FourVec4 => "four",
        }
    }

    /// Values of one access.
    const fn width(self) -> u64 {
        match self {
            Self::Value => 1,
            Self::Vec4 | Self::TwoVec4 | Self::FourVec4 => 4,
        }
    }
}

/// One way to lay a copy out over the lanes of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CopyGeometry {
    /// Lanes of a workgroup.
    pub workgroup_size: u32,
    /// Neighbouring lanes that walk one contiguous chunk together; divides `workgroup_size`.
    pub team: u32,
    /// What a lane moves at a time.
    pub access: Access,
    /// Values that one workgroup copies; a multiple of 4 for each of its teams.
    pub values_per_workgroup: u32,
}

impl CopyGeometry {
    const fn new(
        workgroup_size: u32,
        team: u32,
        access: Access,
        values_per_workgroup: u32,
    ) -> Self {
        Self {
            workgroup_size,
            team,
            access,
            values_per_workgroup,
        }
    }

    /// The geometries worth trying for a tensor of this many values: at least eight on every device.
    ///
    /// Narrow workgroups suit software adapters, wide ones hardware. Single values are a candidate only where the last
    /// vec4 is not whole, as vec4 then need a second dispatch for the rest.
    pub fn candidates(limits: &Limits, values: u64) -> Vec<Self> {
        use Access::{FourVec4, TwoVec4, Value, Vec4};
        let whole = values.is_multiple_of(4);
        [
            Self::new(8, 8, Vec4, 8 << 10),
            Self::new(8, 8, TwoVec4, 8 << 10),
            Self::new(8, 8, FourVec4, 8 << 10),
            Self::new(8, 8, TwoVec4, 32 << 10),
            Self::new(8, 8, FourVec4, 32 << 10),
            Self::new(8, 8, FourVec4, 128 << 10),
            Self::new(16, 16, FourVec4, 32 << 10),
            Self::new(32, 32, FourVec4, 16 << 10),
            Self::new(64, 8, FourVec4, 64 << 10),
            Self::new(64, 64, FourVec4, 16 << 10),
            Self::new(256, 256, Vec4, 1 << 10),
            Self::new(256, 256, FourVec4, 4 << 10),
            Self::new(256, 32, FourVec4, 32 << 10),
            Self::new(8, 8, Value, 8 << 10),
            Self::new(256, 256, Value, 4 << 10),
        ]
        .into_iter()
        .filter(|geometry| geometry.workgroup_size <= limits.workgroup_size)
        .filter(|geometry| !whole || geometry.access != Value)
        .collect()
    }

    /// Accesses of one team.
    fn chunk(&self) -> u64 {
        let teams = u64::from(self.workgroup_size / self.team);
        u64::from(self.values_per_workgroup) / (teams * self.access.width())
    }
}

/// As in `256 lanes by 32, 4 vec4 each, 32 Ki/workgroup`: in teams of 32, and values per workgroup.
impl fmt::Display for CopyGeometry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} lanes", self.workgroup_size)?;
        if self.team != self.workgroup_size {
            write!(f, " by {}", self.team)?;
        }
        let access = match self.access {
            Access::Value => "1 value",
            Access::Vec4 => "1 vec4",
            Access::TwoVec4 => "2 vec4",
            Access::FourVec4 => "4 vec4",
        };
        write!(
            f,
            ", {access} each, {} Ki/workgroup",
            self.values_per_workgroup >> 10
        )
    }
}

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

/// A run of accesses in one binding, as the shader's `Range`, and the grid that covers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Range {
    start: u32,
    end: u32,
    chunk: u32,
    row: u32,
    rows: u32,
}

/// One dispatch: which bytes are bound, and what is copied within them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Window {
    offset: u64,
    bytes: u64,
    access: Access,
    range: Range,
}

/// Cuts a tensor into what one binding holds, and a binding into vec4 and the one to three values after them.
fn windows(limits: &Limits, geometry: &CopyGeometry, values: u64) -> Vec<Window> {
    let unit = limits.offset_alignment.max(16);
    let window_values = (limits.binding_bytes / unit).max(1) * unit / 4;
    let mut windows = Vec::new();
    let mut first = 0;
    while first < values {
        let len = window_values.min(values - first);
        let width = geometry.access.width();
        let mut push = |access: Access, start: u64, end: u64, chunk: u64| {
            let workgroups = (end - start).div_ceil(chunk * teams(geometry));
            let row = workgroups.min(u64::from(limits.workgroups_per_dimension));
            let narrow =
                |value: u64| u32::try_from(value).expect("a binding has less than 2^32 values");
            windows.push(Window {
                offset: 4 * first,
                bytes: 4 * len,
                access,
                range: Range {
                    start: narrow(start),
                    end: narrow(end),
                    chunk: narrow(chunk),
                    row: narrow(row),
                    rows: narrow(workgroups.div_ceil(row)),
                },
            });
        };
        if len >= width {
            push(geometry.access, 0, len / width, geometry.chunk());
        }
        let rest = len % width;
        if rest > 0 {
            push(Access::Value, len - rest, len, rest);
        }
        first += len;
    }
    windows
}

fn teams(geometry: &CopyGeometry) -> u64 {
    u64::from(geometry.workgroup_size / geometry.team)
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
        let entry = |binding, ty| wgpu::BindGroupLayoutEntry {
            binding,
            visibility: wgpu::ShaderStages::COMPUTE,
            ty: wgpu::BindingType::Buffer {
                ty,
                has_dynamic_offset: false,
                min_binding_size: None,
            },
            count: None,
        };
        let storage = |read_only| wgpu::BufferBindingType::Storage { read_only };
        let layout = device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
            label: Some("yardstick/copy"),
            entries: &[
                entry(0, wgpu::BufferBindingType::Uniform),
                entry(1, storage(true)),
                entry(2, storage(false)),
            ],
        });
        let pipeline_layout = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
            label: Some("yardstick/copy"),
            bind_group_layouts: &[Some(&layout)],
            immediate_size: 0,
        });
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Every value that the dispatches copy, counted.
    fn covered(limits: &Limits, geometry: &CopyGeometry, values: u64) -> Vec<u32> {
        let mut seen = vec![0; values as usize];
        for window in windows(limits, geometry, values) {
            assert!(window.bytes <= limits.binding_bytes);
            assert!(window.offset.is_multiple_of(limits.offset_alignment));
            let Range {
                start,
                end,
                chunk,
                row,
                rows,
            } = window.range;
            assert!(row.max(rows) <= limits.workgroups_per_dimension);
            let width = window.access.width();
            let teams = u64::from(row) * u64::from(rows) * teams(geometry);
            for team in 0..teams {
                let first = u64::from(start) + team * u64::from(chunk);
                let last = (first + u64::from(chunk)).min(u64::from(end));
                for value in first * width..last.max(first) * width {
                    if first < u64::from(end) {
                        seen[(window.offset / 4 + value) as usize] += 1;
                    }
                }
            }
        }
        seen
    }

    #[test]
    fn every_value_is_copied_once_by_every_geometry() {
        let small = Limits {
            binding_bytes: 64 << 10,
            offset_alignment: 32,
            workgroups_per_dimension: 7,
            ..Limits::default()
        };
        for values in [0, 1, 3, 4, 5, 8191, 8192, 16384, 40_003] {
            for limits in [Limits::default(), small.clone()] {
                for geometry in CopyGeometry::candidates(&limits, values) {
                    let seen = covered(&limits, &geometry, values);
                    assert!(
                        seen.iter().all(|&times| times == 1),
                        "{geometry}, {values} values"
                    );
                }
            }
        }
    }

    #[test]
    fn every_device_has_eight_candidates() {
        for values in [4, 5] {
            let narrow = Limits {
                workgroup_size: 64,
                ..Limits::default()
            };
            assert!(CopyGeometry::candidates(&narrow, values).len() >= 8);
        }
    }

    #[test]
    fn chunks_are_whole_vec4() {
        for geometry in CopyGeometry::candidates(&Limits::default(), 1) {
            let teams = geometry.workgroup_size / geometry.team;
            assert_eq!(geometry.workgroup_size % geometry.team, 0);
            assert_eq!(geometry.values_per_workgroup % (4 * teams), 0, "{geometry}");
        }
    }
}
