//! Geometry of the kernels, as data.

mod fields;
mod key;
mod tunings;

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::error::PlanError;
use crate::limits::{AdapterKind, Limits};
pub use fields::TuningField;
pub use key::TuningKey;
pub use tunings::{TunedPass, Tunings, TuningsError};

/// Bytes that one lane takes of workgroup memory where lanes combine four channels' moments.
const LANE_BYTES: u32 = 48;

/// The most accesses that a lane may hold, four registers each: with more, too few lanes would be left to a GPU to switch to
/// while others wait.
const MOST_ACCESSES: u32 = 16;

/// Far beyond what any adapter profits from, and far below where 32-bit sums of indices overflow.
const MOST: u32 = 1 << 20;

/// Lanes of a workgroup that walk a unit together, by the workgroup memory they need.
fn most_in_a_team(limits: &Limits) -> u32 {
    limits.workgroup_memory / LANE_BYTES
}

/// Who walks the values of one unit of work (a channel, or a few neighbouring ones, or a split of either).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Team {
    /// One lane: nothing crosses lanes, neighbouring lanes own neighbouring channels. For software adapters.
    Lane,
    /// A workgroup, whose lanes combine their moments through subgroups or workgroup memory. For GPUs.
    Workgroup,
}

impl fmt::Display for Team {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Lane => "lane",
            Self::Workgroup => "workgroup",
        })
    }
}

/// The choices that change how fast a plan runs, and nothing else of its result than the last bits.
///
/// `wgpu-batchnorm tune` measures which are fast on an adapter, and [`Tunings`] has what it found. By hand, start from the
/// default of the device, and change what a measurement tells to change:
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
///
/// With serde it is a map of all fields by their names. One that is missing is an error, as is one that is unknown: what a
/// field is by default depends on the device, which a file does not know.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
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
    /// Bytes up to which a channels-last tensor is normalized, or has its gradients written, in one dispatch that reads it twice.
    pub fused_bytes: u64,
    /// Bytes of all tensors that a pass over channels-first tensors reads and writes, up to which a cache holds them from one look at
    /// a channel to the next. Of more, few values of a channel in a row (8x8) are normalized row by row, through all channels, and
    /// moments and sums are gathered along memory (see `run_tensors`); rows of f32 that go one after another (see `run_bytes`) have
    /// one access in flight where two at a time would leave one. Only where a lane walks a unit.
    pub cache_bytes: u64,
    /// Bytes of a channel's row (its values in one sample of a channels-first tensor; those of four channels that share accesses,
    /// as of 7x7) below which a lane goes on to the next channel's row, as they lie in memory, and not to the same channel's next:
    /// where it normalizes or writes gradients, and see `run_tensors`. Rows of fewer accesses than `shortest_run` are no such. Only
    /// where a lane walks a unit.
    pub run_bytes: u64,
    /// Accesses (of four values, or fewer) in such a row from which it is worth coefficients of its own where rows are gone over as
    /// they lie in memory: see `run_bytes`. Of fewer, each access has its own, above `cache_bytes`. Only where a lane walks a unit.
    pub shortest_run: u32,
    /// Tensors that moments or sums are gathered from, from which on they are gathered along memory as well, above `cache_bytes`:
    /// each row (see `run_bytes`) leaves a partial, and there are three dispatches, not one. 1: moments as well, 2: sums of
    /// gradients alone. Only where a lane walks a unit.
    pub run_tensors: u32,
    /// Pages of 4 KiB, those of all tensors together, that a lane touches on one walk down a channels-last tensor, unless one
    /// dispatch does all: as many as a processor has translations of addresses at hand. Only where a lane walks a unit.
    pub walk_pages: u32,
    /// Accesses (of four values, or fewer) that a lane may hold in registers, those of all tensors together, 16 at most: where
    /// so many are enough for whole channels, forward and backward read every tensor once. 0: they never do. Only where a
    /// workgroup walks a unit.
    pub resident_accesses: u32,
    /// Workgroups that keep the adapter busy where their lanes hold values in registers: fewer than `workgroups`, as each has
    /// all of its loads in flight at once.
    pub resident_workgroups: u32,
    /// Tensors of which a lane has two accesses each in flight; where a loop goes over more, it has one of each. More take more
    /// registers on a GPU, and more of a processor's cache of decoded instructions. Statistics have two or four always.
    pub paired_tensors: u32,
    /// The same where a lane walks down channels that lie side by side (channels-last and 2-D).
    pub paired_columns: u32,
    /// The same where two accesses of each lane are whole rows of such channels (of 64, where lanes are eight), so that nothing is
    /// left out on the way through memory. Only where a lane walks a unit.
    pub paired_rows: u32,
    /// Whether halves are read and written eight at a time, 16 bytes as four f32 are: where a channel's row has a multiple of eight
    /// values (what is only written also where two channels' have, as of 14x14), and four for each of `shortest_run` at least. One such
    /// access is two for `paired_tensors`. Only where a lane walks a unit.
    pub wide_halves: bool,
}

