//! Kernels.
use crate::Limits;
/// Stub: pipelines by variant; cheap to clone.
#[derive(Clone, Debug)]
pub struct Kernels {}
impl Kernels {
    /// For this device.
    pub fn new(_device: &wgpu::Device) -> Self {
        todo!()
    }
    /// Of the device.
    pub fn limits(&self) -> &Limits {
        todo!()
    }
    /// The device.
    pub fn device(&self) -> &wgpu::Device {
        todo!()
    }
}
