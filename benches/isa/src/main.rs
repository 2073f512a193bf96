//! Compiles the kernels of wgpu-batchnorm for AMD GPUs that are not there, and tells what the machine code is like.
//! Run it by `scripts/isa`, which finds the driver.

mod assembly;
mod gpu;
mod kernels;
mod radv;
mod report;
mod spirv;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};

use anyhow::{Context, Result, bail};
use clap::Parser;

use gpu::{FAMILIES, Family, Gpu};

const EXAMPLES: &str = "\
Examples:
  scripts/isa                                        every kernel of the defaults: writes benches/ISA.md
  scripts/isa --check                                the same, writes nothing, fails where a kernel is bad
  scripts/isa --show statistics rows f32 56x56       text and machine code of some, for RDNA3
  scripts/isa --file some.wgsl --set LANES=64        of a file; --family navi21 or vega10 for another GPU

Exit codes:
  0  compiled, and with --check no kernel is bad
  1  --check: the kernels that are bad are named
  2  something could not be compiled or written
  3  Mesa's AMD driver or the Vulkan loader is missing";

/// Compiles every kernel that the defaults choose on a GPU with Mesa's AMD compiler, for GPUs that need not be there.
#[derive(Debug, Parser)]
#[command(name = "scripts/isa", after_help = EXAMPLES, max_term_width = 120)]
struct Arguments {
    /// Fail where a kernel spills, has scratch memory, lets less than half of the subgroups run or has narrow accesses
    #[arg(long, conflicts_with_all = ["show", "file"])]
    check: bool,
    /// The file that the tables are written to
    #[arg(
        long,
        value_name = "FILE",
        default_value = "benches/ISA.md",
        conflicts_with = "check"
    )]
    out: PathBuf,
    /// Print text and machine code of the kernels with these words in their names
    #[arg(long, value_name = "WORD", num_args = 1.., conflicts_with = "file")]
    show: Vec<String>,
    /// Print the machine code of a WGSL file
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// The file's entry point
    #[arg(long, value_name = "NAME", default_value = "main", requires = "file")]
    entry: String,
    /// Values of the file's override constants
    #[arg(long, value_name = "NAME=VALUE", value_parser = constant, requires = "file")]
    set: Vec<(String, f64)>,
    /// The GPU for --show and --file: navi31 (RDNA3), navi21 (RDNA2) or vega10 (GCN5)
    #[arg(long, value_parser = family, default_value = "navi31")]
    family: Family,
    /// Compile for one GPU and print what was found as JSON: one process for each
    #[arg(long, hide = true, value_parser = family)]
    measure: Option<Family>,
}

fn family(name: &str) -> Result<Family, String> {
    let found = FAMILIES.into_iter().find(|family| family.name == name);
    found.ok_or_else(|| "navi31, navi21 or vega10 is needed".to_owned())
}

fn constant(text: &str) -> Result<(String, f64), String> {
    let (name, value) = text.split_once('=').ok_or("NAME=VALUE is needed")?;
    let value: f64 = value.parse().map_err(|_| "VALUE must be a number")?;
    Ok((name.to_owned(), value))
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("isa: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn run(arguments: &Arguments) -> Result<ExitCode> {
    if let Some(family) = arguments.measure {
        let gpu = gpu::measure(family)?;
        serde_json::to_writer(std::io::stdout().lock(), &gpu)?;
        return Ok(ExitCode::SUCCESS);
    }
    if !arguments.show.is_empty() || arguments.file.is_some() {
        // the driver reads its environment once, when it is loaded: another process
        if std::env::var_os("RADV_FORCE_FAMILY").is_none_or(|set| set != arguments.family.name) {
            let status = again(arguments.family)?
                .args(std::env::args_os().skip(1))
                .status()?;
            return Ok(ExitCode::from(if status.success() { 0 } else { 2 }));
        }
        let text = match &arguments.file {
            None => gpu::show(arguments.family, &arguments.show)?,
            Some(file) => gpu::show_file(&spirv::Source {
                wgsl: std::fs::read_to_string(file)
                    .with_context(|| format!("{} cannot be read", file.display()))?,
                entry_point: arguments.entry.clone(),
                constants: arguments.set.clone(),
                subgroups: true,
            })?,
        };
        std::io::stdout().lock().write_all(text.as_bytes())?;
        return Ok(ExitCode::SUCCESS);
    }

    let gpus = measure_all()?;
    if !arguments.check {
        write(&arguments.out, &report::page(&gpus))?;
        println!("isa: wrote {}", arguments.out.display());
    }
    let faults = report::faults(&gpus);
    for fault in &faults {
        println!("isa: {fault}");
    }
    println!("isa: {}", report::counts(&gpus, faults.len()));
    Ok(ExitCode::from(u8::from(
        arguments.check && !faults.is_empty(),
    )))
}

/// This program, with the driver told to compile for a family.
fn again(family: Family) -> Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.env("RADV_FORCE_FAMILY", family.name);
    Ok(command)
}

/// All families at once, each in a process of its own.
fn measure_all() -> Result<Vec<(Family, Gpu)>> {
    let children = FAMILIES
        .into_iter()
        .map(|family| {
            let child = again(family)?
                .args(["--measure", family.name])
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()?;
            Ok((family, child))
        })
        .collect::<Result<Vec<_>>>()?;
    // whoever waits for one reads what it prints: another is not blocked for long by a pipe that is full
    children
        .into_iter()
        .map(|(family, child)| Ok((family, answer(family, child)?)))
        .collect()
}

fn answer(family: Family, child: Child) -> Result<Gpu> {
    let output = child.wait_with_output()?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("{}: {}", family.name, said.trim());
    }
    serde_json::from_slice(&output.stdout).context("what the process for one GPU printed")
}

/// Writes a file that is there as a whole or not at all.
fn write(path: &Path, text: &str) -> Result<()> {
    let failed = || format!("{} cannot be written", path.display());
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let mut file = tempfile::NamedTempFile::new_in(folder).with_context(failed)?;
    file.write_all(text.as_bytes()).with_context(failed)?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let readable = std::fs::Permissions::from_mode(0o644);
        file.as_file()
            .set_permissions(readable)
            .with_context(failed)?;
    }
    file.persist(path).with_context(failed)?;
    Ok(())
}
