//! Revocation: the authority's side (revoke, sign a list) and the reader's (when a list is out of date).

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rcgen::{CertificateRevocationListParams, RevokedCertParams, SerialNumber};
use x509_parser::oid_registry::OID_X509_EXT_ISSUER_DISTRIBUTION_POINT;
use x509_parser::prelude::{CertificateRevocationList, FromDer as _};

use super::authority::{Authority, BACKDATED, date, unsigned};
use super::ledger::{self, Entry, Ledger, REMEDY};
use super::store::{self, Existing};
use super::{inspect, name};
use crate::clock::{Clock, Timestamp};
use crate::error::{Code, Failure};
use crate::identity::DistinguishedName;

/// A signed list of revoked certificates (RFC 5280 section 5).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RevocationList {
    /// The list in PEM.
    pub pem: String,
    /// The list in DER.
    pub der: Vec<u8>,
    /// Its number; each list has the next one.
    pub number: u64,
    /// How many certificates are on it.
    pub revoked: usize,
    /// When it is out of date.
    pub next_update: Timestamp,
    /// Where it was written.
    pub path: PathBuf,
}

impl Authority {
    /// Revokes a serial number (hexadecimal, colons allowed) from now on; it counts with the next [`Authority::crl`].
    /// Gives false when it was revoked before.
    ///
    /// # Errors
    /// [`Code::Config`] when this authority has not issued it, [`Code::Io`] when it cannot be recorded.
    pub fn revoke(&self, serial: &str, clock: &Clock) -> Result<bool, Failure> {
        let bytes = serial_bytes(serial).ok_or_else(|| unknown(serial))?;
        let serial = inspect::serial(&bytes).map_err(|_| unknown(serial))?;
        let mut ledger = self.ledger()?;
        if !ledger.issued(&serial) {
            return Err(unknown(&serial));
        }
        if ledger.revoked().any(|(known, _)| known == serial) {
            return Ok(false);
        }
        ledger.append(Entry::Revoked { at: clock.now().to_string(), serial })?;
        Ok(true)
    }

    /// Revokes the first certificate of a PEM file, as [`Authority::revoke`] does.
    ///
    /// # Errors
    /// As [`Authority::revoke`], and when the file cannot be read or another authority has signed the certificate.
    pub fn revoke_file(&self, path: &Path, clock: &Clock) -> Result<bool, Failure> {
        let certificate = store::leaf(path)?;
        if certificate.issuer != self.certificate().subject {
            return Err(store::wrong(path, &format!("issued by {}, not by this authority", certificate.issuer)));
        }
        self.revoke(&certificate.serial, clock)
    }

    /// Signs the list of all revoked certificates and writes it to `ca.crl`. It is out of date after `lifetime`.
    ///
    /// # Errors
    /// [`Code::Config`] when the lifetime is under a minute, or the list that is there knows more than the record, which is
    /// then an old one or another's; [`Code::Io`] when it cannot be recorded or written.
    pub fn crl(&self, lifetime: Duration, clock: &Clock) -> Result<RevocationList, Failure> {
        if lifetime < Duration::from_secs(60) {
            return Err(Failure::new(Code::Config, "a revocation list is valid for a minute at least"));
        }
        let now = clock.now();
        let next_update = Timestamp::from_seconds(now.plus(lifetime).seconds());
        // Held until the list is written, so that an older list never lands on top of a newer one.
        let mut ledger = self.ledger()?;
        let number = ledger.list_number().saturating_add(1);
        let path = self.list_path();
        self.follows(&path, number, &ledger)?;
        let revoked_certs = ledger.revoked().map(entry).collect::<Result<Vec<_>, _>>()?;
        let revoked = revoked_certs.len();
        let parameters = CertificateRevocationListParams {
            this_update: date(now.minus(BACKDATED))?,
            next_update: date(next_update)?,
            crl_number: SerialNumber::from(number),
            issuing_distribution_point: None,
            revoked_certs,
            key_identifier_method: self.key_identifier.clone(),
        };
        let list = parameters.signed_by(&self.issuer).map_err(unsigned)?;
        let pem = list.pem().map_err(unsigned)?;
        let until = next_update.to_string();
        ledger.append(Entry::Listed { at: now.to_string(), number, revoked, next_update: until })?;
        store::write_public(&path, pem.as_bytes(), Existing::Replace)?;
        Ok(RevocationList { pem, der: list.der().to_vec(), number, revoked, next_update, path })
    }
}

