//! Everything that proves a channel: the server's key, the client authorities, revocation lists and the allowlist,
//! loaded together and replaced together.

use std::sync::Arc;

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::sign::SingleCertAndKey;
use rustls::{CertificateError, ServerConfig, SupportedProtocolVersion};

use super::files::{Ending, TlsFiles};
use super::{TlsSection, TlsVersion};
use crate::clock::Timestamp;
use crate::error::{Code, Failure};
use crate::identity::{Allowlist, Certificate, SubjectPattern};

/// What one set of files makes of a connection.
pub struct Material {
    /// For handshakes.
    pub config: Arc<ServerConfig>,
    /// Counts loads; a connection judged under another number is judged again.
    pub generation: u64,
    verifier: Arc<dyn ClientCertVerifier>,
    allowlist: Allowlist,
    endings: Vec<Ending>,
}

impl Material {
    /// Makes of the files that `section` names what serves.
    ///
    /// # Errors
    /// [`Code::Config`], the cause naming the file and what is wrong with it.
    pub fn load(section: &TlsSection, generation: u64) -> Result<Self, Failure> {
        let TlsFiles { own, roots, lists, endings } = TlsFiles::read(section).map_err(|faults| {
            let faults: Vec<String> = faults.iter().map(|fault| format!("{}: {}", fault.key, fault.problem)).collect();
            Failure::new(Code::Config, "the files of tls cannot be used").because(faults.join("; "))
        })?;
        let provider = provider();
        let mut builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
        if !lists.is_empty() {
            // The builder's default refuses an unknown status; that an outdated list refuses too must be asked for.
            builder = builder.with_crls(lists).enforce_revocation_expiration();
        }
        let verifier = builder.build().map_err(|error| unusable("tls.client_ca", error))?;
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(versions(section.min_version))
            .map_err(|error| unusable("tls.min_version", error))?
            .with_client_cert_verifier(Arc::clone(&verifier))
            .with_cert_resolver(Arc::new(SingleCertAndKey::from(own)));
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
        Ok(Self { config: Arc::new(config), generation, verifier, allowlist, endings })
    }

    /// When each file runs out.
    #[must_use]
    pub fn endings(&self) -> &[Ending] {
        &self.endings
    }

    /// Whether some revocation list has run out by `now`; then nobody passes until there is a new one.
    #[must_use]
    pub fn outdated(&self, now: Timestamp) -> bool {
        self.endings.iter().any(|ending| ending.key == "tls.client_crl" && now >= ending.at)
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
        _ => (Code::HandshakeFailed, "the TLS handshake failed"),
    };
    Failure::new(code, public).because(error.to_string())
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
