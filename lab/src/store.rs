//! Outcomes in files, one for each bank, so that an interrupted run goes on where it was.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use batchnorm_lab::Error;
use batchnorm_lab::session::{Kept, Store};
use batchnorm_lab::spec::Outcome;

use crate::output::WholeFile;

/// A folder of outcomes.
pub struct Folder {
    path: PathBuf,
}

impl Folder {
    /// The folder, made where there is none.
    pub fn new(path: &Path) -> Result<Self> {
        std::fs::create_dir_all(path)
            .with_context(|| format!("cannot write {}", path.display()))?;
        Ok(Self {
            path: path.to_owned(),
        })
    }

    fn file(&self, settings: &str) -> PathBuf {
        // Two settings of one number would take turns in its file: slow, and right all the same.
        let mut hasher = DefaultHasher::new();
        settings.hash(&mut hasher);
        self.path.join(format!("{:016x}.json", hasher.finish()))
    }
}

impl Store for Folder {
    /// A file that cannot be read, or is of other settings, is as none.
    fn load(&self, settings: &str) -> Option<Outcome> {
        let bytes = std::fs::read(self.file(settings)).ok()?;
        let kept: Kept = serde_json::from_slice(&bytes).ok()?;
        (kept.settings == settings).then_some(kept.outcome)
    }

    fn save(&self, settings: &str, outcome: &Outcome) -> Result<(), Error> {
        let kept = Kept {
            settings: settings.to_owned(),
            outcome: outcome.clone(),
        };
        let write = || -> Result<()> {
            let bytes = serde_json::to_vec(&kept)?;
            WholeFile::new(&self.file(settings))?.write(&bytes)
        };
        write().map_err(Error::store)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_found_again_and_nothing_else() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let store = Folder::new(&folder.path().join("runs")).expect("writable");
        let outcome = Outcome {
            losses: vec![vec![Some(0.25), None]],
            ..Outcome::default()
        };
        assert!(store.load("these").is_none());
        store.save("these", &outcome).expect("writable");
        assert_eq!(store.load("these"), Some(outcome));
        assert!(store.load("others").is_none());
        // Cut short.
        std::fs::write(store.file("these"), "{\"settings\":\"the").expect("writable");
        assert!(store.load("these").is_none());
    }
}
