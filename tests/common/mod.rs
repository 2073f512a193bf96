//! What all integration tests share: devices, one way to run a step among guard values, and one comparison with the f64
//! reference.
#![allow(
    dead_code,
    unused_imports,
    reason = "each test binary uses its own part"
)]

pub mod arena;
pub mod cases;
#[path = "../../src/cli/compare.rs"]
pub mod compare;
pub mod device;
#[path = "../../src/cli/inputs.rs"]
pub mod inputs;
pub mod layer_step;
pub mod messages;
pub mod problem;
pub mod sharded;
pub mod storage;
pub mod stored;

use wgpu_batchnorm::{Shape, Team, Tuning};

pub use device::{Device, bare, unlimited, with_subgroups};
pub use inputs::{Distribution, Random};
pub use layer_step::{InPlace, LayerStep, Memory, Outcome};
pub use problem::{Placement, Problem, Refusal, State, Statistics, Target, Workspace};

pub fn shape(outer: u64, channels: u64, inner: u64) -> Shape {
    Shape::from_geometry(outer, channels, inner).expect("a shape of less than 2^64 bytes")
}

/// Lanes that own their units, as on software adapters.
pub fn lanes() -> Tuning {
    Tuning {
        workgroup_size: 8,
        team: Team::Lane,
        workgroups: 8,
        values_per_workgroup: 8 << 10,
        block: 64,
        tile_rows: 256,
        fused_bytes: 256 << 10,
        cache_bytes: 8 << 20,
        run_bytes: 16 << 10,
        shortest_run: 16,
        run_tensors: 2,
        walk_pages: 1024,
        resident_accesses: 0,
        resident_workgroups: 1,
        paired_tensors: 3,
        paired_columns: 3,
        paired_rows: 3,
        wide_halves: true,
    }
}

/// Workgroups that share their units, as on GPUs.
pub fn teams(workgroup_size: u32) -> Tuning {
    Tuning {
        workgroup_size,
        team: Team::Workgroup,
        workgroups: 128,
        values_per_workgroup: 4 << 10,
        block: 16,
        tile_rows: 8,
        fused_bytes: 64 << 10,
        cache_bytes: u64::MAX,
        run_bytes: 0,
        shortest_run: 16,
        run_tensors: 2,
        walk_pages: 1024,
        resident_accesses: 0,
        resident_workgroups: 1,
        paired_tensors: 3,
        paired_columns: 3,
        paired_rows: 3,
        wide_halves: true,
    }
}

/// Workgroups whose lanes hold their units in registers, wherever that is possible.
pub fn resident(workgroup_size: u32) -> Tuning {
    Tuning {
        resident_accesses: 16,
        ..teams(workgroup_size)
    }
}

/// The same kernels in one dispatch wherever that is possible.
pub fn whole(tuning: Tuning) -> Tuning {
    Tuning {
        workgroups: 1,
        values_per_workgroup: 1 << 20,
        fused_bytes: u64::MAX,
        cache_bytes: u64::MAX,
        ..tuning
    }
}

/// The same kernels in as many splits as there are.
pub fn split(tuning: Tuning) -> Tuning {
    Tuning {
        workgroups: 64,
        values_per_workgroup: 16,
        fused_bytes: 0,
        cache_bytes: 0,
        ..tuning
    }
}
