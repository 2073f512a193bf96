//! What property tests draw cases from, and the branches of plans in words.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt::Debug;

use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{RngAlgorithm, TestCaseError, TestRng, TestRunner};
use wgpu_batchnorm::{BindError, DispatchInfo, PlanError, Team, Tuning};

use super::{Device, Refusal, bare, with_subgroups};

/// Branches of plans, in words.
pub type Branches = BTreeSet<String>;

/// What a case finds on its device.
#[derive(Clone, Debug, Default)]
pub struct Room {
    pub subgroups: bool,
    /// Bytes of a binding.
    bindings: Option<u64>,
    /// Workgroups per dimension.
    dimension: Option<u32>,
}

/// Default limits, or some far below them: bindings of so many bytes.
pub fn room(small: bool, bindings: &'static [u64]) -> impl Strategy<Value = Room> {
    let limits = if small {
        (
            select(bindings).prop_map(Some),
            select(vec![Some(7u32), Some(2), None]),
        )
            .boxed()
    } else {
        Just((None, None)).boxed()
    };
    (any::<bool>(), limits).prop_map(|(subgroups, (bindings, dimension))| Room {
        subgroups,
        bindings,
        dimension,
    })
}

impl Room {
    pub fn device(&self) -> Device {
        let device = if self.subgroups {
            with_subgroups()
        } else {
            bare()
        };
        if self.bindings.is_none() && self.dimension.is_none() {
            return device.clone();
        }
        device.limited(|limits| {
            limits.binding_bytes = self.bindings.unwrap_or(limits.binding_bytes);
            limits.workgroups_per_dimension =
                self.dimension.unwrap_or(limits.workgroups_per_dimension);
        })
    }

    /// Whether a refusal is for lack of room, and there is as little as it says. `vectors` are the bytes of the longest
    /// packed vectors.
    pub fn explains(&self, refusal: &Refusal, vectors: u64, pooled: bool) -> bool {
        let small = self.bindings.is_some();
        match refusal {
            Refusal::Plan(PlanError::Channels { needed, limit, .. }) => {
                needed > limit && small && vectors + 256 >= *needed
            }
            Refusal::Plan(PlanError::Limit { given, needed, .. }) => needed > given && small,
            Refusal::Bind(BindError::Apart { needed, limit, .. }) => {
                needed > limit && small && pooled
            }
            _ => false,
        }
    }

    /// Whether a dispatch has a part of tensors of so many bytes.
    pub fn is_window(&self, dispatch: &DispatchInfo, bytes: u64) -> bool {
        let is_finalize = format!("{:?}", dispatch.stage).contains("Finalize");
        let is_cut = self.bindings.is_some_and(|limit| bytes > limit);
        is_cut && !is_finalize && dispatch.window_bytes < bytes
    }

    /// The branches that any dispatch over tensors of so many bytes takes.
    pub fn branches(&self, dispatch: &DispatchInfo, bytes: u64) -> Branches {
        let (stage, walk, combine) = (dispatch.stage, dispatch.walk, dispatch.combine);
        let name = format!("{stage:?} by {walk:?}");
        let taken = [
            (format!("{name}, {combine:?}"), true),
            (format!("{name}, width {}", dispatch.width), true),
            (format!("{name}, a window"), self.is_window(dispatch, bytes)),
            (format!("{name}, a folded grid"), dispatch.grid[1] > 1),
            (format!("{name}, one held"), dispatch.held == 1),
            (format!("{name}, several held"), dispatch.held > 1),
            (
                format!("{stage:?}, a cut grid"),
                dispatch.first_workgroup > 0,
            ),
        ];
        let taken = taken.into_iter().filter(|(_, taken)| *taken);
        taken.map(|(branch, _)| branch).collect()
    }
}

/// Checks so many cases; the branches that they took.
pub fn run_any<C: Debug>(
    mut runner: TestRunner,
    cases: &impl Strategy<Value = C>,
    check: impl Fn(&C) -> Result<Branches, String>,
) -> Branches {
    let taken = RefCell::new(Branches::new());
    let outcome = runner.run(cases, |case| {
        let branches = check(&case).map_err(TestCaseError::fail)?;
        taken.borrow_mut().extend(branches);
        Ok(())
    });
    if let Err(error) = outcome {
        panic!("{error}");
    }
    taken.into_inner()
}

