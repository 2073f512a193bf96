//! Whatever shape, layout, offsets, options, tuning and limits are asked for: the result is right, or refused by a typed
//! error that has a reason. Needs an adapter.

mod common;

use common::cases::{Branches, Room, combines, each, kind, room, run_any, runner, sizes, tuning};
use common::{Distribution, Placement, Problem, Refusal, Statistics, Target, Workspace, shape};
use proptest::prelude::*;
use proptest::sample::select;
use proptest::strategy::ValueTree;
use wgpu_batchnorm::{DispatchInfo, Packed, PlanError, Running, RunningVariance, Tuning, Update};

/// A problem before its numbers are drawn.
#[derive(Clone, Debug)]
struct Case {
    sizes: (u64, u64, u64),
    /// A hard one, or values that differ by channel.
    distribution: Option<usize>,
    options: Options,
    placement: Placement,
    tuning: Option<Tuning>,
    room: Room,
}

#[derive(Clone, Debug)]
struct Options {
    training: bool,
    gamma: bool,
    beta: bool,
    epsilon: f32,
    rule: Option<Running>,
    saved: bool,
    packed: bool,
    steps: u32,
}

fn options() -> impl Strategy<Value = Options> {
    let update = prop_oneof![
        Just(Update::Cumulative),
        select(vec![0.0, 0.1, 0.5, 1.0]).prop_map(Update::Exponential),
    ];
    let variance = select(vec![RunningVariance::Unbiased, RunningVariance::Biased]);
    let rule = (update, variance).prop_map(|(update, variance)| Running { update, variance });
    (
        prop::bool::weighted(0.75),
        any::<bool>(),
        any::<bool>(),
        select(vec![1e-5f32, 1e-3, 1.0]),
        prop::option::of(rule),
        any::<bool>(),
        any::<bool>(),
        1u32..4,
    )
        .prop_map(
            |(training, gamma, beta, epsilon, rule, saved, packed, steps)| Options {
                training,
                gamma,
                beta,
                epsilon,
                rule,
                saved,
                packed,
                steps,
            },
        )
}

fn placement() -> impl Strategy<Value = Placement> {
    let offset = || {
        prop_oneof![
            2 => Just(0u64),
            1 => select(vec![4u64, 8, 12, 16, 32, 252, 256, 260]),
        ]
    };
    let y = prop_oneof![4 => offset().prop_map(Target::At), 1 => Just(Target::InPlace)];
    (
        prop::bool::weighted(0.3),
        select(vec![0usize, 0, 1, 64]),
        offset(),
        y,
        offset(),
        any::<bool>(),
        select(vec![Workspace::Own, Workspace::Given]),
    )
        .prop_map(
            |(pooled, gap, x, y, vectors, packed_parameters, workspace)| Placement {
                pooled,
                gap,
                x,
                y,
                vectors,
                packed_parameters,
                workspace,
            },
        )
}

fn case(small: bool) -> impl Strategy<Value = Case> {
    (
        sizes(),
        prop::option::weighted(0.25, 0..Distribution::HARD.len()),
        options(),
        placement(),
        tuning(),
        room(small, &[4 << 10, 5000, 16 << 10, 64 << 10]),
    )
        .prop_map(
            |(sizes, distribution, options, placement, tuning, room)| Case {
                sizes,
                distribution,
                options,
                placement,
                tuning,
                room,
            },
        )
}

impl Case {
    fn problem(&self) -> Problem {
        let (outer, channels, inner) = self.sizes;
        let shape = shape(outer, channels, inner);
        let mut problem = match self.distribution {
            Some(index) => Problem::training(shape, Distribution::HARD[index].1, index as u64),
            None => Problem::usual(outer, channels, inner),
        };
        let Options {
            training,
            gamma,
            beta,
            epsilon,
            rule,
            saved,
            packed,
            steps,
        } = self.options;
        problem.epsilon = epsilon;
        problem.steps = steps;
        if training {
            problem = problem.running(rule);
            // in place there is nothing left for a backward pass, or for a second step
            if self.placement.y == Target::InPlace {
                problem.steps = 1;
                problem = problem.unsaved();
            }
            if !saved {
                problem = problem.unsaved();
            }
        } else {
            problem = problem.inference();
            if let Statistics::Given {
                packed: is_packed, ..
            } = &mut problem.statistics
            {
                *is_packed = packed;
            }
            if self.placement.y == Target::InPlace {
                problem.steps = 1;
            }
        }
        if !gamma {
            problem.gamma = None;
        }
        if !beta {
            problem.beta = None;
        }
        problem.tuning.clone_from(&self.tuning);
        problem.placed(self.placement)
    }

    /// Whether a refusal is one that the documentation promises for this case.
    fn has_reason(&self, refusal: &Refusal) -> bool {
        let (outer, channels, inner) = self.sizes;
        let unbiased = |rule: Running| rule.variance == RunningVariance::Unbiased;
        match refusal {
            Refusal::Plan(PlanError::SingleValue) => {
                outer * inner == 1
                    && self.options.training
                    && self.options.rule.is_some_and(unbiased)
            }
            // what only normalizes has no workspace to fit
            Refusal::Plan(PlanError::Limit { .. }) if !self.options.training => false,
            _ => {
                let vectors = 4 * Packed::new(channels).saved();
                self.room.explains(refusal, vectors, self.placement.pooled)
            }
        }
    }
}

