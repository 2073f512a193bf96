//! A plan bound to tensors, ready to be recorded.

use std::sync::Arc;

use crate::kernels::Compiled;
use crate::plan::DispatchInfo;

/// A plan bound to tensors. Recording it is cheap, cannot fail, and creates no GPU object; it may be recorded any number
/// of times, into any passes of its device.
///
/// ```no_run
/// # fn example(device: &wgpu::Device, queue: &wgpu::Queue, layers: &[wgpu_batchnorm::Step]) {
/// let mut encoder = device.create_command_encoder(&Default::default());
/// let mut pass = encoder.begin_compute_pass(&Default::default());
/// for layer in layers {
///     layer.record(&mut pass); // one pass for all: each begin and end of a pass costs time
/// }
/// drop(pass);
/// queue.submit([encoder.finish()]);
/// # }
/// ```
#[derive(Debug)]
pub struct Step {
    dispatches: Vec<Recorded>,
}

/// One dispatch with everything it needs.
#[derive(Debug)]
pub(crate) struct Recorded {
    pub label: String,
    pub compiled: Arc<Compiled>,
    pub bind_group: wgpu::BindGroup,
    pub info: DispatchInfo,
}

impl Step {
    pub(crate) const fn new(dispatches: Vec<Recorded>) -> Self {
        Self { dispatches }
    }

    /// The dispatches in order, as they are for the tensors that were bound.
    pub fn dispatches(&self) -> impl Iterator<Item = DispatchInfo> + '_ {
        self.dispatches.iter().map(|dispatch| dispatch.info)
    }

    /// Records every dispatch of the step, in order, into the caller's pass.
    ///
    /// Sets the pass's pipeline and bind group 0, and leaves them set: a caller who records shaders of his own
    /// afterwards sets his own. Debug groups mark the stages. Submits nothing, writes nothing through the queue.
    /// Running statistics follow the order in which recordings are submitted.
    pub fn record(&self, pass: &mut wgpu::ComputePass<'_>) {
        for dispatch in &self.dispatches {
            pass.push_debug_group(&dispatch.label);
            pass.set_pipeline(&dispatch.compiled.pipeline);
            pass.set_bind_group(0, &dispatch.bind_group, &[]);
            let [x, y] = dispatch.info.grid;
            pass.dispatch_workgroups(x, y, 1);
            pass.pop_debug_group();
        }
    }
}
