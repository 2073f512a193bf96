//! The command: `bench`, `tune`, `check` and `info`.

mod adapter;
mod bench;
mod check;
mod compare;
mod data;
mod device;
mod info;
mod inputs;
mod numerics;
mod output;
mod placed;
mod problem;
mod size;
mod tune;
mod tunings;

use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{ArgMatches, CommandFactory, FromArgMatches, Parser, Subcommand};
use clap_complete::Shell;
use serde::Serialize;

use adapter::AdapterChoice;

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
  wgpu-batchnorm tune                         find what is fastest on this adapter; bench and
                                              who asks for it then use that
  wgpu-batchnorm check                        compare with the f64 reference
  wgpu-batchnorm check case.safetensors       compare with a file's expected tensors
  wgpu-batchnorm check --adapter radeon --backend vulkan --json results.json
  wgpu-batchnorm info                         what there is to run on, and how it would be used
  wgpu-batchnorm completions bash > ~/.local/share/bash-completion/completions/wgpu-batchnorm

Environment:
  WGPU_ADAPTER_NAME, WGPU_BACKEND             --adapter and --backend where these are not given
  XDG_CONFIG_HOME                             where tunings are saved, in place of ~/.config
  NO_COLOR                                    no colours on terminals either

Exit codes:
  0  all is right
  1  a result is wrong
  2  something could not be run: a wrong flag, a broken file, a shape that does not fit
  3  there is no such adapter, or it makes no device
A command that is stopped (Ctrl-C) ends by the signal, and leaves no half-written file.";

/// Batch normalization on the GPU: how fast it is, and whether it is right.
#[derive(Debug, Parser)]
#[command(version, after_help = EXAMPLES, max_term_width = 120)]
struct CommandLine {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    bench: bench::Arguments,
    #[command(flatten)]
    adapter: AdapterChoice,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Measure CPU against GPU (what is done where no command is given)
    Bench(bench::Arguments),
    /// Find the geometry of the kernels that is fastest on this adapter, and save it
    Tune(tune::Arguments),
    /// Compare the GPU's results with the f64 reference, or with the expected tensors of files
    Check(check::Arguments),
    /// List the adapters, their limits, and how each would be used
    Info(info::Arguments),
    /// Print a script that completes this command's arguments
    Completions {
        /// The shell that it is for
        shell: Shell,
    },
}

/// How a run ended that could be run. Ordered: the last one counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
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
    let line = CommandLine::parsed(CommandLine::command().get_matches())
        .unwrap_or_else(|error| error.exit());
    match run(&line) {
        Ok(verdict) => verdict.into(),
        Err(error) => {
            output::print_error(format_args!("{error:#}"));
            exit_code(&error)
        }
    }
}

fn run(line: &CommandLine) -> Result<Verdict> {
    output::clean_up_when_stopped()?;
    // This thread is one of the pool's: what it calls waits for no other to wake up, which small tensors would take longer for
    // than for their values.
    rayon::ThreadPoolBuilder::new()
        .use_current_thread()
        .build_global()
        .context("no threads for the processor's path")?;
    let adapter = &line.adapter;
    match &line.command {
        None => bench::run(&line.bench, adapter),
        Some(Command::Bench(bench)) => bench::run(bench, adapter),
        Some(Command::Tune(tune)) => tune::run(tune, adapter),
        Some(Command::Check(check)) => check::run(check, adapter),
        Some(Command::Info(info)) => info::run(info, adapter),
        Some(Command::Completions { shell }) => {
            let mut script = Vec::new();
            let mut command = CommandLine::command();
            let name = command.get_name().to_owned();
            clap_complete::generate(*shell, &mut command, name, &mut script);
            output::print(String::from_utf8(script)?.trim_end())?;
            Ok(Verdict::Right)
        }
    }
}

/// What the command ends with where it could not run.
fn exit_code(error: &anyhow::Error) -> ExitCode {
    if adapter::is_missing(error) {
        ExitCode::from(adapter::NO_DEVICE)
    } else {
        Verdict::Broken.into()
    }
}

impl CommandLine {
    /// Reads what was parsed. The flags of `bench` need no command, and go with no other: clap's own setting for that takes
    /// the flags of all commands for them too.
    fn parsed(mut matches: ArgMatches) -> Result<Self, clap::Error> {
        let mut command = Self::command();
        if let Some((name, _)) = matches.subcommand() {
            let stray = command.get_arguments().find(|argument| {
                let id = argument.get_id().as_str();
                !argument.is_global_set()
                    && matches.try_contains_id(id).is_ok()
                    && matches.value_source(id) == Some(ValueSource::CommandLine)
            });
            if let Some(argument) = stray {
                let flag = argument.get_long().unwrap_or_default();
                let message = format!("the flag --{flag} goes after `{name}`, where that has it");
                return Err(command.error(ErrorKind::ArgumentConflict, message));
            }
        }
        Self::from_arg_matches_mut(&mut matches).map_err(|error| error.format(&mut command))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<CommandLine, clap::Error> {
        CommandLine::command()
            .try_get_matches_from(line.split(' '))
            .and_then(CommandLine::parsed)
    }

    #[test]
    fn the_arguments_are_consistent() {
        CommandLine::command().debug_assert();
    }

    #[test]
    fn bench_is_what_is_done_without_a_command() {
        let bare = parse("wgpu-batchnorm --shape 2x3x4").expect("bench's flags need no command");
        assert!(bare.command.is_none() && bare.bench.shape.is_some());
        for wrong in [
            "--shape 2x3x4 check",
            "--json a.json info",
            "bench --shape 7",
            "bench --layout channels-last",
            "bench --operation forward",
            "bench --element f64",
            "bench --activation tanh",
            "bench --quick --full",
            "bench --explain 2x3 --shape 2x3",
            "bench --shape 2x3 --batch 2",
            "bench --tuning",
            "tune --layout channels-last",
            "tune --shape 2x3 --batch 2",
            "tune --seconds 0",
            "tune --seconds nan",
            "check --rtol 1e-3",
            "check file --rtol -1",
            "check file --atol nan",
            "check file --full",
            "info --layout channels-last",
            "completions tcsh",
        ] {
            assert!(
                parse(&format!("wgpu-batchnorm {wrong}")).is_err(),
                "{wrong}"
            );
        }
    }

    #[test]
    fn the_adapter_is_chosen_before_and_after_the_command() {
        for line in [
            "--adapter some check",
            "check --adapter some",
            "--adapter some",
            "bench --adapter some",
            "tune --adapter some",
            "info --adapter some",
        ] {
            let line = parse(&format!("wgpu-batchnorm {line}")).expect(line);
            assert!(format!("{:?}", line.adapter).contains("some"));
        }
    }
}
