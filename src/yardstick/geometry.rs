//! How a copy is laid out over lanes, and cut into what a binding and a grid can hold. Pure arithmetic.

use std::fmt;

use crate::limits::Limits;

/// What a lane moves in one step of its loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Access {
    /// One value.
    Value,
    /// One vec4.
    Vec4,
    /// Two vec4, loaded before either is stored.
    TwoVec4,
    /// Four vec4, loaded before any is stored.
    FourVec4,
}

impl Access {
    pub(super) const fn entry_point(self) -> &'static str {
        match self {
            Self::Value => "scalar",
            Self::Vec4 => "one",
            Self::TwoVec4 => "two",
            Self::FourVec4 => "four",
        }
    }

    /// Values of one access.
    const fn width(self) -> u64 {
        match self {
            Self::Value => 1,
            Self::Vec4 | Self::TwoVec4 | Self::FourVec4 => 4,
        }
    }
}

/// One way to lay a copy out over the lanes of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CopyGeometry {
    /// Lanes of a workgroup.
    pub workgroup_size: u32,
    /// Neighbouring lanes that walk one contiguous chunk together; divides `workgroup_size`.
    pub team: u32,
    /// What a lane moves at a time.
    pub access: Access,
    /// Values that one workgroup copies; a multiple of 4 for each of its teams.
    pub values_per_workgroup: u32,
}

impl CopyGeometry {
    const fn new(
        workgroup_size: u32,
        team: u32,
        access: Access,
        values_per_workgroup: u32,
    ) -> Self {
        Self {
            workgroup_size,
            team,
            access,
            values_per_workgroup,
        }
    }

    /// The geometries worth trying for a tensor of this many values: at least eight on every device.
    ///
    /// Narrow workgroups suit software adapters, wide ones hardware. Single values are a candidate only where the last
    /// vec4 is not whole, as vec4 then need a second dispatch for the rest.
    pub fn candidates(limits: &Limits, values: u64) -> Vec<Self> {
        use Access::{FourVec4, TwoVec4, Value, Vec4};
        let whole = values.is_multiple_of(4);
        [
            Self::new(8, 8, Vec4, 8 << 10),
            Self::new(8, 8, TwoVec4, 8 << 10),
            Self::new(8, 8, FourVec4, 8 << 10),
            Self::new(8, 8, TwoVec4, 32 << 10),
            Self::new(8, 8, FourVec4, 32 << 10),
            Self::new(8, 8, FourVec4, 128 << 10),
            Self::new(16, 16, FourVec4, 32 << 10),
            Self::new(32, 32, FourVec4, 16 << 10),
            Self::new(64, 8, FourVec4, 64 << 10),
            Self::new(64, 64, FourVec4, 16 << 10),
            Self::new(256, 256, Vec4, 1 << 10),
            Self::new(256, 256, FourVec4, 4 << 10),
            Self::new(256, 32, FourVec4, 32 << 10),
            Self::new(8, 8, Value, 8 << 10),
            Self::new(256, 256, Value, 4 << 10),
        ]
        .into_iter()
        .filter(|geometry| geometry.workgroup_size <= limits.workgroup_size)
        .filter(|geometry| !whole || geometry.access != Value)
        .collect()
    }

    /// Accesses of one team.
    fn chunk(&self) -> u64 {
        let teams = u64::from(self.workgroup_size / self.team);
        u64::from(self.values_per_workgroup) / (teams * self.access.width())
    }
}

/// As in `256 lanes by 32, 4 vec4 each, 32 Ki/workgroup`: in teams of 32, and values per workgroup.
impl fmt::Display for CopyGeometry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} lanes", self.workgroup_size)?;
        if self.team != self.workgroup_size {
            write!(f, " by {}", self.team)?;
        }
        let access = match self.access {
            Access::Value => "1 value",
            Access::Vec4 => "1 vec4",
            Access::TwoVec4 => "2 vec4",
            Access::FourVec4 => "4 vec4",
        };
        write!(
            f,
            ", {access} each, {} Ki/workgroup",
            self.values_per_workgroup >> 10
        )
    }
}

