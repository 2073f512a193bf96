//! Training and inference are right for every layout, option and input, on every path. Needs an adapter.

mod common;

use common::{
    Device, Distribution, Placement, Problem, Statistics, Target, Workspace, bare, lanes, resident,
    shape, split, teams, whole, with_subgroups,
};
use wgpu_batchnorm::{
    Plan, PlanError, Running, RunningVariance, Shape, Stage, Team, Training, Tuning, Update, Walk,
};

/// Every way through the kernels: who walks, in how many parts, how lanes combine.
fn paths() -> Vec<(&'static Device, Tuning)> {
    let mut paths = vec![];
    for tuning in [lanes(), teams(64)] {
        for tuning in [whole(tuning.clone()), split(tuning)] {
            paths.push((bare(), tuning.clone()));
            // lanes on their own have no use for subgroups
            if tuning.team == Team::Workgroup {
                paths.push((with_subgroups(), tuning));
            }
        }
    }
    // one subgroup in a workgroup, where the adapter's have one size
    if let Some(sizes) = with_subgroups().limits.subgroups
        && sizes.min == sizes.max
    {
        paths.push((with_subgroups(), split(teams(sizes.min))));
        paths.push((with_subgroups(), resident(sizes.min)));
    }
    // as many lanes as every device has, to hold as much as one workgroup can
    paths.push((bare(), resident(256)));
    paths.push((with_subgroups(), resident(256)));
    // not fused, not split: channels-last above what the cache holds
    for tuning in [lanes(), teams(64)] {
        let coefficients = Tuning {
            fused_bytes: 0,
            ..whole(tuning)
        };
        paths.push((bare(), coefficients));
    }
    paths
}

#[test]
fn every_layout_is_normalized() {
    let first = |sizes: &[usize]| Shape::channels_first(sizes).expect("rank 2 and up");
    let last = |sizes: &[usize]| Shape::channels_last(sizes).expect("rank 2 and up");
    let shapes = [
        first(&[5, 3]),
        first(&[4, 3, 6]),
        first(&[2, 3, 7, 7]),
        first(&[3, 8, 5, 5]),
        first(&[2, 6, 3, 5, 7]),
        first(&[2, 5, 4, 6]),
        first(&[7, 1, 9]),
        first(&[9, 30, 1, 1]),
        first(&[300, 2, 2]),
        first(&[1, 5, 1007]),
        last(&[6, 13]),
        last(&[64, 8]),
        last(&[1007, 1]),
        last(&[3, 5, 7, 34]),
        last(&[2, 3, 5, 4, 12]),
        last(&[17, 260]),
        Shape::with_axis(&[3, 4, 5, 6], 0).expect("an axis"),
        Shape::with_axis(&[3, 4, 5, 6], 2).expect("an axis"),
        Shape::with_axis(&[3, 4, 5, 6], -2).expect("an axis"),
    ];
    for shape in shapes {
        let training = Problem::usual(shape.outer(), shape.channels(), shape.inner());
        let inference = training.clone().inference();
        for problem in [training, inference] {
            let exact = problem.exact();
            for tuning in [
                None,
                Some(split(lanes())),
                Some(teams(64)),
                Some(resident(32)),
            ] {
                let problem = Problem {
                    tuning,
                    ..problem.clone()
                };
                problem.assert_right_against(with_subgroups(), &exact);
            }
        }
    }
}

#[test]
fn every_option_is_obeyed() {
    let rules = [
        None,
        Some(Running::default()),
        Some(Running {
            update: Update::Exponential(0.5),
            variance: RunningVariance::Biased,
        }),
        Some(Running {
            update: Update::Cumulative,
            variance: RunningVariance::Unbiased,
        }),
        Some(Running {
            update: Update::Cumulative,
            variance: RunningVariance::Biased,
        }),
    ];
    // rows, columns, quads
    for (outer, channels, inner) in [(4, 6, 12), (21, 8, 1), (5, 4, 9)] {
        let base = Problem::usual(outer, channels, inner);
        for (number, tuning) in [whole(lanes()), split(lanes())].into_iter().enumerate() {
            for (index, rule) in rules.into_iter().enumerate() {
                // every rule with every parameter, by one tuning or the other
                for parameters in (0..4).filter(|parameters| (parameters + index + number) % 2 == 0)
                {
                    let mut problem = base.clone().running(rule).tuned(tuning.clone());
                    if parameters % 2 == 0 {
                        problem.gamma = None;
                    }
                    if parameters < 2 {
                        problem.beta = None;
                    }
                    if (index + parameters) % 3 == 0 {
                        problem = problem.unsaved();
                    }
                    problem.placement.packed_parameters = index % 2 == 0;
                    problem.assert_right(bare());
                    if index < 2 {
                        let mut problem = problem.inference();
                        if let Statistics::Given { packed, .. } = &mut problem.statistics {
                            *packed = index == 0;
                        }
                        problem.assert_right(bare());
                    }
                }
            }
        }
    }
}

