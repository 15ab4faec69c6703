//! The files that a channel is proven with, read and judged together. What the check of a configuration finds in them is
//! what keeps the daemon from serving with them, because both ask here.

use std::path::Path;
use std::time::Duration;

use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{Error, InconsistentKeys};

use super::TlsSection;
use super::tls::provider;
use crate::clock::Timestamp;
use crate::error::Failure;
use crate::identity::Certificate;
use crate::pki::lists::{self, Standing};
use crate::pki::{self, store};

/// From when on an end is worth telling, unless a third of the whole life is less.
const AHEAD: Duration = Duration::from_secs(14 * 86_400);

/// Something to know about one of the files.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Problem {
    /// The key that names the file.
    pub key: &'static str,
    /// What it is, with the name of the file.
    pub what: String,
    /// What to do about it.
    pub advice: &'static str,
    /// Whether nothing can be served with it; else it is only worth knowing.
    pub refuses: bool,
}

/// How long what is in a file is good.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Life {
    /// The key that names the file.
    pub key: &'static str,
    /// The file and the part of it that ends first, for a person.
    pub what: String,
    /// From when.
    pub from: Timestamp,
    /// Until when.
    pub until: Timestamp,
}

impl Life {
    /// Whether the end is near enough to do something about it.
    #[must_use]
    pub fn ends_soon(&self, now: Timestamp) -> bool {
        let third = self.until.since(self.from).checked_div(3).unwrap_or_default();
        self.until.since(now) <= AHEAD.min(third)
    }
}

/// The files, in order.
pub(super) struct Files {
    pub(super) chain: Vec<CertificateDer<'static>>,
    pub(super) key: PrivateKeyDer<'static>,
    pub(super) authorities: Vec<CertificateDer<'static>>,
    /// `None` when no file of them is named.
    pub(super) lists: Option<Vec<CertificateRevocationListDer<'static>>>,
    pub(super) standings: Vec<Standing>,
    /// Of each file the part that ends first.
    pub(super) lives: Vec<Life>,
}

/// All there is to know about the files that `section` names, at the time `now`. Reads them, so it blocks.
#[must_use]
pub fn problems(section: &TlsSection, now: Timestamp) -> Vec<Problem> {
    examine(section, now).1
}

/// The files, if they are named and nothing about them refuses, and what there is to know.
pub(super) fn examine(section: &TlsSection, now: Timestamp) -> (Option<Files>, Vec<Problem>) {
    let mut look = Look { now, problems: Vec::new(), lives: Vec::new() };
    let chain = section.cert.as_deref().and_then(|path| look.chain(path));
    let key = section.key.as_deref().and_then(|path| look.key(path, section.cert.as_deref().zip(chain.as_deref())));
    let authorities = section.client_ca.as_deref().and_then(|path| look.authorities(path));
    let lists = section.client_crl.as_deref().and_then(|path| look.lists(path, authorities.as_deref()));
    if let Some(authorities) = &authorities {
        look.namesakes(authorities, section.client_crl.is_some());
    }
    look.near_ends();
    let refused = look.problems.iter().any(|problem| problem.refuses);
    let files = match (chain, key, authorities) {
        (Some(chain), Some(key), Some(authorities)) if !refused => {
            let (lists, standings) = lists.map_or((None, Vec::new()), |(lists, standings)| (Some(lists), standings));
            Some(Files { chain, key, authorities, lists, standings, lives: look.lives })
        }
        _ => None,
    };
    (files, look.problems)
}

struct Look {
    now: Timestamp,
    problems: Vec<Problem>,
    lives: Vec<Life>,
}

