//! Mesa's AMD compiler, through the Vulkan driver around it: a device that is not there compiles, and runs nothing.

use std::collections::HashMap;
use std::ffi::{CStr, CString};

use anyhow::{Context, Result, bail};
use ash::vk;

use crate::spirv::Module;

/// A GPU that pipelines are compiled for.
pub struct Radv {
    _entry: ash::Entry,
    instance: ash::Instance,
    device: ash::Device,
    executables: ash::khr::pipeline_executable_properties::Device,
    /// As in `RADV NAVI31`.
    pub name: String,
    /// As in `Mesa 25.0.7-2`.
    pub driver: String,
}

/// What the compiler says of a pipeline.
#[derive(Clone, Debug)]
pub struct Compiled {
    /// Numbers by name.
    pub statistics: HashMap<String, u64>,
    /// The machine code as text.
    pub listing: String,
}

fn text(bytes: &[std::ffi::c_char]) -> String {
    // SAFETY: Vulkan ends every name with a zero within its array.
    unsafe { CStr::from_ptr(bytes.as_ptr()) }
        .to_string_lossy()
        .into_owned()
}

impl Radv {
    /// The GPU that `RADV_FORCE_FAMILY` names.
    pub fn new() -> Result<Self> {
        // SAFETY: the loader and the driver are the system's own; every structure outlives the call that it is passed to,
        // and the extensions and features asked for are the driver's, or the call fails.
        unsafe {
            let entry = ash::Entry::load().context("no Vulkan loader (libvulkan.so.1)")?;
            let application = vk::ApplicationInfo::default().api_version(vk::API_VERSION_1_3);
            let create = vk::InstanceCreateInfo::default().application_info(&application);
            let instance = entry.create_instance(&create, None)?;
            let Some(&physical) = instance.enumerate_physical_devices()?.first() else {
                bail!("the driver has no such GPU");
            };
            let mut driver = vk::PhysicalDeviceDriverProperties::default();
            let mut properties = vk::PhysicalDeviceProperties2::default().push_next(&mut driver);
            instance.get_physical_device_properties2(physical, &mut properties);
            let name = text(&properties.properties.device_name);
            let driver = text(&driver.driver_info);

            let queues = [vk::DeviceQueueCreateInfo::default()
                .queue_family_index(0)
                .queue_priorities(&[1.0])];
            let extensions = [
                ash::khr::pipeline_executable_properties::NAME.as_ptr(),
                ash::ext::robustness2::NAME.as_ptr(),
            ];
            // What of wgpu's device matters to the code of a compute shader.
            let core = vk::PhysicalDeviceFeatures::default().robust_buffer_access(true);
            let mut robustness =
                vk::PhysicalDeviceRobustness2FeaturesEXT::default().robust_buffer_access2(true);
            let mut executable =
                vk::PhysicalDevicePipelineExecutablePropertiesFeaturesKHR::default()
                    .pipeline_executable_info(true);
            let mut of_1_2 = vk::PhysicalDeviceVulkan12Features::default()
                .shader_int8(true)
                .buffer_device_address(true);
            let mut of_1_3 = vk::PhysicalDeviceVulkan13Features::default()
                .shader_zero_initialize_workgroup_memory(true)
                .shader_integer_dot_product(true)
                .subgroup_size_control(true);
            let create = vk::DeviceCreateInfo::default()
                .queue_create_infos(&queues)
                .enabled_extension_names(&extensions)
                .enabled_features(&core)
                .push_next(&mut robustness)
                .push_next(&mut executable)
                .push_next(&mut of_1_2)
                .push_next(&mut of_1_3);
            let device = instance
                .create_device(physical, &create, None)
                .with_context(|| format!("{name} makes no device"))?;
            let executables =
                ash::khr::pipeline_executable_properties::Device::new(&instance, &device);
            Ok(Self {
                _entry: entry,
                instance,
                device,
                executables,
                name,
                driver,
            })
        }
    }

