//! `toolsets`: paths that mean the same wherever the daemon was started.

use std::path::{Path, PathBuf};

use super::Check;
use crate::config::place::KeyPath;

impl Check<'_> {
    pub(super) fn toolsets(&mut self) {
        let system = &self.config.toolsets.system;
        self.absolute("toolsets.system.containers.sockets", &system.containers.sockets);
        self.absolute("toolsets.system.dependencies.paths", &system.dependencies.paths);
    }

    fn absolute(&mut self, key: &str, paths: &[PathBuf]) {
        for (index, _) in paths.iter().enumerate().filter(|(_, path)| !is_plain(path)) {
            self.find_at(
                &KeyPath::from(key).item(index),
                "is not an absolute path",
                "write it from the root, without `..`",
            );
        }
    }
}

/// From the root, and nowhere up.
fn is_plain(path: &Path) -> bool {
    path.is_absolute() && path.components().all(|part| !matches!(part, std::path::Component::ParentDir))
}
