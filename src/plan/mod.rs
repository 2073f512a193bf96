//! Plans: which dispatches a pass takes. Pure arithmetic, which knows no GPU.

mod forward;
mod geometry;
mod grid;
mod parameters;
mod stage;

use std::ops::Range;

use crate::error::PlanError;
use crate::limits::Limits;
use crate::options::{Inference, Training, Update};
use crate::packed::Packed;
use crate::shape::Shape;
use crate::tuning::Tuning;

pub use geometry::Walk;
pub(crate) use parameters::{PARAMETERS_WGSL, Parameters};
pub use stage::Stage;
pub(crate) use stage::{Access, Role};

/// Bytes of a partial: count, frame, mean and M2 of one channel in one split.
const PARTIAL_BYTES: u64 = 16;

/// The dispatches of one pass over one shape, planned for one device's limits.
///
/// Planning computes; it touches no GPU. One plan binds any number of times, to other tensors each time.
///
/// ```
/// use wgpu_batchnorm::{Limits, Plan, Shape, Training};
///
/// let shape = Shape::channels_first(&[32, 64, 56, 56])?;
/// let plan = Plan::training(&Limits::default(), shape, &Training::default())?;
/// assert_eq!(plan.minimum_traffic(), 3 * 4 * shape.len());
/// println!("{} dispatches, {} bytes of workspace", plan.dispatches().count(), plan.workspace_bytes());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Plan {
    shape: Shape,
    needs: Needs,
    /// For tensors that start at multiples of 16 bytes.
    aligned: Program,
    /// For all others.
    unaligned: Program,
}

/// The tensors that the options of a plan call for, beside x and y.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Needs {
    pub gamma: bool,
    pub beta: bool,
    /// Running statistics to update.
    pub running: bool,
    pub saved: bool,
    /// Running or fixed statistics to normalize by.
    pub given: bool,
}

impl Needs {
    /// Whether a stage's tensor is there at all.
    pub const fn has(self, role: Role) -> bool {
        match role {
            Role::X | Role::Y | Role::Partials | Role::Coefficients => true,
            Role::Gamma => self.gamma,
            Role::Beta => self.beta,
            Role::Running => self.running,
            Role::Saved => self.saved,
            Role::Mean | Role::Variance => self.given,
        }
    }
}

/// Dispatches in order, and the scratch that they share.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Program {
    pub dispatches: Vec<Dispatch>,
    /// Partials, of [`PARTIAL_BYTES`] each.
    pub partials: u64,
    /// Packed vectors of coefficients.
    pub coefficients: u64,
}

impl Program {
    /// Where the coefficients start in the workspace, in bytes: after the partials.
    pub fn coefficients_offset(&self) -> u64 {
        (self.partials * PARTIAL_BYTES).next_multiple_of(256)
    }

    /// A multiple of 256 bytes, so that a neighbour in the same buffer shares no binding.
    fn workspace_bytes(&self) -> u64 {
        self.coefficients_offset() + (self.coefficients * 4).next_multiple_of(256)
    }
}

/// One dispatch: what it runs, on what part of the tensors, with which parameters.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Dispatch {
    pub kernel: Kernel,
    pub grid: [u32; 2],
    pub parameters: Parameters,
    /// The values of x and y that are bound.
    pub window: Range<u64>,
    pub work: Work,
}

/// How much a dispatch goes over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Work {
    /// Values of the tensor; of the finalize stage, partials.
    pub values: u64,
    pub channels: u64,
    /// Partials of each channel that the statistics stage leaves.
    pub splits: u64,
}

/// The text that a dispatch runs, but for where its tensors are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Kernel {
    pub stage: Stage,
    pub walk: Walk,
    /// Values in one access of x and y.
    pub width: u64,
    /// Channels of a unit.
    pub channels: u64,
    pub combine: Combine,
    pub lanes: Lanes,
}

/// How the lanes of a workgroup are arranged: each a power of two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Lanes {
    /// Neighbouring units in one workgroup.
    pub units_across: u64,
    /// Lanes that share the rows of a unit.
    pub team_rows: u64,
    /// Lanes that share the columns of a unit.
    pub team_columns: u64,
}

impl Lanes {
    pub const fn workgroup_size(&self) -> u64 {
        self.units_across * self.team_rows * self.team_columns
    }
}

