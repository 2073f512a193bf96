//! Plans: which dispatches a pass takes. Pure arithmetic, which knows no GPU.

mod backward;
mod forward;
mod geometry;
mod grid;
mod needs;
mod parameters;
mod planner;
mod stage;

use std::ops::Range;

use crate::activation::Activation;
use crate::element::Element;
use crate::error::PlanError;
use crate::limits::Limits;
use crate::options::{Backward, Gradient, Inference, Running, Training, Update};
use crate::packed::Packed;
use crate::shape::Shape;
use crate::tuning::{Team, Tuning};

pub use geometry::Walk;
pub(crate) use needs::{Needs, Pass};
pub(crate) use parameters::{PARAMETERS_WGSL, Parameters};
pub(crate) use planner::MASK_WORD;
pub use stage::Stage;
pub(crate) use stage::{Access, Role};

/// Bytes of the moments of one channel.
const MOMENTS_BYTES: u64 = 16;

/// The dispatches of one pass over one shape, planned for one device's limits.
///
/// | plan | from | to |
/// |---|---|---|
/// | [`Plan::training`] | x | y, saved and running statistics |
/// | [`Plan::inference`] | x, running or fixed statistics | y |
/// | [`Plan::backward`] | x, dy, saved or fixed statistics | dx, dgamma, dbeta, gradient of the residual |
///
/// and, for a batch whose values are in several places (synchronized batch normalization), in several buffers or at several
/// times, the stages by themselves:
///
/// | plan | from | to |
/// |---|---|---|
/// | [`Plan::statistics`] | x of a shard | its moments |
/// | [`Plan::merge`] | moments of shards | their moments together |
/// | [`Plan::training_from_moments`] | x of a shard, moments of all | y, saved and running statistics |
/// | [`Plan::backward`] without `grad_input` | x, dy of a shard | its share of dgamma and dbeta, written or added |
/// | [`Plan::backward_from_gradients`] | x, dy of a shard, dgamma and dbeta of all | dx, gradient of the residual |
///
/// Planning computes; it touches no GPU. One plan binds any number of times, to other tensors each time.
///
/// ```
/// use wgpu_batchnorm::{Limits, Plan, Shape, Training};
///
/// let shape = Shape::channels_first(&[32, 64, 56, 56])?;
/// let plan = Plan::training(&Limits::default(), shape, &Training::default())?;
/// assert_eq!(plan.minimum_traffic(), 3 * 4 * shape.len());
/// println!("{} dispatches, {} bytes of workspace", plan.dispatches().count(), plan.workspace_bytes());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Two plans are equal where they compute the same by the same dispatches.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    shape: Shape,
    needs: Needs,
    /// The number of moments that the caller gives.
    shards: u64,
    /// For tensors that start at multiples of 16 bytes.
    aligned: Program,
    /// For all others.
    unaligned: Program,
}

/// Dispatches in order, and the scratch that they share.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Program {
    pub dispatches: Vec<Dispatch>,
    /// Bytes of partials.
    pub partials: u64,
    /// Values of the packed vectors of coefficients.
    pub coefficients: u64,
}

impl Program {
    /// Where the coefficients start in the workspace, in bytes: after the partials.
    pub fn coefficients_offset(&self) -> u64 {
        self.partials.next_multiple_of(256)
    }

    /// A multiple of 256 bytes, so that a neighbour in the same buffer shares no binding.
    fn workspace_bytes(&self) -> u64 {
        self.coefficients_offset() + (self.coefficients * 4).next_multiple_of(256)
    }
}

/// One dispatch: what it runs, on what part of the tensors, with which parameters.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Dispatch {
    pub kernel: Kernel,
    pub grid: [u32; 2],
    pub parameters: Parameters,
    /// The values that are bound of each tensor of the shape of x.
    pub window: Range<u64>,
    pub work: Work,
}

/// How much a dispatch goes over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Work {
    /// Values of the tensor; of the finalize stages, partials.
    pub values: u64,
    /// At most: those of the shape may be fewer.
    pub channels: u64,
    /// Partials of each channel that a stage leaves for finalize.
    pub partials: u64,
}

/// The text that a dispatch runs, but for where its tensors are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Kernel {
    pub stage: Stage,
    pub walk: Walk,
    /// How they are stored.
    pub element: Element,
    /// Values in one access of x and of the other tensors of its shape.
    pub width: u64,
    /// Channels of a unit, or of either half of one that has eight.
    pub channels: u64,
    pub team: Team,
    pub pairs: Pairs,
    pub combine: Combine,
    pub lanes: Lanes,
    /// What a lane holds in registers, where the stage is resident.
    pub held: Option<Held>,
}

impl Kernel {
    /// Whether an access is eight halves, which are two vectors.
    pub const fn takes_eights(&self) -> bool {
        self.width == 8
    }

    /// Whether a unit is eight channels, which are two groups of four.
    pub fn has_eight_channels(&self) -> bool {
        self.walk == Walk::Columns && self.takes_eights()
    }

    /// Values in a vector of an access.
    pub const fn vector_width(&self) -> u64 {
        if self.takes_eights() { 4 } else { self.width }
    }
}

/// Where a lane has two accesses of each tensor in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Pairs {
    /// While it writes values.
    pub applied: bool,
    /// While it sums gradients.
    pub summed: bool,
}

/// Accesses of a tensor that a lane holds: as many rows and columns as it walks of its unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Held {
    pub rows: u64,
    pub columns: u64,
}

impl Held {
    pub const fn accesses(&self) -> u64 {
        self.rows * self.columns
    }
}

/// How the lanes of a workgroup are arranged: each a power of two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Lanes {
    /// Neighbouring units in one workgroup.
    pub units_across: u64,
    /// Lanes that share the rows of a unit.
    pub team_rows: u64,
    /// Lanes that share the columns of a unit.
    pub team_columns: u64,
}

impl Lanes {
    pub const fn workgroup_size(&self) -> u64 {
        self.units_across * self.team_rows * self.team_columns
    }
}

/// How the lanes of a unit combine what they found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Combine {
    /// The unit belongs to one lane.
    Lane,
    /// Through workgroup memory.
    Workgroup,
    /// Within subgroups, then through workgroup memory.
    Subgroups,
    /// The workgroup is one subgroup.
    Subgroup,
}

