//! A small certificate authority in a directory: `ca.crt`, `ca.key`, `ca.crl` and the record of what it did.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod,
    KeyPair, KeyUsagePurpose, PublicKeyData as _, SanType, SerialNumber,
};
use time::OffsetDateTime;

use super::ledger::{Entry, Kind, Ledger};
use super::request::{AlternativeName, Request, is_name};
use super::store::{self, Existing};
use super::usage::Usage;
use super::{file, inspect};
use crate::clock::{Clock, Timestamp};
use crate::error::{Code, Failure};
use crate::identity::Certificate;
use crate::secret::{Secret, random};

/// Clocks differ: a certificate is valid from this long before it was made.
pub(super) const BACKDATED: Duration = Duration::from_secs(60);

/// The files of an authority beside its certificate and key.
const RECORD: &str = "index.jsonl";
const LIST: &str = "ca.crl";

/// A new authority.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Profile {
    /// The common name of its subject.
    pub common_name: String,
    /// How long its own certificate is valid.
    pub lifetime: Duration,
}

/// A certificate and its new key.
#[derive(Debug)]
pub struct Issued {
    /// The certificate in PEM.
    pub certificate_pem: String,
    /// Its private key, PKCS#8 in PEM.
    pub key_pem: Secret<String>,
    /// The certificate in DER.
    pub der: Vec<u8>,
    /// What it says.
    pub certificate: Certificate,
}

impl Issued {
    /// The names of the files that [`Issued::write`] writes: `PREFIX.crt` and `PREFIX.key`.
    #[must_use]
    pub fn paths(prefix: &Path) -> (PathBuf, PathBuf) {
        let named = |extension: &str| {
            let mut name = prefix.as_os_str().to_owned();
            name.push(extension);
            PathBuf::from(name)
        };
        (named(".crt"), named(".key"))
    }

    /// Writes the certificate and the key, and tells their names.
    ///
    /// # Errors
    /// [`Code::Io`], also when one of them is there and may not be replaced.
    pub fn write(&self, prefix: &Path, existing: Existing) -> Result<(PathBuf, PathBuf), Failure> {
        let (certificate, key) = Self::paths(prefix);
        store::ready(&certificate, existing)?;
        store::write_private(&key, self.key_pem.expose().as_bytes(), existing)?;
        store::write_public(&certificate, self.certificate_pem.as_bytes(), existing)?;
        Ok((certificate, key))
    }
}

/// The authority of a directory.
pub struct Authority {
    directory: PathBuf,
    pub(super) issuer: Issuer<'static, KeyPair>,
    /// The identifier of its key as its certificate has it, so that lists carry the same one.
    pub(super) key_identifier: KeyIdMethod,
    certificate: Certificate,
    /// The subject as it stands in the certificate; what is issued must name exactly this.
    subject: Vec<u8>,
}

impl Authority {
    /// Makes a new authority (ECDSA P-256, no further authorities below it) in `directory`.
    ///
    /// # Errors
    /// [`Code::Config`] for an unfit name or lifetime, [`Code::Io`] when there is one already or it cannot be written.
    pub fn create(directory: &Path, profile: &Profile, clock: &Clock) -> Result<Self, Failure> {
        if !is_name(&profile.common_name) || profile.lifetime < Duration::from_secs(3600) {
            let why = "its name has 1 to 64 visible characters, and it lives for an hour at least";
            return Err(Failure::new(Code::Config, "this authority is not made").because(why));
        }
        store::make_directory(directory)?;
        if let Err(open) = file::guarded_directory(directory) {
            let why = format!("{}: whoever can write there can be the authority; {}", open.problem, open.advice);
            return Err(Failure::new(Code::Config, "this authority is not made").because(why));
        }
        let (key_path, path) = (directory.join("ca.key"), directory.join("ca.crt"));
        let [record, list] = [RECORD, LIST].map(|name| directory.join(name));
        [&key_path, &path, &record, &list].into_iter().try_for_each(|path| store::ready(path, Existing::Keep))?;
        let now = clock.now();
        let serial = random::<16>()?;
        let key = KeyPair::generate().map_err(unsigned)?;
        let mut parameters = parameters(&profile.common_name, None, &serial, now, now.plus(profile.lifetime))?;
        parameters.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let made = parameters.self_signed(&key).map_err(unsigned)?;
        let private = Secret::new(key.serialize_pem());
        store::write_private(&key_path, private.expose().as_bytes(), Existing::Keep)?;
        store::write_public(&path, made.pem().as_bytes(), Existing::Keep)?;
        let authority = Self::open(directory)?;
        let mut ledger = Ledger::create(&record)?;
        ledger.append(issued(&authority.certificate, Kind::Authority, now))?;
        Ok(authority)
    }

