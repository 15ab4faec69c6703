//! Revocation lists beside the authorities they are for: each list is signed by one of them, each of them has its list, and
//! an older list never takes the place of a newer one.

use std::collections::HashMap;

use aws_lc_rs::digest::{SHA256, digest};
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer};

use super::inspect;
use super::revocation::{self, Contents};
use super::signature::signed_by;
use crate::clock::Timestamp;
use crate::error::{Code, Failure};

/// One list that an authority has signed, and how new it is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Standing {
    /// The issuer's name, for messages.
    issuer: String,
    /// The authority's key, and the part of its certificates that the list is for (RFC 5280 section 5.2.5).
    place: (Vec<u8>, Vec<u8>),
    number: Option<Number>,
    /// When it was signed.
    this_update: Timestamp,
    /// When the next one is due.
    next_update: Timestamp,
    digest: Vec<u8>,
}

/// A CRL number (RFC 5280 section 5.2.3) in decimal without leading zeros: of two, the longer is higher.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Number(usize, String);

impl Number {
    fn new(decimal: String) -> Self {
        Self(decimal.len(), decimal)
    }
}

impl Standing {
    /// When it was signed and when it runs out.
    #[must_use]
    pub fn life(&self) -> (Timestamp, Timestamp) {
        (self.this_update, self.next_update)
    }

    /// The issuer's name.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// Why this list may not take the place of `last`; `None` when it may.
    fn older_than(&self, last: &Self) -> Option<String> {
        if self.digest == last.digest {
            return None;
        }
        let (mine, other) = match (&self.number, &last.number) {
            (Some(mine), Some(other)) if mine > other => return None,
            (Some(mine), Some(other)) => (format!("number {}", mine.1), format!("number {}", other.1)),
            _ if self.this_update > last.this_update => return None,
            _ => (format!("the date {}", self.this_update), format!("the date {}", last.this_update)),
        };
        Some(match mine == other {
            true => format!("the list of {} has {mine}, as another one had that was in force before", self.issuer),
            false => format!("the list of {} has {mine}, and one with {other} was in force before", self.issuer),
        })
    }
}

