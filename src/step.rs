//! Steps.
/// Stub: a plan bound to tensors.
#[derive(Debug)]
pub struct Step {}
impl Step {
    /// Records every dispatch into the caller's pass.
    pub fn record(&self, _pass: &mut wgpu::ComputePass<'_>) {
        todo!()
    }
}
