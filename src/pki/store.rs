//! PEM files: read whole within a size, private keys only if nobody else can read them, written at once or not at all.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::RootCertStore;
use rustls::pki_types::pem::{self, PemObject, SectionKind};
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use zeroize::Zeroizing;

use super::key::SigningKey;
use super::{file, inspect};
use crate::error::{Code, Failure};
use crate::identity::Certificate;
use crate::secret::{hex, random};

/// Certificates and keys, in bytes.
const MAX_BYTES: usize = 1024 * 1024;

/// Revocation lists grow with the number of revoked certificates; in bytes.
const MAX_LIST_BYTES: usize = 32 * 1024 * 1024;

/// What to do with a file that is there already.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Existing {
    /// Leave it and fail.
    Keep,
    /// Put the new one in its place.
    Replace,
}

/// All certificates of a file, in order: a chain, leaf first.
///
/// # Errors
/// [`Code::Io`] when it cannot be read, [`Code::Config`] when there is no certificate in it; the cause names the file.
pub fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Failure> {
    all(path, &read(path, MAX_BYTES)?, "certificate")
}

/// What the first certificate of a file says: the holder's own, before those that vouch for it.
///
/// # Errors
/// As [`certificates`], and [`Code::CertificateMalformed`].
pub fn leaf(path: &Path) -> Result<Certificate, Failure> {
    let chain = certificates(path)?;
    inspect::certificate(chain.first().map(CertificateDer::as_ref).unwrap_or_default())
}

/// The authorities of a file, as roots of trust.
///
/// # Errors
/// As [`certificates`], and when a certificate in it cannot be a root.
pub fn authorities(path: &Path) -> Result<RootCertStore, Failure> {
    let mut roots = RootCertStore::empty();
    for (index, certificate) in certificates(path)?.into_iter().enumerate() {
        let number = index.saturating_add(1);
        roots
            .add(certificate)
            .map_err(|error| wrong(path, &format!("certificate {number} is no authority: {error}")))?;
    }
    Ok(roots)
}

/// All revocation lists of a file.
///
/// # Errors
/// [`Code::Io`] when it cannot be read, [`Code::Config`] when there is no list in it; the cause names the file.
pub fn revocation_lists(path: &Path) -> Result<Vec<CertificateRevocationListDer<'static>>, Failure> {
    all(path, &read(path, MAX_LIST_BYTES)?, "revocation list")
}

/// The private key of a file for TLS.
///
/// # Errors
/// [`Code::Io`] when it cannot be read; [`Code::Config`] when group or others may read it, or there is not exactly one
/// key in it. The cause names the file.
pub fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, Failure> {
    private_key_in(&read_private(path)?).map_err(|failure| wrong(path, failure.public()))
}

/// The private key of a file for signing.
///
/// # Errors
/// As [`private_key`], and when the key is of a kind that is not used here.
pub fn signing_key(path: &Path) -> Result<SigningKey, Failure> {
    SigningKey::from_pem(&read_private(path)?).map_err(|failure| wrong(path, failure.public()))
}

/// The one private key in a PEM text.
///
/// # Errors
/// [`Code::Config`] when there is none, or there are several.
pub fn private_key_in(pem: &[u8]) -> Result<PrivateKeyDer<'static>, Failure> {
    if pem.windows(ENCRYPTED.len()).any(|window| window == ENCRYPTED) {
        return Err(Failure::new(
            Code::Config,
            "the private key is encrypted; write it without a passphrase, mode 0600",
        ));
    }
    let mut keys = PrivateKeyDer::pem_slice_iter(pem);
    match (keys.next(), keys.next()) {
        (Some(Ok(key)), None) => Ok(key),
        (None, _) => Err(Failure::new(Code::Config, format!("there is no private key in it{}", instead(pem)))),
        (Some(Ok(_)), Some(_)) => Err(Failure::new(Code::Config, "there is more than one private key in it")),
        (Some(Err(_)), _) => Err(Failure::new(Code::Config, "the private key in it is not PEM")),
    }
}

const ENCRYPTED: &[u8] = b"ENCRYPTED";
const PRIVATE: &[u8] = b"PRIVATE KEY-----";

/// Writes a file that only its owner may read (0600): whole or not at all.
///
/// # Errors
/// [`Code::Io`]; the cause names the file.
pub fn write_private(path: &Path, bytes: &[u8], existing: Existing) -> Result<(), Failure> {
    write(path, bytes, 0o600, existing).map_err(|error| unwritable(path, error))
}

/// Writes a file that everybody may read (0644): whole or not at all.
///
/// # Errors
/// [`Code::Io`]; the cause names the file.
pub fn write_public(path: &Path, bytes: &[u8], existing: Existing) -> Result<(), Failure> {
    write(path, bytes, 0o644, existing).map_err(|error| unwritable(path, error))
}

