//! Refusals cost a stranger nothing, and the holder of a certificate little, so the audit log takes only so many lines from one
//! network or certificate within a window. What comes beyond that is counted, and every refusal is in exactly one record.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::audit::Client;
use crate::error::Code;
use crate::identity::{Network, PeerIdentity, Thumbprint};

/// Refusals of one network, or one certificate, within this time share its lines.
const WINDOW: Duration = Duration::from_secs(10);
/// Lines in a window; whoever tries something out by hand sees each attempt. A certificate has so many for each reason, so
/// that a flood of one does not hide another.
const LINES: u32 = 64;
/// Lines of one certificate in a window, whatever the reasons.
const LINES_OF_CERTIFICATE: u32 = 256;
/// Networks and certificates that are told apart; all others are one.
const MOST: usize = 4096;

/// Whose refusals are counted together.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) enum Stranger {
    /// Somebody whose connection was refused.
    Network(IpAddr),
    /// The holder of a certificate whose requests were.
    Certificate(Thumbprint),
    /// A user of this machine.
    User(u32),
}

impl Stranger {
    pub(super) fn at(address: IpAddr) -> Self {
        Self::Network(Network::of(address).address())
    }
}

/// What was refused.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct Reason {
    /// Why.
    pub(super) code: Code,
    /// Whether a token said who called.
    pub(super) known: bool,
}

/// Refusals that were counted and that no record stands for yet.
#[derive(PartialEq, Eq, Debug)]
pub(super) struct Folded {
    /// From whom, without an address where it was a certificate; empty for everybody beyond those told apart.
    pub(super) client: Client,
    /// What.
    pub(super) reason: Reason,
    /// How often.
    pub(super) count: u64,
}

/// Counts refusals by where they come from.
#[derive(Clone, Default)]
pub(super) struct Strangers(Arc<Mutex<HashMap<Option<Stranger>, Seen>>>);

struct Seen {
    client: Client,
    since: Instant,
    lines: u32,
    refusals: HashMap<Reason, Count>,
}

#[derive(Default)]
struct Count {
    lines: u32,
    folded: u64,
}

impl Seen {
    fn new(client: Client, since: Instant) -> Self {
        Self { client, since, lines: 0, refusals: HashMap::new() }
    }

    fn folds(&self) -> bool {
        self.refusals.values().any(|count| count.folded > 0)
    }
}

impl Strangers {
    /// Whether this refusal has a record of its own; if not, it is counted. `client` is for the record of the count.
    pub(super) fn due(
        &self,
        stranger: Stranger,
        reason: Reason,
        client: impl FnOnce() -> Client,
        now: Instant,
    ) -> bool {
        let most = match stranger {
            Stranger::Network(_) => LINES,
            Stranger::Certificate(_) | Stranger::User(_) => LINES_OF_CERTIFICATE,
        };
        let mut seen = self.lock();
        let stranger = Some(stranger);
        let told_apart = seen.contains_key(&stranger) || seen.len() < MOST;
        let entry = if told_apart {
            seen.entry(stranger).or_insert_with(|| Seen::new(client(), now))
        } else {
            seen.entry(None).or_insert_with(|| Seen::new(Client::default(), now))
        };
        // With something counted the window goes on until that is recorded.
        if is_over(entry.since, now) && !entry.folds() {
            (entry.since, entry.lines) = (now, 0);
            entry.refusals.clear();
        }
        let count = entry.refusals.entry(reason).or_default();
        if entry.lines < most && count.lines < LINES {
            (entry.lines, count.lines) = (entry.lines.saturating_add(1), count.lines.saturating_add(1));
            return true;
        }
        count.folded = count.folded.saturating_add(1);
        false
    }

    /// The same for a request that came with a certificate, or from a user. Its count stands for all who hold that
    /// certificate, wherever they are.
    pub(super) fn due_from(&self, peer: &PeerIdentity, reason: Reason, now: Instant) -> bool {
        let stranger = match peer {
            PeerIdentity::Certificate { certificate, .. } => Stranger::Certificate(certificate.thumbprint),
            PeerIdentity::Unix { uid, .. } => Stranger::User(*uid),
            PeerIdentity::Stdio { .. } => return true,
        };
        self.due(stranger, reason, || Client { ip: None, ..Client::from(peer) }, now)
    }

