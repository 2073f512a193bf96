//! Pipelines by variant, compiled once per device.

mod text;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::limits::{AdapterKind, Limits, SubgroupSizes};
pub(crate) use text::{Bound, PARAMETERS_BINDING, Slot, slot_binding, text};

/// The kernels of a device: pipelines by variant, compiled when a plan that needs them is first bound.
///
/// Cheap to clone; clones share the pipelines. `Send + Sync` where wgpu's objects are.
///
/// ```no_run
/// # fn example(device: &wgpu::Device) {
/// let kernels = wgpu_batchnorm::Kernels::new(device);
/// println!("{:?}", kernels.limits());
/// # }
/// ```
#[derive(Clone)]
pub struct Kernels {
    shared: Arc<Shared>,
}

struct Shared {
    device: wgpu::Device,
    limits: Limits,
    edit: Option<Edit>,
    compiled: Mutex<HashMap<Arc<str>, Arc<Compiled>>>,
}

/// A change to the text of every kernel.
type Edit = Box<dyn Fn(&str) -> String + Send + Sync>;

impl std::fmt::Debug for Kernels {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Kernels")
            .field("device", &self.shared.device)
            .field("limits", &self.shared.limits)
            .finish_non_exhaustive()
    }
}

/// A pipeline, what it was compiled from, and the layout of its one bind group.
#[derive(Debug)]
pub(crate) struct Compiled {
    pub text: Arc<str>,
    pub pipeline: wgpu::ComputePipeline,
    pub layout: wgpu::BindGroupLayout,
}

impl Kernels {
    /// Kernels for this device. Compiles nothing yet.
    pub fn new(device: &wgpu::Device) -> Self {
        Self::with(device, limits_of(device), None)
    }

    /// Kernels whose text is changed before it is compiled: how the tests prove that each line of a shader matters to
    /// them. Not part of the API.
    #[doc(hidden)]
    pub fn edited(
        device: &wgpu::Device,
        edit: impl Fn(&str) -> String + Send + Sync + 'static,
    ) -> Self {
        Self::with(device, limits_of(device), Some(Box::new(edit)))
    }

    /// Kernels that take the device for a smaller one: bindings of at most these limits are made. How the tests reach
    /// windows and folded grids with small tensors. Not part of the API.
    #[doc(hidden)]
    pub fn limited(device: &wgpu::Device, limits: Limits) -> Self {
        Self::with(device, limits, None)
    }

    fn with(device: &wgpu::Device, limits: Limits, edit: Option<Edit>) -> Self {
        Self {
            shared: Arc::new(Shared {
                device: device.clone(),
                limits,
                edit,
                compiled: Mutex::default(),
            }),
        }
    }

    /// The limits that plans for this device are made with.
    pub fn limits(&self) -> &Limits {
        &self.shared.limits
    }

    /// The device.
    pub fn device(&self) -> &wgpu::Device {
        &self.shared.device
    }

    /// The pipeline of a text, compiled if this is the first time it is asked for.
    pub(crate) fn compiled(&self, text: &str, slots: &[Slot], label: &str) -> Arc<Compiled> {
        let mut compiled = self
            .shared
            .compiled
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = compiled.get(text) {
            return found.clone();
        }
        let text: Arc<str> = text.into();
        let edited = match &self.shared.edit {
            Some(edit) => edit(&text).into(),
            None => text.clone(),
        };
        let new = Arc::new(self.compile(edited, slots, label));
        compiled.insert(text, new.clone());
        new
    }

    fn compile(&self, text: Arc<str>, slots: &[Slot], label: &str) -> Compiled {
        let device = &self.shared.device;
        let storage = slots.iter().map(|slot| wgpu::BufferBindingType::Storage {
            read_only: !slot.read_write,
        });
        let (layout, pipeline_layout) = layouts(device, label, storage);
        let module = device.create_shader_module(wgpu::ShaderModuleDescriptor {
            label: Some(label),
            source: wgpu::ShaderSource::Wgsl((&*text).into()),
        });
        let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some(label),
            layout: Some(&pipeline_layout),
            module: &module,
            entry_point: Some("main"),
            compilation_options: wgpu::PipelineCompilationOptions {
                constants: &[],
                // every kernel writes its workgroup memory before it reads it
                zero_initialize_workgroup_memory: false,
            },
            cache: None,
        });
        Compiled {
            text,
            pipeline,
            layout,
        }
    }
}

/// The layout of a uniform block and storage bindings after it, and that of a pipeline whose one group it is.
pub(crate) fn layouts(
    device: &wgpu::Device,
    label: &str,
    storage: impl Iterator<Item = wgpu::BufferBindingType>,
) -> (wgpu::BindGroupLayout, wgpu::PipelineLayout) {
    let entries: Vec<_> = (PARAMETERS_BINDING..)
        .zip(std::iter::once(wgpu::BufferBindingType::Uniform).chain(storage))
        .map(|(binding, ty)| wgpu::BindGroupLayoutEntry {
            binding,
            visibility: wgpu::ShaderStages::COMPUTE,
            ty: wgpu::BindingType::Buffer {
                ty,
                has_dynamic_offset: false,
                min_binding_size: None,
            },
            count: None,
        })
        .collect();
    let group = device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
        label: Some(label),
        entries: &entries,
    });
    let pipeline = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
        label: Some(label),
        bind_group_layouts: &[Some(&group)],
        immediate_size: 0,
    });
    (group, pipeline)
}

fn limits_of(device: &wgpu::Device) -> Limits {
    Limits::of(&device.limits(), device.features(), &device.adapter_info())
}

impl Limits {
    /// The limits of a device with these of wgpu, with these features, on this adapter: what
    /// [`Kernels::limits`] will be, without the device.
    ///
    /// ```no_run
    /// use wgpu_batchnorm::{Limits, wgpu};
    ///
    /// # fn example(adapter: wgpu::Adapter) {
    /// let features = adapter.features() & wgpu::Features::SUBGROUP;
    /// let limits = Limits::of(&adapter.limits(), features, &adapter.get_info());
    /// # }
    /// ```
    pub fn of(limits: &wgpu::Limits, features: wgpu::Features, info: &wgpu::AdapterInfo) -> Self {
        let adapter = match info.device_type {
            wgpu::DeviceType::Cpu => AdapterKind::Cpu,
            wgpu::DeviceType::IntegratedGpu => AdapterKind::Integrated,
            wgpu::DeviceType::DiscreteGpu
            | wgpu::DeviceType::VirtualGpu
            | wgpu::DeviceType::Other => AdapterKind::Discrete,
        };
        Self {
            adapter,
            processors: match adapter {
                AdapterKind::Cpu => std::thread::available_parallelism()
                    .map_or(1, |cores| u32::try_from(cores.get()).unwrap_or(u32::MAX)),
                AdapterKind::Integrated | AdapterKind::Discrete => 1,
            },
            binding_bytes: limits
                .max_storage_buffer_binding_size
                .min(limits.max_buffer_size),
            offset_alignment: u64::from(limits.min_storage_buffer_offset_alignment),
            uniform_alignment: u64::from(limits.min_uniform_buffer_offset_alignment),
            workgroups_per_dimension: limits.max_compute_workgroups_per_dimension,
            workgroup_size: limits
                .max_compute_invocations_per_workgroup
                .min(limits.max_compute_workgroup_size_x),
            workgroup_memory: limits.max_compute_workgroup_storage_size,
            subgroups: features
                .contains(wgpu::Features::SUBGROUP)
                .then_some(SubgroupSizes {
                    min: info.subgroup_min_size,
                    max: info.subgroup_max_size,
                }),
        }
    }
}