/// Whether a file may be written; asked before work that cannot be undone. Writing asks again.
///
/// # Errors
/// [`Code::Io`] when there is one and it is to be kept; the cause names it.
pub fn ready(path: &Path, existing: Existing) -> Result<(), Failure> {
    let taken = existing == Existing::Keep && path.symlink_metadata().is_ok();
    if taken { Err(unwritable(path, io::ErrorKind::AlreadyExists.into())) } else { Ok(()) }
}

/// Makes a directory that only its owner may enter (0700), with those above it; one that is there stays as it is.
///
/// # Errors
/// [`Code::Io`]; the cause names the directory.
pub fn make_directory(path: &Path) -> Result<(), Failure> {
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(|error| unwritable(path, error))
}

/// One section of PEM (RFC 7468).
pub(super) fn pem(label: &str, der: &[u8]) -> String {
    let body = Zeroizing::new(STANDARD.encode(der));
    // Long enough from the start: a text that grows leaves copies of itself behind.
    let mut text = String::with_capacity(body.len().saturating_mul(2).saturating_add(128));
    text.push_str(&format!("-----BEGIN {label}-----\n"));
    for (index, c) in body.chars().enumerate() {
        if index > 0 && index.is_multiple_of(64) {
            text.push('\n');
        }
        text.push(c);
    }
    text.push_str(&format!("\n-----END {label}-----\n"));
    text
}

/// A regular file, whole, if it has no more than `cap` bytes.
///
/// # Errors
/// [`Code::Io`] when it cannot be read; [`Code::Config`] when it is larger, or no regular file. The cause names the file.
pub fn read(path: &Path, cap: usize) -> Result<Zeroizing<Vec<u8>>, Failure> {
    contents(path, open(path)?, cap)
}

fn contents(path: &Path, file: File, cap: usize) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let limit = u64::try_from(cap).unwrap_or(u64::MAX).saturating_add(1);
    let mut bytes = Zeroizing::new(Vec::new());
    file.take(limit).read_to_end(&mut bytes).map_err(|error| unreadable(path, error))?;
    if bytes.len() > cap { Err(wrong(path, &format!("larger than {cap} bytes"))) } else { Ok(bytes) }
}

fn read_private(path: &Path) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let file = open(path)?;
    let mode = file.metadata().map_err(|error| unreadable(path, error))?.permissions().mode();
    let bytes = contents(path, file, MAX_BYTES)?;
    // A public file is no secret; that it is the wrong one is for whoever looks for the key in it to say.
    if mode & 0o077 != 0 && bytes.windows(PRIVATE.len()).any(|window| window == PRIVATE) {
        let why = format!("a private key with mode {:04o}: others may read it; chmod 600 it", mode & 0o7777);
        return Err(wrong(path, &why));
    }
    Ok(bytes)
}

fn open(path: &Path) -> Result<File, Failure> {
    file::open(path).map_err(|error| match error.kind() {
        io::ErrorKind::InvalidInput => wrong(path, "not a regular file"),
        _ => unreadable(path, error),
    })
}

fn all<T: PemObject>(path: &Path, pem: &[u8], what: &str) -> Result<Vec<T>, Failure> {
    let found = T::pem_slice_iter(pem).collect::<Result<Vec<T>, pem::Error>>();
    match found {
        Ok(found) if found.is_empty() => Err(wrong(path, &format!("there is no {what} in PEM in it{}", instead(pem)))),
        Ok(found) => Ok(found),
        Err(error) => Err(wrong(path, &format!("broken PEM: {error}"))),
    }
}

/// What else is in a PEM text, for whoever gave the wrong file.
fn instead(text: &[u8]) -> String {
    let mut kinds: Vec<&str> = Vec::new();
    for (kind, der) in <(SectionKind, Vec<u8>)>::pem_slice_iter(text).filter_map(Result::ok) {
        drop(Zeroizing::new(der));
        let kind = match kind {
            SectionKind::Certificate => "a certificate",
            SectionKind::Crl => "a revocation list",
            SectionKind::PublicKey => "a public key",
            SectionKind::PrivateKey | SectionKind::EcPrivateKey | SectionKind::RsaPrivateKey => "a private key",
            SectionKind::Csr => "a certificate request",
            _ => "something that is not used here",
        };
        if !kinds.contains(&kind) {
            kinds.push(kind);
        }
    }
    if kinds.is_empty() { String::new() } else { format!(", but {}", kinds.join(" and ")) }
}

fn write(path: &Path, bytes: &[u8], mode: u32, existing: Existing) -> io::Result<()> {
    let name = path.file_name().ok_or_else(|| io::Error::other("not the name of a file"))?;
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let random = random::<8>().map_err(io::Error::other)?;
    let draft = Draft(directory.join(format!(".{}.{}", name.to_string_lossy(), hex(&random))));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&draft.0)?;
    file.set_permissions(Permissions::from_mode(mode))?;
    file.write_all(bytes)?;
    file.sync_all()?;
    match existing {
        Existing::Replace => fs::rename(&draft.0, path)?,
        // A link is refused by the system when the name is taken; looking first and renaming then could lose a race.
        Existing::Keep => match fs::hard_link(&draft.0, path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists && !path.exists() => fs::rename(&draft.0, path)?,
            linked => linked?,
        },
    }
    File::open(directory)?.sync_all()
}

