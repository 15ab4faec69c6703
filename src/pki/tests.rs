//! The authority's work, judged by the verifier that the daemon uses.

#![expect(clippy::arithmetic_side_effects, reason = "days of a test")]

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier as _;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, ServerName, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::{CertificateError, Error};

use super::describe::{self, Item};
use super::store::{self, Existing};
use super::*;
use crate::clock::{Clock, Timestamp};

const DAY: Duration = Duration::from_secs(86_400);

fn clock() -> Clock {
    Clock::manual(Timestamp::from_seconds(1_800_000_000))
}

fn authority(dir: &Path, clock: &Clock) -> Authority {
    let profile = Profile { common_name: "Test CA".to_owned(), lifetime: 365 * DAY };
    Authority::create(&dir.join("ca"), &profile, clock).unwrap()
}

fn unix(clock: &Clock) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(clock.now().seconds().unsigned_abs()))
}

fn verifier(authority: &Authority, lists: &[&RevocationList]) -> Arc<dyn ClientCertVerifier> {
    let roots = store::authorities(&authority.certificate_path()).unwrap();
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::new(default_provider()));
    let lists = lists.iter().map(|list| CertificateRevocationListDer::from(list.der.clone()));
    builder.with_crls(lists).enforce_revocation_expiration().build().unwrap()
}

fn verify(verifier: &Arc<dyn ClientCertVerifier>, issued: &Issued, clock: &Clock) -> Result<(), Error> {
    verifier.verify_client_cert(&CertificateDer::from(issued.der.clone()), &[], unix(clock)).map(|_| ())
}

#[test]
fn a_client_is_trusted_until_it_is_revoked_or_the_list_is_old() {
    let (dir, clock) = (tempfile::tempdir().unwrap(), clock());
    let authority = authority(dir.path(), &clock);
    let good = authority.issue(&Request::client("good", 30 * DAY), &clock).unwrap();
    let bad = authority.issue(&Request::client("bad", 30 * DAY), &clock).unwrap();

    let empty = authority.crl(7 * DAY, &clock).unwrap();
    assert_eq!((empty.number, empty.revoked), (1, 0));
    let before = verifier(&authority, &[&empty]);
    verify(&before, &good, &clock).unwrap();
    verify(&before, &bad, &clock).unwrap();

    clock.advance(DAY);
    assert!(authority.revoke(&bad.certificate.serial.to_uppercase(), &clock).unwrap());
    assert!(!authority.revoke(&bad.certificate.serial, &clock).unwrap());
    let list = authority.crl(7 * DAY, &clock).unwrap();
    assert_eq!((list.number, list.revoked), (2, 1));
    let after = verifier(&authority, &[&list]);
    verify(&after, &good, &clock).unwrap();
    assert!(matches!(verify(&after, &bad, &clock), Err(Error::InvalidCertificate(CertificateError::Revoked))));

    clock.advance(8 * DAY);
    let late = verify(&after, &good, &clock);
    assert!(
        matches!(late, Err(Error::InvalidCertificate(CertificateError::ExpiredRevocationListContext { .. }))),
        "{late:?}"
    );
    clock.advance(30 * DAY);
    let fresh = authority.crl(DAY, &clock).unwrap();
    let expired = verify(&verifier(&authority, &[&fresh]), &good, &clock);
    assert!(matches!(expired, Err(Error::InvalidCertificate(CertificateError::ExpiredContext { .. }))), "{expired:?}");
}

#[test]
fn a_server_is_no_client_and_a_client_no_server() {
    let (dir, clock) = (tempfile::tempdir().unwrap(), clock());
    let authority = authority(dir.path(), &clock);
    let server = authority.issue(&Request::server(&["door.example", "127.0.0.1", "::1"], 30 * DAY), &clock).unwrap();
    let request = Request::client("bot", 30 * DAY).name(AlternativeName::host("door.example"));
    let client = authority.issue(&request, &clock).unwrap();

    let refused = verify(&verifier(&authority, &[]), &server, &clock);
    assert!(
        matches!(refused, Err(Error::InvalidCertificate(CertificateError::InvalidPurposeContext { .. }))),
        "{refused:?}"
    );

    let roots = Arc::new(store::authorities(&authority.certificate_path()).unwrap());
    let verifier = WebPkiServerVerifier::builder_with_provider(roots, Arc::new(default_provider())).build().unwrap();
    let verify = |issued: &Issued, name: &str| {
        let name = ServerName::try_from(name.to_owned()).unwrap();
        verifier.verify_server_cert(&CertificateDer::from(issued.der.clone()), &[], &name, &[], unix(&clock))
    };
    for name in ["door.example", "127.0.0.1", "::1"] {
        verify(&server, name).unwrap();
    }
    assert!(verify(&server, "other.example").is_err());
    assert!(verify(&client, "door.example").is_err());
}

