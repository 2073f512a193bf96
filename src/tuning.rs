//! Geometry of the kernels, as data.

use crate::error::PlanError;
use crate::limits::{AdapterKind, Limits};

/// Bytes that one lane takes of workgroup memory where lanes combine four channels' moments.
const LANE_BYTES: u64 = 48;

/// The most accesses that a lane may hold, four registers each: with more, too few lanes would be left to a GPU to switch to
/// while others wait.
const MOST_ACCESSES: u32 = 16;

/// Far beyond what any adapter profits from, and far below where 32-bit sums of indices overflow.
const MOST: u32 = 1 << 20;

/// Who walks the values of one unit of work (a channel, or a few neighbouring ones, or a split of either).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Team {
    /// One lane: nothing crosses lanes, neighbouring lanes own neighbouring channels. For software adapters.
    Lane,
    /// A workgroup, whose lanes combine their moments through subgroups or workgroup memory. For GPUs.
    Workgroup,
}

/// The choices that change how fast a plan runs, and nothing else of its result than the last bits.
///
/// Start from the default of the device, and change what a measurement tells to change:
///
/// ```
/// use wgpu_batchnorm::{Limits, Plan, Shape, Training, Tuning};
///
/// let limits = Limits::default();
/// let tuning = Tuning { workgroup_size: 64, ..Tuning::for_limits(&limits) };
/// let shape = Shape::channels_first(&[32, 64, 56, 56])?;
/// let plan = Plan::training(&limits, shape, &Training::default().tuning(tuning))?;
/// assert!(plan.dispatches().all(|dispatch| dispatch.workgroup_size == 64));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
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
    /// Rows that a lane walks at least with one set of coefficients where the channels are contiguous.
    pub tile_rows: u32,
    /// Bytes up to which a channels-last tensor is normalized in one dispatch.
    pub fused_bytes: u64,
    /// Bytes up to which a channels-first tensor with few values of a channel in a row is normalized channel by channel (8x8),
    /// and has its gradients written so (7x7); larger ones go row by row. Only where a lane walks a unit.
    pub cache_bytes: u64,
    /// Accesses (of four values, or fewer) that a lane may hold in registers, those of all tensors together, 16 at most: where
    /// so many are enough for whole channels, forward and backward read every tensor once. 0: they never do. Only where a
    /// workgroup walks a unit.
    pub resident_accesses: u32,
    /// Workgroups that keep the adapter busy where their lanes hold values in registers: fewer than `workgroups`, as each has
    /// all of its loads in flight at once.
    pub resident_workgroups: u32,
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
                // a few for each core, so that none waits long for the last
                workgroups: 4 * limits.processors.clamp(1, 256),
                values_per_workgroup: 8 << 10,
                block: 64,
                tile_rows: 256,
                fused_bytes: 256 << 10,
                cache_bytes: 8 << 20,
                resident_accesses: 0,
                resident_workgroups: 1,
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
                cache_bytes: u64::MAX,
                // Of 16 vec4, AMD's compiler makes 96 to 128 vector registers in either direction and no spill: 12 to 16
                // waves of 32 lanes on a SIMD of RDNA3, 8 to 10 on RDNA2, 2 waves of 64 on GCN. That is two workgroups
                // of 256 lanes to a compute unit at least, one of which loads 64 KiB while the other computes.
                resident_accesses: MOST_ACCESSES,
                // one for each compute unit of a middling GPU: one has all the loads of its channels in flight
                resident_workgroups: if limits.adapter == AdapterKind::Discrete {
                    64
                } else {
                    8
                },
            },
        }
    }

    /// Checks every value against the limits.
    pub(crate) fn check(&self, limits: &Limits) -> Result<(), PlanError> {
        let size = u64::from(self.workgroup_size);
        let bad = |what, given, needed: String| {
            Err(PlanError::Tuning {
                what,
                given,
                needed,
            })
        };
        if !size.is_power_of_two() || size > u64::from(limits.workgroup_size) {
            let needed = format!("a power of two up to {}", limits.workgroup_size);
            return bad("workgroup_size", size, needed);
        }
        if self.team == Team::Workgroup && size * LANE_BYTES > u64::from(limits.workgroup_memory) {
            let needed = format!(
                "at most {}",
                u64::from(limits.workgroup_memory) / LANE_BYTES
            );
            return bad("workgroup_size", size, needed);
        }
        for (what, given) in [
            ("workgroups", self.workgroups),
            ("values_per_workgroup", self.values_per_workgroup),
            ("block", self.block),
            ("tile_rows", self.tile_rows),
            ("resident_workgroups", self.resident_workgroups),
        ] {
            if given == 0 || given > MOST {
                return bad(what, u64::from(given), format!("1 to {MOST}"));
            }
        }
        if self.resident_accesses > MOST_ACCESSES {
            let given = u64::from(self.resident_accesses);
            return bad("resident_accesses", given, format!("0 to {MOST_ACCESSES}"));
        }
        Ok(())
    }
}
