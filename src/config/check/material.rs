//! What is in the certificates, keys and lists that a configuration names: read as `serve` reads them, so that what is
//! found here is what would keep the door shut.

use super::Check;
use crate::authn::KeySet;
use crate::config::place::KeyPath;
use crate::config::report::Finding;
use crate::pki;
use crate::transport::TlsFiles;

impl Check<'_> {
    /// Files that are missing or unreadable have had their findings; the rest is judged by what is in it.
    pub(super) fn material(&mut self) {
        if !self.https() {
            return;
        }
        if !self.findings.iter().any(|finding| FILES.contains(&finding.key())) {
            match TlsFiles::read(&self.config.tls) {
                Ok(files) => self.endings(&files),
                Err(faults) => {
                    faults.iter().for_each(|fault| self.find(fault.key, fault.problem.as_str(), fault.advice))
                }
            }
        }
        let jwt = &self.config.auth.jwt;
        if let Some(path) = jwt.public_key.as_ref().filter(|_| !self.found("auth.jwt.public_key")) {
            let read = std::fs::read(path).map_err(|error| error.to_string());
            let keys = read.and_then(|pem| KeySet::from_pem(&pem).map_err(|failure| failure.to_string()));
            match keys {
                Err(problem) => self.find("auth.jwt.public_key", format!("{}: {problem}", path.display()), ""),
                Ok(keys)
                    if !jwt.algorithms.is_empty()
                        && !jwt.algorithms.iter().any(|algorithm| keys.serves(*algorithm)) =>
                {
                    let problem = format!("no key of {} is for any of these", path.display());
                    self.find("auth.jwt.algorithms", problem, "name the algorithm that the issuer signs with");
                }
                Ok(_) => {}
            }
        }
        if let Some(path) = jwt.jwks_ca.as_ref().filter(|_| !self.found("auth.jwt.jwks_ca"))
            && let Err(failure) = pki::store::authorities(path)
        {
            self.find("auth.jwt.jwks_ca", failure.cause().unwrap_or_default(), "");
        }
    }

    fn endings(&mut self, files: &TlsFiles) {
        let now = self.given.now;
        for ending in &files.endings {
            let path = KeyPath::from(ending.key);
            let place = self.given.tree.place_of(&path);
            let (what, at) = (&ending.what, ending.at);
            if at <= now {
                let problem = format!("{what} ran out at {at}");
                self.findings.push(Finding::lapsed(place, &path, problem).advise(ending.advice));
            } else if ending.soon <= now {
                self.note_at(&path, format!("{what} runs out at {at}"));
            }
        }
    }

    fn found(&self, key: &str) -> bool {
        self.findings.iter().any(|finding| finding.key() == key)
    }
}

const FILES: [&str; 4] = ["tls.cert", "tls.key", "tls.client_ca", "tls.client_crl"];
