//! Everything that proves a channel: the server's key, the client authorities, revocation lists and the allowlist,
//! loaded together and replaced together.

use std::sync::Arc;

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{CertificateError, RootCertStore, ServerConfig, SupportedProtocolVersion};

use super::trust::{self, Life};
use super::{TlsSection, TlsVersion};
use crate::clock::Timestamp;
use crate::error::{Code, Failure};
use crate::identity::{Allowlist, Certificate, SubjectPattern};
use crate::pki::lists::Standing;

/// What one set of files makes of a connection.
pub struct Material {
    /// For handshakes.
    pub config: Arc<ServerConfig>,
    /// Counts loads; a connection judged under another number is judged again.
    pub generation: u64,
    /// Which revocation lists are in it.
    pub lists: Vec<Standing>,
    lives: Vec<Life>,
    verifier: Arc<dyn ClientCertVerifier>,
    allowlist: Allowlist,
    /// When the first revocation list runs out.
    crl_expires: Option<Timestamp>,
}

impl Material {
    /// Reads every file that `section` names, and judges them at the time `now`. Blocks.
    ///
    /// # Errors
    /// [`Code::Config`], the cause naming the files and what is wrong with them.
    pub fn load(section: &TlsSection, generation: u64, now: Timestamp) -> Result<Self, Failure> {
        let files = [(&section.cert, "tls.cert"), (&section.key, "tls.key"), (&section.client_ca, "tls.client_ca")];
        if let Some((_, key)) = files.into_iter().find(|(path, _)| path.is_none()) {
            return Err(Failure::new(Code::Config, format!("{key} is required with https")));
        }
        let (files, problems) = trust::examine(section, now);
        let files = files.ok_or_else(|| {
            let said = problems.iter().filter(|problem| problem.refuses);
            let said: Vec<String> = said.map(|problem| format!("{}: {}", problem.key, problem.what)).collect();
            Failure::new(Code::Config, "the files of tls cannot be used").because(said.join("; "))
        })?;
        let provider = provider();
        let mut roots = RootCertStore::empty();
        for authority in files.authorities {
            roots.add(authority).map_err(|error| unusable("tls.client_ca", error))?;
        }
        let mut builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
        let crl_expires = files.standings.iter().map(|standing| standing.life().1).min();
        if let Some(lists) = files.lists {
            // The builder's default refuses an unknown status; that an outdated list refuses too must be asked for.
            builder = builder.with_crls(lists).enforce_revocation_expiration();
        }
        let verifier = builder.build().map_err(|error| unusable("tls.client_ca", error))?;
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(versions(section.min_version))
            .map_err(|error| unusable("tls.min_version", error))?
            .with_client_cert_verifier(Arc::clone(&verifier))
            .with_single_cert(files.chain, files.key)
            .map_err(|error| unusable("tls.key", error))?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        config.max_early_data_size = 0;
        // A resumed session would skip the certificate and revocation checks.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        let entries = section
            .allowed_subjects
            .iter()
            .map(|entry| SubjectPattern::parse(entry).map_err(|error| unusable("tls.allowed_subjects", error)));
        let allowlist = Allowlist::new(entries.collect::<Result<_, _>>()?);
        Ok(Self {
            config: Arc::new(config),
            generation,
            lists: files.standings,
            lives: files.lives,
            verifier,
            allowlist,
            crl_expires,
        })
    }

    /// How long each file is good.
    #[must_use]
    pub fn endings(&self) -> &[Life] {
        &self.lives
    }

    /// Whether some revocation list has run out by `now`; then nobody passes until there is a new one.
    #[must_use]
    pub fn outdated(&self, now: Timestamp) -> bool {
        self.crl_expires.is_some_and(|expires| now >= expires)
    }

