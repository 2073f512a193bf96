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

    /// The dispatches in order, each to be looked at or recorded by itself.
    pub fn parts(&self) -> impl ExactSizeIterator<Item = Part<'_>> {
        self.dispatches.iter().map(|dispatch| Part { dispatch })
    }

    /// Records every dispatch of the step, in order, into the caller's pass.
    ///
    /// Sets the pass's pipeline and bind group 0, and leaves them set: a caller who records shaders of his own
    /// afterwards sets his own. Debug groups mark the stages. Submits nothing, writes nothing through the queue.
    /// Running statistics follow the order in which recordings are submitted.
    pub fn record(&self, pass: &mut wgpu::ComputePass<'_>) {
        for part in self.parts() {
            part.record(pass);
        }
    }
}

/// One dispatch of a [`Step`]: what it runs, and a way to run it alone, to time it or to put other work between.
///
/// ```no_run
/// # fn example(gpu: &wgpu_batchnorm::Gpu, step: &wgpu_batchnorm::Step) {
/// for part in step.parts() {
///     println!("{}: {} bytes read", part.info().stage.name(), part.info().bytes_read);
///     gpu.run("one dispatch", |pass| part.record(pass));
/// }
/// # }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Part<'a> {
    dispatch: &'a Recorded,
}

impl<'a> Part<'a> {
    /// The dispatch as it was planned.
    pub const fn info(self) -> DispatchInfo {
        self.dispatch.info
    }

    /// The WGSL that its pipeline was compiled from: the shader files that it takes, joined after a generated head.
    pub fn wgsl(self) -> &'a str {
        &self.dispatch.compiled.text
    }

    /// Records this dispatch alone, as [`Step::record`] does among the others. The result of the step is right only where
    /// all parts are recorded in order; any of them may be repeated for its time.
    pub fn record(self, pass: &mut wgpu::ComputePass<'_>) {
        let Recorded {
            label,
            compiled,
            bind_group,
            info,
        } = self.dispatch;
        pass.push_debug_group(label);
        pass.set_pipeline(&compiled.pipeline);
        pass.set_bind_group(0, bind_group, &[]);
        let [x, y] = info.grid;
        pass.dispatch_workgroups(x, y, 1);
        pass.pop_debug_group();
    }
}
