//! What a device can do, as plain data: planning needs no GPU.

/// The kind of adapter, which the default geometry of the kernels depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AdapterKind {
    /// A software adapter: lanes are the lanes of a CPU's vector unit.
    Cpu,
    /// A GPU that shares the host's memory.
    Integrated,
    /// A GPU with memory of its own, or one of unknown kind.
    Discrete,
}

/// The sizes that a subgroup may have on a device made with `Features::SUBGROUP`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SubgroupSizes {
    /// The smallest.
    pub min: u32,
    /// The largest.
    pub max: u32,
}

/// The limits that a plan is made for: of a device ([`Kernels::limits`](crate::Kernels::limits)), or invented.
///
/// ```
/// use wgpu_batchnorm::{Limits, Plan, Shape, Training};
///
/// // The same tensor on a device whose bindings hold a quarter of it.
/// let shape = Shape::channels_first(&[32, 64, 112, 112])?;
/// let small = Limits { binding_bytes: shape.len(), ..Limits::default() };
/// let plan = Plan::training(&small, shape, &Training::default())?;
/// assert!(plan.dispatches().all(|dispatch| dispatch.window_bytes <= small.binding_bytes));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Limits {
    /// The kind of adapter.
    pub adapter: AdapterKind,
    /// Workgroups that run at once, where that is known: on a software adapter the cores of the host; else 1.
    pub processors: u32,
    /// Bytes that one storage binding may span.
    pub binding_bytes: u64,
    /// What the offset of a storage binding must be a multiple of, in bytes.
    pub offset_alignment: u64,
    /// What the offset of a uniform binding must be a multiple of, in bytes.
    pub uniform_alignment: u64,
    /// Workgroups in one dimension of a dispatch.
    pub workgroups_per_dimension: u32,
    /// Lanes of a workgroup.
    pub workgroup_size: u32,
    /// Bytes of workgroup memory.
    pub workgroup_memory: u32,
    /// Sizes of a subgroup, where the device was made with `Features::SUBGROUP`.
    pub subgroups: Option<SubgroupSizes>,
}

impl Default for Limits {
    /// What every WebGPU device has, without subgroups, on a GPU of unknown kind.
    fn default() -> Self {
        Self {
            adapter: AdapterKind::Discrete,
            processors: 1,
            binding_bytes: 128 << 20,
            offset_alignment: 256,
            uniform_alignment: 256,
            workgroups_per_dimension: 65535,
            workgroup_size: 256,
            workgroup_memory: 16 << 10,
            subgroups: None,
        }
    }
}