#[test]
fn running_statistics_follow_the_f64_average_over_many_steps() {
    for update in [
        Update::Exponential(0.1),
        Update::Exponential(1.0),
        Update::Cumulative,
    ] {
        for variance in [RunningVariance::Unbiased, RunningVariance::Biased] {
            for tuning in [whole(lanes()), split(lanes())] {
                let mut problem = Problem::usual(3, 5, 8)
                    .running(Some(Running { update, variance }))
                    .tuned(tuning);
                problem.steps = 25;
                problem.assert_right(bare());
            }
        }
    }
}

#[test]
fn an_empty_batch_changes_nothing() {
    for shape in [
        shape(0, 4, 3),
        shape(3, 4, 0),
        shape(0, 8, 1),
        shape(5, 0, 2),
    ] {
        let usual = Distribution::Constant(0.0);
        let problem = Problem::training(shape, usual, 1);
        let solution = problem.assert_right(bare());
        assert!(solution.dispatches.is_empty());
        let Statistics::Batch {
            running: Some((_, before)),
            ..
        } = &problem.statistics
        else {
            panic!("training has running statistics");
        };
        assert_eq!(solution.running.as_ref(), Some(before));
    }
}

#[test]
fn one_value_in_a_channel_is_its_own_mean() {
    for (outer, channels, inner) in [(1, 5, 1), (1, 1, 1), (1, 8, 1)] {
        let problem = Problem::usual(outer, channels, inner);
        let limits = bare().limits.clone();
        let unbiased = Plan::training(&limits, problem.shape, &Training::default());
        assert_eq!(unbiased.err(), Some(PlanError::SingleValue));

        let biased = Running {
            variance: RunningVariance::Biased,
            ..Running::default()
        };
        for rule in [None, Some(biased)] {
            for tuning in [lanes(), teams(64)] {
                let problem = problem.clone().running(rule).tuned(tuning);
                let solution = problem.assert_right(bare());
                assert_eq!(Some(&solution.y), problem.beta.as_ref());
            }
        }
        problem.inference().assert_right(bare());
    }
}

#[test]
fn without_epsilon_a_constant_channel_is_not_a_number_and_no_other() {
    for (device, tuning) in paths() {
        for (outer, channels, inner) in [(6, 4, 8), (30, 4, 1), (6, 4, 9)] {
            let mut problem = Problem::usual(outer, channels, inner).tuned(tuning.clone());
            problem.epsilon = 0.0;
            for (index, value) in problem.x.iter_mut().enumerate() {
                if index as u64 / inner % channels == 2 {
                    *value = 2.5;
                }
            }
            let solution = problem.assert_right(device);
            let nan = solution.y.iter().filter(|y| y.is_nan()).count() as u64;
            assert_eq!(nan, outer * inner);
        }
    }
}

#[test]
fn what_is_not_a_number_stays_in_its_channel_or_element() {
    for (device, tuning) in paths() {
        for (outer, channels, inner) in [(6, 8, 12), (40, 8, 1), (6, 8, 9)] {
            for (value, at) in [(f32::NAN, 0), (f32::INFINITY, 77), (f32::NEG_INFINITY, 319)] {
                let training = Problem::usual(outer, channels, inner).tuned(tuning.clone());
                let mut inference = training.clone().inference();
                inference.x[at] = value;
                let solution = inference.assert_right(device);
                let odd = solution.y.iter().filter(|y| !y.is_finite()).count();
                assert_eq!(odd, 1, "{inference}");

                let mut training = training;
                training.x[at] = value;
                let solution = training.assert_right(device);
                let odd = solution.y.iter().filter(|y| y.is_nan()).count() as u64;
                assert_eq!(odd, outer * inner, "{training}");
                let state = solution.running.expect("it was asked for");
                let odd = state.variance.iter().filter(|v| !v.is_finite()).count();
                assert_eq!(odd, 1, "{training}");
            }
        }
    }
}