/// A file that is removed again unless it got its final name.
struct Draft(PathBuf);

impl Drop for Draft {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

fn unreadable(path: &Path, error: io::Error) -> Failure {
    Failure::new(Code::Io, "a file cannot be read").because(format!("{}: {error}", path.display()))
}

fn unwritable(path: &Path, error: io::Error) -> Failure {
    let why = match error.kind() {
        io::ErrorKind::AlreadyExists => "there is one already; --force puts the new one in its place".to_owned(),
        _ => error.to_string(),
    };
    Failure::new(Code::Io, "a file cannot be written").because(format!("{}: {why}", path.display()))
}

pub(super) fn wrong(path: &Path, why: &str) -> Failure {
    Failure::new(Code::Config, "a file does not hold what it should").because(format!("{}: {why}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pki::KeyKind;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o7777
    }

    fn key_text() -> String {
        SigningKey::generate(KeyKind::P256).unwrap().private_pem().unwrap().expose().clone()
    }

    #[test]
    fn a_key_is_written_for_its_owner_only_and_never_over_another() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.key");
        write_private(&path, b"one", Existing::Keep).unwrap();
        assert_eq!(mode(&path), 0o600);
        let failure = write_private(&path, b"two", Existing::Keep).unwrap_err();
        assert!(failure.cause().unwrap().contains("a.key"));
        assert_eq!(fs::read(&path).unwrap(), b"one");
        write_private(&path, b"three", Existing::Replace).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"three");
        assert_eq!(mode(&path), 0o600);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "no drafts are left");
    }

    #[test]
    fn a_public_file_is_readable() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.crt");
        write_public(&path, b"text", Existing::Keep).unwrap();
        assert_eq!(mode(&path), 0o644);
        assert!(write_public(&dir.path().join("missing/a.crt"), b"", Existing::Keep).is_err());
    }

    #[test]
    fn a_key_that_others_may_read_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.key");
        write_private(&path, key_text().as_bytes(), Existing::Keep).unwrap();
        private_key(&path).unwrap();
        for open in [0o640, 0o604, 0o620] {
            fs::set_permissions(&path, Permissions::from_mode(open)).unwrap();
            let cause = private_key(&path).unwrap_err().cause().unwrap();
            assert!(cause.contains("a.key") && cause.contains(&format!("{open:04o}")), "{cause}");
            assert!(signing_key(&path).is_err());
        }
    }

    #[test]
    fn what_is_not_there_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.pem");
        let cause = |failure: Failure| failure.cause().unwrap();
        assert!(cause(certificates(&path).unwrap_err()).contains("x.pem"));
        write_private(&path, key_text().as_bytes(), Existing::Replace).unwrap();
        assert!(cause(certificates(&path).unwrap_err()).contains("no certificate in PEM"));
        assert!(
            cause(revocation_lists(&path).unwrap_err()).contains("no revocation list in PEM in it, but a private key")
        );
        let public = SigningKey::generate(KeyKind::P256).unwrap().public_pem().unwrap();
        write_public(&path, public.as_bytes(), Existing::Replace).unwrap();
        assert!(cause(private_key(&path).unwrap_err()).ends_with("no private key in it, but a public key"));
        assert!(cause(signing_key(&path).unwrap_err()).ends_with("no private key in it, but a public key"));
        write_private(&path, b"nothing", Existing::Replace).unwrap();
        assert!(cause(private_key(&path).unwrap_err()).contains("no private key"));
        write_private(&path, key_text().repeat(2).as_bytes(), Existing::Replace).unwrap();
        assert!(cause(private_key(&path).unwrap_err()).contains("more than one"));
        write_private(&path, b"-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n", Existing::Replace)
            .unwrap();
        assert!(cause(certificates(&path).unwrap_err()).contains("broken PEM"));
        let encrypted = b"-----BEGIN ENCRYPTED PRIVATE KEY-----\nAA==\n-----END ENCRYPTED PRIVATE KEY-----\n";
        write_private(&path, encrypted, Existing::Replace).unwrap();
        assert!(cause(private_key(&path).unwrap_err()).contains("encrypted"));
        assert!(cause(certificates(dir.path()).unwrap_err()).contains("not a regular file"));
    }

    #[test]
    fn a_file_over_the_limit_is_not_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("big");
        write_public(&path, &[b'x'; 11], Existing::Keep).unwrap();
        assert!(read(&path, 11).is_ok());
        assert!(read(&path, 10).unwrap_err().cause().unwrap().contains("larger than 10 bytes"));
    }

    #[test]
    fn pem_is_sixty_four_columns_wide() {
        let text = pem("PUBLIC KEY", &[7; 49]);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 4);
        assert_eq!(lines[1].len(), 64);
        assert_eq!(lines[2].len(), 4);
    }
}
