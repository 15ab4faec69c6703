//! `sandbox`: names that the kernel knows, and paths that mean one place.

use super::Check;
use crate::config::place::KeyPath;
use crate::sandbox::Capability;

impl Check<'_> {
    pub(super) fn sandbox(&mut self) {
        for (index, name) in self.config.sandbox.capabilities.iter().enumerate() {
            if Capability::parse(name).is_none() {
                let path = KeyPath::from("sandbox.capabilities").item(index);
                self.find_at(&path, "is no capability", "write it as capabilities(7) does, such as CAP_SYS_PTRACE");
            }
        }
        for (index, read) in self.config.sandbox.read.iter().enumerate() {
            if !read.is_absolute() {
                self.find_at(&KeyPath::from("sandbox.read").item(index), "must begin with /", "");
            }
        }
    }
}