/// Judges lists by the authorities they are to be for. In order: what each list is, or all that is wrong, in words.
///
/// # Errors
/// One text for each list that is of no use and each authority without one.
pub fn judge(
    lists: &[CertificateRevocationListDer<'_>],
    authorities: &[CertificateDer<'_>],
) -> Result<Vec<Standing>, Vec<String>> {
    let (mut standings, mut wrong): (Vec<Standing>, Vec<String>) = (Vec::new(), Vec::new());
    let mut without: Vec<&CertificateDer<'_>> = authorities.iter().collect();
    for (index, der) in lists.iter().enumerate() {
        let number = index.saturating_add(1);
        match standing(der, authorities) {
            Ok((standing, owner)) => {
                without.retain(|authority| key(authority) != key(owner));
                if standings.iter().any(|known| known.place == standing.place) {
                    let issuer = &standing.issuer;
                    wrong.push(format!(
                        "list {number} is a second one of {issuer}, and only the first would be looked at"
                    ));
                }
                standings.push(standing);
            }
            Err(why) => wrong.push(format!("list {number} {why}")),
        }
    }
    // Another fault explains a missing list better than its being missing does.
    if wrong.is_empty() {
        let missing = |authority: &&CertificateDer<'_>| format!("there is no list of {}", name_of(authority));
        wrong.extend(without.iter().map(missing));
    }
    if wrong.is_empty() { Ok(standings) } else { Err(wrong) }
}

fn standing<'a, 'b>(
    der: &[u8],
    authorities: &'a [CertificateDer<'b>],
) -> Result<(Standing, &'a CertificateDer<'b>), String> {
    let Contents { issuer, raw_issuer, number, this_update, next_update, scope, .. } =
        revocation::contents(der).map_err(|why| format!("cannot be used: {why}"))?;
    let next_update = next_update.ok_or("cannot be used: it does not say when the next one is due")?;
    let issuer_name = issuer.to_string();
    // Byte for byte, as a handshake compares names.
    let of_name = |authority: &&CertificateDer<'_>| raw_name(authority) == raw_issuer;
    let Some(owner) = authorities.iter().filter(of_name).find(|authority| signed_by(der, authority)) else {
        return Err(match authorities.iter().any(|authority| of_name(&authority)) {
            true => format!("is signed by another authority that is called {issuer_name} too"),
            false => format!("is of {issuer_name}, which is not one of the authorities of clients"),
        });
    };
    let standing = Standing {
        issuer: issuer_name,
        place: (key(owner), scope),
        number: number.map(Number::new),
        this_update,
        next_update,
        digest: digest(&SHA256, der).as_ref().to_vec(),
    };
    Ok((standing, owner))
}

/// The subject of a certificate, for messages.
fn name_of(certificate: &[u8]) -> String {
    inspect::certificate(certificate).map(|read| read.subject.to_string()).unwrap_or_default()
}

/// The subject of a certificate in DER, to compare names by.
fn raw_name(certificate: &[u8]) -> Vec<u8> {
    inspect::parse(certificate).map(|parsed| parsed.subject().as_raw().to_vec()).unwrap_or_default()
}

/// The key of a certificate: the digest of its `SubjectPublicKeyInfo`.
fn key(certificate: &[u8]) -> Vec<u8> {
    let info = inspect::parse(certificate).map(|parsed| digest(&SHA256, parsed.public_key().raw).as_ref().to_vec());
    info.unwrap_or_default()
}

/// The newest list of each authority that was ever in force.
#[derive(Clone, Default, Debug)]
pub struct Newest(HashMap<(Vec<u8>, Vec<u8>), Standing>);

impl Newest {
    /// Takes lists over, all or none.
    ///
    /// # Errors
    /// [`Code::Config`] when one of them is older than one that was in force.
    pub fn follow(&mut self, lists: &[Standing]) -> Result<(), Failure> {
        let older = |list: &Standing| self.0.get(&list.place).and_then(|last| list.older_than(last));
        if let Some(why) = lists.iter().find_map(older) {
            let advice =
                "an older list lets in who was revoked since; sign a new one, or restart to go back on purpose";
            return Err(Failure::new(Code::Config, "tls.client_crl cannot be used").because(format!("{why}; {advice}")));
        }
        self.0.extend(lists.iter().map(|list| (list.place.clone(), list.clone())));
        Ok(())
    }
}

/// The names that two of the authorities with different keys share.
#[must_use]
pub fn namesakes(authorities: &[CertificateDer<'_>]) -> Vec<String> {
    let named: Vec<(Vec<u8>, Vec<u8>)> = authorities.iter().map(|one| (raw_name(one), key(one))).collect();
    let mut twice: Vec<String> = Vec::new();
    for ((index, (name, key)), authority) in named.iter().enumerate().zip(authorities) {
        let another = named.iter().take(index).any(|(other, known)| other == name && known != key);
        let name = name_of(authority);
        if another && !twice.contains(&name) {
            twice.push(name);
        }
    }
    twice
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use crate::pki::{Authority, Profile, RevocationList, store};
    use std::slice::from_ref;
    use std::time::Duration;

    const DAY: Duration = Duration::from_secs(86_400);

    fn authority(dir: &tempfile::TempDir, name: &str, at: &str, clock: &Clock) -> (Authority, CertificateDer<'static>) {
        let profile = Profile { common_name: name.to_owned(), lifetime: DAY.saturating_mul(300) };
        let made = Authority::create(&dir.path().join(at), &profile, clock).unwrap();
        let der = store::certificates(&made.certificate_path()).unwrap().remove(0);
        (made, der)
    }

    fn der(list: &RevocationList) -> CertificateRevocationListDer<'static> {
        CertificateRevocationListDer::from(list.der.clone())
    }

    #[test]
    fn each_list_has_its_authority_and_each_authority_its_list() {
        let (dir, clock) = (tempfile::tempdir().unwrap(), Clock::manual(Timestamp::from_seconds(1_800_000_000)));
        let (ours, our_ca) = authority(&dir, "Ours", "ours", &clock);
        let (same, same_ca) = authority(&dir, "Ours", "same", &clock);
        let (theirs, their_ca) = authority(&dir, "Theirs", "theirs", &clock);
        let [our, their, same] = [&ours, &theirs, &same].map(|one| der(&one.crl(DAY, &clock).unwrap()));
        let next = der(&ours.crl(DAY, &clock).unwrap());

        let good = judge(&[our.clone(), their.clone()], &[our_ca.clone(), their_ca.clone()]).unwrap();
        assert_eq!(good.len(), 2);
        assert_eq!(good[0].life(), (clock.now().minus(Duration::from_secs(60)), clock.now().plus(DAY)));
        let wrong = |lists: &[_], authorities: &[_]| judge(lists, authorities).unwrap_err().join("; ");
        assert!(wrong(from_ref(&our), &[our_ca.clone(), their_ca.clone()]).contains("no list of CN=Theirs"));
        assert!(wrong(from_ref(&their), from_ref(&our_ca)).contains("not one of the authorities"));
        assert!(wrong(&[same], from_ref(&our_ca)).contains("another authority that is called CN=Ours too"));
        assert!(wrong(&[our, next.clone()], from_ref(&our_ca)).contains("a second one"));
        assert!(wrong(&[next.as_ref()[1..].to_vec().into()], from_ref(&our_ca)).contains("cannot be used"));
        let mut forged = next.as_ref().to_vec();
        *forged.last_mut().unwrap() ^= 1;
        assert!(wrong(&[forged.into()], from_ref(&our_ca)).contains("another authority"));

        assert_eq!(namesakes(&[our_ca.clone(), their_ca, our_ca.clone()]), Vec::<String>::new());
        assert_eq!(namesakes(&[our_ca.clone(), same_ca.clone(), our_ca, same_ca]), ["CN=Ours"]);
    }

    #[test]
    fn an_older_list_never_takes_the_place_of_a_newer_one() {
        let (dir, clock) = (tempfile::tempdir().unwrap(), Clock::manual(Timestamp::from_seconds(1_800_000_000)));
        let (ours, ca) = authority(&dir, "Ours", "ours", &clock);
        let standing = |list: &RevocationList| judge(&[der(list)], from_ref(&ca)).unwrap();
        let lists: Vec<_> = (0..11).map(|_| standing(&ours.crl(DAY, &clock).unwrap())).collect();
        let mut newest = Newest::default();
        newest.follow(&lists[8]).unwrap();
        newest.follow(&lists[8]).unwrap();
        newest.follow(&lists[9]).unwrap();
        for old in [0, 1, 8] {
            let cause = newest.follow(&lists[old]).unwrap_err().cause().unwrap();
            assert!(cause.contains("number 10") && cause.contains("restart"), "{cause}");
        }
        newest.follow(&lists[10]).unwrap();

        let mut other = lists[10].clone();
        other[0].digest = Vec::new();
        assert!(newest.follow(&other).unwrap_err().cause().unwrap().contains("as another one had"));
        for (later, fits) in [(0, false), (1, true)] {
            other[0].number = None;
            other[0].this_update = lists[10][0].this_update.plus(Duration::from_secs(later));
            assert_eq!(newest.clone().follow(&other).is_ok(), fits);
        }
    }
}