    /// Opens the authority of `directory`.
    ///
    /// # Errors
    /// [`Code::Io`] when its files cannot be read; [`Code::Config`] when `ca.crt` is no authority that may sign
    /// certificates and lists, or `ca.key` is not its key.
    pub fn open(directory: &Path) -> Result<Self, Failure> {
        let path = directory.join("ca.crt");
        let wrong = |why: &str| store::wrong(&path, why);
        let chain = store::certificates(&path)?;
        let [der] = chain.as_slice() else { return Err(wrong("more than one certificate")) };
        let certificate = inspect::certificate(der)?;
        let parsed = inspect::parse(der).map_err(wrong)?;
        let usage = Usage::of(der).unwrap_or_default();
        if !(usage.authority && usage.signs_certificates && usage.signs_lists) {
            return Err(wrong("not an authority that may sign certificates and revocation lists"));
        }
        let key_identifier = usage.key_identifier.map_or(KeyIdMethod::Sha256, KeyIdMethod::PreSpecified);
        let private = store::private_key(&directory.join("ca.key"))?;
        let key = KeyPair::try_from(&private).map_err(unsigned)?;
        if key.subject_public_key_info() != parsed.public_key().raw {
            return Err(wrong("ca.key is the key of another certificate"));
        }
        let subject = parsed.subject().as_raw().to_vec();
        let issuer = Issuer::from_ca_cert_der(der, key).map_err(unsigned)?;
        Ok(Self { directory: directory.to_owned(), issuer, key_identifier, certificate, subject })
    }

    /// The authority's own certificate.
    #[must_use]
    pub fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// The file with its certificate, for `tls.client_ca`.
    #[must_use]
    pub fn certificate_path(&self) -> PathBuf {
        self.directory.join("ca.crt")
    }

    /// The file with its newest revocation list, for `tls.client_crl`.
    #[must_use]
    pub fn list_path(&self) -> PathBuf {
        self.directory.join(LIST)
    }

    /// Issues a certificate for a new ECDSA P-256 key. It is on the record before it exists.
    ///
    /// # Errors
    /// [`Code::Config`] when the request is unfit or outlives the authority, [`Code::Io`] when it cannot be recorded.
    pub fn issue(&self, request: &Request, clock: &Clock) -> Result<Issued, Failure> {
        request.check()?;
        let now = clock.now();
        let not_after = now.plus(request.lifetime);
        if not_after > self.certificate.not_after {
            let why = format!("the authority itself is valid only until {}", self.certificate.not_after);
            return Err(Failure::new(Code::Config, "this certificate is not issued").because(why));
        }
        let organization = request.organization.as_deref();
        let mut parameters = parameters(&request.common_name, organization, &random::<16>()?, now, not_after)?;
        parameters.is_ca = IsCa::ExplicitNoCa;
        parameters.use_authority_key_identifier_extension = true;
        parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        parameters.extended_key_usages = match request.kind {
            Kind::Server => vec![ExtendedKeyUsagePurpose::ServerAuth],
            Kind::Client => vec![ExtendedKeyUsagePurpose::ClientAuth],
            Kind::Authority => return Err(Failure::new(Code::Internal, "an authority is created, not issued")),
        };
        parameters.subject_alt_names = request.names.iter().map(alternative).collect::<Result<_, _>>()?;
        let key = KeyPair::generate().map_err(unsigned)?;
        let made = parameters.signed_by(&key, &self.issuer).map_err(unsigned)?;
        let der = made.der().to_vec();
        let certificate = inspect::certificate(&der)?;
        if inspect::parse(&der).is_ok_and(|parsed| parsed.issuer().as_raw() != self.subject) {
            let why = "the authority's name is in a form that cannot be written again byte for byte";
            return Err(Failure::new(Code::Config, "this certificate is not issued").because(why));
        }
        self.ledger()?.append(issued(&certificate, request.kind, now))?;
        Ok(Issued { certificate_pem: made.pem(), key_pem: Secret::new(key.serialize_pem()), der, certificate })
    }

    pub(super) fn ledger(&self) -> Result<Ledger, Failure> {
        Ledger::open(&self.directory.join(RECORD))
    }
}

fn parameters(
    common_name: &str,
    organization: Option<&str>,
    serial: &[u8],
    now: Timestamp,
    not_after: Timestamp,
) -> Result<CertificateParams, Failure> {
    let mut subject = DistinguishedName::new();
    if let Some(organization) = organization {
        subject.push(DnType::OrganizationName, organization);
    }
    subject.push(DnType::CommonName, common_name);
    let mut parameters = CertificateParams::default();
    parameters.distinguished_name = subject;
    parameters.serial_number = Some(SerialNumber::from_slice(serial));
    parameters.not_before = date(now.minus(BACKDATED))?;
    parameters.not_after = date(not_after)?;
    Ok(parameters)
}

fn alternative(name: &AlternativeName) -> Result<SanType, Failure> {
    match name {
        AlternativeName::Dns(name) => name.as_str().try_into().map(SanType::DnsName),
        AlternativeName::Uri(uri) => uri.as_str().try_into().map(SanType::URI),
        AlternativeName::Email(address) => address.as_str().try_into().map(SanType::Rfc822Name),
        AlternativeName::Ip(address) => Ok(SanType::IpAddress(*address)),
    }
    .map_err(unsigned)
}

fn issued(certificate: &Certificate, kind: Kind, now: Timestamp) -> Entry {
    Entry::Issued {
        at: now.to_string(),
        serial: certificate.serial.clone(),
        subject: certificate.subject.to_string(),
        kind,
        not_after: certificate.not_after.to_string(),
    }
}

pub(super) fn date(at: Timestamp) -> Result<OffsetDateTime, Failure> {
    let date = OffsetDateTime::from_unix_timestamp(at.seconds()).ok().filter(|date| date.year() < 9999);
    date.ok_or_else(|| Failure::new(Code::Config, "a certificate cannot be valid for so long"))
}

pub(super) fn unsigned(error: rcgen::Error) -> Failure {
    Failure::new(Code::Internal, "nothing could be signed").because(error)
}