/// A planned dispatch, for reading: see [`Plan::dispatches`] and [`Step::dispatches`](crate::Step::dispatches).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DispatchInfo {
    /// The stage.
    pub stage: Stage,
    /// How its lanes go over the tensor.
    pub walk: Walk,
    /// How x and the other tensors of its shape are stored.
    pub element: Element,
    /// Values in one access of them: 8, 4, 2 or 1.
    pub width: u64,
    /// How the lanes of a unit combine what they found.
    pub combine: Combine,
    /// Lanes of a workgroup.
    pub workgroup_size: u64,
    /// Accesses of a tensor that a lane holds in registers from their one load on; 0 of stages that are not resident.
    pub held: u64,
    /// Workgroups in x and y.
    pub grid: [u32; 2],
    /// The number of the first of them: not 0 where a grid is longer than one dispatch may be.
    pub first_workgroup: u32,
    /// Bytes of one tensor of the shape of x in the bound window.
    pub window_bytes: u64,
    /// Bytes that it reads: of tensors, of vectors and of the workspace. A tensor that it goes over twice counts twice, also
    /// where the second time comes out of a cache; a vector counts once.
    pub bytes_read: u64,
    /// Bytes that it writes: of tensors, of vectors and of the workspace.
    pub bytes_written: u64,
}

impl Dispatch {
    /// As it is in a plan.
    pub(crate) fn info(&self, plan: &Plan) -> DispatchInfo {
        let [bytes_read, bytes_written] = self.traffic(plan);
        DispatchInfo {
            stage: self.kernel.stage,
            walk: self.kernel.walk,
            element: self.kernel.element,
            width: self.kernel.width,
            combine: self.kernel.combine,
            workgroup_size: self.kernel.lanes.workgroup_size(),
            held: self.kernel.held.map_or(0, |held| held.accesses()),
            grid: self.grid,
            first_workgroup: self.parameters.first_workgroup,
            window_bytes: self.kernel.element.bytes() * (self.window.end - self.window.start),
            bytes_read,
            bytes_written,
        }
    }

    /// Bytes read and bytes written.
    fn traffic(&self, plan: &Plan) -> [u64; 2] {
        let needs = &plan.needs;
        let Work {
            values, partials, ..
        } = self.work;
        let channels = self.work.channels.min(plan.shape.channels());
        let stage = self.kernel.stage;
        let tensor = self.kernel.element.bytes() * values;
        let mut bytes = [0, 0];
        for (role, access) in stage.roles(needs) {
            let reads = access == Access::Read;
            let size = match role {
                _ if role.has_shape_of_x() => tensor,
                Role::Mask => values.div_ceil(8),
                Role::Partials if reads => needs.partial_bytes() * values,
                Role::Partials => needs.partial_bytes() * channels * partials,
                Role::Shards => MOMENTS_BYTES * values,
                Role::Moments => MOMENTS_BYTES * channels,
                Role::Coefficients => needs.coefficients() * 4 * channels,
                Role::Running | Role::Saved => 3 * 4 * channels,
                _ => 4 * channels,
            };
            // once for the statistics or sums, once for what is made from them
            let twice = match stage {
                Stage::Fused => role == Role::X,
                Stage::GradientFused => role.has_shape_of_x() || role == Role::Mask,
                _ => false,
            };
            match access {
                Access::Read => bytes[0] += if twice { 2 * size } else { size },
                Access::Write => {
                    bytes[1] += size;
                    if role == Role::Running || needs.adds(role) {
                        bytes[0] += size;
                    }
                }
            }
        }
        bytes
    }
}

impl Plan {
    /// Plans a training forward pass: normalize by the batch's own statistics, update the running ones, save what the
    /// backward pass needs.
    ///
    /// An empty batch takes no dispatch: nothing is written, running statistics stay.
    ///
    /// # Errors
    /// [`PlanError`] for options, limits and shapes that no pass exists for; among them one value per channel where
    /// the unbiased running variance is asked for.
    pub fn training(limits: &Limits, shape: Shape, options: &Training) -> Result<Self, PlanError> {
        check_training(options)?;
        if shape.values_per_channel() == 1 && shape.channels() > 0 {
            check_single_value(options.running)?;
        }
        let needs = Needs::training(options);
        Self::new(
            limits,
            shape,
            needs,
            options.tuning_for(shape),
            |mut planner| forward::training(&mut planner, shape, options, None),
        )
    }

    /// Plans inference: normalize by running or fixed statistics.
    ///
    /// ```
    /// use wgpu_batchnorm::{Inference, Limits, Plan, Shape};
    ///
    /// let shape = Shape::channels_last(&[4096, 1024])?;
    /// let plan = Plan::inference(&Limits::default(), shape, &Inference::default().epsilon(1e-3))?;
    /// assert_eq!((plan.dispatches().count(), plan.workspace_bytes()), (1, 0));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`PlanError`] for options, limits and shapes that no pass exists for.
    pub fn inference(
        limits: &Limits,
        shape: Shape,
        options: &Inference,
    ) -> Result<Self, PlanError> {
        check_epsilon(options.epsilon)?;
        check_activation(options.activation, options.mask)?;
        let needs = Needs::inference(options);
        Self::new(
            limits,
            shape,
            needs,
            options.tuning_for(shape),
            |mut planner| forward::inference(&mut planner, options.epsilon, options.mask),
        )
    }

