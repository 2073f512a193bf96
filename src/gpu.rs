//! A device with its queue: make one, upload, run, read back. A convenience that the rest of the crate never uses.

use std::future::Future;

use bytemuck::{NoUninit, Pod};
use thiserror::Error;

use crate::tensor::Tensor;
use crate::transfer::{self, Readback, TransferError};

/// Which adapter and what kind of device [`Gpu::request`] makes.
///
/// ```
/// use wgpu_batchnorm::{DeviceLimits, GpuOptions, wgpu};
///
/// let options = GpuOptions::default()
///     .backends(wgpu::Backends::VULKAN)
///     .adapter("llvmpipe")
///     .optional_features(wgpu::Features::empty())
///     .limits(DeviceLimits::Adapter);
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct GpuOptions {
    /// The backends to look for adapters on. All that are compiled in by default.
    pub backends: wgpu::Backends,
    /// A part of the adapter's name, in any case of letters. `None`, the default, takes what wgpu holds for the fastest.
    pub adapter: Option<String>,
    /// Features that the device gets where the adapter has them. Subgroups and timestamp queries by default.
    pub optional_features: wgpu::Features,
    /// Features without which no device is made. None by default.
    pub required_features: wgpu::Features,
    /// The limits of the device. The wgpu defaults by default.
    pub limits: DeviceLimits,
    /// Validation and debugging of wgpu. By default [`wgpu::InstanceFlags::from_env_or_default`]: on in debug builds, and as
    /// the environment variables `WGPU_VALIDATION` and `WGPU_DEBUG` say (`0` is off, anything else on).
    pub flags: wgpu::InstanceFlags,
}

/// The limits that a device is made with.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub enum DeviceLimits {
    /// [`wgpu::Limits::default`], which every WebGPU device has: what runs on these runs everywhere.
    #[default]
    Default,
    /// All that the adapter has: larger bindings, buffers and workgroups.
    Adapter,
    /// These.
    Custom(Box<wgpu::Limits>),
}

impl Default for GpuOptions {
    fn default() -> Self {
        Self {
            backends: wgpu::Backends::all(),
            adapter: None,
            optional_features: wgpu::Features::SUBGROUP | wgpu::Features::TIMESTAMP_QUERY,
            required_features: wgpu::Features::empty(),
            limits: DeviceLimits::Default,
            flags: wgpu::InstanceFlags::from_env_or_default(),
        }
    }
}

impl GpuOptions {
    /// The default, with the backends and the adapter that wgpu's own environment variables `WGPU_BACKEND` and
    /// `WGPU_ADAPTER_NAME` name, where they are set.
    #[must_use]
    pub fn from_env() -> Self {
        let options = Self::default();
        Self {
            backends: options.backends.with_env(),
            adapter: std::env::var("WGPU_ADAPTER_NAME")
                .ok()
                .filter(|name| !name.is_empty()),
            ..options
        }
    }

    /// Sets [`GpuOptions::backends`].
    #[must_use]
    pub fn backends(self, backends: wgpu::Backends) -> Self {
        Self { backends, ..self }
    }

    /// Sets [`GpuOptions::adapter`].
    #[must_use]
    pub fn adapter(self, name: impl Into<String>) -> Self {
        Self {
            adapter: Some(name.into()),
            ..self
        }
    }

    /// Sets [`GpuOptions::optional_features`].
    #[must_use]
    pub fn optional_features(self, optional_features: wgpu::Features) -> Self {
        Self {
            optional_features,
            ..self
        }
    }

    /// Sets [`GpuOptions::required_features`].
    #[must_use]
    pub fn required_features(self, required_features: wgpu::Features) -> Self {
        Self {
            required_features,
            ..self
        }
    }

    /// Sets [`GpuOptions::limits`].
    #[must_use]
    pub fn limits(self, limits: DeviceLimits) -> Self {
        Self { limits, ..self }
    }

    /// Sets [`GpuOptions::flags`].
    #[must_use]
    pub fn flags(self, flags: wgpu::InstanceFlags) -> Self {
        Self { flags, ..self }
    }
}

/// Why there is no device.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum GpuError {
    /// No adapter at all.
    #[error(
        "no GPU adapter was found: install a driver for Vulkan, Metal or Direct3D 12; without a GPU a software Vulkan \
         driver will do (Debian and Ubuntu: `apt-get install mesa-vulkan-drivers`)"
    )]
    NoAdapter(#[source] wgpu::RequestAdapterError),
    /// No adapter of the name asked for.
    #[error("no GPU adapter has `{wanted}` in its name; {}", found_names(found))]
    NoMatch {
        /// The part of a name that was asked for.
        wanted: String,
        /// The names of the adapters there are.
        found: Vec<String>,
    },
    /// The adapter lacks features that were required.
    #[error("the adapter `{adapter}` lacks the features {missing:?}")]
    Features {
        /// The adapter's name.
        adapter: String,
        /// What it lacks.
        missing: wgpu::Features,
    },
    /// The adapter made no device, for instance because a limit is higher than its own.
    #[error("the adapter `{adapter}` made no device")]
    Device {
        /// The adapter's name.
        adapter: String,
        /// What wgpu said.
        source: wgpu::RequestDeviceError,
    },
}

