//! Looking into a certificate: what identifies its holder, read strictly. Trust in it is decided elsewhere.

use x509_parser::certificate::X509CertificateParser;
use x509_parser::extensions::{GeneralName, SubjectAlternativeName};
use x509_parser::nom::Parser as _;
use x509_parser::oid_registry::OID_X509_EXT_SUBJECT_ALT_NAME;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::name::distinguished_name;
use crate::clock::Timestamp;
use crate::error::{Code, Failure};
use crate::identity::{Certificate, Spelling, Thumbprint};
use crate::secret::hex;

/// No certificate that is worth reading is larger, in bytes of DER.
const MAX_BYTES: usize = 64 * 1024;

/// Reads what identifies the holder of a certificate in DER (RFC 5280 section 4.1).
///
/// Nothing is guessed: bytes after the certificate, a name that is not wholly text, a NUL, an alternative name beyond
/// visible ASCII, or two alternative name extensions refuse the whole certificate.
///
/// # Errors
/// [`Code::CertificateMalformed`].
pub fn certificate(der: &[u8]) -> Result<Certificate, Failure> {
    read(der).map_err(|why| Failure::new(Code::CertificateMalformed, "the certificate cannot be read").because(why))
}

/// When a certificate in DER runs out; `None` when that cannot be read. Says nothing else about it.
#[must_use]
pub fn not_after(der: &[u8]) -> Option<Timestamp> {
    parse(der).ok().map(|parsed| Timestamp::from_seconds(parsed.validity().not_after.timestamp()))
}

fn read(der: &[u8]) -> Result<Certificate, &'static str> {
    let parsed = parse(der)?;
    let mut certificate = Certificate {
        subject: distinguished_name(parsed.subject().as_raw())?,
        issuer: distinguished_name(parsed.issuer().as_raw())?,
        serial: serial(parsed.raw_serial())?,
        dns_names: Vec::new(),
        uris: Vec::new(),
        emails: Vec::new(),
        not_before: Timestamp::from_seconds(parsed.validity().not_before.timestamp()),
        not_after: Timestamp::from_seconds(parsed.validity().not_after.timestamp()),
        thumbprint: Thumbprint::of(der),
        spelling: Spelling::default(),
    };
    let extension = parsed.get_extension_unique(&OID_X509_EXT_SUBJECT_ALT_NAME);
    if let Some(extension) = extension.map_err(|_| "there are two lists of alternative names")? {
        alternative_names(extension.value, &mut certificate)?;
    }
    Ok(certificate)
}

/// The structure of a certificate that fills `der` exactly; extensions are left unread.
pub(super) fn parse(der: &[u8]) -> Result<X509Certificate<'_>, &'static str> {
    if der.len() > MAX_BYTES {
        return Err("larger than any certificate");
    }
    let mut parser = X509CertificateParser::new().with_deep_parse_extensions(false);
    match parser.parse(der) {
        Ok(([], certificate)) => Ok(certificate),
        Ok(_) => Err("there is something after the certificate"),
        Err(_) => Err("not a certificate in DER"),
    }
}

/// The serial number as `openssl` and this program print it: hexadecimal without leading zero bytes.
pub(super) fn serial(bytes: &[u8]) -> Result<String, &'static str> {
    if bytes.first().is_none_or(|first| *first >= 0x80) {
        return Err("the serial number is empty or negative");
    }
    let significant = bytes.iter().position(|byte| *byte != 0).and_then(|at| bytes.get(at..));
    Ok(significant.map_or_else(|| "00".to_owned(), hex))
}