    /// Plans a backward pass: from the gradient of y to those of x, gamma, beta and the residual.
    ///
    /// Without `grad_input` and `grad_residual` it is the sums alone: dgamma and dbeta of these values, which add up over
    /// the shards of a batch.
    ///
    /// An empty batch writes zeros to dgamma and dbeta, or adds nothing to them.
    ///
    /// ```no_run
    /// use wgpu_batchnorm::{Activation, Backward, Buffers, Gpu, GpuOptions, Kernels, Packed, Plan, Shape, Tensor, Training};
    ///
    /// let gpu = Gpu::blocking(&GpuOptions::default())?;
    /// let kernels = Kernels::new(gpu.device());
    /// let shape = Shape::channels_first(&[32, 64, 56, 56])?;
    /// let packed = Packed::new(64);
    /// let buffers = ["x", "y", "dy", "dx"].map(|name| gpu.zeros(shape.len(), name));
    /// let [x, y, dy, dx] = &buffers.map(|buffer| buffer.expect("memory"));
    /// let parameters = gpu.upload(&packed.pack(&[&[1.0; 64], &[0.0; 64]])?, "gamma and beta")?;
    /// let gradients = gpu.zeros(packed.parameters(), "gradients of gamma and beta")?;
    /// let saved = gpu.zeros(packed.saved(), "saved")?;
    ///
    /// let options = Training::default().activation(Activation::Relu).running(None);
    /// let forward = Plan::training(kernels.limits(), shape, &options)?.bind(
    ///     &kernels,
    ///     Buffers::new(Tensor::whole(x), Tensor::whole(y))
    ///         .parameters(Tensor::whole(&parameters))
    ///         .saved(Tensor::whole(&saved)),
    /// )?;
    /// let backward = Plan::backward(kernels.limits(), shape, &Backward::from(&options))?.bind(
    ///     &kernels,
    ///     Buffers::backward(Tensor::whole(x), Tensor::whole(dy))
    ///         .parameters(Tensor::whole(&parameters))
    ///         .saved(Tensor::whole(&saved))
    ///         .grad_input(Tensor::whole(dx))
    ///         .grad_parameters(Tensor::whole(&gradients)),
    /// )?;
    /// gpu.run("there and back", |pass| {
    ///     forward.record(pass);
    ///     // from y to dy: the rest of the network, and its own way back
    ///     backward.record(pass);
    /// });
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`PlanError`] for options, limits and shapes that no pass exists for: among them an activation whose gradient cannot
    /// be found from what the options name, and no gradient at all.
    pub fn backward(limits: &Limits, shape: Shape, options: &Backward) -> Result<Self, PlanError> {
        check_backward(options)?;
        let asked = [
            options.grad_input,
            options.grad_gamma,
            options.grad_beta,
            options.grad_residual,
        ];
        if asked.iter().all(|gradient| *gradient == Gradient::Skip) {
            return Err(PlanError::NoGradient);
        }
        let needs = Needs::backward(options, false);
        Self::new(
            limits,
            shape,
            needs,
            options.tuning_for(shape),
            |mut planner| {
                let n = shape.values_per_channel();
                backward::backward(&mut planner, &needs, shape, options.epsilon, n)
            },
        )
    }

    /// Plans the statistics of a shard: its moments, 4 words per channel ([`Buffers::moments`](crate::Buffers::moments)).
    ///
    /// The words are the number of values (u32), their mean in two parts (f32, the rounded mean and its remainder) and the
    /// sum of squared deviations (f32). An empty shard has zeros. [`Plan::training_from_moments`] shows what for.
    ///
    /// ```no_run
    /// use wgpu_batchnorm::{Buffers, Element, Gpu, GpuOptions, Kernels, Plan, Shape, Tensor};
    ///
    /// let gpu = Gpu::blocking(&GpuOptions::default())?;
    /// let kernels = Kernels::new(gpu.device());
    /// let x = gpu.upload(&[1.0f32, 2.0, 6.0], "x")?;
    /// let moments = gpu.zeros(4, "moments")?;
    /// let shape = Shape::channels_last(&[3, 1])?;
    /// let step = Plan::statistics(kernels.limits(), shape, Element::F32, None)?
    ///     .bind(&kernels, Buffers::input(Tensor::whole(&x)).moments(Tensor::whole(&moments)))?;
    /// gpu.run("moments", |pass| step.record(pass));
    /// let words: Vec<u32> = gpu.blocking_download(Tensor::whole(&moments))?;
    /// assert_eq!(words[0], 3);
    /// assert_eq!(words[1..].iter().map(|&bits| f32::from_bits(bits)).collect::<Vec<_>>(), [3.0, 0.0, 14.0]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`PlanError`] for limits and shapes that no pass exists for.
    pub fn statistics(
        limits: &Limits,
        shape: Shape,
        element: Element,
        tuning: Option<&Tuning>,
    ) -> Result<Self, PlanError> {
        let needs = Needs::moments(element, false);
        Self::new(limits, shape, needs, tuning, |planner| {
            forward::statistics(&planner)
        })
    }

    /// Plans the merging of the moments of `shards` shards ([`Buffers::shards`](crate::Buffers::shards): one after
    /// another, each 4 words per channel) to those of all their values
    /// ([`Buffers::moments`](crate::Buffers::moments)). The order of the shards is part of the rounding: the same order gives
    /// the same bits. The values of all shards are at most `u32::MAX` per channel.
    ///
    /// ```no_run
    /// # fn example(gpu: &wgpu_batchnorm::Gpu, kernels: &wgpu_batchnorm::Kernels, collected: &wgpu::Buffer)
    /// # -> Result<(), Box<dyn std::error::Error>> {
    /// use wgpu_batchnorm::{Buffers, Plan, Tensor};
    ///
    /// // Eight shards of 64 channels: 8 * 64 * 4 words, gathered from wherever they were.
    /// let merged = gpu.zeros(64 * 4, "moments of all")?;
    /// let step = Plan::merge(kernels.limits(), 64, 8, None)?
    ///     .bind(kernels, Buffers::merge(Tensor::whole(collected), Tensor::whole(&merged)))?;
    /// gpu.run("merge", |pass| step.record(pass));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`PlanError::Shards`] for none, [`PlanError`] for limits that are too small.
    pub fn merge(
        limits: &Limits,
        channels: u64,
        shards: u64,
        tuning: Option<&Tuning>,
    ) -> Result<Self, PlanError> {
        check_shards(limits, channels, shards)?;
        let shape = Shape::from_geometry(0, channels, 1).map_err(|_| PlanError::Channels {
            channels,
            needed: u64::MAX,
            limit: limits.binding_bytes,
        })?;
        let needs = Needs::moments(Element::F32, true);
        let plan = Self::new(limits, shape, needs, tuning, |planner| {
            Ok(forward::merge(&planner, channels, shards))
        })?;
        Ok(Self { shards, ..plan })
    }

    /// Plans a training forward pass of one shard by the moments of all shards of its batch: as [`Plan::training`], but
    /// the statistics are not the shard's own. They are merged from `shards` moments, one after another in
    /// [`Buffers::shards`](crate::Buffers::shards); 1 where they are merged already.
    ///
    /// Synchronized batch normalization, here with two halves of a batch on one device. On several, each runs its own
    /// half and copies its moments to all others in between:
    ///
    /// ```no_run
    /// use wgpu_batchnorm::{Buffers, Gpu, GpuOptions, Kernels, Packed, Plan, Shape, Tensor, Training};
    ///
    /// let gpu = Gpu::blocking(&GpuOptions::default())?;
    /// let kernels = Kernels::new(gpu.device());
    /// let shape = Shape::channels_first(&[16, 64, 56, 56])?; // a half: 16 of 32 images
    /// let packed = Packed::new(64);
    /// let parameters = gpu.upload(&packed.pack(&[&[1.0; 64], &[0.0; 64]])?, "gamma and beta")?;
    /// let options = Training::default().running(None);
    ///
    /// let moments = gpu.zeros(2 * 4 * 64, "moments of both halves")?;
    /// let statistics = Plan::statistics(kernels.limits(), shape, options.element, None)?;
    /// let normalize = Plan::training_from_moments(kernels.limits(), shape, 2, &options)?;
    /// let (mut first, mut second) = (vec![], vec![]);
    /// for half in 0..2 {
    ///     let x = gpu.zeros(shape.len(), "x")?;
    ///     let y = gpu.zeros(shape.len(), "y")?;
    ///     let saved = gpu.zeros(packed.saved(), "saved, the same for both")?;
    ///     let own = Tensor::new(&moments, half * 16 * 64, 4 * 64);
    ///     first.push(statistics.bind(&kernels, Buffers::input(Tensor::whole(&x)).moments(own))?);
    ///     let buffers = Buffers::new(Tensor::whole(&x), Tensor::whole(&y))
    ///         .shards(Tensor::whole(&moments))
    ///         .parameters(Tensor::whole(&parameters))
    ///         .saved(Tensor::whole(&saved));
    ///     second.push(normalize.bind(&kernels, buffers)?);
    /// }
    /// gpu.run("a synchronized batch norm", |pass| {
    ///     first.iter().for_each(|step| step.record(pass));
    ///     // on several devices: the exchange of the moments
    ///     second.iter().for_each(|step| step.record(pass));
    /// });
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// Running statistics that shards share are updated by one of them only: the others' options have `running(None)`. Each
    /// device's own copies stay equal, as every device computes the same from the same moments.
    ///
    /// The number of values is counted on the device. Where it is 1 in all, the unbiased running variance becomes NaN;
    /// where it is 0, the running statistics stay. An empty shard updates its running statistics like the others.
    ///
    /// # Errors
    /// [`PlanError`] for options, limits and shapes that no pass exists for; [`PlanError::Shards`] for none.
    pub fn training_from_moments(
        limits: &Limits,
        shape: Shape,
        shards: u64,
        options: &Training,
    ) -> Result<Self, PlanError> {
        check_training(options)?;
        check_shards(limits, shape.channels(), shards)?;
        let mut needs = Needs::training(options);
        if let Pass::Forward(forward) = &mut needs.pass {
            forward.from_shards = true;
        }
        let plan = Self::new(
            limits,
            shape,
            needs,
            options.tuning_for(shape),
            |mut planner| forward::training(&mut planner, shape, options, Some(shards)),
        )?;
        Ok(Self { shards, ..plan })
    }

    /// Plans the gradients of x and of the residual of one shard, from dgamma and dbeta of the whole batch, which the pass
    /// reads from where [`Plan::backward`] writes them; `values_per_channel` is the batch's. `grad_gamma` and `grad_beta` of
    /// the options have no part in it.
    ///
    /// The way back of [`Plan::training_from_moments`], of one half of the batch:
    ///
    /// ```no_run
    /// # fn example(
    /// #     kernels: &wgpu_batchnorm::Kernels,
    /// #     shape: wgpu_batchnorm::Shape,
    /// #     options: &wgpu_batchnorm::Training,
    /// #     [x, dy, dx, parameters, saved, gradients]: [wgpu_batchnorm::Tensor<'_>; 6],
    /// #     pass: &mut wgpu::ComputePass<'_>,
    /// # ) -> Result<(), Box<dyn std::error::Error>> {
    /// use wgpu_batchnorm::{Backward, Buffers, Gradient, Plan};
    ///
    /// let options = Backward::from(options);
    /// let sums = options.clone().grad_input(Gradient::Skip).grad_residual(Gradient::Skip);
    /// let sums = Plan::backward(kernels.limits(), shape, &sums)?.bind(
    ///     kernels,
    ///     Buffers::backward(x, dy).parameters(parameters).saved(saved).grad_parameters(gradients),
    /// )?;
    /// sums.record(pass);
    /// // The exchange: `gradients` becomes the sum of both halves'. On one device the second half's sums have
    /// // `Gradient::Add` in place of this.
    /// let whole_batch = 2 * shape.values_per_channel();
    /// let input = Plan::backward_from_gradients(kernels.limits(), shape, whole_batch, &options)?.bind(
    ///     kernels,
    ///     Buffers::backward(x, dy)
    ///         .parameters(parameters)
    ///         .saved(saved)
    ///         .grad_parameters(gradients)
    ///         .grad_input(dx),
    /// )?;
    /// input.record(pass);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`Plan::backward`].
    pub fn backward_from_gradients(
        limits: &Limits,
        shape: Shape,
        values_per_channel: u64,
        options: &Backward,
    ) -> Result<Self, PlanError> {
        check_backward(options)?;
        if options.grad_input == Gradient::Skip && options.grad_residual == Gradient::Skip {
            return Err(PlanError::NoGradient);
        }
        let needs = Needs::backward(options, true);
        Self::new(
            limits,
            shape,
            needs,
            options.tuning_for(shape),
            |mut planner| {
                let n = values_per_channel;
                backward::backward(&mut planner, &needs, shape, options.epsilon, n)
            },
        )
    }

    fn new(
        limits: &Limits,
        shape: Shape,
        needs: Needs,
        tuning: Option<&Tuning>,
        program: impl Fn(planner::Planner<'_>) -> Result<Program, PlanError>,
    ) -> Result<Self, PlanError> {
        let tuning = tuning
            .cloned()
            .unwrap_or_else(|| Tuning::for_limits(limits));
        tuning.check(limits)?;
        let n = shape.values_per_channel();
        if n > u64::from(u32::MAX) {
            return Err(PlanError::ValuesPerChannel { given: n });
        }
        // the longest packed tensors may start anywhere between two binding offsets
        let vectors = Packed::new(shape.channels())
            .stride()
            .saturating_mul(4 * needs.coefficients())
            .saturating_add(limits.offset_alignment);
        if vectors > limits.binding_bytes {
            return Err(PlanError::Channels {
                channels: shape.channels(),
                needed: vectors,
                limit: limits.binding_bytes,
            });
        }
        let program = |aligned| {
            program(planner::Planner::new(
                limits, &tuning, &needs, shape, aligned,
            ))
        };
        Ok(Self {
            shape,
            needs,
            shards: 0,
            aligned: program(true)?,
            unaligned: program(false)?,
        })
    }

    /// The shape that was planned for.
    pub const fn shape(&self) -> Shape {
        self.shape
    }

    /// Bytes of scratch memory that a step of this plan needs: a multiple of 256, 0 where one dispatch does it all.
    pub fn workspace_bytes(&self) -> u64 {
        self.aligned
            .workspace_bytes()
            .max(self.unaligned.workspace_bytes())
    }

    /// The least traffic that the pass can do, in bytes. In tensors of the shape of x: inference reads one and writes one;
    /// training reads x twice and writes one; the backward pass reads x and dy twice and writes one. Where the plan keeps
    /// them on chip ([`Stage::Resident`], [`Stage::GradientResident`]) all is read once. A residual, a mask, an output that
    /// is read for the activation's gradient and gradients that are added count besides.
    pub fn minimum_traffic(&self) -> u64 {
        let mut dispatches = self.aligned.dispatches.iter();
        let resident = dispatches.any(|dispatch| dispatch.kernel.stage.is_resident());
        self.needs.minimum_traffic(self.shape.len(), resident)
    }

    /// Words of the mask that the forward pass writes and the backward pass reads: one bit per value. The layout is the
    /// crate's own; a mask serves any plan of the same shape.
    pub const fn mask_words(&self) -> u64 {
        self.shape.len().div_ceil(MASK_WORD)
    }

    /// The dispatches in order, as they are for tensors that start at multiples of 16 bytes.
    pub fn dispatches(&self) -> impl Iterator<Item = DispatchInfo> + '_ {
        self.aligned
            .dispatches
            .iter()
            .map(|dispatch| dispatch.info(self))
    }

    pub(crate) const fn needs(&self) -> &Needs {
        &self.needs
    }

    /// The number of moments that the caller gives.
    pub(crate) const fn shards(&self) -> u64 {
        self.shards
    }

    pub(crate) const fn program(&self, aligned: bool) -> &Program {
        if aligned {
            &self.aligned
        } else {
            &self.unaligned
        }
    }
}

