//! The files of `tls`, read and judged by one function: what `check` finds in them is what keeps `serve` from using them.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::RootCertStore;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer};
use rustls::sign::CertifiedKey;

use super::{TlsSection, tls};
use crate::clock::Timestamp;
use crate::error::Failure;
use crate::identity::Certificate;
use crate::pki;
use crate::pki::Signed;

/// How long before its end a file is worth a word at most.
const SOON: Duration = Duration::from_secs(14 * 24 * 60 * 60);

/// What is wrong with a file that a key of the configuration names.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fault {
    /// The key, such as `tls.cert`.
    pub key: &'static str,
    /// The file and what is wrong with it.
    pub problem: String,
    /// What to do about it; empty where that goes without saying.
    pub advice: &'static str,
}

/// When what is in a file runs out.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ending {
    /// The key that names the file.
    pub key: &'static str,
    /// The file, and what of it runs out first, for a person.
    pub what: String,
    /// When.
    pub at: Timestamp,
    /// From when on that is worth a word: two weeks before, or the last third of what lives for a shorter time.
    pub soon: Timestamp,
    /// What to do about it.
    pub advice: &'static str,
}

/// The files of `tls`, fit to be served with as far as the time does not matter.
pub struct TlsFiles {
    pub(super) own: Arc<CertifiedKey>,
    pub(super) roots: RootCertStore,
    pub(super) lists: Vec<CertificateRevocationListDer<'static>>,
    /// When each file runs out, by what in it runs out first.
    pub endings: Vec<Ending>,
}

impl TlsFiles {
    /// Reads every file that `section` names.
    ///
    /// # Errors
    /// All that keeps them from being used.
    pub fn read(section: &TlsSection) -> Result<Self, Vec<Fault>> {
        let mut reading = Reading::default();
        let own = reading.own(section);
        let (authorities, roots) = reading.authorities(section.client_ca.as_deref());
        let lists = reading.lists(section.client_crl.as_deref(), &authorities);
        match own {
            Some(own) if reading.faults.is_empty() => {
                Ok(Self { own: Arc::new(own), roots, lists, endings: reading.endings })
            }
            _ => Err(reading.faults),
        }
    }
}

#[derive(Default)]
struct Reading {
    faults: Vec<Fault>,
    endings: Vec<Ending>,
}

impl Reading {
    /// The server's certificate, those that vouch for it, and its key.
    fn own(&mut self, section: &TlsSection) -> Option<CertifiedKey> {
        let chain = self.named(section.cert.as_deref(), "tls.cert", pki::store::certificates);
        let key = self.named(section.key.as_deref(), "tls.key", pki::store::private_key);
        let (path, chain) = chain?;
        let known = self.certificates(path, "tls.cert", &chain, "renew it; the door reads it again by itself");
        if !known.is_empty() && !chain.first().is_some_and(|leaf| pki::serves(leaf)) {
            let advice = "issue one with the extended key usage serverAuth: doorward pki issue server";
            self.fault("tls.cert", path, "is no certificate for a server", advice);
        }
        let (key_path, key) = key?;
        match CertifiedKey::from_der(chain, key, &tls::provider()) {
            Ok(own) => Some(own),
            Err(rustls::Error::InconsistentKeys(_)) => {
                let advice = "give the key that was made with the certificate";
                self.fault("tls.key", key_path, &format!("is not the key of {}", path.display()), advice);
                None
            }
            Err(error) => {
                self.fault("tls.key", key_path, &format!("cannot be used: {error}"), "");
                None
            }
        }
    }

