//! A certificate in DER: what is read of it is all text that can be seen, and stands for this certificate alone.

use doorward::error::Code;
use doorward::identity::{DistinguishedName, SubjectPattern, Thumbprint};
use doorward::pki;

/// The bytes are a certificate.
pub fn run(bytes: &[u8]) -> bool {
    let certificate = match pki::certificate(bytes) {
        Ok(certificate) => certificate,
        Err(failure) => {
            assert_eq!(failure.code(), Code::CertificateMalformed);
            return false;
        }
    };
    assert_eq!(certificate.thumbprint, Thumbprint::of(bytes));
    assert!(!certificate.serial.is_empty() && certificate.serial.bytes().all(|b| b"0123456789abcdef".contains(&b)));
    let alternatives = || certificate.dns_names.iter().chain(&certificate.uris).chain(&certificate.emails);
    assert!(alternatives().all(|name| name.bytes().all(|byte| (b' '..=b'~').contains(&byte))));
    for name in [&certificate.subject, &certificate.issuer] {
        let written = name.to_string();
        assert!(!written.contains(|c: char| c.is_control()), "{written:?}");
        // A certificate may hold empty values and attributes beyond what an allowlist can name; no name may pass for another.
        if let Ok(again) = DistinguishedName::parse(&written) {
            assert_eq!(again, *name, "{written}");
        }
    }
    for entry in entries(&certificate.subject, alternatives()) {
        if let Ok(pattern) = SubjectPattern::parse(&entry) {
            let _ = pattern.matches(&certificate);
        }
    }
    if let Ok(pattern @ SubjectPattern::Subject(_)) = SubjectPattern::parse(&certificate.subject.to_string()) {
        assert!(pattern.matches(&certificate), "{pattern}");
    }
    let longer = [bytes, &[0]].concat();
    assert!(pki::certificate(&longer).is_err(), "something may follow a certificate");
    true
}

fn entries<'a>(subject: &DistinguishedName, alternatives: impl Iterator<Item = &'a String>) -> Vec<String> {
    let kinds = ["DNS:", "URI:", "EMAIL:", "CN="];
    let mut entries: Vec<String> = alternatives.flat_map(|name| kinds.map(|kind| format!("{kind}{name}"))).collect();
    entries.push(subject.to_string());
    entries
}
