//! The comparison that all tests use can fail: one edit of a shader's text at a time, each of which it must notice. An edit
//! whose text is no longer there fails too. Needs an adapter.

#[path = "mutations/activations.rs"]
mod activations;
mod common;
#[path = "mutations/elements.rs"]
mod elements;
#[path = "mutations/finalize.rs"]
mod finalize;
#[path = "mutations/geometry.rs"]
mod geometry;
#[path = "mutations/gradients.rs"]
mod gradients;
#[path = "mutations/inputs.rs"]
mod inputs;
#[path = "mutations/moments.rs"]
mod moments;
#[path = "mutations/normalize.rs"]
mod normalize;
#[path = "mutations/quads.rs"]
mod quads;
#[path = "mutations/resident.rs"]
mod resident;
#[path = "mutations/shards.rs"]
mod shards;
#[path = "mutations/statistics.rs"]
mod statistics;

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use inputs::{Input, Subject};
use wgpu_batchnorm::Combine;

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
        let (subject, device) = self.input.subject();
        let applied = Arc::new(AtomicBool::new(false));
        let (old, new, seen) = (self.old, self.new, applied.clone());
        let edit = move |text: &str| {
            if text.contains(old) {
                seen.store(true, Ordering::Relaxed);
            }
            text.replacen(old, new, 1)
        };
        let outcome = subject.check(&device, Some(Box::new(edit)));
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
    let inputs: HashSet<_> = possible().map(|edit| edit.input).collect();
    for input in inputs {
        let (subject, device) = input.subject();
        if let Err(wrong) = subject.check(&device, None) {
            panic!("{input:?}: {wrong}");
        }
    }
    let complaints: Vec<_> = possible().filter_map(Edit::complaint).collect();
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

#[test]
fn inputs_take_the_paths_that_they_are_named_for() {
    use inputs::Path::{Resident, ResidentSubgroups, Split, Subgroup, Subgroups, Whole, Workgroup};

    let solution = |path| {
        let (Subject::Forward(problem), device) = Input::Rows(path).subject() else {
            panic!("a forward pass");
        };
        problem.assert_right(&device)
    };
    assert_eq!(solution(Resident).dispatches[0].held, 9);
    let combines = |path| {
        let solution = solution(path);
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
        (ResidentSubgroups, Combine::Subgroups),
        (Subgroup, Combine::Subgroup),
    ] {
        if Input::Rows(path).is_possible() {
            assert_eq!(combines(path), [combine]);
        }
    }
}