#[test]
fn another_authority_of_the_same_name_is_another() {
    let (dir, other, clock) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), clock());
    let ours = authority(dir.path(), &clock);
    let theirs = authority(other.path(), &clock);
    let stranger = theirs.issue(&Request::client("good", DAY), &clock).unwrap();
    assert!(verify(&verifier(&ours, &[]), &stranger, &clock).is_err());
    assert!(ours.revoke(&stranger.certificate.serial, &clock).is_err());
}

#[test]
fn what_was_asked_for_is_what_the_certificate_says() {
    let (dir, clock) = (tempfile::tempdir().unwrap(), clock());
    let authority = authority(dir.path(), &clock);
    let request = Request::client("bot", 30 * DAY)
        .organization("Acme, Inc.")
        .name(AlternativeName::Uri("spiffe://acme/bot".to_owned()))
        .name(AlternativeName::Dns("bot.example".to_owned()))
        .name(AlternativeName::Email("bot@acme.example".to_owned()));
    let issued = authority.issue(&request, &clock).unwrap();
    let certificate = &issued.certificate;
    assert_eq!(certificate.subject.to_string(), "CN=bot,O=Acme\\, Inc.");
    assert_eq!(certificate.issuer, authority.certificate().subject);
    assert_eq!(certificate.spiffe_id(), Some("spiffe://acme/bot"));
    assert_eq!(certificate.not_before, clock.now().minus(Duration::from_secs(60)));
    assert_eq!(certificate.not_after, clock.now().plus(30 * DAY));
    assert!(certificate.serial.len() > 16, "{}", certificate.serial);

    let (path, key) = issued.write(&dir.path().join("bot.v1"), Existing::Keep).unwrap();
    assert!(path.ends_with("bot.v1.crt") && key.ends_with("bot.v1.key"));
    assert!(issued.write(&dir.path().join("bot.v1"), Existing::Keep).is_err());
    store::private_key(&key).unwrap();
    let items = describe::file(&path).unwrap();
    let [Item::Certificate { role: "client", entries, .. }] = items.as_slice() else { panic!("{items:?}") };
    let expected =
        ["CN=bot,O=Acme\\, Inc.", "CN=bot", "URI:spiffe://acme/bot", "DNS:bot.example", "EMAIL:bot@acme.example"];
    assert_eq!(entries, &expected);
    assert!(authority.revoke_file(&path, &clock).unwrap());
    let list = authority.crl(DAY, &clock).unwrap();
    let items = describe::file(&list.path).unwrap();
    let [Item::RevocationList { revoked, number, .. }] = items.as_slice() else { panic!("{items:?}") };
    assert_eq!((revoked.as_slice(), number.as_deref()), ([certificate.serial.clone()].as_slice(), Some("1")));
}

#[test]
fn lists_tell_when_they_are_out_of_date() {
    let (dir, clock) = (tempfile::tempdir().unwrap(), clock());
    let authority = authority(dir.path(), &clock);
    let long = authority.crl(7 * DAY, &clock).unwrap();
    let short = authority.crl(DAY, &clock).unwrap();
    assert_eq!(next_update(&long.der).unwrap(), clock.now().plus(7 * DAY));
    let stored = store::revocation_lists(&authority.list_path()).unwrap();
    assert_eq!(next_update(&stored[0]).unwrap(), short.next_update);
    let mut trailing = short.der;
    trailing.push(0);
    assert!(next_update(&trailing).is_err());
}

