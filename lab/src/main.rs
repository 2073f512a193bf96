//! The `batchnorm-lab` command.

#![forbid(unsafe_code)]

// The parts of the library's own command that are of use here too.
#[allow(dead_code, reason = "that command uses more of it")]
#[path = "../../src/cli/adapter/mod.rs"]
mod adapter;
#[allow(dead_code, reason = "that command uses more of it")]
#[path = "../../src/cli/output/mod.rs"]
mod output;
mod store;
#[path = "../../src/temporary.rs"]
mod temporary;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result};
use batchnorm_lab::Trainer;
use batchnorm_lab::experiments::{Name, Settings};
use batchnorm_lab::report::{Adapter, Environment, Report};
use batchnorm_lab::session::Session;
use clap::Parser;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use wgpu_batchnorm::{Gpu, GpuOptions};

use adapter::{AdapterChoice, NO_DEVICE};
use output::WholeFile;
use store::Folder;

const EXAMPLES: &str = "\
Examples:
  batchnorm-lab                            all experiments, in some minutes: lab-report/index.html
  batchnorm-lab --quick                    with few seeds and steps, in seconds: to see that all works
  batchnorm-lab --only speed scales        some of them
  batchnorm-lab --seeds 30 --seed 1000     more seeds, and others
  batchnorm-lab --only speed --reference   batch norm by the f64 reference on the host, slowly

Finished runs are kept in DIR/runs. A run that was stopped goes on from there, and one of more experiments takes what
it finds.

Environment:
  WGPU_ADAPTER_NAME, WGPU_BACKEND          --adapter and --backend where these are not given

Exit codes:
  0  the report was written, whatever its verdicts
  2  something could not be run: a wrong flag, a folder that cannot be written
  3  there is no such adapter, or it makes no device";

/// What batch normalization does, and why it is used: answered by training small networks on the GPU.
#[derive(Debug, Parser)]
#[command(version, after_help = EXAMPLES, max_term_width = 120)]
struct Arguments {
    /// The folder that index.html and report.json are written to
    #[arg(long, value_name = "DIR", default_value = "lab-report")]
    out: PathBuf,
    /// Few seeds and steps: to see that all works, not for the verdicts
    #[arg(long)]
    quick: bool,
    /// How many seeds are reported [default: 10, with --quick 3]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(2..=1000))]
    seeds: Option<u16>,
    /// The first seed
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,
    /// Run these alone
    #[arg(long, value_name = "EXPERIMENT", num_args = 1.., value_parser = name_parser())]
    only: Vec<Name>,
    /// Do batch normalization by the f64 reference on the host
    #[arg(long)]
    reference: bool,
    #[command(flatten)]
    adapter: AdapterChoice,
}

fn name_parser() -> impl TypedValueParser<Value = Name> {
    let find = |name: String| Name::ALL.into_iter().find(|other| other.name() == name);
    PossibleValuesParser::new(Name::ALL.map(Name::name))
        .map(move |name| find(name).expect("one of the possible values"))
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            output::print_error(format_args!("{error:#}"));
            ExitCode::from(if adapter::is_missing(&error) {
                NO_DEVICE
            } else {
                2
            })
        }
    }
}

