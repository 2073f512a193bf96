//! What `tune` has saved for an adapter.

use serde::Serialize;
use wgpu_batchnorm::{TuningKey, Tunings, wgpu};

use super::facts::Facts;

/// The file of an adapter, whether or not there is one.
#[derive(Debug, Serialize)]
pub struct Saved {
    /// None where the user has no home.
    file: Option<String>,
    /// The passes that it has tunings for; none where there is no file, or none that is of use.
    passes: Option<usize>,
    /// Why it is of no use, where it is not.
    error: Option<String>,
}

impl Saved {
    /// Of an adapter.
    pub fn new(info: &wgpu::AdapterInfo, facts: &Facts) -> Self {
        let key = TuningKey::new(info);
        let path = key.path();
        let bytes = path.as_ref().map(std::fs::read);
        let (passes, error) = match (bytes, facts.plan_limits()) {
            (Some(Ok(bytes)), Some(limits)) => match Tunings::from_json(&bytes, &key, limits) {
                Ok(tunings) => (Some(tunings.passes().len()), None),
                Err(error) => (None, Some(error.to_string())),
            },
            (Some(Err(error)), _) if error.kind() != std::io::ErrorKind::NotFound => {
                (None, Some(error.to_string()))
            }
            _ => (None, None),
        };
        Self {
            file: path.map(|path| path.display().to_string()),
            passes,
            error,
        }
    }

    /// For people.
    pub fn text(&self) -> String {
        match self {
            Self { file: None, .. } => {
                "`tune` has no folder to save in here: its --output names a file.".to_owned()
            }
            Self {
                file: Some(file),
                passes: Some(passes),
                ..
            } => {
                format!("`tune` has saved tunings of {passes} passes in\n  {file}")
            }
            Self {
                file: Some(file),
                error: Some(error),
                ..
            } => {
                format!("What `tune` has saved is of no use: {error}\n  {file}")
            }
            Self {
                file: Some(file), ..
            } => {
                format!("No tunings are saved; `tune` would save them in\n  {file}")
            }
        }
    }
}
