//! The backward programs.

use super::planner::{Planner, Stages};
use super::{Needs, Program, Stage};
use crate::error::PlanError;
use crate::shape::Shape;

/// Every gradient that is asked for, from sums over the tensor, or from gradients of gamma and beta that the caller gives.
pub(super) fn backward(
    planner: &mut Planner<'_>,
    needs: &Needs,
    shape: Shape,
    epsilon: f32,
    values_per_channel: u64,
) -> Result<Program, PlanError> {
    planner.parameters.epsilon = epsilon;
    planner.parameters.inverse_count = if values_per_channel == 0 {
        0.0
    } else {
        (1.0 / values_per_channel as f64) as f32
    };
    let apply = needs.writes_values().then_some(Stage::GradientInput);
    if needs.sums() {
        return planner.program(Stages {
            gather: Stage::GradientSums,
            finalize: Stage::GradientFinalize,
            whole: Some(Stage::GradientCoefficients),
            apply,
            fused: apply.map(|_| Stage::GradientFused),
            resident: apply.map(|_| Stage::GradientResident),
        });
    }
    let mut program = Program {
        coefficients: planner.coefficients(),
        ..Program::default()
    };
    if shape.is_empty() {
        return Ok(Program::default());
    }
    let given = needs.gradients().is_some_and(|gradients| gradients.given);
    let finalize = if given {
        Stage::GivenGradients
    } else {
        Stage::GradientFinalize
    };
    let to = &mut program.dispatches;
    planner.finalize(to, finalize, 0..shape.channels(), 0);
    if let Some(apply) = apply {
        planner.elementwise(to, apply)?;
    }
    Ok(program)
}
