//! A layer's own tensors on the device: gamma, beta, running statistics. A convenience that the core never uses.

mod file;
mod options;
mod state;

use std::future::Future;

use crate::options::{Backward, Inference, Training};
use crate::packed::Packed;
use crate::tensor::{Buffers, Tensor};
use crate::transfer::{self, Readback};

pub use file::layers_to_safetensors;
#[cfg(not(target_family = "wasm"))]
pub use file::{load_layers, save_layers};
pub use options::LayerOptions;
use state::Vector;
pub use state::{LayerError, LayerState};

/// gamma, beta and the running statistics of one batch normalization layer, on the device.
///
/// Two buffers at most, packed as [`Packed`] says, to bind as storage and to copy from and to: the parameters (where the
/// layer has gamma or beta) and the running statistics (where it has them). Their tensors are handed out, so that an
/// optimizer can bind them.
///
/// Writing goes through the queue: what is set is there for every submission after the call and for none before it.
///
/// ```no_run
/// use wgpu_batchnorm::{Gpu, GpuOptions, Kernels, Layer, LayerOptions, Plan, Shape, Tensor};
///
/// let gpu = Gpu::blocking(&GpuOptions::default())?;
/// let kernels = Kernels::new(gpu.device());
/// let shape = Shape::channels_first(&[32, 64, 56, 56])?;
/// let x = gpu.upload(&vec![1.0f32; shape.len() as usize], "x")?;
/// let y = gpu.zeros(shape.len(), "y")?;
///
/// let layer = Layer::new(gpu.device(), 64, &LayerOptions::default())?;
/// layer.load(gpu.queue(), "resnet.safetensors", "layer1.0.bn1.")?;
/// let plan = Plan::training(kernels.limits(), shape, &layer.training_options().saved(false))?;
/// let step = plan.bind(&kernels, layer.buffers(Tensor::whole(&x), Tensor::whole(&y)))?;
/// gpu.run("train", |pass| step.record(pass));
/// layer.save(gpu.device(), gpu.queue(), "trained.safetensors", "layer1.0.bn1.")?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Layer {
    options: LayerOptions,
    packed: Packed,
    parameters: Option<wgpu::Buffer>,
    running: Option<wgpu::Buffer>,
}

impl Layer {
    /// A layer as it is before any training: gamma 1, beta 0, running mean 0, running variance 1, no batches.
    ///
    /// Allocates up to five padded vectors of `channels` values; submits nothing.
    ///
    /// # Errors
    /// [`LayerError::Transfer`] where a buffer would be larger than the device's `max_buffer_size`, or the device is lost.
    pub fn new(
        device: &wgpu::Device,
        channels: u64,
        options: &LayerOptions,
    ) -> Result<Self, LayerError> {
        // Before anything that could overflow: the running statistics are three vectors of 4 bytes per channel.
        transfer::check_size(device, channels.saturating_mul(12))?;
        let packed = Packed::new(channels);
        let (stride, channels) = (packed.stride() as usize, channels as usize);
        let buffer = |what: &str, values: &[f32]| {
            transfer::upload(device, values, &format!("{} {what}", options.label))
        };
        let parameters = (options.gamma || options.beta).then(|| {
            let mut values = vec![0.0; packed.parameters() as usize];
            values[..channels].fill(1.0);
            buffer("parameters", &values)
        });
        let running = options.running.map(|_| {
            let mut values = vec![0.0; packed.running() as usize];
            values[stride..stride + channels].fill(1.0);
            buffer("running statistics", &values)
        });
        Ok(Self {
            options: options.clone(),
            packed,
            parameters: parameters.transpose()?,
            running: running.transpose()?,
        })
    }

    /// The options the layer was made with.
    pub const fn options(&self) -> &LayerOptions {
        &self.options
    }

    /// The number of channels.
    pub const fn channels(&self) -> u64 {
        self.packed.channels()
    }

    /// How the vectors lie in [`Layer::parameters`] and [`Layer::running`].
    pub const fn packed(&self) -> Packed {
        self.packed
    }

    /// The layer's part of the options of a training plan: epsilon, gamma, beta, running statistics and tunings.
    pub fn training_options(&self) -> Training {
        Training::default()
            .epsilon(self.options.epsilon)
            .gamma(self.options.gamma)
            .beta(self.options.beta)
            .running(self.options.running)
            .tunings(self.options.tunings.clone())
    }

    /// The layer's part of the options of an inference plan: epsilon, gamma, beta and tunings.
    pub fn inference_options(&self) -> Inference {
        Inference::default()
            .epsilon(self.options.epsilon)
            .gamma(self.options.gamma)
            .beta(self.options.beta)
            .tunings(self.options.tunings.clone())
    }