type Lists = (Vec<CertificateRevocationListDer<'static>>, Vec<Standing>);

impl Look {
    fn chain(&mut self, path: &Path) -> Option<Vec<CertificateDer<'static>>> {
        const KEY: &str = "tls.cert";
        const NEW: &str = "put a new one in its place, such as doorward pki issue server makes";
        let chain = self.taken(KEY, store::certificates(path))?;
        for (index, der) in chain.iter().enumerate() {
            let which = if index == 0 { String::new() } else { format!("certificate {}, ", index.saturating_add(1)) };
            if let Some(certificate) = self.certificate(KEY, path, &which, der) {
                self.in_time(KEY, path, &which, &certificate, NEW);
            }
        }
        if chain.first().and_then(|leaf| pki::is_for_servers(leaf)) == Some(false) {
            self.refuse(KEY, path, "the certificate is not for servers (its extended key usage lacks serverAuth)", NEW);
        }
        Some(chain)
    }

    fn key(
        &mut self,
        path: &Path,
        cert: Option<(&Path, &[CertificateDer<'static>])>,
    ) -> Option<PrivateKeyDer<'static>> {
        const KEY: &str = "tls.key";
        let key = self.taken(KEY, store::private_key(path))?;
        let Ok(signing) = provider().key_provider.load_private_key(key.clone_key()) else {
            self.refuse(KEY, path, "the key is of a kind that TLS does not use here", "use ECDSA, Ed25519 or RSA");
            return None;
        };
        if let Some((file, chain)) = cert
            && let Err(Error::InconsistentKeys(InconsistentKeys::KeyMismatch)) =
                CertifiedKey::new(chain.to_vec(), signing).keys_match()
        {
            let what = format!("the key is not the one of {}", file.display());
            self.refuse(KEY, path, &what, "name the key that was made with the certificate");
        }
        Some(key)
    }

    fn authorities(&mut self, path: &Path) -> Option<Vec<CertificateDer<'static>>> {
        const KEY: &str = "tls.client_ca";
        let authorities = self.taken(KEY, store::certificates(path))?;
        for (index, der) in authorities.iter().enumerate() {
            let which = if index == 0 { String::new() } else { format!("certificate {}, ", index.saturating_add(1)) };
            let Some(certificate) = self.certificate(KEY, path, &which, der) else { continue };
            // One that vouches for itself may stand for itself alone, and old roots do not say that they are any.
            if certificate.issuer != certificate.subject && pki::is_authority(der) != Some(true) {
                let what = format!("{which}{} is not an authority", certificate.subject);
                self.refuse(KEY, path, &what, "name the certificate that signs those of clients, such as ca.crt");
            }
            self.in_time(KEY, path, &which, &certificate, "take it out of the file, or put a new one in its place");
        }
        Some(authorities)
    }

    fn lists(&mut self, path: &Path, authorities: Option<&[CertificateDer<'_>]>) -> Option<Lists> {
        const KEY: &str = "tls.client_crl";
        let lists = self.taken(KEY, store::revocation_lists(path))?;
        let standings = match lists::judge(&lists, authorities?) {
            Ok(standings) => standings,
            Err(wrong) => {
                for what in wrong {
                    let advice = "tls.client_crl needs one list for each authority in tls.client_ca, and no other";
                    self.refuse(KEY, path, &what, advice);
                }
                return None;
            }
        };
        for standing in &standings {
            let (from, until) = standing.life();
            let what = format!("{}: the list of {}", path.display(), standing.issuer());
            self.lives.push(Life { key: KEY, what, from, until });
            if until <= self.now {
                let what = format!("the list of {} is out of date since {until}", standing.issuer());
                self.refuse(
                    KEY,
                    path,
                    &what,
                    "with it every client would be refused; sign a new one: doorward pki crl",
                );
            }
        }
        Some((lists, standings))
    }

    /// Two authorities of one name: lists are looked up by name, so the clients of one of them would all be refused.
    fn namesakes(&mut self, authorities: &[CertificateDer<'_>], lists: bool) {
        for name in lists::namesakes(authorities) {
            let what = format!("two authorities with different keys are both called {name}");
            self.problems.push(Problem {
                key: "tls.client_ca",
                what: if lists { format!("{what}, and a revocation list says only the name") } else { what },
                advice: "give each authority a name of its own (doorward pki init --name)",
                refuses: lists,
            });
        }
    }

    fn certificate(&mut self, key: &'static str, path: &Path, which: &str, der: &[u8]) -> Option<Certificate> {
        match pki::certificate(der) {
            Ok(certificate) => {
                let what = format!("{}: {which}{}", path.display(), certificate.subject);
                self.lives.push(Life { key, what, from: certificate.not_before, until: certificate.not_after });
                Some(certificate)
            }
            Err(failure) => {
                let what = format!("{which}the certificate cannot be read: {}", failure.cause().unwrap_or_default());
                self.refuse(key, path, &what, "");
                None
            }
        }
    }

    fn in_time(&mut self, key: &'static str, path: &Path, which: &str, found: &Certificate, advice: &'static str) {
        if found.not_after <= self.now {
            self.refuse(key, path, &format!("{which}{} expired on {}", found.subject, found.not_after), advice);
        } else if found.not_before > self.now {
            let what = format!("{which}{} is not valid before {}", found.subject, found.not_before);
            self.refuse(key, path, &what, "wait until then, or set the clock");
        }
    }

    /// Keeps of each file what ends first, and tells what ends soon.
    fn near_ends(&mut self) {
        let mut lives: Vec<Life> = Vec::new();
        for life in std::mem::take(&mut self.lives) {
            match lives.iter_mut().find(|known| known.key == life.key) {
                Some(known) if life.until < known.until => *known = life,
                Some(_) => {}
                None => lives.push(life),
            }
        }
        for life in lives.iter().filter(|life| life.until > self.now && life.ends_soon(self.now)) {
            let days = life.until.since(self.now).as_secs() / 86_400;
            self.problems.push(Problem {
                key: life.key,
                what: format!("{} runs out on {} (in {days} days)", life.what, life.until),
                advice: "put a newer one in its place before; it is taken up by itself",
                refuses: false,
            });
        }
        self.lives = lives;
    }

    fn taken<T>(&mut self, key: &'static str, read: Result<T, Failure>) -> Option<T> {
        match read {
            Ok(found) => Some(found),
            Err(failure) => {
                let what = failure.cause().unwrap_or_else(|| failure.to_string());
                self.problems.push(Problem { key, what, advice: "", refuses: true });
                None
            }
        }
    }

    fn refuse(&mut self, key: &'static str, path: &Path, what: &str, advice: &'static str) {
        self.problems.push(Problem { key, what: format!("{}: {what}", path.display()), advice, refuses: true });
    }
}