/// What shapes have in common that a kernel reads alike: the walk over an aligned tensor, and the values of its accesses.
/// `None` where there is nothing to walk.
pub(crate) fn access_pattern(shape: Shape, element: Element) -> Option<(Walk, u64)> {
    (!shape.is_empty()).then(|| {
        // where a lane walks a unit there are the most walks to tell apart
        let widths = planner::widths(element, true);
        let geometry = geometry::Geometry::new(shape, widths, Team::Lane, u64::MAX);
        (geometry.walk, geometry.width)
    })
}

fn check_epsilon(epsilon: f32) -> Result<(), PlanError> {
    if epsilon.is_finite() && epsilon >= 0.0 {
        Ok(())
    } else {
        Err(PlanError::Epsilon { given: epsilon })
    }
}

fn check_training(options: &Training) -> Result<(), PlanError> {
    check_epsilon(options.epsilon)?;
    check_activation(options.activation, options.mask)?;
    if let Some(running) = options.running
        && let Update::Exponential(factor) = running.update
        && !(0.0..=1.0).contains(&factor)
    {
        return Err(PlanError::UpdateFactor { given: factor });
    }
    Ok(())
}

fn check_single_value(running: Option<Running>) -> Result<(), PlanError> {
    match running.map(|running| running.variance) {
        Some(crate::RunningVariance::Unbiased) => Err(PlanError::SingleValue),
        _ => Ok(()),
    }
}

