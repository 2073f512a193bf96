//! From WGSL to SPIR-V, as wgpu 30 does it on Vulkan 1.3.

use std::collections::BTreeMap;

use anyhow::{Result, anyhow};
use naga::back::PipelineConstants;
use naga::back::spv::{self, Capability};
use naga::proc::{BoundsCheckPolicies, BoundsCheckPolicy};
use naga::valid::{Capabilities, ShaderStages, SubgroupOperationSet, ValidationFlags, Validator};

/// A shader to compile.
#[derive(Clone, Debug)]
pub struct Source {
    pub wgsl: String,
    pub entry_point: String,
    /// Values of override constants.
    pub constants: Vec<(String, f64)>,
    /// Whether the device was made with `Features::SUBGROUP`.
    pub subgroups: bool,
}

/// What a pipeline is made of.
#[derive(Debug)]
pub struct Module {
    pub words: Vec<u32>,
    /// Bindings of group 0, and whether they are uniform.
    pub bindings: Vec<(u32, bool)>,
}

/// The SPIR-V of a shader.
pub fn compile(source: &Source) -> Result<Module> {
    let text = &source.wgsl;
    let module = naga::front::wgsl::parse_str(text).map_err(|e| anyhow!(e.emit_to_string(text)))?;
    let mut capabilities = Capabilities::default();
    capabilities.set(Capabilities::SUBGROUP, source.subgroups);
    capabilities.insert(Capabilities::SHADER_FLOAT16_IN_FLOAT32);
    let info = Validator::new(ValidationFlags::all(), capabilities)
        .subgroup_stages(ShaderStages::COMPUTE)
        .subgroup_operations(SubgroupOperationSet::all())
        .validate(&module)
        .map_err(|e| anyhow!(e.emit_to_string(text)))?;
    let stage = naga::ShaderStage::Compute;
    let constants: PipelineConstants = source.constants.iter().cloned().collect();
    let (module, info) = naga::back::pipeline_constants::process_overrides(
        &module,
        &info,
        Some((stage, &source.entry_point)),
        &constants,
    )?;

    let mut bindings: Vec<(u32, bool)> = module
        .global_variables
        .iter()
        .filter_map(|(_, variable)| {
            let uniform = variable.space == naga::AddressSpace::Uniform;
            variable.binding.map(|at| (at.binding, uniform))
        })
        .collect();
    bindings.sort_unstable();
    bindings.dedup();
    let pipeline = spv::PipelineOptions {
        shader_stage: stage,
        entry_point: source.entry_point.clone(),
    };
    let options = options(&bindings, source.subgroups);
    let words = spv::write_vec(&module, &info, &options, Some(&pipeline))?;
    Ok(Module { words, bindings })
}

/// As `wgpu_hal::vulkan` makes them for a device, and for a stage without zeroed workgroup memory.
fn options(bindings: &[(u32, bool)], subgroups: bool) -> spv::Options<'static> {
    let mut capabilities = vec![
        Capability::Shader,
        Capability::Matrix,
        Capability::Sampled1D,
        Capability::Image1D,
        Capability::ImageQuery,
        Capability::DerivativeControl,
        Capability::StorageImageExtendedFormats,
        Capability::SampledCubeArray,
        Capability::SampleRateShading,
        Capability::DotProductInputAllKHR,
        Capability::DotProductInput4x8BitKHR,
        Capability::DotProductInput4x8BitPackedKHR,
        Capability::DotProductKHR,
        Capability::Int8,
    ];
    if subgroups {
        capabilities.extend([
            Capability::GroupNonUniform,
            Capability::GroupNonUniformVote,
            Capability::GroupNonUniformArithmetic,
            Capability::GroupNonUniformBallot,
            Capability::GroupNonUniformShuffle,
            Capability::GroupNonUniformShuffleRelative,
            Capability::GroupNonUniformQuad,
        ]);
    }
    let binding_map: BTreeMap<_, _> = bindings
        .iter()
        .map(|&(binding, _)| {
            let to = spv::BindingInfo {
                descriptor_set: 0,
                binding,
                binding_array_size: None,
            };
            (naga::ResourceBinding { group: 0, binding }, to)
        })
        .collect();
    spv::Options {
        lang_version: (1, 6),
        flags: spv::WriterFlags::LABEL_VARYINGS | spv::WriterFlags::FORCE_POINT_SIZE,
        capabilities: Some(capabilities.into_iter().collect()),
        bounds_check_policies: BoundsCheckPolicies {
            index: BoundsCheckPolicy::Restrict,
            // by the hardware: robustBufferAccess2
            buffer: BoundsCheckPolicy::Unchecked,
            image_load: BoundsCheckPolicy::Unchecked,
            binding_array: BoundsCheckPolicy::Unchecked,
        },
        zero_initialize_workgroup_memory: spv::ZeroInitializeWorkgroupMemoryMode::None,
        force_loop_bounding: true,
        ray_query_initialization_tracking: true,
        trace_ray_argument_validation: true,
        use_storage_input_output_16: false,
        fake_missing_bindings: false,
        binding_map,
        debug_info: None,
        task_dispatch_limits: None,
        mesh_shader_primitive_indices_clamp: true,
        emit_int_div_checks: true,
    }
}
