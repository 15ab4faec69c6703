//! Refused connections cost a stranger nothing, so the audit log takes only so many lines from one network within a window.
//! What comes beyond that is counted, and every refusal is in exactly one record.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::error::Code;
use crate::identity::Network;

/// Refusals of one network within this time share its lines.
const WINDOW: Duration = Duration::from_secs(10);
/// Lines of one network in a window; whoever tries something out by hand sees each attempt.
const LINES: u32 = 64;
/// Networks that are told apart; all others are one.
const MOST: usize = 4096;

/// Refusals that were counted and that no record stands for yet.
#[derive(PartialEq, Eq, Debug)]
pub(super) struct Folded {
    /// From where; `None` for everybody beyond those told apart.
    pub(super) network: Option<IpAddr>,
    /// Why.
    pub(super) code: Code,
    /// How often.
    pub(super) count: u64,
}

/// Counts refused connections by network.
#[derive(Clone, Default)]
pub(super) struct Strangers(Arc<Mutex<HashMap<Option<IpAddr>, Seen>>>);

struct Seen {
    since: Instant,
    lines: u32,
    folded: HashMap<Code, u64>,
}

impl Strangers {
    /// Whether this refusal has a record of its own; if not, it is counted.
    pub(super) fn due(&self, address: IpAddr, code: Code, now: Instant) -> bool {
        let mut seen = self.lock();
        let network = Some(Network::of(address).address());
        let key = if seen.contains_key(&network) || seen.len() < MOST { network } else { None };
        let entry = seen.entry(key).or_insert_with(|| Seen { since: now, lines: 0, folded: HashMap::new() });
        // With something counted the window goes on until that is recorded.
        if entry.folded.is_empty() && is_over(entry.since, now) {
            (entry.since, entry.lines) = (now, 0);
        }
        if entry.lines < LINES {
            entry.lines = entry.lines.saturating_add(1);
            return true;
        }
        let count = entry.folded.entry(code).or_default();
        *count = count.saturating_add(1);
        false
    }

    /// What is left of the windows that are over, or of all; these windows end.
    pub(super) fn settle(&self, now: Option<Instant>) -> Vec<Folded> {
        let mut left = Vec::new();
        self.lock().retain(|network, entry| {
            let over = now.is_none_or(|now| is_over(entry.since, now));
            if over {
                let counts = entry.folded.iter();
                left.extend(counts.map(|(&code, &count)| Folded { network: *network, code, count }));
            }
            !over
        });
        left
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Option<IpAddr>, Seen>> {
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

    fn times<'a>(strangers: &'a Strangers, address: &str, count: u32, now: Instant) -> impl Iterator<Item = bool> + 'a {
        let address = address.parse().unwrap();
        (0..count).map(move |_| strangers.due(address, Code::HandshakeFailed, now))
    }

    #[test]
    fn the_first_refusals_of_a_network_have_a_line_each_and_the_rest_one_count() {
        let (strangers, now) = (Strangers::default(), start());
        assert!(times(&strangers, "2001:db8::1", LINES, now).all(|due| due));
        assert!(times(&strangers, "2001:db8::2", 5, now).all(|due| !due), "a neighbour in the same network");
        assert!(times(&strangers, "192.0.2.1", 1, now).all(|due| due), "somebody else");
        assert!(!strangers.due("2001:db8::1".parse().unwrap(), Code::CertificateMissing, now));
        assert_eq!(strangers.settle(Some(now)), [], "the window is not over");
        let network = Some("2001:db8::".parse().unwrap());
        let mut left = strangers.settle(Some(now.checked_add(WINDOW).unwrap()));
        left.sort_by_key(|folded| folded.count);
        let [missing, failed] = left.try_into().unwrap();
        assert_eq!(missing, Folded { network, code: Code::CertificateMissing, count: 1 });
        assert_eq!(failed, Folded { network, code: Code::HandshakeFailed, count: 5 });
        assert!(times(&strangers, "2001:db8::1", LINES, now).all(|due| due), "a new window");
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
        let lines = (0..all)
            .filter(|index| strangers.due(Ipv4Addr::from_bits(*index).into(), Code::HandshakeFailed, now))
            .count();
        assert!(strangers.lock().len() <= MOST.saturating_add(1));
        let left = strangers.settle(None);
        let [Folded { network: None, count, .. }] = left.as_slice() else { panic!("{left:?}") };
        assert_eq!(u64::try_from(lines).unwrap().saturating_add(*count), u64::from(all));
    }
}