fn found_names(found: &[String]) -> String {
    if found.is_empty() {
        "there is none at all: install a driver for Vulkan, Metal or Direct3D 12 (a software one on Debian and Ubuntu: \
         `apt-get install mesa-vulkan-drivers`)"
            .into()
    } else {
        format!("there are: {}", found.join(", "))
    }
}

/// An adapter, a device and its queue.
///
/// Cheap to clone: all three are handles. Nothing in this crate needs one; a device that the caller has already serves
/// as well.
///
/// ```no_run
/// use wgpu_batchnorm::{Gpu, GpuOptions, Tensor};
///
/// let gpu = Gpu::blocking(&GpuOptions::default())?;
/// let x = gpu.upload(&[1.0f32, 2.0, 3.0], "x")?;
/// let back: Vec<f32> = gpu.blocking_download(Tensor::whole(&x))?;
/// assert_eq!(back, [1.0, 2.0, 3.0]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// What wgpu itself rejects (a buffer of another device) and what runs out (memory, the device) it reports through its
/// error scopes and its uncaptured-error handler, which panics unless the caller sets another.
#[derive(Clone, Debug)]
pub struct Gpu {
    adapter: wgpu::Adapter,
    device: wgpu::Device,
    queue: wgpu::Queue,
}

impl Gpu {
    /// Makes a device. Natively this blocks while the driver starts (milliseconds to seconds); in a browser it waits.
    ///
    /// # Errors
    /// [`GpuError`]: no adapter, none of that name, one without the required features or limits.
    pub async fn request(options: &GpuOptions) -> Result<Self, GpuError> {
        let mut descriptor = wgpu::InstanceDescriptor::new_without_display_handle();
        descriptor.backends = options.backends;
        descriptor.flags = options.flags;
        let instance = wgpu::Instance::new(descriptor);
        let adapter = match &options.adapter {
            Some(name) => find(&instance, options.backends, name).await?,
            None => instance
                .request_adapter(&wgpu::RequestAdapterOptions {
                    power_preference: wgpu::PowerPreference::HighPerformance,
                    ..Default::default()
                })
                .await
                .map_err(GpuError::NoAdapter)?,
        };
        Self::from_adapter(adapter, options).await
    }

    /// Makes a device of an adapter that the caller has chosen, with the features and limits of the options.
    ///
    /// # Errors
    /// [`GpuError::Features`], [`GpuError::Device`].
    pub async fn from_adapter(
        adapter: wgpu::Adapter,
        options: &GpuOptions,
    ) -> Result<Self, GpuError> {
        let name = || adapter.get_info().name;
        let missing = options.required_features - adapter.features();
        if !missing.is_empty() {
            return Err(GpuError::Features {
                adapter: name(),
                missing,
            });
        }
        let (device, queue) = adapter
            .request_device(&wgpu::DeviceDescriptor {
                label: Some("wgpu-batchnorm"),
                required_features: options.required_features
                    | (options.optional_features & adapter.features()),
                required_limits: match &options.limits {
                    DeviceLimits::Default => wgpu::Limits::default(),
                    DeviceLimits::Adapter => adapter.limits(),
                    DeviceLimits::Custom(limits) => (**limits).clone(),
                },
                ..Default::default()
            })
            .await
            .map_err(|source| GpuError::Device {
                adapter: name(),
                source,
            })?;
        Ok(Self::new(adapter, device, queue))
    }

    /// [`Gpu::request`], waited for on this thread. Not in a browser, where no thread may wait.
    ///
    /// # Errors
    /// As [`Gpu::request`].
    #[cfg(not(target_family = "wasm"))]
    pub fn blocking(options: &GpuOptions) -> Result<Self, GpuError> {
        pollster::block_on(Self::request(options))
    }

    /// A device that the caller has made.
    pub const fn new(adapter: wgpu::Adapter, device: wgpu::Device, queue: wgpu::Queue) -> Self {
        Self {
            adapter,
            device,
            queue,
        }
    }

    /// The adapter.
    pub const fn adapter(&self) -> &wgpu::Adapter {
        &self.adapter
    }

    /// The device.
    pub const fn device(&self) -> &wgpu::Device {
        &self.device
    }

    /// The queue.
    pub const fn queue(&self) -> &wgpu::Queue {
        &self.queue
    }

    /// A new buffer with these values, padded with zeros to a multiple of 4 bytes (an odd number of halves: see
    /// [`Element`](crate::Element)), to bind as storage and to copy from and to. Copies the values once, into the mapped
    /// buffer; submits nothing. No values make an empty buffer.
    ///
    /// # Errors
    /// [`TransferError::Size`] above the device's `max_buffer_size` (256 MiB on the default limits), [`TransferError::Map`]
    /// where the device is lost or out of memory.
    pub fn upload<T: NoUninit>(
        &self,
        values: &[T],
        label: &str,
    ) -> Result<wgpu::Buffer, TransferError> {
        transfer::upload(&self.device, values, label)
    }

