//! Certificates and keys for `tls://`: read again when their files change, so that renewing them needs no restart.

use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::time::Duration;

use super::settings::SyslogSection;
use super::target::Target;
use crate::error::{Code, Failure};
use crate::net::Options;
use crate::net::stream::Secured;
use crate::secret::Secret;

/// What tells one content of a file from the next: inode, length, time of change.
type Stamp = (u64, u64, i64, i64);

/// The files, and what was read from them last.
pub(super) struct Credentials {
    ca: Option<PathBuf>,
    identity: Option<(PathBuf, PathBuf)>,
    name: String,
    known: Option<(Vec<Option<Stamp>>, Secured)>,
}

impl Credentials {
    /// Those for `target`; `None` when it is not reached by TLS.
    pub(super) fn of(section: &SyslogSection, target: &Target) -> Option<Self> {
        let Target::Tls(host) = target else { return None };
        Some(Self {
            ca: section.ca.clone(),
            identity: section.cert.clone().zip(section.key.clone()),
            name: section.server_name.clone().unwrap_or_else(|| host.name.clone()),
            known: None,
        })
    }

    /// As the files are now.
    ///
    /// # Errors
    /// [`Code::Config`] when one cannot be read or used.
    pub(super) fn current(&mut self) -> Result<Secured, Failure> {
        let stamps = self.stamps();
        if let Some((known, secured)) = &self.known
            && *known == stamps
        {
            return Ok(secured.clone());
        }
        let read = |path: &PathBuf| {
            std::fs::read(path).map_err(|error| {
                Failure::new(Code::Config, "a file of audit.syslog cannot be read")
                    .because(format!("{}: {error}", path.display()))
            })
        };
        let identity = match &self.identity {
            Some((cert, key)) => Some((read(cert)?, Secret::new(read(key)?))),
            None => None,
        };
        let ca_pem = self.ca.as_ref().map(read).transpose()?;
        let options = Options { ca_pem, identity, connect_timeout: Duration::ZERO };
        let secured = Secured::new(&options, &self.name)?;
        self.known = Some((stamps, secured.clone()));
        Ok(secured)
    }

    fn stamps(&self) -> Vec<Option<Stamp>> {
        let identity = self.identity.iter().flat_map(|(cert, key)| [cert, key]);
        let stamp = |path: &PathBuf| {
            let metadata = std::fs::metadata(path).ok()?;
            Some((metadata.ino(), metadata.len(), metadata.ctime(), metadata.ctime_nsec()))
        };
        self.ca.iter().chain(identity).map(stamp).collect()
    }
}