fn branches(case: &Case, dispatches: &[DispatchInfo]) -> Branches {
    let (outer, channels, inner) = case.sizes;
    let bytes = 4 * outer * channels * inner;
    let taken = dispatches
        .iter()
        .map(|dispatch| case.room.branches(dispatch, bytes));
    taken.flatten().collect()
}

/// Checks a case; the branches that it took, or what is wrong.
fn check(case: &Case) -> Result<Branches, String> {
    let problem = case.problem();
    let device = case.room.device();
    let single = problem.shape.values_per_channel() == 1 && problem.shape.channels() > 0;
    let rule = case.options.rule.filter(|_| case.options.training);
    let unbiased = rule.is_some_and(|rule| rule.variance == RunningVariance::Unbiased);
    let refusal = if single && unbiased {
        // the reference refuses as well
        problem.solve(&device).err()
    } else {
        match problem.check(&device) {
            Ok(solution) => return Ok(branches(case, &solution?.dispatches)),
            Err(refusal) => Some(refusal),
        }
    };
    match refusal {
        Some(refusal) if case.has_reason(&refusal) => Ok([kind(&refusal)].into()),
        other => Err(format!("{problem}: {other:?}")),
    }
}

/// The branches that a case should take, if its tensors are aligned.
fn planned(case: &Case) -> Branches {
    match case.problem().plan(&case.room.device()) {
        Ok(plan) => branches(case, &plan.dispatches().collect::<Vec<_>>()),
        Err(error) => [kind(&Refusal::Plan(error))].into(),
    }
}

/// Of many cases checks those that are planned to take a branch which is left.
fn run_aimed(left: &mut Branches, small: bool) {
    let mut runner = runner(2 + u8::from(small), 0);
    let strategy = case(small);
    for _ in 0..20_000 {
        if left.is_empty() {
            return;
        }
        let tree = strategy.new_tree(&mut runner).expect("nothing is filtered");
        let case = tree.current();
        if planned(&case).is_disjoint(left) {
            continue;
        }
        let taken = check(&case).unwrap_or_else(|wrong| panic!("{wrong}"));
        left.retain(|branch| !taken.contains(branch));
    }
}

const LANE: [&str; 1] = ["Lane"];

/// Every branch that a plan has.
fn all_branches() -> Branches {
    let combines = combines();
    let mut all = vec![];
    for stage in ["Statistics", "Fused", "Resident"] {
        all.extend(each(&format!("{stage} by Rows"), &combines));
        all.extend(each(&format!("{stage} by Columns"), &combines));
    }
    for stage in ["Statistics", "Fused"] {
        all.extend(each(&format!("{stage} by Quads"), &LANE));
    }
    all.extend(each("Coefficients by Columns", &combines));
    for stage in ["Normalize", "NormalizeGiven"] {
        let name = format!("{stage} by Planes");
        all.extend(each(&name, &["Lane", "a window", "a folded grid"]));
        let name = format!("{stage} by Runs");
        let branches = ["Lane", "width 1", "width 4", "a window", "a folded grid"];
        all.extend(each(&name, &branches));
    }
    let runs = ["width 1", "width 4", "a window", "a folded grid"];
    all.extend(each("Statistics by Runs", &runs));
    for stage in ["Statistics", "Normalize", "NormalizeGiven"] {
        all.extend(each(&format!("{stage} by SharedRuns"), &runs[1..]));
    }
    all.extend(each("Finalize by Rows", &combines));
    // single values where tensors are not aligned or do not divide by four, else vec4
    let widths = ["width 1", "width 4"];
    all.extend(each("Coefficients by Columns", &widths));
    for stage in ["Statistics", "Normalize", "NormalizeGiven", "Fused"] {
        for walk in ["Rows", "Columns", "Quads"] {
            let name = format!("{stage} by {walk}");
            all.extend(each(&name, &LANE));
            all.extend(each(&name, &["a folded grid"]));
            all.extend(each(
                &name,
                if walk == "Quads" {
                    &widths[1..]
                } else {
                    &widths
                },
            ));
            // what is fused has whole channels in its window
            if stage != "Fused" {
                all.extend(each(&name, &["a window"]));
            }
        }
        all.extend(each(stage, &["a cut grid"]));
    }
    for walk in ["Rows", "Columns"] {
        let name = format!("Resident by {walk}");
        all.extend(each(&name, &widths));
        let held = ["a folded grid", "one held", "several held"];
        all.extend(each(&name, &held));
    }
    all.extend(each("Resident", &["a cut grid"]));
    all.extend(each("Fused by Rows", &["a window"]));
    all.extend(each("Resident by Rows", &["a window"]));
    all.extend(each("Finalize by Rows", &["a folded grid"]));
    all.extend(["Plan(Channels", "Plan(Limit", "Plan(SingleValue"].map(String::from));
    all.into_iter().collect()
}

#[test]
fn any_problem_is_right_or_refused_with_a_reason_and_every_branch_is_taken() {
    let devices = [false, true];
    let taken = std::thread::scope(|scope| {
        let cases = devices.map(|small| {
            scope.spawn(move || run_any(runner(u8::from(small), 40), &case(small), check))
        });
        cases.map(|cases| {
            cases
                .join()
                .expect("every case is right or refused with a reason")
        })
    });
    let mut left = all_branches();
    left.retain(|branch| taken.iter().all(|taken| !taken.contains(branch)));
    println!("branches that cases are aimed at: {left:#?}");
    for small in devices {
        run_aimed(&mut left, small);
    }
    assert!(left.is_empty(), "never taken: {left:#?}");
}