#[test]
fn hard_inputs_lose_no_digits_on_any_path() {
    for (seed, (name, distribution)) in Distribution::HARD.into_iter().enumerate() {
        // rows of vec4, rows of single values, columns of vec4 and single values, quads, one channel, few single values
        for (outer, channels, inner) in [
            (8, 3, 784),
            (8, 3, 245),
            (4000, 4, 1),
            (1500, 5, 1),
            (60, 4, 49),
            (5000, 1, 1),
            (300, 5, 1),
        ] {
            let problem =
                Problem::training(shape(outer, channels, inner), distribution, seed as u64);
            let exact = problem.exact();
            for (device, tuning) in paths() {
                let problem = problem.clone().tuned(tuning);
                match problem.check_against(device, &exact) {
                    Ok(Ok(_)) => {}
                    Ok(Err(wrong)) => panic!("{name}: {wrong}"),
                    Err(refusal) => panic!("{name}: {problem}: {refusal:?}"),
                }
            }
            problem.inference().assert_right(bare());
        }
    }
}

#[test]
fn hard_inputs_lose_no_digits_in_windows() {
    let device = with_subgroups().limited(|limits| {
        limits.binding_bytes = 4 << 10;
        limits.workgroups_per_dimension = 7;
    });
    for (seed, (_, distribution)) in Distribution::HARD.into_iter().enumerate() {
        for (outer, channels, inner) in [(4, 2, 2000), (3, 3, 997), (1100, 8, 1), (40, 4, 49)] {
            let problem =
                Problem::training(shape(outer, channels, inner), distribution, seed as u64);
            let exact = problem.exact();
            for tuning in [lanes(), teams(32)] {
                problem
                    .clone()
                    .tuned(tuning)
                    .assert_right_against(&device, &exact);
            }
        }
    }
}

#[test]
fn ten_million_values_lose_no_digits() {
    for (seed, (_, distribution)) in Distribution::HARD.into_iter().enumerate() {
        // the outlier, the largest mean and the plain one tell all
        if !matches!(seed, 0 | 3 | 5) {
            continue;
        }
        let n = 10_000_000;
        let problem = Problem::training(shape(1, 1, n), distribution, seed as u64);
        let exact = problem.exact();
        for tuning in [whole(lanes()), lanes(), teams(64)] {
            problem
                .clone()
                .tuned(tuning)
                .assert_right_against(with_subgroups(), &exact);
        }
        if seed == 3 {
            // the same values as two channels of rows, channels-last and quads
            for (outer, channels, inner) in [(5, 2, n / 10), (n / 2, 2, 1), (n / 4 / 49, 4, 49)] {
                let shape = shape(outer, channels, inner);
                let mut problem = problem.clone();
                problem.x.truncate(shape.len() as usize);
                let vectors = Problem::training(shape, Distribution::Constant(0.0), 9);
                let problem = Problem {
                    x: problem.x,
                    ..vectors
                };
                let exact = problem.exact();
                for tuning in [lanes(), whole(lanes())] {
                    problem
                        .clone()
                        .tuned(tuning)
                        .assert_right_against(bare(), &exact);
                }
            }
        }
    }
}