    /// The layer's part of the options of a backward plan after a training step: epsilon, gamma, beta and tunings, and that the
    /// gradients of those that it has are written.
    ///
    /// It is `Backward::from(&layer.training_options())`. Where the forward pass has more options (an activation, a
    /// residual, halves), give them once, to the forward options, and derive from those. After inference, which is how a
    /// layer trains whose statistics are frozen, derive from the inference options:
    ///
    /// ```no_run
    /// # fn example(layer: &wgpu_batchnorm::Layer) {
    /// use wgpu_batchnorm::{Activation, Backward};
    ///
    /// let forward = layer.training_options().activation(Activation::Relu);
    /// let backward = Backward::from(&forward);
    ///
    /// let frozen = layer.inference_options().activation(Activation::Relu);
    /// let frozen_backward = Backward::from(&frozen);
    /// # }
    /// ```
    pub fn backward_options(&self) -> Backward {
        Backward::from(&self.training_options())
    }

    /// Everything of the layer that a forward plan with its options binds. What else the plan needs is added: `saved` for
    /// training that saves, `statistics` for inference of a layer without running statistics.
    pub fn buffers<'a>(&'a self, x: Tensor<'a>, y: Tensor<'a>) -> Buffers<'a> {
        let buffers = self.with_parameters(Buffers::new(x, y));
        match self.running() {
            Some(running) => buffers.running(running),
            None => buffers,
        }
    }

    /// What a backward plan binds of the layer, gamma and beta, beside `x` of the forward pass and the gradient of its output.
    /// What else the plan needs is added: `saved` after a training step, or [`Layer::running`] where the statistics are
    /// frozen, and where each gradient goes. Those of gamma and beta are a tensor of the caller's with the layout of [`Layer::parameters`]:
    /// [`Packed::parameters`](Packed::parameters) values, so that one optimizer step over both tensors moves both.
    ///
    /// ```no_run
    /// use wgpu_batchnorm::{Activation, Backward, Gpu, GpuOptions, Kernels, Layer, LayerOptions, Plan, Shape, Tensor};
    ///
    /// let gpu = Gpu::blocking(&GpuOptions::default())?;
    /// let kernels = Kernels::new(gpu.device());
    /// let shape = Shape::channels_first(&[32, 64, 56, 56])?;
    /// let layer = Layer::new(gpu.device(), 64, &LayerOptions::default())?;
    /// let [x, y, dy] = ["x", "y", "dy"].map(|name| gpu.zeros(shape.len(), name));
    /// let (x, y, dy) = (x?, y?, dy?);
    /// let saved = gpu.zeros(layer.packed().saved(), "saved")?;
    /// let gradients = gpu.zeros(layer.packed().parameters(), "gradients of gamma and beta")?;
    ///
    /// let options = layer.training_options().activation(Activation::Relu);
    /// let forward = Plan::training(kernels.limits(), shape, &options)?.bind(
    ///     &kernels,
    ///     layer.buffers(Tensor::whole(&x), Tensor::whole(&y)).saved(Tensor::whole(&saved)),
    /// )?;
    /// let backward = Plan::backward(kernels.limits(), shape, &Backward::from(&options))?.bind(
    ///     &kernels,
    ///     layer
    ///         .backward_buffers(Tensor::whole(&x), Tensor::whole(&dy))
    ///         .saved(Tensor::whole(&saved))
    ///         .grad_input(Tensor::whole(&dy)) // in the place of dy
    ///         .grad_parameters(Tensor::whole(&gradients)),
    /// )?;
    /// gpu.run("a training step", |pass| {
    ///     forward.record(pass);
    ///     // what follows the layer, there and back: y is read, dy is written
    ///     backward.record(pass);
    ///     // an optimizer of yours: layer.parameters() by the gradients
    /// });
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn backward_buffers<'a>(&'a self, x: Tensor<'a>, grad_output: Tensor<'a>) -> Buffers<'a> {
        self.with_parameters(Buffers::backward(x, grad_output))
    }

    fn with_parameters<'a>(&'a self, buffers: Buffers<'a>) -> Buffers<'a> {
        let buffers = buffers.label(&self.options.label);
        match self.parameters() {
            Some(parameters) => buffers.parameters(parameters),
            None => buffers,
        }
    }

    /// gamma and beta, packed; `None` where the layer has neither. Where it has one of them, the other's place is there,
    /// but unused.
    pub fn parameters(&self) -> Option<Tensor<'_>> {
        self.parameters.as_ref().map(Tensor::whole)
    }

    /// The running mean, running variance and numbers of batches, packed.
    pub fn running(&self) -> Option<Tensor<'_>> {
        self.running.as_ref().map(Tensor::whole)
    }

    /// gamma alone: `channels` values.
    pub fn gamma(&self) -> Option<Tensor<'_>> {
        self.tensor(Vector::Gamma)
    }

    /// beta alone: `channels` values.
    pub fn beta(&self) -> Option<Tensor<'_>> {
        self.tensor(Vector::Beta)
    }

    /// The running mean alone: `channels` values.
    pub fn running_mean(&self) -> Option<Tensor<'_>> {
        self.tensor(Vector::RunningMean)
    }

    /// The running variance alone: `channels` values.
    pub fn running_variance(&self) -> Option<Tensor<'_>> {
        self.tensor(Vector::RunningVariance)
    }

    /// The number of batches alone: one u32 per channel, all equal.
    pub fn batches(&self) -> Option<Tensor<'_>> {
        self.tensor(Vector::Batches)
    }

    /// Where a vector lives; `None` where the layer does not have it.
    fn tensor(&self, vector: Vector) -> Option<Tensor<'_>> {
        let (packed, index) = match vector {
            Vector::Gamma => (self.parameters().filter(|_| self.options.gamma), 0),
            Vector::Beta => (self.parameters().filter(|_| self.options.beta), 1),
            Vector::RunningMean => (self.running(), 0),
            Vector::RunningVariance => (self.running(), 1),
            Vector::Batches => (self.running(), 2),
        };
        packed.map(|all| all.part(index * self.packed.stride(), self.channels()))
    }

    /// Writes gamma through the queue: `channels` values.
    ///
    /// # Errors
    /// [`LayerError::Unexpected`] where the layer has no gamma, [`LayerError::Length`].
    pub fn set_gamma(&self, queue: &wgpu::Queue, gamma: &[f32]) -> Result<(), LayerError> {
        self.set_vector(queue, Vector::Gamma, gamma)
    }

    /// Writes beta through the queue: `channels` values.
    ///
    /// # Errors
    /// As [`Layer::set_gamma`].
    pub fn set_beta(&self, queue: &wgpu::Queue, beta: &[f32]) -> Result<(), LayerError> {
        self.set_vector(queue, Vector::Beta, beta)
    }

    /// Writes the running mean through the queue: `channels` values.
    ///
    /// # Errors
    /// As [`Layer::set_gamma`].
    pub fn set_running_mean(&self, queue: &wgpu::Queue, mean: &[f32]) -> Result<(), LayerError> {
        self.set_vector(queue, Vector::RunningMean, mean)
    }

    /// Writes the running variance through the queue: `channels` values.
    ///
    /// # Errors
    /// As [`Layer::set_gamma`].
    pub fn set_running_variance(
        &self,
        queue: &wgpu::Queue,
        variance: &[f32],
    ) -> Result<(), LayerError> {
        self.set_vector(queue, Vector::RunningVariance, variance)
    }

    /// Writes the number of batches seen, the same for every channel, through the queue.
    ///
    /// # Errors
    /// [`LayerError::Unexpected`] where the layer has no running statistics.
    pub fn set_batches(&self, queue: &wgpu::Queue, batches: u32) -> Result<(), LayerError> {
        self.write(queue, Vector::Batches, &self.counts(batches))
    }

    /// Writes a whole state through the queue: every vector that the layer has, and none that it has not. On an error
    /// nothing is written.
    ///
    /// # Errors
    /// [`LayerError::Missing`], [`LayerError::Unexpected`], [`LayerError::Length`]; [`LayerError::Batches`] for a number that
    /// does not fit into 32 bits.
    pub fn set(&self, queue: &wgpu::Queue, state: &LayerState) -> Result<(), LayerError> {
        self.set_named(queue, state, |vector| vector.field().into())
    }

    /// [`Layer::set`], with the names that its errors use.
    fn set_named(
        &self,
        queue: &wgpu::Queue,
        state: &LayerState,
        name: impl Fn(Vector) -> String,
    ) -> Result<(), LayerError> {
        let batches = state.check(
            self.channels(),
            |vector| self.tensor(vector).is_some(),
            name,
        )?;
        for (vector, values) in state.vectors() {
            if let Some(values) = values {
                self.write(queue, vector, bytemuck::cast_slice(values))?;
            }
        }
        if let Some(batches) = batches {
            self.write(queue, Vector::Batches, &self.counts(batches))?;
        }
        Ok(())
    }

    fn set_vector(
        &self,
        queue: &wgpu::Queue,
        vector: Vector,
        values: &[f32],
    ) -> Result<(), LayerError> {
        if self.tensor(vector).is_some() && values.len() as u64 != self.channels() {
            return Err(LayerError::Length {
                tensor: vector.field().into(),
                given: values.len() as u64,
                needed: self.channels(),
            });
        }
        self.write(queue, vector, bytemuck::cast_slice(values))
    }

    /// The number of batches as the device keeps it: one per channel.
    fn counts(&self, batches: u32) -> Vec<u32> {
        vec![batches; self.channels() as usize]
    }

    fn write(&self, queue: &wgpu::Queue, vector: Vector, values: &[u32]) -> Result<(), LayerError> {
        let tensor = self.tensor(vector).ok_or_else(|| LayerError::Unexpected {
            tensor: vector.field().into(),
        })?;
        queue.write_buffer(
            tensor.buffer(),
            tensor.offset(),
            bytemuck::cast_slice(values),
        );
        Ok(())
    }

    /// Reads the layer back, bit for bit.
    ///
    /// Before it returns the future, the call creates staging buffers and submits a copy: the state is that of what was
    /// submitted before. Natively a thread of the future's own waits for the device, as
    /// [`Gpu::download`](crate::Gpu::download) says.
    ///
    /// # Errors
    /// [`LayerError::BatchesDiffer`] where something has written different numbers of batches into the channels,
    /// [`LayerError::Transfer`] where the device is lost.
    pub fn read(
        &self,
        device: &wgpu::Device,
        queue: &wgpu::Queue,
    ) -> impl Future<Output = Result<LayerState, LayerError>> + use<> {
        let readback = self.start_reading(device, queue);
        let layer = self.clone();
        async move { layer.unpack(&readback?.finish().await?) }
    }

    /// [`Layer::read`], waited for on this thread. Not in a browser, where no thread may wait.
    ///
    /// # Errors
    /// As [`Layer::read`].
    #[cfg(not(target_family = "wasm"))]
    pub fn blocking_read(
        &self,
        device: &wgpu::Device,
        queue: &wgpu::Queue,
    ) -> Result<LayerState, LayerError> {
        self.unpack(&self.start_reading(device, queue)?.wait()?)
    }

    fn start_reading(
        &self,
        device: &wgpu::Device,
        queue: &wgpu::Queue,
    ) -> Result<Readback<u32>, LayerError> {
        let tensors: Vec<Tensor<'_>> = self
            .parameters()
            .into_iter()
            .chain(self.running())
            .collect();
        Ok(Readback::start(device, queue, &tensors)?)
    }

    /// The state out of the layer's packed tensors: the parameters where it has them, then the running statistics.
    fn unpack(&self, tensors: &[Vec<u32>]) -> Result<LayerState, LayerError> {
        let mut tensors = tensors.iter();
        let mut next = |present: bool| present.then(|| tensors.next()).flatten();
        let parameters = next(self.parameters.is_some());
        let running = next(self.running.is_some());
        let vector = |tensor: Option<&Vec<u32>>, index| {
            let bits = self.packed.vector(tensor?, index)?;
            Some(bits.iter().copied().map(f32::from_bits).collect())
        };
        let batches = running
            .and_then(|running| self.packed.vector(running, 2))
            .map(state::number_of_batches)
            .transpose()?;
        Ok(LayerState {
            gamma: vector(parameters.filter(|_| self.options.gamma), 0),
            beta: vector(parameters.filter(|_| self.options.beta), 1),
            running_mean: vector(running, 0),
            running_variance: vector(running, 1),
            batches,
        })
    }

    /// Reads a layer's tensors from a `.safetensors` file and writes them through the queue; on an error nothing is
    /// written. See [`LayerState::load`] for what is read.
    ///
    /// # Errors
    /// As [`LayerState::load`] and [`Layer::set`]; tensors are named as in the file, prefix and all.
    #[cfg(not(target_family = "wasm"))]
    pub fn load(
        &self,
        queue: &wgpu::Queue,
        path: impl AsRef<std::path::Path>,
        prefix: &str,
    ) -> Result<(), LayerError> {
        let state = LayerState::load(path, prefix)?;
        self.set_named(queue, &state, |vector| vector.in_file(prefix))
    }

    /// Reads the layer back, blocking as [`Layer::blocking_read`] does, and writes it to a `.safetensors` file as
    /// [`LayerState::save`] does.
    ///
    /// # Errors
    /// As [`Layer::read`] and [`LayerState::save`].
    #[cfg(not(target_family = "wasm"))]
    pub fn save(
        &self,
        device: &wgpu::Device,
        queue: &wgpu::Queue,
        path: impl AsRef<std::path::Path>,
        prefix: &str,
    ) -> Result<(), LayerError> {
        self.blocking_read(device, queue)?.save(path, prefix)
    }
}