/// How the lanes of a unit combine what they found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Combine {
    /// The unit belongs to one lane.
    Lane,
    /// Through workgroup memory.
    Workgroup,
    /// Within subgroups, then through workgroup memory.
    Subgroups,
    /// The workgroup is one subgroup.
    Subgroup,
}

/// A planned dispatch, for reading: see [`Plan::dispatches`] and [`Step::dispatches`](crate::Step::dispatches).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DispatchInfo {
    /// The stage.
    pub stage: Stage,
    /// How its lanes go over the tensor.
    pub walk: Walk,
    /// Values in one access of the tensor: 4 or 1.
    pub width: u64,
    /// How the lanes of a unit combine what they found.
    pub combine: Combine,
    /// Lanes of a workgroup.
    pub workgroup_size: u64,
    /// Workgroups in x and y.
    pub grid: [u32; 2],
    /// The number of the first of them: not 0 where a grid is longer than one dispatch may be.
    pub first_workgroup: u32,
    /// Bytes of the tensor in the bound window.
    pub window_bytes: u64,
    /// Bytes that it reads: of x, of vectors and of the workspace. What it goes over twice counts twice, also where the
    /// second time comes out of a cache; a vector counts once.
    pub bytes_read: u64,
    /// Bytes that it writes: of y, of vectors and of the workspace.
    pub bytes_written: u64,
}

impl Dispatch {
    /// As it is in a plan with these needs.
    pub(crate) fn info(&self, needs: Needs) -> DispatchInfo {
        let [bytes_read, bytes_written] = self.traffic(needs);
        DispatchInfo {
            stage: self.kernel.stage,
            walk: self.kernel.walk,
            width: self.kernel.width,
            combine: self.kernel.combine,
            workgroup_size: self.kernel.lanes.workgroup_size(),
            grid: self.grid,
            first_workgroup: self.parameters.first_workgroup,
            window_bytes: 4 * (self.window.end - self.window.start),
            bytes_read,
            bytes_written,
        }
    }

    /// Bytes read and bytes written.
    fn traffic(&self, needs: Needs) -> [u64; 2] {
        let Work {
            values,
            channels,
            splits,
        } = self.work;
        let stage = self.kernel.stage;
        let mut bytes = [0, 0];
        for &(role, access) in stage.roles().iter().filter(|(role, _)| needs.has(*role)) {
            let [read, written] = match (role, access) {
                // once for the statistics, once to normalize
                (Role::X, _) if stage == Stage::Fused => [8 * values, 0],
                (Role::X, _) => [4 * values, 0],
                (Role::Y, _) => [0, 4 * values],
                (Role::Partials, Access::Read) => [PARTIAL_BYTES * values, 0],
                (Role::Partials, Access::Write) => [0, PARTIAL_BYTES * channels * splits],
                (Role::Coefficients, Access::Read) => [3 * 4 * channels, 0],
                (Role::Coefficients | Role::Saved, _) => [0, 3 * 4 * channels],
                (Role::Running, _) => [3 * 4 * channels, 3 * 4 * channels],
                (Role::Gamma | Role::Beta | Role::Mean | Role::Variance, _) => [4 * channels, 0],
            };
            bytes[0] += read;
            bytes[1] += written;
        }
        bytes
    }
}

impl Plan {
    /// Plans a training forward pass: normalize by the batch's own statistics, update the running ones, save what the
    /// backward pass needs.
    ///
    /// An empty batch takes no dispatch: nothing is written, running statistics stay.
    ///
    /// # Errors
    /// [`PlanError`] for options, limits and shapes that no pass exists for; among them one value per channel where
    /// the unbiased running variance is asked for.
    pub fn training(limits: &Limits, shape: Shape, options: &Training) -> Result<Self, PlanError> {
        check_epsilon(options.epsilon)?;
        if let Some(running) = options.running {
            if let Update::Exponential(factor) = running.update
                && !(0.0..=1.0).contains(&factor)
            {
                return Err(PlanError::UpdateFactor { given: factor });
            }
            if shape.values_per_channel() == 1
                && shape.channels() > 0
                && running.variance == crate::RunningVariance::Unbiased
            {
                return Err(PlanError::SingleValue);
            }
        }
        let needs = Needs {
            gamma: options.gamma,
            beta: options.beta,
            running: options.running.is_some(),
            saved: options.saved,
            given: false,
        };
        let tuning = tuning(limits, options.tuning.as_ref())?;
        Self::new(shape, needs, limits, |width| {
            forward::training(limits, shape, options, &tuning, width)
        })
    }