#[test]
fn a_record_that_is_lost_or_old_lets_nobody_in_again() {
    let (dir, clock) = (tempfile::tempdir().unwrap(), clock());
    let authority = authority(dir.path(), &clock);
    let (record, list) = (dir.path().join("ca/index.jsonl"), authority.list_path());
    let bot = authority.issue(&Request::client("bot", DAY), &clock).unwrap();
    let old = std::fs::read(&record).unwrap();
    assert!(authority.revoke(&bot.certificate.serial, &clock).unwrap());
    let revoked = std::fs::read(&record).unwrap();
    authority.crl(DAY, &clock).unwrap();
    let signed = std::fs::read(&list).unwrap();

    std::fs::remove_file(&record).unwrap();
    for failure in [
        authority.crl(DAY, &clock).unwrap_err(),
        authority.issue(&Request::client("next", DAY), &clock).unwrap_err(),
        authority.revoke(&bot.certificate.serial, &clock).unwrap_err(),
    ] {
        assert!(failure.cause().unwrap().contains("restore index.jsonl from a backup"), "{failure:?}");
    }
    assert!(!record.exists(), "nothing begins it anew");
    // From a backup, before the revocation and after it.
    for (backup, words) in [(&old, "that or a higher"), (&revoked, "that or a higher")] {
        std::fs::write(&record, backup).unwrap();
        let cause = authority.crl(DAY, &clock).unwrap_err().cause().unwrap();
        assert!(cause.contains(words) && cause.contains("restore index.jsonl"), "{cause}");
    }
    let listed = |number: u64| {
        format!("{{\"event\":\"listed\",\"at\":\"\",\"number\":{number},\"revoked\":0,\"next_update\":\"\"}}\n")
    };
    std::fs::write(&record, [&*old, listed(7).as_bytes()].concat()).unwrap();
    let cause = authority.crl(DAY, &clock).unwrap_err().cause().unwrap();
    assert!(cause.contains(&bot.certificate.serial), "{cause}");
    assert_eq!(std::fs::read(&list).unwrap(), signed, "the list stays as it is");
    std::fs::write(&record, [&*revoked, listed(7).as_bytes()].concat()).unwrap();
    assert_eq!(authority.crl(DAY, &clock).unwrap().number, 8);

    let shared = dir.path().join("shared");
    std::fs::create_dir(&shared).unwrap();
    std::fs::set_permissions(&shared, std::fs::Permissions::from_mode(0o777)).unwrap();
    let profile = Profile { common_name: "Shared".to_owned(), lifetime: DAY };
    let cause = Authority::create(&shared, &profile, &clock).err().unwrap().cause().unwrap();
    assert!(cause.contains("can be written by others") && cause.contains("chmod go-w"), "{cause}");
    assert_eq!(std::fs::read_dir(&shared).unwrap().count(), 0);

    for left in ["index.jsonl", "ca.crl"] {
        let other = dir.path().join(format!("other-{left}"));
        std::fs::create_dir(&other).unwrap();
        std::fs::write(other.join(left), "").unwrap();
        let profile = Profile { common_name: "Again".to_owned(), lifetime: DAY };
        assert!(Authority::create(&other, &profile, &clock).is_err(), "{left}");
        assert!(!other.join("ca.key").exists());
    }
}

#[test]
fn an_authority_is_made_once_and_opened_with_its_own_key_only() {
    let (dir, clock) = (tempfile::tempdir().unwrap(), clock());
    let made = authority(dir.path(), &clock);
    let profile = Profile { common_name: "Again".to_owned(), lifetime: DAY };
    assert!(Authority::create(&dir.path().join("ca"), &profile, &clock).is_err());
    assert_eq!(Authority::open(&dir.path().join("ca")).unwrap().certificate(), made.certificate());

    let leaf = made.issue(&Request::client("bot", DAY), &clock).unwrap();
    let foreign = dir.path().join("ca/ca.key");
    store::write_private(&foreign, leaf.key_pem.expose().as_bytes(), Existing::Replace).unwrap();
    let failure = Authority::open(&dir.path().join("ca")).err().unwrap();
    assert!(failure.cause().unwrap().contains("another certificate"));
    store::write_public(&made.certificate_path(), leaf.certificate_pem.as_bytes(), Existing::Replace).unwrap();
    let failure = Authority::open(&dir.path().join("ca")).err().unwrap();
    assert!(failure.cause().unwrap().contains("not an authority"));
}

#[test]
fn no_certificate_outlives_its_authority() {
    let (dir, clock) = (tempfile::tempdir().unwrap(), clock());
    let authority = authority(dir.path(), &clock);
    let failure = authority.issue(&Request::client("bot", 366 * DAY), &clock).unwrap_err();
    assert!(failure.cause().unwrap().contains("valid only until"));
}