impl Tuning {
    /// The default for a device: by the kind of its adapter, its subgroups and its limits.
    ///
    /// | adapter | a unit is walked by | lanes of a workgroup |
    /// |---|---|---|
    /// | software | a lane | as many as a subgroup has at most, 8 where there are none |
    /// | integrated, discrete | a workgroup | 256, whatever a subgroup has |
    ///
    /// Fewer where the limits of the device are lower.
    pub fn for_limits(limits: &Limits) -> Self {
        let largest = |wanted: u32, limit: u32| 1u32 << wanted.min(limit).max(1).ilog2();
        match limits.adapter {
            AdapterKind::Cpu => Self {
                workgroup_size: largest(
                    limits.subgroups.map_or(8, |sizes| sizes.max),
                    limits.workgroup_size,
                ),
                team: Team::Lane,
                // a few for each core, so that none waits long for the last
                workgroups: 4 * limits.processors.clamp(1, 256),
                values_per_workgroup: 8 << 10,
                block: 64,
                tile_rows: 256,
                fused_bytes: 64 << 20,
                cache_bytes: 12 << 20,
                run_bytes: 16 << 10,
                // four cache lines of vec4
                shortest_run: 16,
                run_tensors: 1,
                walk_pages: 1024,
                resident_accesses: 0,
                resident_workgroups: 1,
                paired_tensors: 2,
                paired_columns: 0,
                paired_rows: 3,
                wide_halves: true,
            },
            AdapterKind::Integrated | AdapterKind::Discrete => Self {
                workgroup_size: largest(256, limits.workgroup_size.min(most_in_a_team(limits))),
                team: Team::Workgroup,
                workgroups: if limits.adapter == AdapterKind::Discrete {
                    1024
                } else {
                    128
                },
                values_per_workgroup: 4 << 10,
                block: 16,
                tile_rows: 8,
                // Small tensors are resident, or two dispatches: a lane that goes over columns twice holds the sums and the
                // coefficients of four channels, and too few lanes fit onto a GPU with them.
                fused_bytes: 0,
                cache_bytes: u64::MAX,
                run_bytes: 0,
                shortest_run: 16,
                run_tensors: 1,
                walk_pages: MOST,
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
                paired_tensors: 3,
                paired_columns: 3,
                paired_rows: 3,
                wide_halves: false,
            },
        }
    }

