//! Files that may be anything, as the command and layers read them. With `cargo install cargo-fuzz`, from the repository:
//! `cargo +nightly fuzz run files fuzz/corpus/files fuzz/seeds tests/data -- -max_total_time=60`

#![no_main]

mod cli;

use cli::case_file::CaseFile;
use libfuzzer_sys::fuzz_target;
use wgpu_batchnorm::{LayerState, Limits, Plan};

fuzz_target!(|bytes: &[u8]| {
    let _ = LayerState::from_safetensors(bytes, "");
    let read = CaseFile::read(bytes);
    let Ok(case) = CaseFile::parse(bytes) else {
        assert!(read.is_err());
        return;
    };
    assert!(read.is_ok());
    let problem = &case.problem;
    assert_eq!(problem.x.len() as u64, problem.shape.len());
    let limits = Limits::default();
    let _ = Plan::training(&limits, problem.shape, &problem.training());
    let _ = Plan::inference(&limits, problem.shape, &problem.inference());
});
