//! Case files, one after another: what is wrong with one does not stop the next.

use std::path::{Path, PathBuf};

use anyhow::Result;

use super::Allowed;
use super::case_file::{CaseFile, Expected};
use super::report::{Checked, Compared};
use crate::cli::Verdict;
use crate::cli::compare::{Comparison, Tolerance};
use crate::cli::device::{Device, Placement};
use crate::cli::output::{bad, error_digits, plain, print, print_error};
use crate::cli::problem::{Solution, Statistics, describe_running};

/// Checks every file.
pub fn run(device: &Device, paths: &[PathBuf], allowed: Allowed) -> Result<Vec<Checked>> {
    let mut all = Vec::with_capacity(paths.len());
    for path in paths {
        let name = path.display().to_string();
        all.push(match check(device, path, allowed) {
            Ok(checked) => {
                print(&format!("\n{}", text(&checked)))?;
                checked
            }
            Err(error) => {
                print_error(format_args!("{name}: {error:#}"));
                Checked::broken(name, format!("{error:#}"))
            }
        });
    }
    let count = |verdict| {
        all.iter()
            .filter(|checked| checked.verdict == verdict)
            .count()
    };
    print(&format!(
        "\n{} right, {} wrong, {} could not be checked",
        count(Verdict::Right),
        count(Verdict::Wrong),
        count(Verdict::Broken)
    ))?;
    Ok(all)
}

fn check(device: &Device, path: &Path, allowed: Allowed) -> Result<Checked> {
    let case = CaseFile::read(std::fs::File::open(path)?)?;
    let solution = device.solve(&case.problem, Placement::Whole)?;
    let compared = case
        .expected
        .iter()
        .filter_map(|expected| compare(expected, &solution, allowed))
        .collect();
    Ok(Checked {
        description: Some(describe(&case)),
        source: case.source,
        ..Checked::compared(path.display().to_string(), compared)
    })
}

/// A tensor that the file expects, compared with what the device made of it.
fn compare(expected: &Expected, solution: &Solution, allowed: Allowed) -> Option<Compared> {
    let tolerance = Tolerance::Sum {
        absolute: allowed.atol.unwrap_or(expected.kind.absolute),
        relative: allowed.rtol.unwrap_or(expected.kind.relative),
    };
    let actual = (expected.kind.actual)(solution)?;
    let comparison = Comparison::new(actual, &expected.values, tolerance);
    Some(Compared::new(
        expected.kind.name,
        expected.sizes.clone(),
        &comparison,
        tolerance,
    ))
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
    format!(
        "{:?}, channels on axis {}, by {statistics}, epsilon {:e}",
        case.sizes, case.axis, problem.epsilon
    )
}

/// A file and its tensors, a line each.
fn text(checked: &Checked) -> String {
    let source = checked
        .source
        .as_ref()
        .map_or(String::new(), |source| format!(" ({source})"));
    let description = checked.description.as_deref().unwrap_or_default();
    let mut lines = vec![plain(&format!("{}: {description}{source}", checked.name))];
    lines.extend(checked.tensors.iter().map(tensor));
    lines.join("\n")
}

/// How a tensor compares: where it is off the most by what is allowed, and how far.
fn tensor(compared: &Compared) -> String {
    let Compared {
        name,
        sizes,
        outside,
        allowed,
        ..
    } = compared;
    let Some(worst) = &compared.worst else {
        return format!("  {name}: ok, no values");
    };
    let off = format!("off by {} at {:?}", error_digits(worst.error.0), worst.at);
    if compared.right {
        return format!(
            "  {name}: ok, {off}\n    {:.0}% of the allowed {allowed}",
            (100.0 * worst.share.0).ceil()
        );
    }
    let values: usize = sizes.iter().product();
    format!(
        "  {name}: {}, {outside} of {values} values outside, {off}\n    {:?} for {:?}; allowed is {allowed}",
        bad("WRONG"),
        worst.actual.0 as f32,
        worst.expected.0
    )
}
