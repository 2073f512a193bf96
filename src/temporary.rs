//! The file that another will be replaced by: library and command both have it.

use std::io;
use std::path::Path;

use tempfile::NamedTempFile;

/// A temporary file in the folder of `target`, from where it can be moved to its place at once.
pub fn beside(target: &Path) -> io::Result<NamedTempFile> {
    let folder = match target.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    #[cfg_attr(
        not(unix),
        expect(unused_mut, reason = "there are no permissions to set")
    )]
    let mut builder = tempfile::Builder::new();
    // A temporary file is its owner's alone, the file that it becomes is as readable as any other that is created.
    #[cfg(unix)]
    builder
        .permissions(<std::fs::Permissions as std::os::unix::fs::PermissionsExt>::from_mode(0o666));
    builder.tempfile_in(folder)
}
