//! A shape as the kernels walk it, and the windows that one binding can hold.

use std::ops::Range;

use crate::Shape;
use crate::tuning::Team;

/// How the lanes of a kernel go over a tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Walk {
    /// A unit is one channel, a row a run of its values (inner contiguous).
    Rows,
    /// A unit is neighbouring channels, a row holds one access of each (channels contiguous).
    Columns,
    /// A unit is four channels, a row is their plane of aligned vec4 (odd inner sizes).
    Quads,
    /// A unit is rows that go through all channels (normalizing short runs on software adapters).
    Planes,
    /// A unit is rows of one channel after another, as they lie in memory (on software adapters).
    Runs,
    /// The same where channels share accesses: a row is that of two, four or eight channels, so many that whole accesses hold it.
    SharedRuns,
    /// A unit is words one after another, wherever channels start (halves with an odd number in a row; masks).
    Words,
}

impl Walk {
    /// The walk's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rows => "rows",
            Self::Columns => "columns",
            Self::Quads => "quads",
            Self::Planes => "planes",
            Self::Runs => "runs",
            Self::SharedRuns => "shared runs",
            Self::Words => "words",
        }
    }
}

/// A tensor as rows of groups of channels; counts and strides in accesses of `width` values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Geometry {
    pub walk: Walk,
    /// Values in one access: 8, 4, 2 or 1.
    pub width: u64,
    pub rows: u64,
    pub groups: u64,
    pub columns: u64,
    pub row_stride: u64,
    pub group_stride: u64,
    pub channels_per_group: u64,
}

impl Geometry {
    /// The geometry of a shape that is not empty, by the first of these widths of an access that fits.
    pub fn new(shape: Shape, widths: &[u64], team: Team, window: u64) -> Self {
        let (mut outer, channels, mut inner) = (shape.outer(), shape.channels(), shape.inner());
        if channels == 1 {
            (outer, inner) = (1, outer * inner);
        }
        let widest = |size: u64| {
            let fits = widths.iter().copied().find(|&w| size.is_multiple_of(w));
            fits.unwrap_or(1)
        };
        let fours = |size: u64| widths.contains(&4) && size.is_multiple_of(4);
        if inner == 1 && channels > 1 {
            let width = widest(channels);
            return Self {
                walk: Walk::Columns,
                width,
                rows: outer,
                groups: channels / width,
                columns: 1,
                row_stride: channels / width,
                group_stride: 1,
                channels_per_group: width,
            };
        }
        if fours(channels)
            && !fours(inner)
            && inner > 4
            && team == Team::Lane
            && 4 * inner <= window
        {
            return Self {
                walk: Walk::Quads,
                width: 4,
                rows: outer,
                groups: channels / 4,
                columns: inner,
                row_stride: channels / 4 * inner,
                group_stride: inner,
                channels_per_group: 4,
            };
        }
        let width = widest(inner);
        Self {
            walk: Walk::Rows,
            width,
            rows: outer,
            groups: channels,
            columns: inner / width,
            row_stride: channels * (inner / width),
            group_stride: inner / width,
            channels_per_group: 1,
        }
    }

    /// The values of the tensor.
    pub const fn values(&self) -> u64 {
        self.rows * self.groups * self.columns * self.width
    }

    /// Cuts these groups into windows of at most `limit` values from the first to the last: over rows while whole rows
    /// fit, else over groups, else over the columns of one group.
    pub fn windows(&self, groups: Range<u64>, limit: u64) -> Vec<Window> {
        let limit = (limit / self.width).max(1);
        let span = (groups.end - groups.start - 1) * self.group_stride + self.columns;
        let mut windows = vec![];
        if span <= limit {
            let rows = (limit - span) / self.row_stride + 1;
            for row in (0..self.rows).step_by(rows as usize) {
                let rows = row..self.rows.min(row + rows);
                windows.push(self.window(rows, groups.clone(), 0..self.columns));
            }
        } else if self.columns <= limit {
            let count = (limit - self.columns) / self.group_stride + 1;
            for row in 0..self.rows {
                for group in groups.clone().step_by(count as usize) {
                    let groups = group..groups.end.min(group + count);
                    windows.push(self.window(row..row + 1, groups, 0..self.columns));
                }
            }
        } else {
            for row in 0..self.rows {
                for group in groups.clone() {
                    for column in (0..self.columns).step_by(limit as usize) {
                        let columns = column..self.columns.min(column + limit);
                        windows.push(self.window(row..row + 1, group..group + 1, columns));
                    }
                }
            }
        }
        windows
    }

    /// The window of these rows, groups and columns.
    pub fn window(&self, rows: Range<u64>, groups: Range<u64>, columns: Range<u64>) -> Window {
        let at = |row, group, column| {
            self.width * (row * self.row_stride + group * self.group_stride + column)
        };
        Window {
            values: at(rows.start, groups.start, columns.start)
                ..at(rows.end - 1, groups.end - 1, columns.end - 1) + self.width,
            rows,
            groups,
            columns,
        }
    }
}

/// A box of a tensor that one binding holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Window {
    pub rows: Range<u64>,
    pub groups: Range<u64>,
    pub columns: Range<u64>,
    /// From its first to its last value, in values of the tensor.
    pub values: Range<u64>,
}

impl Window {
    /// The number of values in the box.
    pub fn len(&self, geometry: &Geometry) -> u64 {
        let count = |range: &Range<u64>| range.end - range.start;
        count(&self.rows) * count(&self.groups) * count(&self.columns) * geometry.width
    }

    /// Whether the box has all values of its channels.
    pub fn has_whole_channels(&self, geometry: &Geometry) -> bool {
        self.rows == (0..geometry.rows) && self.columns == (0..geometry.columns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Every value is in exactly one window, and no window is longer than the limit.
        #[test]
        fn windows_partition_the_tensor(
            outer in 1u64..7, channels in 1u64..9, inner in 1u64..40, widths in prop::sample::select(vec![vec![1u64], vec![4, 1], vec![8, 4, 2, 1], vec![4, 2, 1], vec![2, 1]]),
            limit in 8u64..200, lanes in any::<bool>(),
        ) {
            let shape = Shape::from_geometry(outer, channels, inner).expect("small");
            let team = if lanes { Team::Lane } else { Team::Workgroup };
            let geometry = Geometry::new(shape, &widths, team, limit);
            prop_assert_eq!(geometry.values(), shape.len());
            let mut seen = vec![0; shape.len() as usize];
            for window in geometry.windows(0..geometry.groups, limit) {
                prop_assert!(window.values.end - window.values.start <= limit);
                for row in window.rows.clone() {
                    for group in window.groups.clone() {
                        for column in window.columns.clone() {
                            let at = row * geometry.row_stride + group * geometry.group_stride + column;
                            for value in at * geometry.width..(at + 1) * geometry.width {
                                prop_assert!(window.values.contains(&value));
                                seen[value as usize] += 1;
                            }
                        }
                    }
                }
            }
            prop_assert!(seen.iter().all(|&count| count == 1));
        }
    }
}
