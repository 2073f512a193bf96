//! The command: `bench` and `check`.

mod bench;
mod check;
mod compare;
mod data;
mod device;
mod inputs;
mod output;
mod problem;
mod size;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

const EXAMPLES: &str = "\
Examples:
  wgpu-batchnorm                              measure the layers of ResNet-50 and more
  wgpu-batchnorm bench --quick                some of them, in seconds
  wgpu-batchnorm bench --json numbers.json    measure, and keep the numbers
  wgpu-batchnorm bench --compare numbers.json measure, and compare with those
  wgpu-batchnorm bench --html page.html       measure, and write a page to send around
  wgpu-batchnorm bench --shape 32x64x56x56    measure one shape
  wgpu-batchnorm bench --shape 32x56x56x64 --layout channels-last --operation training
  wgpu-batchnorm bench --explain 32x64x56x56  how a shape is computed
  wgpu-batchnorm check                        compare with the f64 reference
  wgpu-batchnorm check case.safetensors       compare with a file's expected tensors

The adapter is the one that wgpu holds for the fastest. The environment variables
WGPU_BACKEND (vulkan, metal, dx12, gl) and WGPU_ADAPTER_NAME (a part of its name)
choose another.

Exit codes: 0, all is right; 1, a result is wrong; 2, something could not be run (no
adapter, a broken file, a wrong flag).";

/// Batch normalization on the GPU: how fast it is, and whether it is right.
#[derive(Debug, Parser)]
#[command(version, after_help = EXAMPLES, args_conflicts_with_subcommands = true, max_term_width = 120)]
struct CommandLine {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    bench: bench::Arguments,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Measure CPU against GPU (what is done where no command is given)
    Bench(bench::Arguments),
    /// Compare the GPU's results with the f64 reference, or with the expected tensors of files
    Check(check::Arguments),
}

/// How a run ended that could be run. Ordered: the last one counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Verdict {
    /// All results are right.
    Right,
    /// Something could not be run; what could was right.
    Broken,
    /// A result is wrong.
    Wrong,
}

impl From<Verdict> for ExitCode {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Right => Self::SUCCESS,
            Verdict::Wrong => Self::from(1),
            Verdict::Broken => Self::from(2),
        }
    }
}

/// Parses the arguments and runs the command.
pub fn main() -> ExitCode {
    let arguments = CommandLine::parse();
    let verdict = match &arguments.command {
        None => bench::run(&arguments.bench),
        Some(Command::Bench(bench)) => bench::run(bench),
        Some(Command::Check(check)) => check::run(check),
    };
    match verdict {
        Ok(verdict) => verdict.into(),
        Err(error) => {
            eprintln!("error: {error:#}");
            Verdict::Broken.into()
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_arguments_are_consistent() {
        CommandLine::command().debug_assert();
    }

    #[test]
    fn bench_is_what_is_done_without_a_command() {
        let parse = |line: &str| CommandLine::try_parse_from(line.split(' '));
        let bare = parse("wgpu-batchnorm --shape 2x3x4").expect("bench's flags need no command");
        assert!(bare.command.is_none() && bare.bench.shape.is_some());
        assert!(parse("wgpu-batchnorm --shape 2x3x4 check").is_err());
        for wrong in [
            "bench --shape 7",
            "bench --layout channels-last",
            "bench --operation backward",
            "bench --quick --full",
            "bench --explain 2x3 --shape 2x3",
            "bench --shape 2x3 --batch 2",
        ] {
            assert!(
                parse(&format!("wgpu-batchnorm {wrong}")).is_err(),
                "{wrong}"
            );
        }
        for wrong in [
            "--rtol 1e-3",
            "file --rtol -1",
            "file --atol nan",
            "file --full",
        ] {
            assert!(
                parse(&format!("wgpu-batchnorm check {wrong}")).is_err(),
                "{wrong}"
            );
        }
    }
}