    fn authorities(&mut self, path: Option<&Path>) -> (Vec<CertificateDer<'static>>, RootCertStore) {
        let mut roots = RootCertStore::empty();
        let Some((path, found)) = self.named(path, "tls.client_ca", pki::store::certificates) else {
            return (Vec::new(), roots);
        };
        let known = self.certificates(path, "tls.client_ca", &found, "renew the authority, and issue its clients anew");
        for (der, certificate) in found.iter().zip(known.iter()) {
            // One that vouches for itself may stand for itself alone.
            if certificate.issuer != certificate.subject && !pki::vouches(der) {
                let problem = format!("{} is no authority, so it vouches for nobody", certificate.subject);
                self.fault("tls.client_ca", path, &problem, "give the certificate of the authority that signs clients");
            }
            if let Err(error) = roots.add(der.clone()) {
                self.fault("tls.client_ca", path, &format!("{} cannot be used: {error}", certificate.subject), "");
            }
        }
        (found, roots)
    }

    fn lists(
        &mut self,
        path: Option<&Path>,
        authorities: &[CertificateDer<'_>],
    ) -> Vec<CertificateRevocationListDer<'static>> {
        const KEY: &str = "tls.client_crl";
        let optional = path.and_then(|path| self.named(Some(path), KEY, pki::store::revocation_lists));
        let Some((path, lists)) = optional else { return Vec::new() };
        let advice = "give the lists that the authorities of tls.client_ca sign";
        let mut known = false;
        for list in &lists {
            for authority in authorities {
                match pki::signed_by(list, authority) {
                    Signed::Well => known = true,
                    Signed::Foreign => {}
                    Signed::Badly => {
                        let problem = "is signed with another key than that of the authority it names";
                        self.fault(KEY, path, problem, advice);
                    }
                }
            }
            match pki::validity(list) {
                Ok(life) => self.ends(KEY, format!("{}: the revocation list", path.display()), life, "sign a new one"),
                Err(failure) => self.fault(KEY, path, &said(&failure), advice),
            }
        }
        let refused = self.faults.iter().any(|fault| fault.key == KEY);
        if !known && !refused && !authorities.is_empty() {
            self.fault(
                KEY,
                path,
                "has no list of an authority in tls.client_ca, so every client would be refused",
                advice,
            );
        }
        lists
    }

    /// What certificates of a file say; the one that ends first is remembered.
    fn certificates(
        &mut self,
        path: &Path,
        key: &'static str,
        chain: &[CertificateDer<'_>],
        advice: &'static str,
    ) -> Vec<Certificate> {
        let mut known = Vec::new();
        for der in chain {
            match pki::certificate(der) {
                Ok(certificate) => {
                    let what = format!("{}: {}", path.display(), certificate.subject);
                    self.ends(key, what, (certificate.not_before, certificate.not_after), advice);
                    known.push(certificate);
                }
                Err(failure) => self.fault(key, path, &said(&failure), ""),
            }
        }
        known
    }

    fn ends(&mut self, key: &'static str, what: String, (from, at): (Timestamp, Timestamp), advice: &'static str) {
        let last = at.since(from).checked_div(3).map_or(SOON, |third| third.min(SOON));
        let ending = Ending { key, what, at, soon: at.minus(last), advice };
        match self.endings.iter_mut().find(|have| have.key == key) {
            Some(have) if at < have.at => *have = ending,
            Some(_) => {}
            None => self.endings.push(ending),
        }
    }

    fn named<'a, T>(
        &mut self,
        path: Option<&'a Path>,
        key: &'static str,
        read: impl Fn(&Path) -> Result<T, Failure>,
    ) -> Option<(&'a Path, T)> {
        let Some(path) = path else {
            self.faults.push(Fault { key, problem: "is missing; https needs it".to_owned(), advice: "" });
            return None;
        };
        match read(path) {
            Ok(read) => Some((path, read)),
            // Its cause begins with the file.
            Err(failure) => {
                self.faults.push(Fault { key, problem: said(&failure), advice: "" });
                None
            }
        }
    }

    fn fault(&mut self, key: &'static str, path: &Path, problem: &str, advice: &'static str) {
        self.faults.push(Fault { key, problem: format!("{}: {problem}", path.display()), advice });
    }
}

/// A failure in the words that say most.
fn said(failure: &Failure) -> String {
    failure.cause().unwrap_or_else(|| failure.public().to_owned())
}
