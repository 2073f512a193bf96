//! Where, when and how a run was made.

use std::ffi::OsString;

use serde::{Deserialize, Serialize};
use sysinfo::{CpuRefreshKind, RefreshKind, System};
use wgpu_batchnorm::wgpu;

use super::clock::{Clock, Stopwatch};
use crate::cli::output;
use crate::cli::tunings::Used;

/// The version of this command.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
/// The major version of wgpu that it is built with.
pub const WGPU: &str = "30";

/// What names a run.
#[derive(Clone, Debug, Serialize)]
pub struct Environment {
    /// Of this command.
    pub version: &'static str,
    /// The major version of wgpu.
    pub wgpu: &'static str,
    /// When the run began: UTC, as in RFC 3339.
    pub date: String,
    /// What was typed.
    pub command: String,
    /// The host.
    pub host: Host,
    /// What was measured.
    pub adapter: Adapter,
    /// What the device's times were read from.
    pub clock: DeviceClock,
    /// The tunings that plans were made by; null for the defaults.
    pub tuning: Option<Used>,
    /// The adapter and its driver, for people.
    #[serde(skip)]
    pub adapter_lines: String,
}

/// The host.
#[derive(Clone, Debug, Serialize)]
pub struct Host {
    /// Operating system and architecture.
    pub system: String,
    /// The name of its processor.
    pub processor: String,
    /// The threads of the processor path.
    pub threads: usize,
}

/// An adapter, as an older run's file names it too.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Adapter {
    /// Its name.
    pub name: String,
    /// Vulkan, Metal and so on.
    pub backend: String,
    /// What drives it.
    pub driver: String,
    /// Whether it runs on the processor.
    #[serde(default)]
    pub software: bool,
}

/// What the device's times were read from.
#[derive(Clone, Debug, Serialize)]
pub struct DeviceClock {
    /// The clock.
    pub source: Clock,
    /// Why it is not timestamps, where it is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl Environment {
    /// This run's.
    pub fn new(info: &wgpu::AdapterInfo, stopwatch: &Stopwatch<'_>, tuning: Option<Used>) -> Self {
        let now = jiff::Timestamp::now();
        let now = now.round(jiff::Unit::Second).unwrap_or(now);
        let cpu = RefreshKind::nothing().with_cpu(CpuRefreshKind::nothing());
        let system = System::new_with_specifics(cpu);
        let processor = system.cpus().first().map_or("", |cpu| cpu.brand().trim());
        Self {
            version: VERSION,
            wgpu: WGPU,
            date: now.to_string(),
            command: command_line(std::env::args_os().skip(1)),
            host: Host {
                system: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
                processor: if processor.is_empty() {
                    "unknown processor".to_owned()
                } else {
                    processor.to_owned()
                },
                threads: rayon::current_num_threads(),
            },
            adapter: Adapter {
                name: info.name.clone(),
                backend: info.backend.to_string(),
                driver: output::driver(info),
                software: info.device_type == wgpu::DeviceType::Cpu,
            },
            clock: DeviceClock {
                source: stopwatch.clock(),
                reason: stopwatch.refusal().map(str::to_owned),
            },
            tuning,
            adapter_lines: output::adapter_lines(info),
        }
    }

    /// What the device's times were read from, in words.
    pub fn describe_clock(&self) -> String {
        match (&self.clock.source, &self.clock.reason) {
            (Clock::Timestamps, _) => {
                "GPU times are from the adapter's timestamp queries".to_owned()
            }
            (Clock::Wall, Some(reason)) => format!("GPU times are wall time: {reason}"),
            (Clock::Wall, None) => "GPU times are wall time".to_owned(),
        }
    }
}

/// The command under its own name, wherever it lies, as a shell takes it.
fn command_line(arguments: impl Iterator<Item = OsString>) -> String {
    let arguments = arguments.map(|argument| argument.to_string_lossy().into_owned());
    let name = std::iter::once("wgpu-batchnorm".to_owned());
    shell_words::join(name.chain(arguments))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_of_wgpu_is_the_one_asked_for() {
        let manifest = include_str!("../../../Cargo.toml");
        // As it is written, and as cargo rewrites it in a package.
        let found = [
            "\nwgpu = { version = \"",
            "\n[dependencies.wgpu]\nversion = \"",
        ]
        .iter()
        .find_map(|start| manifest.split_once(start));
        let (_, rest) = found.expect("the manifest names wgpu");
        assert!(rest.starts_with(&format!("{WGPU}.")));
    }

    #[test]
    fn a_command_line_can_be_typed_again() {
        let words = ["bench", "--json", "my rows.json"].map(OsString::from);
        assert_eq!(
            command_line(words.into_iter()),
            "wgpu-batchnorm bench --json 'my rows.json'"
        );
    }
}