/// Outer, channels, inner.
pub fn sizes() -> impl Strategy<Value = (u64, u64, u64)> {
    prop_oneof![
        // anything small
        4 => (1u64..7, 1u64..20, 1u64..60),
        // long rows, of vec4 and of single values
        2 => (1u64..4, 1u64..4, 200u64..4000),
        2 => (1u64..4, 1u64..4, (50u64..1000).prop_map(|fours| 4 * fours)),
        // few values of each channel, for a lane to hold
        1 => (1u64..3, 1u64..20, 1u64..17),
        // one row of each channel: windows may have whole ones
        1 => (Just(1u64), 2u64..9, 200u64..1000),
        // channels-last
        2 => (1u64..300, 1u64..70, Just(1u64)),
        2 => (1u64..300, (1u64..20).prop_map(|fours| 4 * fours), Just(1u64)),
        2 => (30u64..900, Just(4u64), Just(1u64)),
        2 => (2u64..65, Just(4u64), Just(1u64)),
        // rows of whole pages
        1 => (1u64..40, Just(1024u64), Just(1u64)),
        // short rows of vec4
        2 => (2u64..60, 1u64..9, (1u64..17).prop_map(|fours| 4 * fours)),
        // rows of an odd number of fours, of channels in twos
        2 => (2u64..60, (1u64..5).prop_map(|twos| 2 * twos), (2u64..13).prop_map(|n| 8 * n + 4)),
        // odd planes of channels in fours
        4 => (1u64..60, (1u64..5).prop_map(|fours| 4 * fours), (0u64..13).prop_map(|n| 2 * n + 3)),
        // nothing
        1 => select(vec![(0u64, 3u64, 5u64), (2, 3, 0), (0, 8, 1), (4, 0, 2)]),
        // one value
        1 => (Just(1u64), 1u64..20, Just(1u64)),
    ]
}

pub fn tuning() -> impl Strategy<Value = Option<Tuning>> {
    let tuning = (
        select(vec![1u32, 4, 8, 8, 8, 64, 64]),
        select(vec![Team::Lane, Team::Workgroup]),
        select(vec![1u32, 3, 16, 300]),
        select(vec![1u32, 16, 256, 1 << 14]),
        select(vec![1u32, 5, 16, 64]),
        select(vec![1u32, 8, 256]),
        select(vec![0u64, 1 << 20]),
        (
            select(vec![0u64, u64::MAX]),
            select(vec![0u64, u64::MAX]),
            select(vec![0u32, 16, 16, u32::MAX]),
            select(vec![1u32, 2, 6]),
            select(vec![1u32, 3, 1024]),
        ),
        (
            select(vec![0u32, 3, 16, 16]),
            select(vec![1u32, 300]),
            select(vec![0u32, 3, 3, 5]),
            select(vec![0u32, 3, 3, 5]),
            select(vec![0u32, 3]),
            any::<bool>(),
        ),
    )
        .prop_map(
            |(
                size,
                team,
                workgroups,
                values,
                block,
                tile_rows,
                fused_bytes,
                (cache_bytes, run_bytes, shortest_run, run_tensors, walk_pages),
                (
                    resident_accesses,
                    resident_workgroups,
                    paired_tensors,
                    paired_columns,
                    paired_rows,
                    wide_halves,
                ),
            )| Tuning {
                workgroup_size: size,
                team,
                workgroups,
                values_per_workgroup: values,
                block,
                tile_rows,
                fused_bytes,
                cache_bytes,
                run_bytes,
                shortest_run,
                run_tensors,
                walk_pages,
                resident_accesses,
                resident_workgroups,
                paired_tensors,
                paired_columns,
                paired_rows,
                wide_halves,
            },
        );
    prop::option::weighted(0.9, tuning)
}

/// Cases that are the same every time.
pub fn runner(seed: u8, cases: u32) -> TestRunner {
    let config = ProptestConfig {
        cases,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    TestRunner::new_with_rng(
        config,
        TestRng::from_seed(RngAlgorithm::ChaCha, &[seed; 32]),
    )
}

/// How lanes may combine: one subgroup to a workgroup only where subgroups have one size, that of a workgroup here.
pub fn combines() -> Vec<&'static str> {
    let mut combines = vec!["Lane", "Workgroup"];
    if let Some(sizes) = with_subgroups().limits.subgroups {
        combines.push("Subgroups");
        if sizes.min == sizes.max && sizes.min == 8 {
            combines.push("Subgroup");
        }
    }
    combines
}

/// `stage by walk, branch` for each of the branches.
pub fn each(stage_and_walk: &str, branches: &[&str]) -> Vec<String> {
    let name = |branch| format!("{stage_and_walk}, {branch}");
    branches.iter().map(name).collect()
}

/// The name of an error.
pub fn kind(refusal: &Refusal) -> String {
    let text = format!("{refusal:?}");
    text.split(['{', ' ', ')'])
        .next()
        .unwrap_or_default()
        .to_owned()
}
