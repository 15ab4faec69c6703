//! Names as text: what is written reads back the same, and names are equal when they are written the same.

use std::collections::HashSet;

use doorward::clock::Timestamp;
use doorward::identity::{Allowlist, Certificate, DistinguishedName, Spelling, SubjectPattern, Thumbprint};

/// Each line is a name; all are compared with one another.
pub fn run(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    let lines: Vec<&str> = text.split('\n').take(4).collect();
    let names: Vec<DistinguishedName> = lines.iter().filter_map(|line| name(line)).collect();
    let patterns: Vec<SubjectPattern> = lines.iter().filter_map(|line| pattern(line)).collect();
    for one in &names {
        for other in &names {
            let same = one == other;
            assert_eq!(same, other == one);
            assert_eq!(same, one.to_string() == other.to_string(), "{one} and {other}");
            assert_eq!(same, HashSet::from([one, other]).len() == 1);
        }
        let certificate = certificate(one);
        for pattern in &patterns {
            judge(pattern, &certificate);
        }
    }
    !names.is_empty()
}

fn name(text: &str) -> Option<DistinguishedName> {
    let name = DistinguishedName::parse(text).ok()?;
    let written = name.to_string();
    assert_eq!(DistinguishedName::parse(&written).as_ref(), Ok(&name), "{written}");
    assert!(!written.contains(|c: char| c.is_control()), "{written:?}");
    assert!(name.common_names().all(|name| !name.is_empty() && !name.contains('\0')));
    Some(name)
}

fn pattern(text: &str) -> Option<SubjectPattern> {
    let pattern = SubjectPattern::parse(text).ok()?;
    assert_eq!(SubjectPattern::parse(&pattern.to_string()).as_ref(), Ok(&pattern), "{pattern}");
    Some(pattern)
}

/// The rules of the allowlist, said once more in other words.
fn judge(pattern: &SubjectPattern, certificate: &Certificate) {
    let names: Vec<&str> = certificate.subject.common_names().collect();
    let expected = match pattern {
        SubjectPattern::CommonName(wanted) => names == [wanted.as_str()],
        SubjectPattern::Subject(wanted) => wanted.to_string() == certificate.subject.to_string(),
        SubjectPattern::Dns(wanted) => wanted.eq_ignore_ascii_case("bot.example"),
        SubjectPattern::Uri(wanted) => wanted == "spiffe://acme/bot",
        SubjectPattern::Email(wanted) => wanted == "bot@acme.example",
    };
    assert_eq!(pattern.matches(certificate), expected, "{pattern} and {}", certificate.subject);
    assert_eq!(Allowlist::new(vec![pattern.clone()]).admits(certificate), expected);
}

fn certificate(subject: &DistinguishedName) -> Certificate {
    Certificate {
        subject: subject.clone(),
        issuer: DistinguishedName::default(),
        serial: "01".to_owned(),
        dns_names: vec!["Bot.example".to_owned()],
        uris: vec!["spiffe://acme/bot".to_owned()],
        emails: vec!["bot@acme.example".to_owned()],
        not_before: Timestamp::from_seconds(0),
        not_after: Timestamp::from_seconds(1),
        thumbprint: Thumbprint::of(b""),
        spelling: Spelling::default(),
    }
}