    /// Plans inference: normalize by running or fixed statistics.
    ///
    /// # Errors
    /// [`PlanError`] for options, limits and shapes that no pass exists for.
    pub fn inference(
        limits: &Limits,
        shape: Shape,
        options: &Inference,
    ) -> Result<Self, PlanError> {
        check_epsilon(options.epsilon)?;
        let needs = Needs {
            gamma: options.gamma,
            beta: options.beta,
            running: false,
            saved: false,
            given: true,
        };
        let tuning = tuning(limits, options.tuning.as_ref())?;
        Self::new(shape, needs, limits, |width| {
            forward::inference(limits, shape, options, &tuning, width)
        })
    }

    fn new(
        shape: Shape,
        needs: Needs,
        limits: &Limits,
        program: impl Fn(u64) -> Result<Program, PlanError>,
    ) -> Result<Self, PlanError> {
        let n = shape.values_per_channel();
        if n > u64::from(u32::MAX) {
            return Err(PlanError::ValuesPerChannel { given: n });
        }
        // the longest packed tensors have three vectors, and may start anywhere between two binding offsets
        let vectors = Packed::new(shape.channels())
            .saved()
            .saturating_mul(4)
            .saturating_add(limits.offset_alignment);
        if vectors > limits.binding_bytes {
            return Err(PlanError::Channels {
                channels: shape.channels(),
                needed: vectors,
                limit: limits.binding_bytes,
            });
        }
        let (aligned, unaligned) = if shape.is_empty() {
            Default::default()
        } else {
            (program(4)?, program(1)?)
        };
        Ok(Self {
            shape,
            needs,
            aligned,
            unaligned,
        })
    }

    /// The shape that was planned for.
    pub const fn shape(&self) -> Shape {
        self.shape
    }

    /// Bytes of scratch memory that a step of this plan needs: a multiple of 256, 0 where one dispatch does it all.
    pub fn workspace_bytes(&self) -> u64 {
        self.aligned
            .workspace_bytes()
            .max(self.unaligned.workspace_bytes())
    }

    /// The least traffic that the pass can do without keeping x on chip, in bytes: one read and one write of the tensor
    /// for inference, two reads and one write for training.
    pub fn minimum_traffic(&self) -> u64 {
        let passes = if self.needs.given { 2 } else { 3 };
        passes * 4 * self.shape.len()
    }

    /// The dispatches in order, as they are for tensors that start at multiples of 16 bytes.
    pub fn dispatches(&self) -> impl Iterator<Item = DispatchInfo> + '_ {
        let info = |dispatch: &Dispatch| dispatch.info(self.needs);
        self.aligned.dispatches.iter().map(info)
    }

    pub(crate) const fn needs(&self) -> Needs {
        self.needs
    }

    pub(crate) const fn program(&self, aligned: bool) -> &Program {
        if aligned {
            &self.aligned
        } else {
            &self.unaligned
        }
    }
}

fn check_epsilon(epsilon: f32) -> Result<(), PlanError> {
    if epsilon.is_finite() && epsilon >= 0.0 {
        Ok(())
    } else {
        Err(PlanError::Epsilon { given: epsilon })
    }
}

