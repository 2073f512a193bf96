//! Plans.
use crate::{BindError, Buffers, Inference, Kernels, Limits, PlanError, Shape, Step, Training};

/// Stub of the plan.
#[derive(Clone, Debug)]
pub struct Plan {}

impl Plan {
    /// Training forward.
    pub fn training(
        _limits: &Limits,
        _shape: Shape,
        _options: &Training,
    ) -> Result<Self, PlanError> {
        todo!()
    }
    /// Inference.
    pub fn inference(
        _limits: &Limits,
        _shape: Shape,
        _options: &Inference,
    ) -> Result<Self, PlanError> {
        todo!()
    }
    /// Bytes of scratch.
    pub fn workspace_bytes(&self) -> u64 {
        todo!()
    }
    /// The shape.
    pub fn shape(&self) -> Shape {
        todo!()
    }
    /// The minimum traffic in bytes: inference 1 read + 1 write, training 2 reads + 1 write of the tensor.
    pub fn minimum_traffic(&self) -> u64 {
        todo!()
    }
    /// Binds tensors; creates the bind groups, a uniform buffer, a workspace where none is given, and compiles
    /// pipelines not yet in `kernels`.
    pub fn bind(&self, _kernels: &Kernels, _buffers: Buffers<'_>) -> Result<Step, BindError> {
        todo!()
    }
    /// `bind` within error scopes.
    pub async fn bind_checked(
        &self,
        _kernels: &Kernels,
        _buffers: Buffers<'_>,
    ) -> Result<Step, BindError> {
        todo!()
    }
}
