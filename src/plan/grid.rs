//! From a window of a tensor to the dispatches that walk it.

use super::geometry::{Geometry, Window};
use super::planner::MASK_WORD;
use super::{Combine, Dispatch, Held, Kernel, Lanes, Pairs, Parameters, Stage, Walk, Work};
use crate::element::Element;
use crate::limits::Limits;
use crate::tuning::{Team, Tuning};

/// Bytes of a row that neighbouring lanes load at once, to hold them in registers: a cache line of most GPUs, or half of one
/// at least.
const CONTIGUOUS: [u64; 2] = [128, 64];

/// How many splits of the rows and of the columns of each group are walked apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Splits {
    pub split_rows: u64,
    pub split_columns: u64,
    pub row_splits: u64,
    pub column_splits: u64,
}

impl Splits {
    /// About `wanted` splits of `rows` x `columns`, along the rows first: at least one, and no empty one.
    pub fn new(rows: u64, columns: u64, wanted: u64) -> Self {
        let split_rows = rows.div_ceil(wanted.clamp(1, rows));
        let row_splits = rows.div_ceil(split_rows);
        let wanted_columns = wanted.div_ceil(row_splits).clamp(1, columns);
        let split_columns = columns.div_ceil(wanted_columns);
        Self {
            split_rows,
            split_columns,
            row_splits,
            column_splits: columns.div_ceil(split_columns),
        }
    }

    /// The same splits of the rows, each with all of so many columns.
    pub const fn with_all_columns(self, columns: u64) -> Self {
        Self {
            split_columns: columns,
            ..self
        }
    }

    pub const fn count(&self) -> u64 {
        self.row_splits * self.column_splits
    }
}

impl Lanes {
    /// Every lane a unit of its own.
    fn alone(size: u64) -> Self {
        Self {
            units_across: size,
            team_rows: 1,
            team_columns: 1,
        }
    }

    /// A workgroup for each unit: along its columns first, so that neighbouring lanes read neighbouring accesses.
    fn along_columns(size: u64, columns: u64) -> Self {
        let team_columns = columns.next_power_of_two().min(size);
        Self {
            units_across: 1,
            team_rows: size / team_columns,
            team_columns,
        }
    }

    /// Neighbouring units across, and as many lanes down the rows of each as are left.
    fn across_units(size: u64, units: u64) -> Self {
        let units_across = units.next_power_of_two().min(size);
        Self {
            units_across,
            team_rows: size / units_across,
            team_columns: 1,
        }
    }

    /// For tensors that are walked along memory: columns are groups of channels, or words.
    pub fn for_columns(tuning: &Tuning, columns: u64) -> Self {
        Self::along_columns(u64::from(tuning.workgroup_size), columns)
    }

    /// For the other stages that walk the tensor.
    pub fn for_tensor(tuning: &Tuning, geometry: &Geometry, window: &Window) -> Self {
        let size = u64::from(tuning.workgroup_size);
        match (tuning.team, geometry.walk) {
            (Team::Lane, _) => Self::alone(size),
            (Team::Workgroup, Walk::Columns) => {
                Self::across_units(size, window.groups.end - window.groups.start)
            }
            (Team::Workgroup, _) => {
                Self::along_columns(size, window.columns.end - window.columns.start)
            }
        }
    }

    /// For units that are held in registers, of at most so many accesses a lane; none where they do not fit. `access` bytes
    /// are loaded at once.
    pub fn holding(
        tuning: &Tuning,
        geometry: &Geometry,
        window: &Window,
        access: u64,
        most: u64,
    ) -> Option<Self> {
        let size = u64::from(tuning.workgroup_size);
        let fits = |lanes: &Self| lanes.held(geometry.rows, geometry.columns).accesses() <= most;
        if geometry.walk == Walk::Columns {
            let groups = (window.groups.end - window.groups.start).next_power_of_two();
            let across = |bytes: u64| (bytes / access).clamp(1, groups);
            // no more lanes to a unit than it has rows
            let busy = size / geometry.rows.next_power_of_two().min(size);
            let arranged = CONTIGUOUS
                .map(|bytes| Self::across_units(size, across(bytes).max(busy.min(groups))));
            return arranged.into_iter().find(fits);
        }
        // the fewest accesses; of equal ones the longest runs of neighbours
        let longest = geometry.columns.next_power_of_two().min(size);
        let shortest = (CONTIGUOUS[1] / access).min(longest);
        (0..=(longest / shortest).ilog2())
            .map(|shift| Self::along_columns(size, longest >> shift))
            .min_by_key(|lanes| lanes.held(geometry.rows, geometry.columns).accesses())
            .filter(fits)
    }