    /// Compiles a compute shader.
    pub fn compile(&self, module: &Module, entry_point: &str, subgroups: bool) -> Result<Compiled> {
        let entry_point = CString::new(entry_point)?;
        let bindings: Vec<_> = module
            .bindings
            .iter()
            .map(|&(binding, uniform)| {
                vk::DescriptorSetLayoutBinding::default()
                    .binding(binding)
                    .descriptor_type(if uniform {
                        vk::DescriptorType::UNIFORM_BUFFER
                    } else {
                        vk::DescriptorType::STORAGE_BUFFER
                    })
                    .descriptor_count(1)
                    .stage_flags(vk::ShaderStageFlags::COMPUTE)
            })
            .collect();
        // SAFETY: the module is what naga validated and wrote, its bindings are in the layout, and every object is made by
        // this device, used before it is destroyed, and destroyed once.
        unsafe {
            let set = self.device.create_descriptor_set_layout(
                &vk::DescriptorSetLayoutCreateInfo::default().bindings(&bindings),
                None,
            )?;
            let sets = [set];
            let layout = self.device.create_pipeline_layout(
                &vk::PipelineLayoutCreateInfo::default().set_layouts(&sets),
                None,
            )?;
            let words = vk::ShaderModuleCreateInfo::default().code(&module.words);
            let shader = self.device.create_shader_module(&words, None)?;
            let flags = if subgroups {
                vk::PipelineShaderStageCreateFlags::ALLOW_VARYING_SUBGROUP_SIZE
            } else {
                vk::PipelineShaderStageCreateFlags::empty()
            };
            let stage = vk::PipelineShaderStageCreateInfo::default()
                .flags(flags)
                .stage(vk::ShaderStageFlags::COMPUTE)
                .module(shader)
                .name(&entry_point);
            let info = vk::ComputePipelineCreateInfo::default()
                .stage(stage)
                .layout(layout)
                .flags(
                    vk::PipelineCreateFlags::CAPTURE_STATISTICS_KHR
                        | vk::PipelineCreateFlags::CAPTURE_INTERNAL_REPRESENTATIONS_KHR,
                );
            let pipelines =
                self.device
                    .create_compute_pipelines(vk::PipelineCache::null(), &[info], None);
            let compiled = match pipelines {
                Ok(pipelines) => {
                    let compiled = self.describe(pipelines[0]);
                    self.device.destroy_pipeline(pipelines[0], None);
                    compiled
                }
                Err((_, error)) => Err(error.into()),
            };
            self.device.destroy_shader_module(shader, None);
            self.device.destroy_pipeline_layout(layout, None);
            self.device.destroy_descriptor_set_layout(set, None);
            compiled
        }
    }

    /// What the compiler says of a pipeline that was made to be asked.
    ///
    /// # Safety
    /// The pipeline is this device's, captured its statistics and representations, and is not destroyed.
    unsafe fn describe(&self, pipeline: vk::Pipeline) -> Result<Compiled> {
        let info = vk::PipelineExecutableInfoKHR::default().pipeline(pipeline);
        // SAFETY: as the caller promises; the driver is asked for lengths before it is given memory of that length.
        unsafe {
            let statistics = self
                .executables
                .get_pipeline_executable_statistics(&info)?
                .iter()
                .map(|statistic| (text(&statistic.name), statistic.value.u64))
                .collect();
            let get = self
                .executables
                .fp()
                .get_pipeline_executable_internal_representations_khr;
            let device = self.device.handle();
            let mut count = 0;
            get(
                device,
                &raw const info,
                &raw mut count,
                std::ptr::null_mut(),
            )
            .result()?;
            let mut all =
                vec![vk::PipelineExecutableInternalRepresentationKHR::default(); count as usize];
            get(device, &raw const info, &raw mut count, all.as_mut_ptr()).result()?;
            let mut texts: Vec<Vec<u8>> = all.iter().map(|one| vec![0; one.data_size]).collect();
            for (one, text) in all.iter_mut().zip(&mut texts) {
                one.p_data = text.as_mut_ptr().cast();
            }
            get(device, &raw const info, &raw mut count, all.as_mut_ptr()).result()?;
            let assembly = all
                .iter()
                .zip(&texts)
                .find(|(one, _)| text(&one.name) == "Assembly")
                .context("the driver gives no machine code")?;
            let listing = String::from_utf8_lossy(assembly.1);
            Ok(Compiled {
                statistics,
                listing: listing.trim_end_matches('\0').to_owned(),
            })
        }
    }
}

impl Drop for Radv {
    fn drop(&mut self) {
        // SAFETY: nothing made of them is left.
        unsafe {
            self.device.destroy_device(None);
            self.instance.destroy_instance(None);
        }
    }
}