/// A run of accesses in one binding, as the shader's `Range`, and the grid that covers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Range {
    pub start: u32,
    pub end: u32,
    pub chunk: u32,
    pub row: u32,
    pub rows: u32,
}

/// One dispatch: which bytes are bound, and what is copied within them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Window {
    pub offset: u64,
    pub bytes: u64,
    pub access: Access,
    pub range: Range,
}

/// Cuts a tensor into what one binding holds, and a binding into vec4 and the one to three values after them.
pub(super) fn windows(limits: &Limits, geometry: &CopyGeometry, values: u64) -> Vec<Window> {
    let unit = limits.offset_alignment.max(16);
    let window_values = (limits.binding_bytes / unit).max(1) * unit / 4;
    let mut windows = Vec::new();
    let mut first = 0;
    while first < values {
        let len = window_values.min(values - first);
        let width = geometry.access.width();
        let mut push = |access: Access, start: u64, end: u64, chunk: u64| {
            let workgroups = (end - start).div_ceil(chunk * teams(geometry));
            let row = workgroups.min(u64::from(limits.workgroups_per_dimension));
            let narrow =
                |value: u64| u32::try_from(value).expect("a binding has less than 2^32 values");
            windows.push(Window {
                offset: 4 * first,
                bytes: 4 * len,
                access,
                range: Range {
                    start: narrow(start),
                    end: narrow(end),
                    chunk: narrow(chunk),
                    row: narrow(row),
                    rows: narrow(workgroups.div_ceil(row)),
                },
            });
        };
        if len >= width {
            push(geometry.access, 0, len / width, geometry.chunk());
        }
        let rest = len % width;
        if rest > 0 {
            push(Access::Value, len - rest, len, rest);
        }
        first += len;
    }
    windows
}

fn teams(geometry: &CopyGeometry) -> u64 {
    u64::from(geometry.workgroup_size / geometry.team)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every value that the dispatches copy, counted.
    fn covered(limits: &Limits, geometry: &CopyGeometry, values: u64) -> Vec<u32> {
        let mut seen = vec![0; values as usize];
        for window in windows(limits, geometry, values) {
            assert!(window.bytes <= limits.binding_bytes);
            assert!(window.offset.is_multiple_of(limits.offset_alignment));
            let Range {
                start,
                end,
                chunk,
                row,
                rows,
            } = window.range;
            assert!(row.max(rows) <= limits.workgroups_per_dimension);
            let width = window.access.width();
            let teams = u64::from(row) * u64::from(rows) * teams(geometry);
            for team in 0..teams {
                let first = u64::from(start) + team * u64::from(chunk);
                let last = (first + u64::from(chunk)).min(u64::from(end));
                for value in first * width..last.max(first) * width {
                    if first < u64::from(end) {
                        seen[(window.offset / 4 + value) as usize] += 1;
                    }
                }
            }
        }
        seen
    }

    #[test]
    fn every_value_is_copied_once_by_every_geometry() {
        let small = Limits {
            binding_bytes: 64 << 10,
            offset_alignment: 32,
            workgroups_per_dimension: 7,
            ..Limits::default()
        };
        for values in [0, 1, 3, 4, 5, 8191, 8192, 16384, 40_003] {
            for limits in [Limits::default(), small.clone()] {
                for geometry in CopyGeometry::candidates(&limits, values) {
                    let seen = covered(&limits, &geometry, values);
                    assert!(
                        seen.iter().all(|&times| times == 1),
                        "{geometry}, {values} values"
                    );
                }
            }
        }
    }

    #[test]
    fn every_device_has_eight_candidates() {
        for values in [4, 5] {
            let narrow = Limits {
                workgroup_size: 64,
                ..Limits::default()
            };
            assert!(CopyGeometry::candidates(&narrow, values).len() >= 8);
        }
    }

    #[test]
    fn chunks_are_whole_vec4() {
        for geometry in CopyGeometry::candidates(&Limits::default(), 1) {
            let teams = geometry.workgroup_size / geometry.team;
            assert_eq!(geometry.workgroup_size % geometry.team, 0);
            assert_eq!(geometry.values_per_workgroup % (4 * teams), 0, "{geometry}");
        }
    }
}