#[test]
fn the_paths_of_these_tests_are_those_that_they_mean() {
    let stages = |problem: Problem, device: &Device| -> Vec<_> {
        let plan = problem.plan(device).expect("a plan");
        plan.dispatches().map(|d| (d.stage, d.walk)).collect()
    };
    use Stage::{Coefficients, Finalize, Fused, Normalize, Statistics};
    let first = |tuning| stages(Problem::usual(8, 3, 784).tuned(tuning), bare());
    assert_eq!(first(whole(lanes())), [(Fused, Walk::Rows)]);
    let three = |last| {
        [
            (Statistics, Walk::Rows),
            (Finalize, Walk::Rows),
            (Normalize, last),
        ]
    };
    assert_eq!(first(split(lanes())), three(Walk::Runs));
    assert_eq!(first(split(teams(64))), three(Walk::Rows));
    let last = |tuning| stages(Problem::usual(4000, 4, 1).tuned(tuning), bare());
    assert_eq!(last(whole(lanes())), [(Fused, Walk::Columns)]);
    let coefficients = Tuning {
        fused_bytes: 0,
        ..whole(lanes())
    };
    let two = [Coefficients, Normalize].map(|stage| (stage, Walk::Columns));
    assert_eq!(last(coefficients.clone()), two);
    let quads = stages(Problem::usual(60, 4, 49).tuned(whole(lanes())), bare());
    assert_eq!(quads, [(Fused, Walk::Quads)]);
    let few_pages = Tuning {
        walk_pages: 8,
        ..coefficients
    };
    let in_three = [
        (Statistics, Walk::Columns),
        (Finalize, Walk::Rows),
        (Normalize, Walk::Columns),
    ];
    assert_eq!(last(few_pages), in_three);
    let held = |(outer, channels, inner), size| {
        let problem = Problem::usual(outer, channels, inner).tuned(resident(size));
        let plan = problem.plan(bare()).expect("a plan");
        let all = plan.dispatches();
        all.map(|dispatch| (dispatch.stage, dispatch.walk, dispatch.width, dispatch.held))
            .collect::<Vec<_>>()
    };
    use Stage::Resident;
    for (sizes, size, walk, width, accesses) in [
        ((8, 3, 784), 256, Walk::Rows, 4, 7),
        ((8, 3, 245), 256, Walk::Rows, 1, 8),
        ((4000, 4, 1), 256, Walk::Columns, 4, 16),
        ((40, 8, 1), 8, Walk::Columns, 4, 10),
        ((6, 8, 12), 8, Walk::Rows, 4, 3),
    ] {
        assert_eq!(held(sizes, size), [(Resident, walk, width, accesses)]);
    }
    for (inner, walk) in [(49, Walk::SharedRuns), (36, Walk::Planes)] {
        let short = stages(Problem::usual(60, 4, inner).tuned(split(lanes())), bare());
        assert_eq!(short.last(), Some(&(Normalize, walk)), "{short:?}");
    }
    for (inner, walk) in [(49, Walk::SharedRuns), (784, Walk::Runs)] {
        let along = Tuning {
            run_tensors: 1,
            ..split(lanes())
        };
        let along = stages(Problem::usual(60, 4, inner).tuned(along), bare());
        let three = [
            (Statistics, walk),
            (Finalize, Walk::Rows),
            (Normalize, walk),
        ];
        assert_eq!(along, three);
    }
}

#[test]
fn rows_of_whole_pages() {
    for (outer, channels) in [(9, 1024), (3, 2048), (40, 1024)] {
        for tuning in [lanes(), whole(lanes()), split(lanes())] {
            for (fused_bytes, walk_pages) in [(0, 1024), (0, 7), (1 << 20, 7)] {
                let tuning = Tuning {
                    fused_bytes,
                    walk_pages,
                    ..tuning.clone()
                };
                let problem = Problem::usual(outer, channels, 1).tuned(tuning);
                problem.assert_right(bare());
            }
        }
    }
}

#[test]
fn training_in_place_gives_the_same() {
    let placement = Placement {
        y: Target::InPlace,
        x: 4,
        workspace: Workspace::Given,
        ..Placement::default()
    };
    // the last: rows through all channels that have fewer accesses than a workgroup has lanes
    for (outer, channels, inner) in [(4, 6, 12), (21, 8, 1), (5, 4, 9), (33, 5, 1), (33, 2, 4)] {
        for x in [0, 4] {
            let placement = Placement { x, ..placement };
            for tuning in [whole(lanes()), split(lanes()), teams(64), resident(16)] {
                let problem = Problem::usual(outer, channels, inner).unsaved();
                let problem = problem.tuned(tuning).placed(placement);
                problem.assert_right(bare());
                problem.inference().assert_right(bare());
            }
        }
    }
}

#[test]
fn long_walks_come_to_their_end() {
    // some drivers end a nest of loops after 65535 turns
    for (outer, channels, inner) in [
        (1, 1, 700_000),
        (20_000, 2, 100),
        (70_000, 2, 20),
        (140_000, 4, 1),
        (20_000, 4, 49),
    ] {
        let training = Problem::usual(outer, channels, inner);
        for tuning in [whole(lanes()), whole(teams(1))] {
            let training = training.clone().tuned(tuning);
            training.assert_right(bare());
            training.inference().assert_right(bare());
        }
    }
}
