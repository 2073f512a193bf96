//! Files that come into being whole or not at all, whatever ends the command.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result};
use tempfile::{NamedTempFile, TempPath};

use crate::temporary::beside;

/// The temporary files of this process, for whatever ends it without unwinding.
static UNFINISHED: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

fn unfinished() -> MutexGuard<'static, Vec<PathBuf>> {
    UNFINISHED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Removes the temporary files, and keeps new ones from coming while the guard lives.
fn remove_unfinished() -> MutexGuard<'static, Vec<PathBuf>> {
    let mut paths = unfinished();
    for path in paths.drain(..) {
        // Nothing is left to be done where this fails.
        let _ = std::fs::remove_file(path);
    }
    paths
}

/// Ends the process with this code, from any thread, and leaves no temporary file.
pub fn exit(code: u8) -> ! {
    let _guard = remove_unfinished();
    std::process::exit(code.into())
}

/// From here on the temporary files are removed where the user or the system stops the command.
#[cfg(unix)]
pub fn clean_up_when_stopped() -> Result<()> {
    use signal_hook::consts::{SIGINT, SIGTERM};
    let mut signals = signal_hook::iterator::Signals::new([SIGINT, SIGTERM])?;
    std::thread::spawn(move || {
        for signal in signals.forever() {
            let _guard = remove_unfinished();
            // Whoever waits for the command sees that a signal has ended it.
            let _ = signal_hook::low_level::emulate_default_handler(signal);
        }
    });
    Ok(())
}

/// From here on the temporary files are removed where the user stops the command.
#[cfg(windows)]
pub fn clean_up_when_stopped() -> Result<()> {
    // As the system ends a process: STATUS_CONTROL_C_EXIT.
    Ok(ctrlc::set_handler(|| {
        let _guard = remove_unfinished();
        std::process::exit(0xC000_013Au32.cast_signed())
    })?)
}

/// A file that comes into being whole or not at all.
///
/// From the start a temporary file is beside it, so that what cannot be written is known before anything is worked on.
/// A link stays one, and what is no file (a pipe, `/dev/stdout`) is written to as it is.
pub struct WholeFile {
    path: PathBuf,
    sink: Sink,
}

enum Sink {
    Temporary(Unfinished),
    Direct(File),
}

impl WholeFile {
    /// Checks that the file can be written.
    pub fn new(path: &Path) -> Result<Self> {
        let cannot = || format!("cannot write {}", path.display());
        let sink = match std::fs::metadata(path) {
            Ok(found) if !found.is_file() => Sink::Direct(
                File::options()
                    .write(true)
                    .open(path)
                    .with_context(cannot)?,
            ),
            _ => {
                let target = path.canonicalize().unwrap_or_else(|_| path.to_owned());
                Sink::Temporary(Unfinished::beside(&target).with_context(cannot)?)
            }
        };
        Ok(Self {
            path: path.to_owned(),
            sink,
        })
    }

    /// Writes the file and puts it in its place.
    pub fn write(self, bytes: &[u8]) -> Result<()> {
        let name = || self.path.display().to_string();
        match self.sink {
            Sink::Direct(mut file) => file.write_all(bytes).with_context(name),
            Sink::Temporary(unfinished) => unfinished.finish(bytes).with_context(name),
        }
    }
}

/// A temporary file, which is removed with this value or with the process.
struct Unfinished {
    file: File,
    temporary: Option<TempPath>,
    target: PathBuf,
}

impl Unfinished {
    fn beside(target: &Path) -> std::io::Result<Self> {
        let mut paths = unfinished();
        let (file, temporary) = beside(target).map(NamedTempFile::into_parts)?;
        // Whoever removes it may be in another folder by then.
        paths.push(std::path::absolute(&temporary)?);
        Ok(Self {
            file,
            temporary: Some(temporary),
            target: target.to_owned(),
        })
    }

    fn finish(mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.file.write_all(bytes)?;
        self.file.sync_all()?;
        let mut paths = unfinished();
        let Some(temporary) = self.temporary.take() else {
            return Ok(());
        };
        forget(&mut paths, &temporary);
        temporary.persist(&self.target).map_err(|error| error.error)
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if let Some(temporary) = &self.temporary {
            forget(&mut unfinished(), temporary);
        }
    }
}

fn forget(paths: &mut Vec<PathBuf>, temporary: &Path) {
    if let Ok(path) = std::path::absolute(temporary) {
        paths.retain(|other| *other != path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<_> = std::fs::read_dir(folder)
            .expect("a folder")
            .map(|entry| {
                entry
                    .expect("an entry")
                    .file_name()
                    .to_string_lossy()
                    .into_owned()
            })
            .collect();
        names.sort();
        names
    }

    #[test]
    fn files_are_replaced_whole() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("out.json");
        for text in ["first", "2nd"] {
            let file = WholeFile::new(&path).expect("writable");
            file.write(text.as_bytes()).expect("writable");
            assert_eq!(std::fs::read_to_string(&path).expect("readable"), text);
        }
        let unwritten = WholeFile::new(&path).expect("writable");
        assert_eq!(names(folder.path()).len(), 2);
        drop(unwritten);
        assert_eq!(names(folder.path()), ["out.json"]);
        assert!(WholeFile::new(&folder.path().join("none/out.json")).is_err());
        assert!(WholeFile::new(folder.path()).is_err());
    }

    #[cfg(unix)]
    #[test]
    fn links_stay_links_and_devices_devices() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (target, link) = (folder.path().join("target"), folder.path().join("link"));
        std::fs::write(&target, "old").expect("writable");
        std::os::unix::fs::symlink(&target, &link).expect("a link");
        let file = WholeFile::new(&link).expect("writable");
        file.write(b"new").expect("writable");
        assert!(link.is_symlink());
        assert_eq!(std::fs::read_to_string(&target).expect("readable"), "new");
        assert_eq!(names(folder.path()), ["link", "target"]);

        let null = Path::new("/dev/null");
        WholeFile::new(null)
            .expect("writable")
            .write(b"gone")
            .expect("writable");
        assert!(!std::fs::metadata(null).expect("there").is_file());
    }
}
