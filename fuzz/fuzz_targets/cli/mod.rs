//! The command's case files, and as much else of it as they need.

#![allow(
    dead_code,
    missing_docs,
    reason = "the command uses and documents more of it"
)]

#[path = "../../../src/cli/compare.rs"]
pub mod compare;
#[path = "../../../src/cli/problem.rs"]
pub mod problem;

#[path = "../../../src/cli/check/case_file/mod.rs"]
pub mod case_file;