    /// What a lane walks of so many rows and columns.
    pub fn held(&self, rows: u64, columns: u64) -> Held {
        Held {
            rows: rows.div_ceil(self.team_rows),
            columns: columns.div_ceil(self.team_columns),
        }
    }

    /// For the finalize stage, whose units are channels and whose rows are partials.
    pub fn for_partials(tuning: &Tuning, partials: u64) -> Self {
        let size = u64::from(tuning.workgroup_size);
        match tuning.team {
            Team::Lane => Self::alone(size),
            Team::Workgroup => {
                // the largest power of two that is not more than the partials: no lane without one
                let team_rows = (1 << partials.max(1).ilog2()).min(size);
                Self {
                    units_across: size / team_rows,
                    team_rows,
                    team_columns: 1,
                }
            }
        }
    }

    /// How the lanes of one unit combine their moments.
    fn combine(&self, stage: Stage, tuning: &Tuning, limits: &Limits) -> Combine {
        if stage.is_elementwise() || self.units_across == u64::from(tuning.workgroup_size) {
            return Combine::Lane;
        }
        match limits.subgroups {
            Some(sizes) if self.units_across == 1 => {
                if sizes.min == tuning.workgroup_size && sizes.max == tuning.workgroup_size {
                    Combine::Subgroup
                } else {
                    Combine::Subgroups
                }
            }
            _ => Combine::Workgroup,
        }
    }
}

/// A window of a tensor, how it is cut into units, and how lanes go over them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Area<'a> {
    pub geometry: &'a Geometry,
    pub window: &'a Window,
    pub splits: Splits,
    pub lanes: Lanes,
}