fn run(arguments: &Arguments) -> Result<()> {
    output::clean_up_when_stopped()?;
    let folder = &arguments.out;
    let store = Folder::new(&folder.join("runs"))?;
    let (page, json) = (folder.join("index.html"), folder.join("report.json"));
    // What cannot be written is known before anything is trained.
    for file in [&page, &json] {
        WholeFile::new(file)?;
    }

    let gpu = pollster::block_on(Gpu::from_adapter(
        arguments.adapter.find()?,
        &GpuOptions::default(),
    ))?;
    // What no error scope awaits: memory that runs out, a device that is lost. wgpu would panic.
    gpu.device().on_uncaptured_error(Arc::new(|error| {
        output::print_error(format_args!("the device: {error}"));
        output::exit(NO_DEVICE);
    }));
    let info = gpu.adapter().get_info();
    eprintln!("{}", output::adapter_lines(&info));
    eprintln!(
        "finished runs are kept in {}: what is stopped goes on from there",
        folder.join("runs").display()
    );
    let trainer = Trainer::new(&gpu).normalize_on_host(arguments.reference);

    let settings = Settings {
        seeds: arguments
            .seeds
            .map_or(if arguments.quick { 3 } else { 10 }, usize::from),
        seed: arguments.seed,
        quick: arguments.quick,
    };
    let environment = environment(arguments, &info);
    let names: Vec<Name> = Name::ALL
        .into_iter()
        .filter(|name| arguments.only.is_empty() || arguments.only.contains(name))
        .collect();
    let rehearsal = Session::rehearsal();
    for name in &names {
        pollster::block_on(name.run(&rehearsal, &settings))?;
    }

    let bar = output::progress(rehearsal.work() as usize);
    let context = serde_json::json!({
        "version": environment.version,
        "adapter": environment.adapter,
        "batch_norm": environment.batch_norm,
    });
    let progress = |work| bar.inc(work);
    let session = Session::new(&trainer, context.to_string(), &store, &progress);
    let mut report = Report::new(environment, settings.clone());
    for (index, name) in names.iter().enumerate() {
        bar.set_message(name.name());
        report.add(pollster::block_on(name.run(&session, &settings)).with_context(|| name.name())?);
        // After each, so that a run that is stopped leaves a page of what it has.
        report.unfinished = names[index + 1..].iter().map(|name| name.name()).collect();
        WholeFile::new(&page)?.write(report.html().as_bytes())?;
        WholeFile::new(&json)?.write(&output::json(&report)?)?;
    }
    bar.finish_and_clear();
    output::print(&summary(&report))?;
    output::print(&format!("written: {}", page.display()))
}

fn environment(arguments: &Arguments, info: &wgpu_batchnorm::wgpu::AdapterInfo) -> Environment {
    let now = jiff::Timestamp::now();
    let now = now.round(jiff::Unit::Second).unwrap_or(now);
    let words = std::env::args_os()
        .skip(1)
        .map(|word| word.to_string_lossy().into_owned());
    Environment {
        version: env!("CARGO_PKG_VERSION"),
        wgpu: "30",
        date: now.to_string(),
        command: shell_words::join(std::iter::once("batchnorm-lab".to_owned()).chain(words)),
        adapter: Adapter {
            name: info.name.clone(),
            backend: info.backend.to_string(),
            driver: output::driver(info),
        },
        batch_norm: if arguments.reference {
            "the f64 reference on the host"
        } else {
            "the library on the adapter"
        },
    }
}

/// A line for each experiment.
fn summary(report: &Report) -> String {
    let mut table = output::table(&["experiment", "verdict", "effect", "95% interval"], 2);
    for experiment in &report.experiments {
        let headline = &experiment.headline;
        let [low, high] = headline.interval.map(output::digits);
        let cells = [
            experiment.name.to_owned(),
            headline.verdict.name().to_owned(),
            output::digits(headline.effect),
            format!("{low} to {high}"),
        ];
        table.add_row(output::row(cells, 2));
    }
    output::lines(table).join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_arguments_are_consistent() {
        Arguments::command().debug_assert();
        let parse = |line: &str| Arguments::try_parse_from(line.split(' '));
        let line = parse("batchnorm-lab --only speed scales --seeds 12").expect("right");
        assert_eq!(line.only, [Name::Speed, Name::Scales]);
        for wrong in [
            "--only everything",
            "--seeds 1",
            "--seeds many",
            "--fast",
            "--seed -1",
        ] {
            assert!(parse(&format!("batchnorm-lab {wrong}")).is_err(), "{wrong}");
        }
    }
}
