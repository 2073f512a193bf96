//! Case files, one after another: what is wrong with one does not stop the next.

use std::path::{Path, PathBuf};

use anyhow::Result;

use super::case_file::CaseFile;
use crate::cli::Verdict;
use crate::cli::compare::{Comparison, Tolerance};
use crate::cli::device::{Device, Placement};
use crate::cli::output::{error_digits, print};
use crate::cli::problem::{Solution, Statistics, describe_running};
use crate::cli::size::place;

/// Checks every file.
pub fn run(device: &Device, paths: &[PathBuf], tolerance: Tolerance) -> Result<Verdict> {
    print(&format!("allowed error: {tolerance}"))?;
    let mut verdicts = Vec::with_capacity(paths.len());
    for path in paths {
        verdicts.push(match check(device, path, tolerance) {
            Ok((text, verdict)) => {
                print(&format!("\n{}: {text}", path.display()))?;
                verdict
            }
            Err(error) => {
                eprintln!("error: {}: {error:#}", path.display());
                Verdict::Broken
            }
        });
    }
    let count = |verdict| verdicts.iter().filter(|&&other| other == verdict).count();
    print(&format!(
        "\n{} right, {} wrong, {} could not be checked",
        count(Verdict::Right),
        count(Verdict::Wrong),
        count(Verdict::Broken)
    ))?;
    Ok(verdicts.into_iter().max().unwrap_or(Verdict::Right))
}

fn check(device: &Device, path: &Path, tolerance: Tolerance) -> Result<(String, Verdict)> {
    let case = CaseFile::parse(&std::fs::read(path)?)?;
    let solution = device.solve(&case.problem, Placement::Whole)?;
    let compared = compare(&case, &solution, tolerance);
    let mut text = vec![describe(&case)];
    let mut verdict = Verdict::Right;
    for (tensor, sizes, comparison) in compared {
        text.push(format!("  {tensor}: {}", result(&sizes, &comparison)));
        if !comparison.is_within() {
            verdict = Verdict::Wrong;
        }
    }
    Ok((text.join("\n"), verdict))
}

/// Each expected tensor of a case with its sizes.
fn compare(
    case: &CaseFile,
    solution: &Solution,
    tolerance: Tolerance,
) -> Vec<(&'static str, Vec<usize>, Comparison)> {
    let channels = vec![case.problem.shape.channels() as usize];
    let state = solution.state.as_ref();
    [
        (
            "expected.output",
            case.sizes.clone(),
            Some(&solution.y),
            &case.expected.output,
        ),
        (
            "expected.running_mean",
            channels.clone(),
            state.map(|state| &state.mean),
            &case.expected.running_mean,
        ),
        (
            "expected.running_var",
            channels,
            state.map(|state| &state.variance),
            &case.expected.running_var,
        ),
    ]
    .into_iter()
    .filter_map(|(tensor, sizes, actual, expected)| {
        let comparison = Comparison::new(actual?, expected.as_ref()?, tolerance);
        Some((tensor, sizes, comparison))
    })
    .collect()
}

/// What a case computes, in one line.
fn describe(case: &CaseFile) -> String {
    let problem = &case.problem;
    let statistics = match &problem.statistics {
        Statistics::Given(_) => "running statistics".to_owned(),
        Statistics::Batch(None) => "the batch's own statistics".to_owned(),
        Statistics::Batch(Some((running, _))) => {
            format!("the batch's own statistics, {}", describe_running(running))
        }
    };
    let source = case
        .source
        .as_ref()
        .map_or(String::new(), |source| format!(" ({source})"));
    format!(
        "{:?} by {statistics}, epsilon {:e}{source}",
        case.sizes, problem.epsilon
    )
}

/// How a tensor compares, in one line.
fn result(sizes: &[usize], comparison: &Comparison) -> String {
    let Some(worst) = comparison.worst else {
        return "ok, no values".to_owned();
    };
    let at = place(sizes, worst.index);
    if comparison.is_within() {
        return format!("ok, largest error {} at {at:?}", error_digits(worst.error));
    }
    let values: usize = sizes.iter().product();
    format!(
        "WRONG, {} of {values} values outside; largest error {:.1e} at {at:?}: {:?} for {:?}",
        comparison.outside, worst.error, worst.actual, worst.expected
    )
}