impl Authority {
    /// Whether a list of this number, made from this record, may take the place of the one at `path`: nobody who is revoked
    /// there is let in again, and no number is given twice.
    fn follows(&self, path: &Path, number: u64, ledger: &Ledger) -> Result<(), Failure> {
        if path.symlink_metadata().is_err() {
            return Ok(());
        }
        let refuse = |why: &str| {
            let text = format!("{}: {why}, so index.jsonl is not the whole record; {REMEDY}", path.display());
            Failure::new(Code::Config, "no new revocation list is signed").because(text)
        };
        for list in store::revocation_lists(path)? {
            let contents = contents(&list).map_err(|why| store::wrong(path, why))?;
            if contents.issuer != self.certificate().subject {
                return Err(store::wrong(path, &format!("a list of {}; move it away", contents.issuer)));
            }
            let last = contents.number.as_deref().map(str::parse::<u64>);
            if last.is_some_and(|last| last.is_err() || last.is_ok_and(|last| last >= number)) {
                return Err(refuse(&format!(
                    "the next number is {number}, and the list there has that or a higher one"
                )));
            }
            let recorded: HashSet<&str> = ledger.revoked().map(|(serial, _)| serial).collect();
            if let Some(serial) = contents.revoked.iter().find(|serial| !recorded.contains(serial.as_str())) {
                return Err(refuse(&format!("the list there revokes {serial}, and the record does not know of it")));
            }
        }
        Ok(())
    }
}

/// When a revocation list in DER is out of date: its `nextUpdate` (RFC 5280 section 5.1.2.5).
///
/// # Errors
/// [`Code::Config`] when it cannot be read, or does not say when.
pub fn next_update(der: &[u8]) -> Result<Timestamp, Failure> {
    let unfit = |why| Failure::new(Code::Config, "a revocation list cannot be used").because(why);
    let contents = contents(der).map_err(unfit)?;
    contents.next_update.ok_or_else(|| unfit("it does not say when the next one is due"))
}

/// What a revocation list says.
pub(super) struct Contents {
    pub(super) issuer: DistinguishedName,
    /// The issuer's name in DER.
    pub(super) raw_issuer: Vec<u8>,
    pub(super) number: Option<String>,
    pub(super) this_update: Timestamp,
    pub(super) next_update: Option<Timestamp>,
    pub(super) revoked: Vec<String>,
    /// The issuing distribution point in DER; empty for a list of everything.
    pub(super) scope: Vec<u8>,
}

pub(super) fn contents(der: &[u8]) -> Result<Contents, &'static str> {
    let list = match CertificateRevocationList::from_der(der) {
        Ok(([], list)) => list,
        Ok(_) => return Err("there is something after the revocation list"),
        Err(_) => return Err("not a revocation list in DER"),
    };
    let scope = list.extensions().iter().find(|extension| extension.oid == OID_X509_EXT_ISSUER_DISTRIBUTION_POINT);
    let at = |time: x509_parser::time::ASN1Time| Timestamp::from_seconds(time.timestamp());
    Ok(Contents {
        issuer: name::distinguished_name(list.issuer().as_raw())?,
        raw_issuer: list.issuer().as_raw().to_vec(),
        number: list.crl_number().map(ToString::to_string),
        this_update: at(list.last_update()),
        next_update: list.next_update().map(at),
        revoked: list
            .iter_revoked_certificates()
            .map(|one| inspect::serial(one.raw_serial()))
            .collect::<Result<_, _>>()?,
        scope: scope.map(|extension| extension.value.to_vec()).unwrap_or_default(),
    })
}

fn entry((serial, at): (&str, &str)) -> Result<RevokedCertParams, Failure> {
    let broken = || Failure::new(Code::Io, "the authority's record cannot be used").because(format!("{serial}: {at}"));
    Ok(RevokedCertParams {
        serial_number: SerialNumber::from_slice(&serial_bytes(serial).ok_or_else(broken)?),
        revocation_time: date(ledger::time(at).ok_or_else(broken)?)?,
        reason_code: None,
        invalidity_date: None,
    })
}

/// The number that hexadecimal digits write, as bytes with a zero before them; `None` if they write none.
fn serial_bytes(text: &str) -> Option<Vec<u8>> {
    let digit = |c: char| c.to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let digits = text.chars().filter(|c| *c != ':').map(digit).collect::<Option<Vec<u8>>>()?;
    let (odd, pairs) = digits.as_rchunks::<2>();
    let bytes = pairs.iter().map(|[high, low]| high.wrapping_shl(4) | low);
    let number: Vec<u8> = std::iter::once(0).chain(odd.iter().copied()).chain(bytes).collect();
    // RFC 5280 section 4.1.2.2: no more than 20 octets.
    (!digits.is_empty() && digits.len() <= 40).then_some(number)
}

fn unknown(serial: &str) -> Failure {
    Failure::new(Code::Config, "there is nothing to revoke").because(format!("{serial:?} was not issued here"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn serial_numbers_are_read_as_people_write_them() {
        assert_eq!(serial_bytes("ab01"), Some(vec![0, 0xab, 1]));
        assert_eq!(serial_bytes("AB:01"), Some(vec![0, 0xab, 1]));
        assert_eq!(serial_bytes("b01"), Some(vec![0, 0xb, 1]));
        for text in ["", ":", "0x1", "g", "é", &"1".repeat(41)] {
            assert_eq!(serial_bytes(text), None, "{text:?}");
        }
    }

    #[test]
    fn what_is_not_a_list_is_refused() {
        for der in [&b""[..], b"\x30\x00", b"list"] {
            assert_eq!(next_update(der).unwrap_err().code(), Code::Config);
        }
    }
}