    /// What is left of the windows that are over, or of all; these windows end.
    pub(super) fn settle(&self, now: Option<Instant>) -> Vec<Folded> {
        let mut left = Vec::new();
        self.lock().retain(|_, entry| {
            let over = now.is_none_or(|now| is_over(entry.since, now));
            if over {
                let counts = entry.refusals.iter().filter(|(_, count)| count.folded > 0);
                left.extend(counts.map(|(&reason, count)| Folded {
                    client: entry.client.clone(),
                    reason,
                    count: count.folded,
                }));
            }
            !over
        });
        left
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Option<Stranger>, Seen>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_over(since: Instant, now: Instant) -> bool {
    now.saturating_duration_since(since) >= WINDOW
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;
    use crate::clock::{Clock, Timestamp};

    fn start() -> Instant {
        Clock::manual(Timestamp::from_seconds(0)).instant()
    }

    fn anonymous(code: Code) -> Reason {
        Reason { code, known: false }
    }

    fn ask(strangers: &Strangers, stranger: Stranger, reason: Reason, now: Instant) -> bool {
        let client = || match stranger {
            Stranger::Network(address) => Client::at(address),
            Stranger::Certificate(_) => Client { subject: Some("CN=bot".into()), ..Client::default() },
            Stranger::User(uid) => Client::from(&PeerIdentity::Unix { uid, gid: 0, pid: None }),
        };
        strangers.due(stranger.clone(), reason, client, now)
    }

    fn times<'a>(strangers: &'a Strangers, address: &str, count: u32, now: Instant) -> impl Iterator<Item = bool> + 'a {
        let address = address.parse().unwrap();
        (0..count).map(move |_| ask(strangers, Stranger::at(address), anonymous(Code::HandshakeFailed), now))
    }

    #[test]
    fn the_first_refusals_of_a_network_have_a_line_each_and_the_rest_one_count() {
        let (strangers, now) = (Strangers::default(), start());
        assert!(times(&strangers, "2001:db8::1", LINES, now).all(|due| due));
        assert!(times(&strangers, "2001:db8::2", 5, now).all(|due| !due), "a neighbour in the same network");
        assert!(times(&strangers, "192.0.2.1", 1, now).all(|due| due), "somebody else");
        let here = Stranger::at("2001:db8::1".parse().unwrap());
        assert!(!ask(&strangers, here, anonymous(Code::CertificateMissing), now));
        assert_eq!(strangers.settle(Some(now)), [], "the window is not over");
        let client = Client::at("2001:db8::".parse().unwrap());
        let mut left = strangers.settle(Some(now.checked_add(WINDOW).unwrap()));
        left.sort_by_key(|folded| folded.count);
        let [missing, failed] = left.try_into().unwrap();
        let (no_certificate, no_handshake) = (anonymous(Code::CertificateMissing), anonymous(Code::HandshakeFailed));
        assert_eq!(missing, Folded { client: client.clone(), reason: no_certificate, count: 1 });
        assert_eq!(failed, Folded { client, reason: no_handshake, count: 5 });
        assert!(times(&strangers, "2001:db8::1", LINES, now).all(|due| due), "a new window");
    }

    #[test]
    fn a_flood_of_one_reason_does_not_hide_another_and_all_reasons_together_are_bounded() {
        let (strangers, now) = (Strangers::default(), start());
        let bot = || Stranger::Certificate(Thumbprint::of(b"bot"));
        let missing = anonymous(Code::TokenMissing);
        assert!(ask(&strangers, Stranger::User(1), missing, now) && ask(&strangers, Stranger::User(2), missing, now));
        let lines = (0..1000).filter(|_| ask(&strangers, bot(), missing, now)).count();
        assert_eq!(lines, 64);
        assert!(ask(&strangers, bot(), anonymous(Code::TokenSignature), now));
        assert!(ask(&strangers, bot(), Reason { known: true, ..missing }, now), "somebody who said who it is");
        assert!(ask(&strangers, Stranger::Certificate(Thumbprint::of(b"other")), missing, now));
        let all = Code::ALL.iter().cycle().take(10_000);
        let more = all.filter(|code| ask(&strangers, bot(), anonymous(**code), now)).count();
        assert_eq!(lines + 2 + more, 256);
        let left = strangers.settle(None);
        assert!(left.iter().all(|folded| folded.client.subject.as_deref() == Some("CN=bot")), "{left:?}");
        assert_eq!(left.iter().map(|folded| folded.count).sum::<u64>(), 1000 + 2 + 10_000 - 256);
    }

    #[test]
    fn a_patient_stranger_has_a_line_each() {
        let (strangers, mut now) = (Strangers::default(), start());
        for _ in 0..3 {
            assert!(times(&strangers, "192.0.2.1", LINES, now).all(|due| due));
            now = now.checked_add(WINDOW).unwrap();
        }
        assert_eq!(strangers.settle(None), []);
    }

    #[test]
    fn however_many_there_are_what_is_kept_is_bounded_and_no_refusal_is_lost() {
        let (strangers, now) = (Strangers::default(), start());
        let all = u32::try_from(MOST).unwrap().saturating_mul(2);
        let stranger = |index| Stranger::at(Ipv4Addr::from_bits(index).into());
        let reason = anonymous(Code::HandshakeFailed);
        let lines = (0..all).filter(|index| ask(&strangers, stranger(*index), reason, now)).count();
        assert!(strangers.lock().len() <= MOST.saturating_add(1));
        let left = strangers.settle(None);
        let [Folded { client, count, .. }] = left.as_slice() else { panic!("{left:?}") };
        assert_eq!(*client, Client::default());
        assert_eq!(u64::try_from(lines).unwrap().saturating_add(*count), u64::from(all));
    }
}
