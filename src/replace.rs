//! Files that are replaced whole or not at all.

use std::{fs, io, path::Path};

use crate::temporary::beside;

/// Puts a file written by `write` in the place of `path`, or leaves what is there.
pub fn replace(path: &Path, write: impl FnOnce(&mut fs::File) -> io::Result<()>) -> io::Result<()> {
    // A link stays one: what it points at is replaced.
    let target = path.canonicalize().unwrap_or_else(|_| path.into());
    let mut file = beside(&target)?;
    write(file.as_file_mut())?;
    if let Ok(old) = target.metadata() {
        file.as_file().set_permissions(old.permissions())?;
    }
    file.as_file().sync_all()?;
    file.persist(&target)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interrupted_save_leaves_the_old_file_and_nothing_else() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("layer.safetensors");
        fs::write(&path, "old").expect("write");
        let interrupted = replace(&path, |file| {
            io::Write::write_all(file, b"half of the n")?;
            Err(io::Error::other("the disk is full"))
        });
        assert_eq!(
            interrupted.expect_err("interrupted").to_string(),
            "the disk is full"
        );
        assert_eq!(fs::read(&path).expect("read"), b"old");
        let files = fs::read_dir(folder.path()).expect("list").count();
        assert_eq!(files, 1, "the temporary file is gone");
    }

    #[test]
    #[cfg(unix)]
    fn a_saved_file_has_the_permissions_and_the_links_that_the_old_one_had() {
        use std::os::unix::fs::{PermissionsExt, symlink};

        let folder = tempfile::tempdir().expect("a folder");
        let (path, link, plain) = (
            folder.path().join("layer"),
            folder.path().join("link"),
            folder.path().join("plain"),
        );
        let mode = |path: &Path| fs::metadata(path).expect("metadata").permissions().mode();
        let write = |path: &Path| {
            replace(path, |file| io::Write::write_all(file, b"new")).expect("written");
        };
        fs::write(&plain, "as any other").expect("write");
        write(&path);
        assert_eq!(mode(&path), mode(&plain));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).expect("permissions");
        symlink(&path, &link).expect("a link");
        fs::write(&path, "old").expect("write");
        write(&link);
        assert!(link.is_symlink());
        assert_eq!(fs::read(&path).expect("read"), b"new");
        assert_eq!(mode(&path) & 0o777, 0o640);
    }
}