/// Sorts the names of the kinds that identify a client; directory names, addresses and the rest do not.
fn alternative_names(value: &[u8], certificate: &mut Certificate) -> Result<(), &'static str> {
    let names = match SubjectAlternativeName::from_der(value) {
        Ok(([], names)) => names.general_names,
        Ok(_) | Err(_) => return Err("the alternative names are not DER"),
    };
    for name in names {
        let (list, text) = match name {
            GeneralName::DNSName(text) => (&mut certificate.dns_names, text),
            GeneralName::URI(text) => (&mut certificate.uris, text),
            GeneralName::RFC822Name(text) => (&mut certificate.emails, text),
            GeneralName::Invalid(..) => return Err("an alternative name cannot be read"),
            GeneralName::OtherName(..)
            | GeneralName::X400Address(_)
            | GeneralName::DirectoryName(_)
            | GeneralName::EDIPartyName(_)
            | GeneralName::IPAddress(_)
            | GeneralName::RegisteredID(_) => continue,
        };
        if !text.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ') {
            return Err("an alternative name has more than visible ASCII in it");
        }
        list.push(text.to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rcgen::{CertificateParams, CustomExtension, DistinguishedName, DnType, KeyPair, SanType, SerialNumber};

    fn parameters() -> CertificateParams {
        let mut parameters = CertificateParams::default();
        parameters.distinguished_name = DistinguishedName::new();
        parameters.distinguished_name.push(DnType::OrganizationName, "Acme, Inc.");
        parameters.distinguished_name.push(DnType::CommonName, "bot");
        parameters.serial_number = Some(SerialNumber::from_slice(&[0, 0xab, 1]));
        parameters.subject_alt_names = vec![
            SanType::DnsName("bot.example".try_into().unwrap()),
            SanType::URI("spiffe://acme/bot".try_into().unwrap()),
            SanType::Rfc822Name("bot@acme.example".try_into().unwrap()),
            SanType::IpAddress([127, 0, 0, 1].into()),
        ];
        parameters
    }

    fn der(parameters: &CertificateParams) -> Vec<u8> {
        parameters.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
    }

    /// A certificate whose alternative names are exactly these bytes.
    fn with_names(value: &[u8]) -> Result<Certificate, Failure> {
        let mut parameters = parameters();
        parameters.subject_alt_names.clear();
        parameters.custom_extensions = vec![CustomExtension::from_oid_content(&[2, 5, 29, 17], value.to_vec())];
        certificate(&der(&parameters))
    }

    fn cause(result: Result<Certificate, Failure>) -> String {
        let failure = result.unwrap_err();
        assert_eq!(failure.code(), Code::CertificateMalformed);
        failure.cause().unwrap()
    }

    #[test]
    fn each_name_is_found_in_its_own_place() {
        let der = der(&parameters());
        let found = certificate(&der).unwrap();
        assert_eq!(found.subject.to_string(), "CN=bot,O=Acme\\, Inc.");
        assert_eq!(found.issuer, found.subject);
        assert_eq!(found.serial, "ab01");
        assert_eq!(found.dns_names, ["bot.example"]);
        assert_eq!(found.spiffe_id(), Some("spiffe://acme/bot"));
        assert_eq!(found.emails, ["bot@acme.example"]);
        assert_eq!(found.not_before.to_string(), "1975-01-01T00:00:00.000Z");
        assert_eq!(found.thumbprint, Thumbprint::of(&der));
    }

    #[test]
    fn anything_after_the_certificate_is_refused() {
        let mut der = der(&parameters());
        der.push(0);
        assert!(cause(certificate(&der)).contains("after the certificate"));
    }

    #[test]
    fn names_that_could_be_read_in_two_ways_are_refused() {
        assert_eq!(with_names(&[0x30, 5, 0x82, 3, b'b', b'o', b't']).unwrap().dns_names, ["bot"]);
        assert!(cause(with_names(&[0x30, 5, 0x82, 3, b'b', 0, b't'])).contains("visible ASCII"));
        assert!(cause(with_names(&[0x30, 4, 0x86, 2, 0xc3, 0xa9])).contains("visible ASCII"));
        assert!(cause(with_names(&[0x30, 3, 0x81, 1, 0xff])).contains("cannot be read"));
        assert!(cause(with_names(&[0x30, 3, 0x82, 1, b'b', 0])).contains("not DER"));
        assert!(cause(with_names(&[0x30, 9, 0x82, 1, b'b'])).contains("not DER"));
        let mut twice = parameters();
        twice.custom_extensions = vec![CustomExtension::from_oid_content(&[2, 5, 29, 17], vec![0x30, 0])];
        assert!(cause(certificate(&der(&twice))).contains("two lists"));
    }

    #[test]
    fn a_nul_in_the_common_name_is_refused() {
        let mut parameters = parameters();
        parameters.distinguished_name.push(DnType::CommonName, "bot\0.evil");
        assert!(cause(certificate(&der(&parameters))).contains("NUL"));
    }

    #[test]
    fn serial_numbers_are_printed_without_leading_zeros() {
        assert_eq!(serial(&[0, 0x80]).unwrap(), "80");
        assert_eq!(serial(&[0]).unwrap(), "00");
        assert!(serial(&[0x80]).is_err());
        assert!(serial(&[]).is_err());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(512))]
        #[test]
        fn no_damage_brings_it_down(at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<prop::sample::Index>()) {
            let mut bytes = SAMPLE.with(Clone::clone);
            let position = at.index(bytes.len());
            bytes[position] = byte;
            let _ = certificate(&bytes);
            bytes.truncate(cut.index(bytes.len()));
            prop_assert!(certificate(&bytes).is_err());
        }
    }

    thread_local! {
        static SAMPLE: Vec<u8> = der(&parameters());
    }
}