fn tuning(limits: &Limits, given: Option<&Tuning>) -> Result<Tuning, PlanError> {
    let tuning = given.cloned().unwrap_or_else(|| Tuning::for_limits(limits));
    tuning.check(limits)?;
    Ok(tuning)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::AdapterKind;

    /// Limits that lead to every stage and walk, and to windows.
    fn devices() -> [Limits; 4] {
        let cpu = Limits {
            adapter: AdapterKind::Cpu,
            processors: 2,
            ..Limits::default()
        };
        let small = |limits: &Limits| Limits {
            binding_bytes: 16 << 10,
            workgroups_per_dimension: 7,
            ..limits.clone()
        };
        [
            Limits::default(),
            small(&Limits::default()),
            small(&cpu),
            cpu,
        ]
    }

    /// The usual tuning, and one that keeps channels whole but fuses nothing.
    fn tunings(limits: Limits) -> [(Limits, Tuning); 2] {
        let usual = Tuning::for_limits(&limits);
        let apart = Tuning {
            workgroups: 1,
            fused_bytes: 0,
            cache_bytes: 0,
            ..usual.clone()
        };
        [(limits.clone(), usual), (limits, apart)]
    }

    fn shapes() -> Vec<Shape> {
        let first = [
            &[2, 3, 7, 7][..],
            &[9, 30, 1, 1],
            &[4, 32, 14, 14],
            &[1, 5, 10007],
            &[64, 8, 3, 3],
        ];
        let last = [
            &[6, 13][..],
            &[4099, 6],
            &[17, 1028],
            &[3, 5, 7, 36],
            &[500, 1024],
        ];
        let first = first.map(|sizes| Shape::channels_first(sizes).expect("a shape"));
        let last = last.map(|sizes| Shape::channels_last(sizes).expect("a shape"));
        [first, last].concat()
    }

    #[test]
    fn dispatches_say_what_they_read_and_write() {
        let mut seen = std::collections::HashSet::new();
        for (limits, tuning) in devices().into_iter().flat_map(tunings) {
            for shape in shapes() {
                let options = Training::default()
                    .gamma(false)
                    .beta(false)
                    .running(None)
                    .saved(false)
                    .tuning(tuning.clone());
                let plan = Plan::training(&limits, shape, &options).expect("a plan");
                let sum = |stages: &[Stage], bytes: fn(&DispatchInfo) -> u64| -> u64 {
                    plan.dispatches()
                        .filter(|dispatch| stages.contains(&dispatch.stage))
                        .map(|dispatch| bytes(&dispatch))
                        .sum()
                };
                let read = |stages: &[Stage]| sum(stages, |dispatch| dispatch.bytes_read);
                let written = |stages: &[Stage]| sum(stages, |dispatch| dispatch.bytes_written);
                seen.extend(
                    plan.dispatches()
                        .map(|dispatch| (dispatch.stage, dispatch.walk)),
                );
                let tensor = 4 * shape.len();
                let name = format!("{shape:?} on {limits:?}");

                let once = read(&[Stage::Statistics, Stage::Coefficients]);
                assert_eq!(once + read(&[Stage::Fused]) / 2, tensor, "{name}");
                assert_eq!(written(&[Stage::Normalize, Stage::Fused]), tensor, "{name}");
                assert_eq!(
                    written(&[Stage::Statistics]),
                    read(&[Stage::Finalize]),
                    "{name}"
                );
                let coefficients = written(&[Stage::Finalize, Stage::Coefficients]);
                let normalized = read(&[Stage::Normalize]);
                if coefficients > 0 {
                    assert_eq!(coefficients, 12 * shape.channels(), "{name}");
                    assert!(normalized >= tensor + coefficients, "{name}");
                } else {
                    assert_eq!(normalized, 0, "{name}");
                }
            }
        }
        for stage in [
            Stage::Statistics,
            Stage::Coefficients,
            Stage::Fused,
            Stage::Normalize,
        ] {
            assert!(seen.iter().any(|(found, _)| *found == stage), "{stage:?}");
        }
        for walk in [
            Walk::Rows,
            Walk::Columns,
            Walk::Wide,
            Walk::Quads,
            Walk::Planes,
        ] {
            assert!(seen.iter().any(|(_, found)| *found == walk), "{walk:?}");
        }
    }

    #[test]
    fn vectors_count_once_for_each_dispatch() {
        let shape = Shape::channels_first(&[2, 3, 4]).expect("a shape");
        let plan = Plan::inference(&Limits::default(), shape, &Inference::default());
        let plan = plan.expect("a plan");
        let dispatches: Vec<_> = plan.dispatches().collect();
        assert_eq!(dispatches.len(), 1);
        // gamma, beta, mean and variance of three channels
        assert_eq!(dispatches[0].bytes_read, 4 * (24 + 4 * 3));
        assert_eq!(dispatches[0].bytes_written, 4 * 24);
    }
}
