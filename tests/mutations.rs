//! The comparison that all tests use can fail: one edit of a shader's text at a time, each of which it must notice. An edit
//! whose text is no longer there fails too. Needs an adapter.

mod common;
#[path = "mutations/finalize.rs"]
mod finalize;
#[path = "mutations/geometry.rs"]
mod geometry;
#[path = "mutations/inputs.rs"]
mod inputs;
#[path = "mutations/moments.rs"]
mod moments;
#[path = "mutations/normalize.rs"]
mod normalize;
#[path = "mutations/quads.rs"]
mod quads;
#[path = "mutations/statistics.rs"]
mod statistics;

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use common::Device;
use inputs::Input;
use wgpu_batchnorm::{Combine, Kernels};

/// One edit of the text: this for that, where it first occurs.
struct Edit {
    input: Input,
    old: &'static str,
    new: &'static str,
}

const fn edit(input: Input, old: &'static str, new: &'static str) -> Edit {
    Edit { input, old, new }
}

impl fmt::Display for Edit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` for `{}` in {:?}", self.new, self.old, self.input)
    }
}

impl Edit {
    /// What is wrong with the edit: not applied, or not noticed.
    fn complaint(&self) -> Option<String> {
        let (problem, device) = self.input.problem();
        let applied = Arc::new(AtomicBool::new(false));
        let (old, new, seen) = (self.old, self.new, applied.clone());
        let kernels = Kernels::edited(device.gpu.device(), move |text| {
            if text.contains(old) {
                seen.store(true, Ordering::Relaxed);
            }
            text.replacen(old, new, 1)
        });
        let edited = Device { kernels, ..device };
        let outcome = problem
            .check(&edited)
            .expect("a problem that can be computed");
        if !applied.load(Ordering::Relaxed) {
            return Some(format!("no longer applies: {self}"));
        }
        outcome.is_ok().then(|| format!("not noticed: {self}"))
    }
}

/// Every edit is noticed, and what is not edited is right.
#[track_caller]
fn assert_noticed(edits: &[Edit]) {
    let possible = || edits.iter().filter(|edit| edit.input.is_possible());
    let inputs: BTreeSet<_> = possible().map(|edit| edit.input).collect();
    for input in inputs {
        let (problem, device) = input.problem();
        problem.assert_right(&device);
    }
    let complaints: Vec<_> = possible().filter_map(Edit::complaint).collect();
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

#[test]
fn inputs_take_the_paths_that_they_are_named_for() {
    use inputs::Path::{Split, Subgroup, Subgroups, Whole, Workgroup};

    let combines = |path| {
        let (problem, device) = Input::Rows(path).problem();
        let solution = problem.assert_right(&device);
        solution
            .dispatches
            .iter()
            .map(|dispatch| dispatch.combine)
            .collect::<Vec<_>>()
    };
    assert_eq!(combines(Whole), [Combine::Lane]);
    assert_eq!(combines(Split), [Combine::Lane; 3]);
    assert_eq!(combines(Workgroup), [Combine::Workgroup]);
    for (path, combine) in [
        (Subgroups, Combine::Subgroups),
        (Subgroup, Combine::Subgroup),
    ] {
        if Input::Rows(path).is_possible() {
            assert_eq!(combines(path), [combine]);
        }
    }
}