fn check_activation(activation: Activation, mask: bool) -> Result<(), PlanError> {
    if !activation.slope().is_finite() {
        return Err(PlanError::Slope {
            given: activation.slope(),
        });
    }
    if mask
        && (activation == Activation::None || !activation.gradient_from(crate::Derivative::Mask))
    {
        return Err(PlanError::Mask {
            activation: activation.name(),
        });
    }
    Ok(())
}

fn check_backward(options: &Backward) -> Result<(), PlanError> {
    check_epsilon(options.epsilon)?;
    check_activation(options.activation, false)?;
    if !options.activation.gradient_from(options.derivative) {
        return Err(PlanError::Derivative {
            activation: options.activation.name(),
            given: options.derivative,
        });
    }
    if options.grad_residual != Gradient::Skip && !options.residual {
        return Err(PlanError::NoResidual);
    }
    Ok(())
}

fn check_shards(limits: &Limits, channels: u64, shards: u64) -> Result<(), PlanError> {
    let bytes = shards
        .saturating_mul(channels)
        .saturating_mul(16)
        .saturating_add(limits.offset_alignment);
    if shards == 0 || bytes > limits.binding_bytes {
        return Err(PlanError::Shards {
            given: shards,
            most: (limits.binding_bytes.saturating_sub(limits.offset_alignment))
                / channels.saturating_mul(16).max(1),
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::element::Element;
    use crate::limits::AdapterKind;

    /// Limits that lead to every stage and walk, and to windows.
    fn devices() -> [Limits; 4] {
        let cpu = Limits {
            adapter: AdapterKind::Cpu,
            processors: 2,
            ..Limits::default()
        };
        let small = |limits: &Limits| Limits {
            binding_bytes: 64 << 10,
            workgroups_per_dimension: 7,
            ..limits.clone()
        };
        [
            Limits::default(),
            small(&Limits::default()),
            small(&cpu),
            cpu,
        ]
    }

    /// The usual tuning, one that holds nothing in registers, and one that besides keeps channels whole but fuses nothing.
    fn tunings(limits: Limits) -> [(Limits, Tuning); 3] {
        let usual = Tuning::for_limits(&limits);
        let twice = Tuning {
            resident_accesses: 0,
            ..usual.clone()
        };
        let apart = Tuning {
            workgroups: 1,
            fused_bytes: 0,
            cache_bytes: 0,
            ..twice.clone()
        };
        [usual, twice, apart].map(|tuning| (limits.clone(), tuning))
    }

    fn shapes() -> Vec<Shape> {
        let first = [
            &[2, 3, 7, 7][..],
            &[9, 30, 1, 1],
            &[4, 32, 14, 14],
            &[1, 5, 10007],
            &[64, 8, 3, 3],
            &[300, 8, 6, 6],
        ];
        let last = [
            &[6, 13][..],
            &[4099, 6],
            &[17, 1028],
            &[3, 5, 7, 36],
            &[500, 1024],
        ];
        let first = first.map(|sizes| Shape::channels_first(sizes).expect("a shape"));
        let last = last.map(|sizes| Shape::channels_last(sizes).expect("a shape"));
        [&first[..], &last].concat()
    }

    #[test]
    fn dispatches_say_what_they_read_and_write() {
        let mut seen = std::collections::HashSet::new();
        for (limits, tuning) in devices().into_iter().flat_map(tunings) {
            for shape in shapes() {
                let options = Training::default()
                    .gamma(false)
                    .beta(false)
                    .running(None)
                    .saved(false)
                    .tuning(tuning.clone());
                let plan = Plan::training(&limits, shape, &options).expect("a plan");
                let sum = |stages: &[Stage], bytes: fn(&DispatchInfo) -> u64| -> u64 {
                    plan.dispatches()
                        .filter(|dispatch| stages.contains(&dispatch.stage))
                        .map(|dispatch| bytes(&dispatch))
                        .sum()
                };
                let read = |stages: &[Stage]| sum(stages, |dispatch| dispatch.bytes_read);
                let written = |stages: &[Stage]| sum(stages, |dispatch| dispatch.bytes_written);
                seen.extend(
                    plan.dispatches()
                        .map(|dispatch| (dispatch.stage, dispatch.walk)),
                );
                let tensor = 4 * shape.len();
                let name = format!("{shape:?} on {limits:?}");

                let once = read(&[Stage::Statistics, Stage::Coefficients, Stage::Resident]);
                assert_eq!(once + read(&[Stage::Fused]) / 2, tensor, "{name}");
                let writers = [Stage::Normalize, Stage::Fused, Stage::Resident];
                assert_eq!(written(&writers), tensor, "{name}");
                assert_eq!(
                    written(&[Stage::Statistics]),
                    read(&[Stage::Finalize]),
                    "{name}"
                );
                let coefficients = written(&[Stage::Finalize, Stage::Coefficients]);
                let normalized = read(&[Stage::Normalize]);
                if coefficients > 0 {
                    assert_eq!(coefficients, 12 * shape.channels(), "{name}");
                    assert!(normalized >= tensor + coefficients, "{name}");
                } else {
                    assert_eq!(normalized, 0, "{name}");
                }
            }
        }
        for stage in [
            Stage::Statistics,
            Stage::Coefficients,
            Stage::Fused,
            Stage::Resident,
            Stage::Normalize,
        ] {
            assert!(seen.iter().any(|(found, _)| *found == stage), "{stage:?}");
        }
        for walk in [
            Walk::Rows,
            Walk::Columns,
            Walk::Quads,
            Walk::Planes,
            Walk::Runs,
        ] {
            assert!(seen.iter().any(|(_, found)| *found == walk), "{walk:?}");
        }
    }

    #[test]
    fn dispatches_move_the_least_traffic_and_vectors() {
        for (limits, tuning) in devices().into_iter().flat_map(tunings) {
            for (shape, element) in shapes()
                .into_iter()
                .flat_map(|shape| Element::ALL.map(|element| (shape, element)))
            {
                let training = Training::default().element(element).tuning(tuning.clone());
                let inference = Inference::default().element(element).tuning(tuning.clone());
                let backward = Backward::from(&training).tuning(tuning.clone());
                for plan in [
                    Plan::training(&limits, shape, &training),
                    Plan::inference(&limits, shape, &inference),
                    Plan::backward(&limits, shape, &backward),
                ] {
                    let plan = plan.expect("a plan");
                    let moved: u64 = plan
                        .dispatches()
                        .map(|dispatch| dispatch.bytes_read + dispatch.bytes_written)
                        .sum();
                    // Each dispatch has at most sixteen vectors; partials and coefficients are written and read.
                    let vectors = plan.dispatches().count() as u64 * 16 * 4 * shape.channels();
                    let most = plan.minimum_traffic() + vectors + 2 * plan.workspace_bytes();
                    let name = format!("{element:?}, {shape:?}, {:?}", plan.needs);
                    assert!(moved > plan.minimum_traffic(), "{name}: {moved}");
                    assert!(moved <= most, "{name}: {moved} of {most}");
                }
            }
        }
    }

    /// With everything that can be read and written: one read of each tensor and one write.
    #[test]
    fn resident_stages_read_every_tensor_once() {
        let limits = Limits::default();
        for (shape, walk) in [
            (Shape::channels_first(&[16, 96, 14, 14]), Walk::Rows),
            (Shape::channels_last(&[64, 4096]), Walk::Columns),
        ] {
            let shape = shape.expect("a shape");
            let training = Training::default().saved(false).running(None);
            let options = Backward::from(&training.clone().activation(Activation::Relu));
            let backward = options.derivative(crate::Derivative::Output);
            let tensor = 4 * shape.len();
            let vector = 4 * shape.channels();
            for (plan, read, written, vectors) in [
                (Plan::training(&limits, shape, &training), 1, 1, 2),
                (
                    Plan::training(&limits, shape, &training.clone().residual(true)),
                    2,
                    1,
                    2,
                ),
                (Plan::backward(&limits, shape, &backward), 3, 1, 6),
            ] {
                let plan = plan.expect("a plan");
                let dispatches: Vec<_> = plan.dispatches().collect();
                let [dispatch] = dispatches[..] else {
                    panic!("{dispatches:?}");
                };
                assert!(dispatch.held > 0 && dispatch.walk == walk, "{dispatch:?}");
                assert_eq!(plan.minimum_traffic(), (read + written) * tensor);
                let moved = dispatch.bytes_read + dispatch.bytes_written;
                assert_eq!(moved, (read + written) * tensor + vectors * vector);
            }
        }
    }

    /// The hard inputs of `wgpu-batchnorm check` that are for them.
    #[test]
    fn resident_stages_are_among_what_is_checked() {
        for shape in [
            Shape::channels_first(&[2, 64, 28, 28]),
            Shape::channels_last(&[4, 4, 4, 2048]),
        ] {
            let shape = shape.expect("a shape");
            for adapter in [AdapterKind::Discrete, AdapterKind::Integrated] {
                let limits = Limits {
                    adapter,
                    ..Limits::default()
                };
                let training = Plan::training(&limits, shape, &Training::default());
                let backward = Plan::backward(&limits, shape, &Backward::default());
                for plan in [training, backward] {
                    let plan = plan.expect("a plan");
                    assert!(plan.dispatches().all(|dispatch| dispatch.held > 1));
                }
            }
        }
    }

    /// What does not fit, leaves the adapter idle, shares words or is not asked for is not held.
    #[test]
    fn resident_stages_are_taken_where_they_pay() {
        let limits = Limits::default();
        let held = |limits: &Limits, sizes: &[usize], change: fn(&mut Tuning)| {
            let mut tuning = Tuning::for_limits(limits);
            change(&mut tuning);
            let options = Training::default().tuning(tuning);
            let shape = Shape::channels_first(sizes).expect("a shape");
            let plan = Plan::training(limits, shape, &options).expect("a plan");
            plan.dispatches().next().map(|dispatch| dispatch.held)
        };
        let as_it_is = |_: &mut Tuning| {};
        // 32 x 14 x 14 values are 1568 accesses: six or seven for each of 256 lanes
        assert_eq!(held(&limits, &[32, 96, 14, 14], as_it_is), Some(7));
        assert_eq!(held(&limits, &[32, 96, 56, 56], as_it_is), Some(0));
        assert_eq!(
            held(&limits, &[32, 96, 14, 14], |tuning| tuning
                .resident_accesses =
                6),
            Some(0)
        );
        // as many as 16 vec4 for each lane, and one more
        assert_eq!(held(&limits, &[16, 96, 32, 32], as_it_is), Some(16));
        assert_eq!(held(&limits, &[17, 96, 32, 32], as_it_is), Some(0));
        // too few workgroups, unless there are few values
        assert_eq!(held(&limits, &[32, 16, 14, 14], as_it_is), Some(0));
        assert_eq!(held(&limits, &[4, 16, 14, 14], as_it_is), Some(1));
        let cpu = software();
        assert_eq!(held(&cpu, &[32, 96, 14, 14], as_it_is), Some(0));
        let windows = Limits {
            binding_bytes: 64 << 10,
            ..Limits::default()
        };
        assert_eq!(held(&windows, &[32, 96, 14, 14], as_it_is), Some(0));
    }

    fn software() -> Limits {
        Limits {
            adapter: AdapterKind::Cpu,
            ..Limits::default()
        }
    }

    /// On a processor: what its prefetcher can follow where the cache does not hold the tensor.
    #[test]
    fn a_tensor_beyond_the_cache_is_normalized_as_a_prefetcher_follows() {
        let cpu = software();
        let stored = |sizes: &[usize], element, residual, cache_bytes| {
            let tuning = Tuning {
                cache_bytes,
                ..Tuning::for_limits(&cpu)
            };
            let options = Inference::default().element(element);
            let options = options.residual(residual).tuning(tuning);
            let shape = Shape::channels_first(sizes).expect("a shape");
            let plan = Plan::inference(&cpu, shape, &options).expect("a plan");
            let kernel = plan.aligned.dispatches.last().expect("a dispatch").kernel;
            (kernel.walk, kernel.pairs.applied)
        };
        let normalized =
            |sizes: &[usize], residual, cache| stored(sizes, Element::F32, residual, cache);
        for residual in [false, true] {
            // x and y, and the residual
            let bytes = (2 + u64::from(residual)) * 4 * 2 * 8 * 14 * 14;
            // an odd number of accesses in a row, which leaves one where they go in pairs
            let odd = |cache| normalized(&[2, 8, 14, 14], residual, cache);
            assert_eq!(odd(bytes), (Walk::Runs, !residual));
            assert_eq!(odd(bytes - 1), (Walk::Runs, false));
            let even = normalized(&[2, 8, 28, 28], residual, 0);
            assert_eq!(even, (Walk::Runs, !residual));
            // halves are faster in pairs all the same
            let halves = |channels| stored(&[2, channels, 14, 14], Element::Bf16, residual, 0);
            assert_eq!(halves(8), (Walk::SharedRuns, false));
            assert_eq!(halves(7), (Walk::Runs, !residual));
            let quads = |cache| normalized(&[2, 8, 7, 7], residual, cache);
            assert_eq!(quads(bytes), (Walk::SharedRuns, false));
            assert_eq!(quads(0), (Walk::SharedRuns, false));
        }
    }

    /// On a processor: one access at a time down columns, unless two are the whole row.
    #[test]
    fn columns_are_written_in_pairs_where_a_pair_is_a_row() {
        let cpu = software();
        let pairs = |channels, residual| {
            let options = Inference::default().residual(residual);
            let shape = Shape::channels_last(&[500, channels]).expect("a shape");
            let plan = Plan::inference(&cpu, shape, &options).expect("a plan");
            let kernel = plan.aligned.dispatches[0].kernel;
            assert_eq!(kernel.walk, Walk::Columns);
            kernel.pairs.applied
        };
        for (channels, paired) in [
            (32, false),
            (36, true),
            (64, true),
            (68, false),
            (256, false),
        ] {
            for residual in [false, true] {
                assert_eq!(pairs(channels, residual), paired, "{channels}, {residual}");
            }
        }
    }

    #[test]
    fn halves_go_eight_at_a_time_where_a_lane_finds_them_in_a_row() {
        let cpu = software();
        let widths = |sizes: &[usize], element, change: fn(&mut Tuning)| {
            let mut tuning = Tuning::for_limits(&cpu);
            tuning.cache_bytes = 0;
            change(&mut tuning);
            let training = Training::default().element(element).tuning(tuning);
            let backward = Backward::from(&training);
            let shape = if sizes.len() == 2 {
                Shape::channels_last(sizes)
            } else {
                Shape::channels_first(sizes)
            };
            let shape = shape.expect("a shape");
            let plans = [
                Plan::training(&cpu, shape, &training),
                Plan::backward(&cpu, shape, &backward),
            ];
            plans.map(|plan| {
                let plan = plan.expect("a plan");
                let [aligned, any] = [true, false].map(|aligned| {
                    let dispatches = &plan.program(aligned).dispatches;
                    let widths = dispatches.iter().map(|dispatch| dispatch.kernel.width);
                    widths.max().expect("a dispatch")
                });
                assert!(any <= 2, "not aligned, but {any} values at once");
                aligned
            })
        };
        let as_it_is = |_: &mut Tuning| {};
        for halves in [Element::F16, Element::Bf16] {
            assert_eq!(widths(&[2, 3, 16, 16], halves, as_it_is), [8, 8]);
            assert_eq!(widths(&[50, 24], halves, as_it_is), [8, 8]);
            assert_eq!(widths(&[50, 20], halves, as_it_is), [4, 4]);
            // two channels of 49 accesses of four: what is written by itself
            assert_eq!(widths(&[2, 4, 14, 14], halves, as_it_is), [8, 8]);
            let fused = |tuning: &mut Tuning| tuning.run_tensors = 2;
            assert_eq!(widths(&[2, 4, 14, 14], halves, fused), [4, 8]);
            assert_eq!(widths(&[2, 3, 14, 14], halves, as_it_is), [4, 4]);
            // eight channels of an odd number of values
            assert_eq!(widths(&[2, 8, 7, 7], halves, as_it_is), [8, 8]);
            assert_eq!(widths(&[2, 8, 17, 17], halves, as_it_is), [8, 8]);
            assert_eq!(widths(&[2, 4, 7, 7], halves, as_it_is), [4, 4]);
            // of which each access would have three
            assert_eq!(
                widths(&[2, 8, 3, 5], halves, |tuning| tuning.shortest_run = 0),
                [8, 8]
            );
            assert_eq!(
                widths(&[2, 8, 1, 13], halves, |tuning| tuning.shortest_run = 0),
                [4, 4]
            );
            // sixteen fours are enough for coefficients of their own, fourteen are not
            assert_eq!(widths(&[2, 4, 8, 8], halves, as_it_is), [8, 8]);
            assert_eq!(widths(&[2, 4, 7, 8], halves, as_it_is), [4, 4]);
            let narrow = |tuning: &mut Tuning| tuning.wide_halves = false;
            assert_eq!(widths(&[50, 24], halves, narrow), [4, 4]);
            let shared = |tuning: &mut Tuning| tuning.team = Team::Workgroup;
            assert_eq!(widths(&[50, 24], halves, shared), [4, 4]);
        }
        assert_eq!(widths(&[50, 24], Element::F32, |_| {}), [4, 4]);
    }

    #[test]
    fn a_row_of_too_few_accesses_has_no_coefficients_of_its_own() {
        let cpu = software();
        // 49 accesses of one channel, or of four
        for (inner, shortest_run, walk) in [
            (14, 49, Walk::Runs),
            (14, 50, Walk::Planes),
            (7, 49, Walk::SharedRuns),
            (7, 50, Walk::Planes),
        ] {
            let tuning = Tuning {
                cache_bytes: 0,
                shortest_run,
                ..Tuning::for_limits(&cpu)
            };
            let shape = Shape::channels_first(&[2, 8, inner, inner]).expect("a shape");
            let inference = Inference::default().residual(true).tuning(tuning);
            let plan = Plan::inference(&cpu, shape, &inference).expect("a plan");
            let last = plan.dispatches().last().expect("a dispatch");
            assert_eq!(last.walk, walk, "{inner}, {shortest_run}");
        }
    }

    /// The same of what moments and sums are gathered from.
    #[test]
    fn a_tensor_beyond_the_cache_is_gathered_as_a_prefetcher_follows() {
        let cpu = software();
        // of two tensors forward, and of three backward
        let bytes = |tensors: u64, inner: u64| tensors * 4 * 9 * 8 * inner;
        for (size, gathered, fused) in [
            (14, Walk::Runs, Walk::Rows),
            (7, Walk::SharedRuns, Walk::Quads),
        ] {
            let inner = size * size;
            let shape = Shape::channels_first(&[9, 8, size as usize, size as usize]);
            let shape = shape.expect("a shape");
            // a row of four channels, where they share accesses
            let row = if size == 7 { 16 * inner } else { 4 * inner };
            for (cache_bytes, run_bytes, run_tensors, runs) in [
                (bytes(3, inner), row + 1, 1, [false, false]),
                (bytes(3, inner) - 1, row + 1, 1, [false, true]),
                (bytes(2, inner) - 1, row + 1, 1, [true, true]),
                (0, row, 1, [false, false]),
                (0, row + 1, 2, [false, true]),
                (0, row + 1, 3, [false, false]),
            ] {
                let tuning = Tuning {
                    // channels are whole
                    workgroups: 1,
                    values_per_workgroup: 1 << 20,
                    cache_bytes,
                    run_bytes,
                    run_tensors,
                    ..Tuning::for_limits(&cpu)
                };
                let training = Training::default().tuning(tuning.clone());
                let backward = Backward::from(&training).tuning(tuning);
                let plans = [
                    Plan::training(&cpu, shape, &training),
                    Plan::backward(&cpu, shape, &backward),
                ];
                let stages = [
                    [Stage::Statistics, Stage::Finalize, Stage::Normalize],
                    [
                        Stage::GradientSums,
                        Stage::GradientFinalize,
                        Stage::GradientInput,
                    ],
                ];
                let alone = [Stage::Fused, Stage::GradientFused];
                // (count, frame, mean, M2), or two sums
                let partials = [16, 8].map(|bytes| bytes * 9 * 8);
                for (((plan, runs), partials), (apart, alone)) in plans
                    .into_iter()
                    .zip(runs)
                    .zip(partials)
                    .zip(stages.into_iter().zip(alone))
                {
                    let plan = plan.expect("a plan");
                    let dispatches: Vec<_> = plan.dispatches().collect();
                    let found = dispatches.iter().map(|found| (found.stage, found.walk));
                    let found: Vec<_> = found.collect();
                    if runs {
                        let [gather, finalize, apply] = apart;
                        let three = [
                            (gather, gathered),
                            (finalize, Walk::Rows),
                            (apply, gathered),
                        ];
                        assert_eq!(found, three);
                        // one of each row
                        assert_eq!(dispatches[0].bytes_written, partials);
                        assert!(dispatches[1].bytes_read >= partials);
                        assert!(plan.workspace_bytes() >= partials);
                    } else {
                        assert_eq!(found, [(alone, fused)]);
                    }
                }
            }
        }
    }

    #[test]
    fn vectors_count_once_for_each_dispatch() {
        let shape = Shape::channels_first(&[2, 3, 4]).expect("a shape");
        let plan = Plan::inference(&Limits::default(), shape, &Inference::default());
        let plan = plan.expect("a plan");
        let dispatches: Vec<_> = plan.dispatches().collect();
        assert_eq!(dispatches.len(), 1);
        // gamma, beta, mean and variance of three channels
        assert_eq!(dispatches[0].bytes_read, 4 * (24 + 4 * 3));
        assert_eq!(dispatches[0].bytes_written, 4 * 24);
    }
}