/// The dispatches of one stage over one window: one, but for grids longer than a dispatch.
pub(super) fn dispatches<'a>(
    (stage, element, pairs): (Stage, Element, Pairs),
    area: Area<'_>,
    (limits, tuning): (&'a Limits, &Tuning),
    parameters: Parameters,
) -> impl Iterator<Item = Dispatch> + 'a {
    let Area {
        geometry,
        window,
        splits,
        lanes,
    } = area;
    let narrow = |value: u64| u32::try_from(value).expect("a binding has fewer than 2^32 accesses");
    let groups = window.groups.end - window.groups.start;
    let units = groups * splits.count();
    let kernel = Kernel {
        stage,
        walk: geometry.walk,
        element,
        width: geometry.width,
        channels: match geometry.walk {
            // one after another
            Walk::SharedRuns => 1,
            // of eight, one half has as many as a vector
            _ => geometry.channels_per_group.min(4),
        },
        team: tuning.team,
        pairs,
        combine: lanes.combine(stage, tuning, limits),
        lanes,
        held: stage
            .is_resident()
            .then(|| lanes.held(splits.split_rows, splits.split_columns)),
    };
    // three nested sums, each about the cube root of what the lane walks; two where it has little to walk
    let accesses = splits.split_rows.div_ceil(lanes.team_rows)
        * splits.split_columns.div_ceil(lanes.team_columns);
    let (walked, per_channel) = match geometry.walk {
        Walk::Rows => (accesses, geometry.width),
        // each row by itself
        Walk::Runs | Walk::SharedRuns => (splits.split_columns, geometry.width),
        Walk::Columns | Walk::Planes | Walk::Words => (accesses, 1),
        Walk::Quads => (splits.split_rows, splits.split_columns),
    };
    let block = if stage.is_finalize() {
        // two nested sums: partials are few
        (walked as f64).sqrt().ceil() as u64
    } else {
        let root = match tuning.team {
            Team::Lane => (walked as f64).cbrt(),
            Team::Workgroup => (walked as f64).sqrt(),
        };
        (root.ceil() as u64).max(u64::from(tuning.block))
    };
    let parameters = Parameters {
        units: narrow(units),
        groups: narrow(groups),
        first_group: narrow(window.groups.start),
        first_column: narrow(window.columns.start),
        rows: narrow(window.rows.end - window.rows.start),
        columns: narrow(window.columns.end - window.columns.start),
        // of one row, whose stride may not fit into 32 bits, anything that reaches past its end
        row_stride: narrow(if window.rows.end - window.rows.start > 1 {
            geometry.row_stride
        } else {
            ((window.values.end - window.values.start) / geometry.width).max(1)
        }),
        group_stride: narrow(if groups > 1 { geometry.group_stride } else { 0 }),
        split_rows: narrow(splits.split_rows),
        split_columns: narrow(splits.split_columns),
        column_splits: narrow(splits.column_splits),
        block: narrow(block.max(1)),
        values: narrow(window.values.end - window.values.start),
        first_bit: (window.values.start % MASK_WORD) as u32,
        part: u32::try_from(block * block * per_channel).unwrap_or(u32::MAX),
        ..parameters
    };
    let values = window.values.clone();
    let (len, channels) = extent(&area, &parameters);
    let partials = match geometry.walk {
        // one of each row, which follow each other channel by channel
        Walk::Runs | Walk::SharedRuns => {
            let groups = parameters.channels / parameters.row_channels;
            u64::from(parameters.rows / groups)
        }
        _ => splits.count(),
    };
    let workgroups = units.div_ceil(lanes.units_across);
    let most = u64::from(limits.workgroups_per_dimension);
    // whole squares first, so that no folded grid reaches into the next dispatch's workgroups
    (0..workgroups)
        .step_by((most * most) as usize)
        .map(move |first| {
            let count = (workgroups - first).min(most * most);
            let width = count.min(most);
            let covered =
                units.min((first + count) * lanes.units_across) - first * lanes.units_across;
            let share = |of: u64| (u128::from(of) * u128::from(covered) / u128::from(units)) as u64;
            Dispatch {
                kernel,
                grid: [narrow(width), narrow(count.div_ceil(width))],
                parameters: Parameters {
                    first_workgroup: narrow(first),
                    grid_width: narrow(width),
                    ..parameters
                },
                window: values.clone(),
                work: Work {
                    values: share(len),
                    channels: share(channels).max(1),
                    partials,
                },
            }
        })
}

/// The values of an area, and the channels that it goes through at most.
fn extent(area: &Area<'_>, parameters: &Parameters) -> (u64, u64) {
    let inner = u64::from(parameters.inner);
    let (geometry, window) = (area.geometry, area.window);
    let groups = window.groups.end - window.groups.start;
    let columns = window.columns.end - window.columns.start;
    let len = window.len(geometry);
    match geometry.walk {
        Walk::Runs | Walk::SharedRuns => (len, u64::from(parameters.channels)),
        // the columns of one group go through the channels
        Walk::Planes => (len, columns * geometry.width / inner),
        Walk::Columns => (len, groups * columns * geometry.width),
        // words reach over the ends of rows, and the last one over the end of the window
        Walk::Words => {
            let len = window.values.end - window.values.start;
            (len, len.div_ceil(inner))
        }
        Walk::Rows | Walk::Quads => (len, groups * geometry.channels_per_group),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Splits cover the rows and columns without an empty one.
        #[test]
        fn splits_cover(rows in 1u64..1000, columns in 1u64..1000, wanted in 0u64..5000) {
            let splits = Splits::new(rows, columns, wanted);
            prop_assert!(splits.split_rows * splits.row_splits >= rows);
            prop_assert!(splits.split_rows * (splits.row_splits - 1) < rows);
            prop_assert!(splits.split_columns * splits.column_splits >= columns);
            prop_assert!(splits.split_columns * (splits.column_splits - 1) < columns);
        }
    }
}
