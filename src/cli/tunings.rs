//! `--tuning`: which tunings plans are made by, and what is said of them.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};
use clap::builder::{PathBufValueParser, TypedValueParser};
use serde::Serialize;
use wgpu_batchnorm::{TuningKey, Tunings, TuningsError};

use super::device::Device;

/// Where tunings are from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TuningSource {
    /// What `tune` has saved for the adapter, where it has.
    Saved,
    /// None are used.
    None,
    /// A file.
    File(PathBuf),
}

/// Tunings that plans are made by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Used {
    /// The file that they are from.
    pub file: String,
    /// How many passes it has tunings for.
    pub passes: usize,
}

impl TuningSource {
    /// Reads `saved`, `none` or the name of a file: one that is called so is `./saved`.
    pub fn parser() -> impl TypedValueParser<Value = Self> {
        PathBufValueParser::new().map(|path| match path.to_str() {
            Some("saved") => Self::Saved,
            Some("none") => Self::None,
            _ => Self::File(path),
        })
    }

    /// From here on the device's plans are made by them.
    pub fn use_on(&self, device: &mut Device) -> Result<Option<Used>> {
        let (path, tunings) = match self {
            Self::None => return Ok(None),
            Self::File(path) => (path.clone(), read(path, device).map(Some)),
            Self::Saved => match TuningKey::new(&device.info()).path() {
                Some(path) => {
                    let tunings = Tunings::saved(&device.kernels).with_context(|| cannot(&path));
                    (path, tunings)
                }
                None => return Ok(None),
            },
        };
        device.tunings =
            tunings.map_err(|error| anyhow!("{error:#} (--tuning none does without)"))?;
        Ok(device.tunings.as_ref().map(|tunings| Used {
            file: path.display().to_string(),
            passes: tunings.passes().len(),
        }))
    }
}

/// Reads a file of tunings for a device.
pub fn read(path: &Path, device: &Device) -> Result<Tunings> {
    Tunings::load(path, &device.kernels).map_err(|error| match error {
        // names the file
        TuningsError::Io { .. } => anyhow::Error::new(error).context("cannot read the tunings"),
        error => anyhow::Error::new(error).context(cannot(path)),
    })
}

fn cannot(path: &Path) -> String {
    format!("cannot use {}", path.display())
}

impl Used {
    /// What plans are made by, in a line.
    pub fn describe(used: Option<&Self>) -> String {
        match used {
            Some(Self { file, passes }) => {
                format!("planned by the tunings of {passes} passes in {file}")
            }
            None => "planned by the default tuning".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::{Arg, Command};

    use super::*;

    #[test]
    fn files_have_any_name() {
        let command =
            Command::new("test").arg(Arg::new("tuning").value_parser(TuningSource::parser()));
        for (text, source) in [
            ("saved", TuningSource::Saved),
            ("none", TuningSource::None),
            ("./none", TuningSource::File("./none".into())),
            ("tunings.json", TuningSource::File("tunings.json".into())),
        ] {
            let matches = command.clone().get_matches_from(["test", text]);
            assert_eq!(matches.get_one::<TuningSource>("tuning"), Some(&source));
        }
        assert!(command.try_get_matches_from(["test", ""]).is_err());
    }
}