    /// Judges a chain as a handshake would at the time `now`.
    ///
    /// # Errors
    /// Why the certificate would be refused.
    pub fn verify(&self, chain: &[CertificateDer<'_>], now: Timestamp) -> Result<(), Failure> {
        let (leaf, rest) = chain
            .split_first()
            .ok_or_else(|| Failure::new(Code::CertificateMissing, "a client certificate is required"))?;
        let at = UnixTime::since_unix_epoch(now.since(Timestamp::from_seconds(0)));
        self.verifier.verify_client_cert(leaf, rest, at).map(|_| ()).map_err(|error| refusal(&error))
    }

    /// Judges a certificate by the allowlist.
    ///
    /// # Errors
    /// [`Code::SubjectNotAllowed`].
    pub fn admit(&self, certificate: &Certificate) -> Result<(), Failure> {
        if self.allowlist.admits(certificate) {
            return Ok(());
        }
        Err(Failure::new(Code::SubjectNotAllowed, "this certificate is not on the list of allowed subjects")
            .because(certificate.subject.to_string()))
    }

    /// What stays the same of a certificate when it is renewed.
    #[must_use]
    pub fn holder(&self, certificate: &Certificate) -> Arc<str> {
        self.allowlist.holder(certificate)
    }
}

/// The one cryptography provider of this process, X25519MLKEM768 first.
#[must_use]
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

/// Makes that provider the process's own, for libraries that ask for one. Called once, by `main`.
pub fn install_provider() {
    // The only error is that somebody was faster, and there is only one to be installed.
    let _ = aws_lc_rs::default_provider().install_default();
}

/// Why TLS refused the other end's certificate, or the handshake as a whole.
pub(super) fn refusal(error: &rustls::Error) -> Failure {
    let (code, public) = match error {
        rustls::Error::NoCertificatesPresented => (Code::CertificateMissing, "a client certificate is required"),
        rustls::Error::InvalidCertificate(reason) => match reason {
            CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. } => {
                (Code::CertificateExpired, "the client certificate is not valid at this time")
            }
            CertificateError::Revoked => (Code::CertificateRevoked, "the client certificate is revoked"),
            CertificateError::ExpiredRevocationList
            | CertificateError::ExpiredRevocationListContext { .. }
            | CertificateError::UnknownRevocationStatus => {
                (Code::RevocationUnknown, "whether the client certificate is revoked cannot be told")
            }
            CertificateError::BadEncoding => (Code::CertificateMalformed, "the client certificate cannot be read"),
            _ => (Code::CertificateUntrusted, "the client certificate is not trusted"),
        },
        rustls::Error::InvalidCertRevocationList(_) => {
            (Code::RevocationUnknown, "whether the client certificate is revoked cannot be told")
        }
        _ => (Code::HandshakeFailed, "the TLS handshake failed"),
    };
    Failure::new(code, public).because(words(error).map_or_else(|| error.to_string(), str::to_owned))
}

/// What a person can do something with, where the library only names its own case.
fn words(error: &rustls::Error) -> Option<&'static str> {
    let rustls::Error::InvalidCertificate(reason) = error else { return None };
    Some(match reason {
        CertificateError::UnknownIssuer => "no authority in tls.client_ca has signed it",
        CertificateError::BadSignature => "its signature does not verify",
        CertificateError::BadEncoding => "it is not a certificate in DER",
        CertificateError::UnhandledCriticalExtension => "it has a critical extension that is not known here",
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            "it is not for clients: its extended key usage lacks clientAuth"
        }
        CertificateError::Revoked => "it is on the revocation list",
        CertificateError::UnknownRevocationStatus => "there is no revocation list of an authority above it",
        CertificateError::ExpiredRevocationList | CertificateError::ExpiredRevocationListContext { .. } => {
            "the revocation list is out of date"
        }
        _ => return None,
    })
}

static ONLY_TLS13: [&SupportedProtocolVersion; 1] = [&rustls::version::TLS13];
static ALSO_TLS12: [&SupportedProtocolVersion; 2] = [&rustls::version::TLS13, &rustls::version::TLS12];

fn versions(lowest: TlsVersion) -> &'static [&'static SupportedProtocolVersion] {
    match lowest {
        TlsVersion::Tls12 => &ALSO_TLS12,
        TlsVersion::Tls13 => &ONLY_TLS13,
    }
}

fn unusable(key: &'static str, error: impl std::error::Error) -> Failure {
    Failure::new(Code::Config, format!("{key} cannot be used")).because(error.to_string())
}
