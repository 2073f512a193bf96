//! Geometry of the kernels, as data.

use crate::limits::{AdapterKind, Limits};

/// Who walks the values of one unit of work (a channel, or a few neighbouring ones, or a split of either).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Team {
    /// One lane: nothing crosses lanes, neighbouring lanes own neighbouring channels. For software adapters.
    Lane,
    /// A workgroup, whose lanes combine their moments through subgroups or workgroup memory. For GPUs.
    Workgroup,
}

/// The choices that change how fast a plan runs, and nothing else of its result than the last bits.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Tuning {
    /// Lanes of a workgroup: a power of two up to [`Limits::workgroup_size`].
    pub workgroup_size: u32,
    /// Who walks a unit.
    pub team: Team,
    /// The number of workgroups that keeps the adapter busy: statistics are split until there are as many, where the
    /// tensor is large enough.
    pub workgroups: u32,
    /// Values that a workgroup should have to itself before more workgroups are worth their start.
    pub values_per_workgroup: u32,
    /// Accesses that a lane sums before it merges the sums into its moments; bounds the rounding error.
    pub block: u32,
    /// Rows that a lane walks with one set of coefficients where the channels are contiguous.
    pub tile_rows: u32,
    /// Bytes up to which a channels-last tensor is normalized in one dispatch.
    pub fused_bytes: u64,
}

impl Tuning {
    /// The default for a device.
    pub fn for_limits(limits: &Limits) -> Self {
        match limits.adapter {
            AdapterKind::Cpu => Self {
                workgroup_size: limits
                    .subgroups
                    .map_or(8, |sizes| sizes.max)
                    .min(limits.workgroup_size),
                team: Team::Lane,
                workgroups: 4,
                values_per_workgroup: 8 << 10,
                block: 64,
                tile_rows: 16,
                fused_bytes: 256 << 10,
            },
            AdapterKind::Integrated | AdapterKind::Discrete => Self {
                workgroup_size: 256.min(limits.workgroup_size),
                team: Team::Workgroup,
                workgroups: if limits.adapter == AdapterKind::Discrete {
                    1024
                } else {
                    128
                },
                values_per_workgroup: 4 << 10,
                block: 16,
                tile_rows: 8,
                fused_bytes: 64 << 10,
            },
        }
    }
}
