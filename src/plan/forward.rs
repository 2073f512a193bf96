//! The forward programs: which stages, over which windows, in which splits.

use std::ops::Range;

use super::geometry::{Geometry, Walk, Window};
use super::grid::{Lanes, Splits, dispatches};
use super::{Dispatch, Parameters, Program, Stage};
use crate::error::PlanError;
use crate::limits::Limits;
use crate::options::{Inference, RunningVariance, Training, Update};
use crate::packed::Packed;
use crate::shape::Shape;
use crate::tuning::Tuning;

/// Bytes of a partial: count, frame, mean and M2 of one channel in one split.
const PARTIAL_BYTES: u64 = 16;

/// What planning a program goes by.
struct Planner<'a> {
    limits: &'a Limits,
    tuning: &'a Tuning,
    geometry: Geometry,
    /// Values that a window may span.
    window: u64,
    parameters: Parameters,
}

/// The values that one binding holds wherever the tensor starts, in whole vec4.
fn window_values(limits: &Limits) -> u64 {
    let bytes = limits.binding_bytes.min(1 << 32) - limits.offset_alignment;
    bytes / 16 * 4
}

impl<'a> Planner<'a> {
    fn new(
        limits: &'a Limits,
        tuning: &'a Tuning,
        shape: Shape,
        width: u64,
        parameters: Parameters,
    ) -> Self {
        let window = window_values(limits);
        let n = shape.values_per_channel();
        Self {
            limits,
            tuning,
            geometry: Geometry::new(shape, width, tuning.team, window),
            window,
            parameters: Parameters {
                vector_stride: u32::try_from(Packed::new(shape.channels()).stride())
                    .expect("packed vectors fit into a binding"),
                inverse_count: (1.0 / n as f64) as f32,
                bessel: 1.0,
                ..parameters
            },
        }
    }

    fn all(&self) -> Vec<Window> {
        self.geometry.windows(0..self.geometry.groups, self.window)
    }

    fn lanes(&self, window: &Window) -> Lanes {
        Lanes::for_tensor(self.tuning, &self.geometry, window)
    }

    /// Splits of a window that keep the adapter busy.
    fn splits(&self, window: &Window) -> Splits {
        let size = |range: &Range<u64>| range.end - range.start;
        let across = self.lanes(window).units_across;
        let useful = window.len(&self.geometry).saturating_mul(across)
            / u64::from(self.tuning.values_per_workgroup);
        let units = useful.clamp(1, u64::from(self.tuning.workgroups) * across);
        let wanted = units.div_ceil(size(&window.groups));
        match self.geometry.walk {
            Walk::Rows => Splits::new(size(&window.rows), size(&window.columns), wanted),
            // the channels of a group share its columns
            Walk::Columns | Walk::Quads => {
                Splits::new(size(&window.rows), 1, wanted).with_all_columns(size(&window.columns))
            }
        }
    }

    fn one_split(&self, window: &Window) -> Splits {
        Splits::new(
            window.rows.end - window.rows.start,
            window.columns.end - window.columns.start,
            1,
        )
    }

    fn push(
        &self,
        to: &mut Vec<Dispatch>,
        stage: Stage,
        window: &Window,
        splits: Splits,
        parameters: Parameters,
    ) {
        to.extend(dispatches(
            stage,
            &self.geometry,
            window,
            splits,
            self.lanes(window),
            (self.limits, self.tuning),
            parameters,
        ));
    }

    /// Whether one dispatch for everything keeps the adapter as busy as splitting would.
    fn fuses(&self, windows: &[Window]) -> bool {
        let whole = windows
            .iter()
            .all(|window| window.has_whole_channels(&self.geometry));
        let small = match self.geometry.walk {
            Walk::Rows | Walk::Quads => true,
            // down the columns stores are slow, unless the cache holds the tensor
            Walk::Columns => 4 * self.geometry.values() <= self.tuning.fused_bytes,
        };
        whole
            && small
            && windows
                .iter()
                .all(|window| self.splits(window).count() == 1)
    }

    fn normalize(&self, to: &mut Vec<Dispatch>, stage: Stage, windows: &[Window]) {
        for window in windows {
            let splits = match self.geometry.walk {
                Walk::Rows | Walk::Quads => self.splits(window),
                Walk::Columns => Splits::by_rows(
                    window.rows.end - window.rows.start,
                    u64::from(self.tuning.tile_rows) * self.lanes(window).team_rows,
                ),
            };
            self.push(to, stage, window, splits, self.parameters);
        }
    }