    /// A new buffer of `values` zeros of 4 bytes, to bind as storage and to copy from and to; of halves
    /// [`Element::words`](crate::Element::words) says how many that takes. Submits nothing.
    ///
    /// # Errors
    /// [`TransferError::Size`] above the device's `max_buffer_size` (256 MiB on the default limits).
    pub fn zeros(&self, values: u64, label: &str) -> Result<wgpu::Buffer, TransferError> {
        transfer::zeros(&self.device, values, label)
    }

    /// Records one compute pass and submits it. Creates an encoder; does not wait.
    ///
    /// ```no_run
    /// # fn example(gpu: &wgpu_batchnorm::Gpu, step: &wgpu_batchnorm::Step) {
    /// gpu.run("batch norm", |pass| step.record(pass));
    /// # }
    /// ```
    pub fn run(
        &self,
        label: &str,
        record: impl FnOnce(&mut wgpu::ComputePass<'_>),
    ) -> wgpu::SubmissionIndex {
        let mut encoder = self
            .device
            .create_command_encoder(&wgpu::CommandEncoderDescriptor { label: Some(label) });
        let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor {
            label: Some(label),
            timestamp_writes: None,
        });
        record(&mut pass);
        drop(pass);
        self.queue.submit([encoder.finish()])
    }

    /// Blocks until all that was submitted is done. Has no effect in a browser.
    ///
    /// # Errors
    /// [`TransferError::Poll`].
    pub fn wait(&self) -> Result<(), TransferError> {
        self.device.poll(wgpu::PollType::wait_indefinitely())?;
        Ok(())
    }

    /// Reads a tensor back as values of type `T`: of any size that divides the tensor's bytes, but for tensors stored as halves
    /// of 2 bytes (`u16`, or `half`'s `f16` and `bf16`), as many as the tensor has, odd or even.
    ///
    /// ```no_run
    /// # async fn example(gpu: &wgpu_batchnorm::Gpu, y: &wgpu::Buffer) -> Result<(), wgpu_batchnorm::TransferError> {
    /// use wgpu_batchnorm::Tensor;
    ///
    /// let y = gpu.download::<f32>(Tensor::whole(y)); // the copy is submitted here,
    /// let y: Vec<f32> = y.await?; // and waited for here
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// Before it returns the future, the call creates a staging buffer of the tensor's size and submits a copy to it: what
    /// was submitted before is in the values, what comes after is not. An empty tensor submits nothing.
    ///
    /// In a browser the page polls the device. Natively the future has a thread of its own do so, from when it is first polled
    /// until the device is done: it ends under any executor, and keeps none busy. A thread that has nothing else to do
    /// waits in [`Gpu::blocking_download`] instead.
    ///
    /// # Errors
    /// [`TransferError`]: a tensor outside its buffer, at an offset that is no multiple of 4, in a buffer without `COPY_SRC`,
    /// of a size that `T`'s does not divide, or of halves that `T` is not the size of; a device that is lost.
    pub fn download<T: Pod>(
        &self,
        tensor: Tensor<'_>,
    ) -> impl Future<Output = Result<Vec<T>, TransferError>> + use<T> {
        let readback = self.start(tensor);
        async move { only(readback?.finish().await?) }
    }

    /// [`Gpu::download`], waited for on this thread. Not in a browser, where no thread may wait.
    ///
    /// # Errors
    /// As [`Gpu::download`].
    #[cfg(not(target_family = "wasm"))]
    pub fn blocking_download<T: Pod>(&self, tensor: Tensor<'_>) -> Result<Vec<T>, TransferError> {
        only(self.start(tensor)?.wait()?)
    }

    fn start<T: Pod>(&self, tensor: Tensor<'_>) -> Result<Readback<T>, TransferError> {
        Readback::start(&self.device, &self.queue, &[tensor])
    }
}

/// The values of a readback of one tensor.
fn only<T>(mut tensors: Vec<Vec<T>>) -> Result<Vec<T>, TransferError> {
    Ok(tensors.pop().unwrap_or_default())
}

/// The adapter whose name contains `wanted`; of several the one of the fastest kind, of one kind the first.
async fn find(
    instance: &wgpu::Instance,
    backends: wgpu::Backends,
    wanted: &str,
) -> Result<wgpu::Adapter, GpuError> {
    let adapters = instance.enumerate_adapters(backends).await;
    let lowercase = wanted.to_lowercase();
    let found = adapters
        .iter()
        .map(|adapter| adapter.get_info().name)
        .collect();
    adapters
        .into_iter()
        .filter(|adapter| adapter.get_info().name.to_lowercase().contains(&lowercase))
        .min_by_key(|adapter| match adapter.get_info().device_type {
            wgpu::DeviceType::DiscreteGpu => 0,
            wgpu::DeviceType::IntegratedGpu => 1,
            wgpu::DeviceType::VirtualGpu => 2,
            wgpu::DeviceType::Other => 3,
            wgpu::DeviceType::Cpu => 4,
        })
        .ok_or_else(|| GpuError::NoMatch {
            wanted: wanted.into(),
            found,
        })
}