    /// Every field, as a search goes over them.
    pub const fn fields() -> &'static [TuningField] {
        fields::FIELDS
    }

    /// Checks every value against the limits of a device. Plans check it too.
    ///
    /// # Errors
    /// [`PlanError::Tuning`] for the first value that is out of its range.
    pub fn check(&self, limits: &Limits) -> Result<(), PlanError> {
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
        let most = most_in_a_team(limits);
        if self.team == Team::Workgroup && size > u64::from(most) {
            return bad("workgroup_size", size, format!("at most {most}"));
        }
        for (what, given) in [
            ("workgroups", self.workgroups),
            ("values_per_workgroup", self.values_per_workgroup),
            ("block", self.block),
            ("tile_rows", self.tile_rows),
            ("walk_pages", self.walk_pages),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::SubgroupSizes;

    /// Limits of every kind of adapter and subgroup, from what every WebGPU device has downwards.
    fn limits() -> Vec<Limits> {
        let mut all = Vec::new();
        for adapter in [
            AdapterKind::Cpu,
            AdapterKind::Integrated,
            AdapterKind::Discrete,
        ] {
            let sizes = [4, 8, 16, 32, 64, 128];
            let pairs = sizes
                .iter()
                .flat_map(|&min| sizes.map(|max| SubgroupSizes { min, max }))
                .filter(|sizes| sizes.min <= sizes.max);
            for subgroups in pairs.map(Some).chain([None]) {
                for workgroup_size in [1, 24, 64, 100, 256, 1024] {
                    for workgroup_memory in [48, 1000, 4 << 10, 16 << 10, 64 << 10] {
                        for processors in [0, 1, 3, u32::MAX] {
                            all.push(Limits {
                                adapter,
                                processors,
                                workgroup_size,
                                workgroup_memory,
                                subgroups,
                                ..Limits::default()
                            });
                        }
                    }
                }
            }
        }
        all
    }

    #[test]
    fn the_default_of_every_device_is_within_its_limits() {
        for limits in limits() {
            let tuning = Tuning::for_limits(&limits);
            assert_eq!(tuning.check(&limits), Ok(()), "{tuning:?} on {limits:?}");
        }
    }

    #[test]
    fn where_limits_allow_it_a_software_workgroup_is_a_subgroup_and_a_gpus_has_whole_ones() {
        for limits in limits() {
            if limits.workgroup_size < 256 || limits.workgroup_memory < 16 << 10 {
                continue;
            }
            let size = Tuning::for_limits(&limits).workgroup_size;
            match (limits.adapter, limits.subgroups) {
                (AdapterKind::Cpu, Some(sizes)) => assert_eq!(size, sizes.max),
                (AdapterKind::Cpu, None) => assert_eq!(size, 8),
                (_, sizes) => {
                    assert_eq!(size, 256);
                    let multiple = |sizes: SubgroupSizes| size.is_multiple_of(sizes.max);
                    assert!(sizes.is_none_or(multiple), "{limits:?}");
                }
            }
        }
    }

    #[test]
    fn a_tuning_reads_back_as_written_and_nothing_else_does() {
        for limits in limits() {
            let tuning = Tuning::for_limits(&limits);
            let json = serde_json::to_string(&tuning).expect("plain data");
            assert_eq!(serde_json::from_str::<Tuning>(&json).expect(&json), tuning);
        }
        let json = serde_json::to_value(Tuning::for_limits(&Limits::default()));
        let json = json.expect("plain data");
        let rejects = |change: fn(&mut serde_json::Map<String, serde_json::Value>), said: &str| {
            let mut json = json.clone();
            change(json.as_object_mut().expect("a map"));
            let error = serde_json::from_value::<Tuning>(json).expect_err(said);
            assert!(error.to_string().contains(said), "{error}");
        };
        let add = |json: &mut serde_json::Map<_, _>| {
            json.insert("lanes".into(), 8.into());
        };
        rejects(add, "unknown field `lanes`");
        let remove = |json: &mut serde_json::Map<String, _>| {
            json.remove("block");
        };
        rejects(remove, "missing field `block`");
        let overflow = |json: &mut serde_json::Map<_, _>| {
            json.insert("block".into(), (1u64 << 32).into());
        };
        rejects(overflow, "u32");
    }
}