    /// Statistics, finalize and normalize over some of the groups, whose partials fit into one binding.
    fn split_program(&self, groups: Range<u64>) -> Result<Program, PlanError> {
        let windows = self.geometry.windows(groups.clone(), self.window);
        let splits: Vec<_> = windows.iter().map(|window| self.splits(window)).collect();
        let per_group = self.geometry.channels_per_group;
        let channels = (groups.end - groups.start) * per_group;

        // windows over different groups number their splits alike; what a window's groups have before it counts
        let mut first_splits = Vec::with_capacity(windows.len());
        let mut seen = vec![0u64; (groups.end - groups.start) as usize];
        for (window, splits) in windows.iter().zip(&splits) {
            let range = (window.groups.start - groups.start) as usize
                ..(window.groups.end - groups.start) as usize;
            first_splits.push(seen[range.start]);
            seen[range].iter_mut().for_each(|n| *n += splits.count());
        }
        let partials_per_channel = seen.iter().copied().max().unwrap_or(0);
        let even = seen.iter().all(|&n| n == partials_per_channel);
        let partials = partials_per_channel * channels;
        if !even || partials * PARTIAL_BYTES > self.limits.binding_bytes {
            let count = groups.end - groups.start;
            if count == 1 {
                return Err(PlanError::Limit {
                    what: "the size of a storage binding",
                    given: self.limits.binding_bytes,
                    needed: partials * PARTIAL_BYTES,
                });
            }
            let middle = groups.start + count / 2;
            let mut first = self.split_program(groups.start..middle)?;
            let second = self.split_program(middle..groups.end)?;
            first.dispatches.extend(second.dispatches);
            first.partials = first.partials.max(second.partials);
            return Ok(first);
        }

        let parameters = Parameters {
            channels: channels as u32,
            first_channel: (groups.start * per_group) as u32,
            ..self.parameters
        };
        let mut dispatches = vec![];
        for ((window, splits), first_split) in windows.iter().zip(splits).zip(first_splits) {
            let parameters = Parameters {
                first_split: first_split as u32,
                ..parameters
            };
            self.push(
                &mut dispatches,
                Stage::Statistics,
                window,
                splits,
                parameters,
            );
        }
        self.finalize(&mut dispatches, channels, partials_per_channel, parameters);
        self.normalize(&mut dispatches, Stage::Normalize, &windows);
        Ok(Program {
            dispatches,
            partials,
            coefficients: 3 * u64::from(self.parameters.vector_stride),
        })
    }

    fn finalize(
        &self,
        to: &mut Vec<Dispatch>,
        channels: u64,
        partials: u64,
        parameters: Parameters,
    ) {
        let first = u64::from(parameters.first_channel);
        let geometry = Geometry {
            walk: Walk::Rows,
            width: 1,
            rows: partials,
            groups: channels,
            columns: 1,
            row_stride: channels,
            group_stride: 1,
            channels_per_group: 1,
        };
        let window = Window {
            rows: 0..partials,
            groups: first..first + channels,
            columns: 0..1,
            values: 0..0,
        };
        let splits = Splits::new(partials, 1, 1);
        let lanes = Lanes::for_partials(self.tuning, partials);
        to.extend(dispatches(
            Stage::Finalize,
            &geometry,
            &window,
            splits,
            lanes,
            (self.limits, self.tuning),
            parameters,
        ));
    }
}

pub(super) fn training(
    limits: &Limits,
    shape: Shape,
    options: &Training,
    tuning: &Tuning,
    width: u64,
) -> Result<Program, PlanError> {
    let mut planner = Planner::new(
        limits,
        tuning,
        shape,
        width,
        Parameters {
            epsilon: options.epsilon,
            ..Parameters::default()
        },
    );
    if let Some(running) = options.running {
        let n = shape.values_per_channel() as f64;
        match running.update {
            Update::Exponential(factor) => planner.parameters.update_factor = factor,
            Update::Cumulative => planner.parameters.cumulative = 1,
        }
        if running.variance == RunningVariance::Unbiased {
            planner.parameters.bessel = (n / (n - 1.0)) as f32;
        }
    }
    let windows = planner.all();
    if !planner.fuses(&windows) {
        return planner.split_program(0..planner.geometry.groups);
    }
    let mut dispatches = vec![];
    for window in &windows {
        let splits = planner.one_split(window);
        planner.push(
            &mut dispatches,
            Stage::Fused,
            window,
            splits,
            planner.parameters,
        );
    }
    Ok(Program {
        dispatches,
        ..Program::default()
    })
}

pub(super) fn inference(
    limits: &Limits,
    shape: Shape,
    options: &Inference,
    tuning: &Tuning,
    width: u64,
) -> Result<Program, PlanError> {
    let planner = Planner::new(
        limits,
        tuning,
        shape,
        width,
        Parameters {
            epsilon: options.epsilon,
            ..Parameters::default()
        },
    );
    let mut dispatches = vec![];
    planner.normalize(&mut dispatches, Stage::NormalizeGiven, &planner.all());
    Ok(Program {
        dispatches,
        ..Program::default()
    })
}
