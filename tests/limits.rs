//! Any device will do: no features, default limits, tensors larger than a binding, subgroups of any size. Needs an
//! adapter.

mod common;

use std::process::Command;

use common::{
    Device, Problem, bare, lanes, messages, shape, split, teams, unlimited, whole, with_subgroups,
};
use wgpu_batchnorm::{Combine, Limits, Shape, Stage, Team, Tuning, wgpu};

#[test]
fn the_devices_are_what_they_are_called() {
    assert!(bare().gpu.device().features().is_empty());
    assert_eq!(bare().gpu.device().limits(), wgpu::Limits::default());
    assert_eq!(
        with_subgroups().gpu.device().limits(),
        wgpu::Limits::default()
    );
    let has = |device: &Device| {
        device
            .gpu
            .device()
            .features()
            .contains(wgpu::Features::SUBGROUP)
    };
    let adapter = bare().gpu.adapter();
    assert_eq!(
        has(with_subgroups()),
        adapter.features().contains(wgpu::Features::SUBGROUP)
    );
    assert_eq!(
        with_subgroups().limits.subgroups.is_some(),
        has(with_subgroups())
    );
    assert_eq!(bare().limits.subgroups, None);
    assert_eq!(unlimited().gpu.device().limits(), adapter.limits());
    // what plans are made for without a device is what every device has
    let Limits {
        binding_bytes,
        offset_alignment,
        workgroup_size,
        workgroup_memory,
        ..
    } = Limits::default();
    assert_eq!(bare().limits.binding_bytes, binding_bytes);
    assert_eq!(bare().limits.offset_alignment, offset_alignment);
    assert_eq!(bare().limits.workgroup_size, workgroup_size);
    assert_eq!(bare().limits.workgroup_memory, workgroup_memory);
}

#[test]
fn every_device_computes_the_same_within_the_tolerance() {
    for (outer, channels, inner) in [(8, 64, 49), (8, 16, 196), (300, 40, 1), (2, 3, 5000)] {
        let training = Problem::usual(outer, channels, inner);
        for problem in [training.clone(), training.inference()] {
            let exact = problem.exact();
            for device in [bare(), with_subgroups(), unlimited()] {
                for tuning in [None, Some(lanes()), Some(teams(64)), Some(teams(256))] {
                    let problem = Problem {
                        tuning,
                        ..problem.clone()
                    };
                    problem.assert_right_against(device, &exact);
                }
            }
        }
    }
}

/// Values that differ from channel to channel, at the cost of little arithmetic.
fn large(shape: Shape) -> Problem {
    let len = shape.len() as usize;
    let tile = Problem::usual(1, 1, 65_537).x;
    let small = common::shape(1, shape.channels(), 1);
    let vectors = Problem::usual(1, small.channels(), 1);
    Problem {
        shape,
        x: tile.iter().copied().cycle().take(len).collect(),
        ..vectors
    }
}

#[test]
fn a_tensor_larger_than_a_binding_goes_through_windows() {
    let device = bare();
    // 144 MiB each, where a binding holds 128 and a buffer 256
    for (outer, channels, inner) in [(3, 64, 196_608), (589_824, 64, 1)] {
        let training = large(shape(outer, channels, inner));
        assert!(4 * training.shape.len() > device.limits.binding_bytes);
        for problem in [training.clone(), training.inference()] {
            let solution = problem.assert_right(device);
            let windows = solution.dispatches.iter().filter(|dispatch| {
                matches!(dispatch.stage, Stage::Normalize | Stage::NormalizeGiven)
            });
            assert!(windows.count() > 1);
            for dispatch in &solution.dispatches {
                assert!(dispatch.window_bytes <= device.limits.binding_bytes);
            }
        }
    }
}

#[test]
fn a_plan_gives_the_same_bits_every_time() {
    for (outer, channels, inner) in [(16, 24, 49), (16, 3, 784), (700, 32, 1), (40, 1, 1001)] {
        for tuning in [whole(lanes()), split(lanes()), split(teams(64)), teams(256)] {
            for device in [bare(), with_subgroups()] {
                let problem = Problem::usual(outer, channels, inner).tuned(tuning.clone());
                let bits = || {
                    let solution = problem
                        .solve(device)
                        .expect("a problem that can be computed");
                    let statistics = solution.saved.into_iter().flatten();
                    let vectors = statistics.chain([solution.y]);
                    vectors
                        .map(|v| bytemuck::cast_slice::<f32, u32>(&v).to_vec())
                        .collect::<Vec<_>>()
                };
                let first = bits();
                for _ in 0..3 {
                    assert!(first == bits(), "{problem}: other bits the second time");
                }
            }
        }
    }
}

/// Set in the processes that [`subgroups_of_every_size`] starts.
const CHILD: &str = "BATCHNORM_TESTS_SUBGROUPS";
const SIZES: &str = "subgroup sizes";

#[test]
fn subgroups_of_every_size() {
    if std::env::var_os(CHILD).is_some() {
        return subgroups_of_this_size();
    }
    let info = bare().gpu.adapter().get_info();
    if !info.driver.contains("llvmpipe") {
        println!(
            "{}: one size of subgroups, the adapter's own, is tested",
            info.name
        );
        return subgroups_of_this_size();
    }
    for (bits, lanes) in [("128", 4), ("256", 8), ("512", 16)] {
        let output = Command::new(std::env::current_exe().expect("this program"))
            .args(["subgroups_of_every_size", "--exact", "--nocapture"])
            .env(CHILD, "1")
            .env("LP_NATIVE_VECTOR_WIDTH", bits)
            .output()
            .expect("this program starts again");
        let said = String::from_utf8_lossy(&output.stdout);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{bits} bits: {said}{errors}");
        let wanted = format!("{SIZES} {lanes} to {lanes}");
        assert!(
            said.contains(&wanted),
            "{bits} bits, but not `{wanted}`: {said}{errors}"
        );
    }
}

fn subgroups_of_this_size() {
    let device = with_subgroups();
    let sizes = device.limits.subgroups;
    let Some(sizes) = sizes else {
        println!("this adapter has no subgroups: the tests without them were all");
        return;
    };
    println!("{SIZES} {} to {}", sizes.min, sizes.max);
    let mut seen = vec![];
    let mut workgroups = vec![sizes.min, sizes.max, 32, 64, 256];
    workgroups.dedup();
    for workgroup_size in workgroups {
        for (outer, channels, inner) in [(5, 3, 100), (2, 2, 1003), (700, 1, 1), (90, 6, 1)] {
            for tuning in [whole(teams(workgroup_size)), split(teams(workgroup_size))] {
                let problem = Problem::usual(outer, channels, inner).tuned(tuning);
                let solution = problem.assert_right(device);
                seen.extend(solution.dispatches.iter().map(|dispatch| dispatch.combine));
            }
        }
    }
    assert!(
        seen.contains(&Combine::Subgroups),
        "several subgroups in a workgroup"
    );
    if sizes.min == sizes.max {
        assert!(
            seen.contains(&Combine::Subgroup),
            "one subgroup in a workgroup"
        );
    }
    messages::assert_quiet();
}

#[test]
fn the_default_tuning_suits_the_adapter() {
    for device in [bare(), with_subgroups(), unlimited()] {
        let tuning = Tuning::for_limits(&device.limits);
        let software = device.gpu.adapter().get_info().device_type == wgpu::DeviceType::Cpu;
        assert_eq!(tuning.team == Team::Lane, software);
        assert!(tuning.workgroup_size <= device.limits.workgroup_size);
    }
}
