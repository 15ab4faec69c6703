//! Files that a configuration names: there, readable, private where they must be. What is in them is for those who use
//! them to judge.

use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use rustix::fs::{Access, access};

use crate::config::references::{explain, exposed};
use crate::pki::file;

/// What is wrong with a private file.
pub(super) enum Wrong {
    Unreadable(String),
    Exposed(String),
}

/// A file that this process can open.
pub(super) fn readable(path: &Path) -> Result<(), String> {
    match file::open(path) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == ErrorKind::InvalidInput => Err(format!("{} is not a file", path.display())),
        Err(error) => Err(wrong(path, &error)),
    }
}

/// A file that this process can open, and whose mode lets nobody else.
pub(super) fn private(path: &Path) -> Result<(), Wrong> {
    readable(path).map_err(Wrong::Unreadable)?;
    let metadata = std::fs::metadata(path).map_err(|error| Wrong::Unreadable(wrong(path, &error)))?;
    if metadata.mode() & 0o077 != 0 {
        return Err(Wrong::Exposed(exposed(path, metadata.mode())));
    }
    Ok(())
}

/// As [`writable`], and no symbolic link: the journal follows none, for who could set one could have records written
/// elsewhere.
pub(super) fn journal(path: &Path) -> Result<(), String> {
    match std::fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_symlink() => {
            Err(format!("{} is a symbolic link; name the file itself", path.display()))
        }
        Ok(_) | Err(_) => writable(path),
    }
}

/// A file that this process can append to or create.
pub(super) fn writable(path: &Path) -> Result<(), String> {
    let directory = match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
        None => return Err(format!("{} is not a file", path.display())),
    };
    let metadata = std::fs::metadata(directory).map_err(|error| {
        if error.kind() == ErrorKind::NotFound {
            return format!("the directory {} does not exist", directory.display());
        }
        wrong(directory, &error)
    })?;
    if !metadata.is_dir() {
        return Err(format!("{} is not a directory", directory.display()));
    }
    if access(directory, Access::WRITE_OK | Access::EXEC_OK).is_err() {
        return Err(format!("the directory {} cannot be written to", directory.display()));
    }
    match std::fs::metadata(path) {
        Ok(metadata) if !metadata.is_file() => Err(format!("{} is not a file", path.display())),
        Ok(_) if access(path, Access::WRITE_OK).is_err() => Err(format!("{} cannot be written to", path.display())),
        Ok(_) | Err(_) => Ok(()),
    }
}

fn wrong(path: &Path, error: &std::io::Error) -> String {
    format!("{}: {}", path.display(), explain(error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn a_file_is_asked_for_what_its_use_needs() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("server.key");
        assert!(readable(&path).unwrap_err().ends_with("there is no such file"));
        assert!(writable(&path).is_ok());
        assert!(writable(&path.join("below")).unwrap_err().contains("does not exist"));
        assert!(readable(directory.path()).unwrap_err().ends_with("is not a file"));
        assert!(writable(directory.path()).unwrap_err().ends_with("is not a file"));
        std::fs::write(&path, "x").unwrap();
        assert!(writable(&path.join("below")).unwrap_err().ends_with("is not a directory"));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        assert!(readable(&path).is_ok());
        let link = directory.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert!(journal(&path).is_ok() && writable(&link).is_ok());
        assert!(journal(&link).unwrap_err().contains("is a symbolic link"));
        assert!(matches!(private(&path), Err(Wrong::Exposed(problem)) if problem.contains("mode 0640")));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o400)).unwrap();
        assert!(private(&path).is_ok());
    }
}
