//! The forward programs.

use super::planner::{Planner, Stages};
use super::{Program, Stage};
use crate::error::PlanError;
use crate::options::{RunningVariance, Training, Update};
use crate::shape::Shape;

/// From the batch's own values, or from `shards` moments that the caller gives.
pub(super) fn training(
    planner: &mut Planner<'_>,
    shape: Shape,
    options: &Training,
    shards: Option<u64>,
) -> Result<Program, PlanError> {
    planner.parameters.epsilon = options.epsilon;
    if let Some(running) = options.running {
        let n = shape.values_per_channel() as f64;
        match running.update {
            Update::Exponential(factor) => planner.parameters.update_factor = factor,
            Update::Cumulative => planner.parameters.cumulative = 1,
        }
        if running.variance == RunningVariance::Unbiased {
            planner.parameters.bessel = (n / (n - 1.0)) as f32;
            planner.parameters.unbiased = 1;
        }
    }
    let mut program = match shards {
        None if shape.is_empty() => return Ok(Program::default()),
        None => planner.program(Stages {
            gather: Stage::Statistics,
            finalize: Stage::Finalize,
            whole: Some(Stage::Coefficients),
            apply: Some(Stage::Normalize),
            fused: Some(Stage::Fused),
            resident: Some(Stage::Resident),
        })?,
        Some(shards) => {
            planner.parameters.bessel = 1.0;
            let mut program = Program {
                coefficients: planner.coefficients(),
                ..Program::default()
            };
            let to = &mut program.dispatches;
            planner.finalize(to, Stage::Finalize, 0..shape.channels(), shards);
            planner.elementwise(to, Stage::Normalize)?;
            program
        }
    };
    if options.mask {
        planner.mask(&mut program.dispatches);
    }
    Ok(program)
}

/// By running or fixed statistics.
pub(super) fn inference(
    planner: &mut Planner<'_>,
    epsilon: f32,
    mask: bool,
) -> Result<Program, PlanError> {
    planner.parameters.epsilon = epsilon;
    let mut program = Program::default();
    planner.elementwise(&mut program.dispatches, Stage::NormalizeGiven)?;
    if mask {
        planner.mask(&mut program.dispatches);
    }
    Ok(program)
}

/// The moments of x.
pub(super) fn statistics(planner: &Planner<'_>) -> Result<Program, PlanError> {
    planner.program(Stages {
        gather: Stage::Statistics,
        finalize: Stage::Merge,
        whole: None,
        apply: None,
        fused: None,
        resident: None,
    })
}

/// The moments of `shards` moments together.
pub(super) fn merge(planner: &Planner<'_>, channels: u64, shards: u64) -> Program {
    let mut program = Program::default();
    planner.finalize(&mut program.dispatches, Stage::Merge, 0..channels, shards);
    program
}
