//! What came of a run: for people as a page, for programs as JSON.

mod chart;
mod page;

use serde::Serialize;

use crate::experiments::{Exhibit, Experiment, Part, Settings};

/// The adapter.
#[derive(Clone, Debug, Serialize)]
pub struct Adapter {
    /// Its name.
    pub name: String,
    /// The graphics API it was reached by.
    pub backend: String,
    /// What drives it.
    pub driver: String,
}

/// Where, when and how a run was made.
#[derive(Clone, Debug, Serialize)]
pub struct Environment {
    /// Of this package, and of the library.
    pub version: &'static str,
    /// Of wgpu.
    pub wgpu: &'static str,
    /// When the run began: UTC, as in RFC 3339.
    pub date: String,
    /// What was typed.
    pub command: String,
    /// What was trained on.
    pub adapter: Adapter,
    /// What normalized.
    pub batch_norm: &'static str,
}

/// A run.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Where, when and how.
    #[serde(flatten)]
    pub environment: Environment,
    /// What it was run with.
    pub settings: Settings,
    /// The experiments.
    pub experiments: Vec<Experiment>,
    /// What is shown beside them.
    pub exhibits: Vec<Exhibit>,
    /// What was still to be run when this was written.
    pub unfinished: Vec<&'static str>,
}

impl Report {
    /// A report without results yet.
    pub const fn new(environment: Environment, settings: Settings) -> Self {
        Self {
            environment,
            settings,
            experiments: Vec::new(),
            exhibits: Vec::new(),
            unfinished: Vec::new(),
        }
    }

    /// Adds a result.
    pub fn add(&mut self, part: Part) {
        match part {
            Part::Experiment(experiment) => self.experiments.push(experiment),
            Part::Exhibit(exhibit) => self.exhibits.push(exhibit),
        }
    }
}
