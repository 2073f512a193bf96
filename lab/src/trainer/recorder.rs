//! Work in order, recorded into as few encoders as can be.

use wgpu_batchnorm::{Gpu, Step, wgpu};

use super::host::HostNorm;
use super::kernels::Dispatch;
use crate::Error;

/// A piece of work of a pass through networks.
#[derive(Debug)]
pub(super) enum Work {
    /// One of the trainer's shaders.
    Own(Dispatch),
    /// Batch normalization by the library.
    Norm(Step),
    /// Batch normalization on the host, which what comes before it must be finished for.
    Host(Box<HostNorm>),
}

/// An encoder that is there when it is needed.
pub(super) struct Recorder<'a> {
    gpu: &'a Gpu,
    encoder: Option<wgpu::CommandEncoder>,
    pass: Option<wgpu::ComputePass<'static>>,
}

impl<'a> Recorder<'a> {
    pub(super) fn new(gpu: &'a Gpu) -> Self {
        Self {
            gpu,
            encoder: None,
            pass: None,
        }
    }

    fn encoder(&mut self) -> &mut wgpu::CommandEncoder {
        // A pass ends where something else is recorded.
        self.pass = None;
        self.encoder.get_or_insert_with(|| {
            let descriptor = wgpu::CommandEncoderDescriptor { label: Some("lab") };
            self.gpu.device().create_command_encoder(&descriptor)
        })
    }

    fn pass(&mut self) -> &mut wgpu::ComputePass<'static> {
        if self.pass.is_none() {
            let descriptor = wgpu::ComputePassDescriptor {
                label: Some("lab"),
                timestamp_writes: None,
            };
            self.pass = Some(
                self.encoder()
                    .begin_compute_pass(&descriptor)
                    .forget_lifetime(),
            );
        }
        self.pass.as_mut().expect("made above")
    }

    /// Records work. Submits and waits only where the host takes part.
    pub(super) async fn record(&mut self, works: &[Work]) -> Result<(), Error> {
        for work in works {
            match work {
                Work::Own(dispatch) => dispatch.record(self.pass()),
                Work::Norm(step) => step.record(self.pass()),
                Work::Host(norm) => {
                    self.submit();
                    norm.run(self.gpu).await?;
                }
            }
        }
        Ok(())
    }

    /// Records a copy of `bytes` bytes from the start of a buffer.
    pub(super) fn copy(&mut self, from: &wgpu::Buffer, to: &wgpu::Buffer, at: u64, bytes: u64) {
        self.encoder()
            .copy_buffer_to_buffer(from, 0, to, at, Some(bytes));
    }

    /// Submits what was recorded; waits for nothing.
    pub(super) fn submit(&mut self) {
        self.pass = None;
        if let Some(encoder) = self.encoder.take() {
            self.gpu.queue().submit([encoder.finish()]);
        }
    }
}
