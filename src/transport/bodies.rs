//! Bytes of request bodies are bounded together: each has its cap, and many at once would still be more than there is room for.
//! So they are counted as they arrive, for a listener and for each sender, until the request they belong to is answered.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::HttpSection;
use crate::error::{Code, Failure};
use crate::identity::Thumbprint;

/// One sender may take this part of the room, so that it takes several to fill it.
const PART: usize = 4;

/// Whose bodies are counted together.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Sender {
    /// The holders of a certificate.
    Certificate(Thumbprint),
    /// A user of this machine.
    User(u32),
}

/// How many bytes may be held at once.
#[derive(Clone, Copy)]
pub(super) struct Room {
    total: usize,
    each: usize,
}

impl From<&HttpSection> for Room {
    fn from(http: &HttpSection) -> Self {
        let total = http.max_body_bytes_total;
        Self { total, each: total.checked_div(PART).unwrap_or(total).max(http.max_body_bytes) }
    }
}

/// What is held. One lock, taken once per connection and never per request.
#[derive(Clone, Default)]
pub(super) struct Bodies {
    total: Arc<AtomicUsize>,
    by_sender: Arc<Mutex<HashMap<Sender, Weak<AtomicUsize>>>>,
}

impl Bodies {
    /// The account of this sender, which all its connections share.
    pub(super) fn account(&self, sender: Sender) -> Account {
        let mut accounts = self.by_sender.lock().unwrap_or_else(PoisonError::into_inner);
        accounts.retain(|_, account| account.strong_count() > 0);
        let own = match accounts.entry(sender) {
            Entry::Occupied(known) => known.get().upgrade(),
            Entry::Vacant(_) => None,
        };
        let own = own.unwrap_or_else(|| {
            let own = Arc::default();
            accounts.insert(sender, Arc::downgrade(&own));
            own
        });
        Account { total: Arc::clone(&self.total), own }
    }
}

/// What one sender has sent and what is still held of it.
pub(super) struct Account {
    total: Arc<AtomicUsize>,
    own: Arc<AtomicUsize>,
}

impl Account {
    /// The share of one body, empty yet.
    pub(super) fn share(&self, room: Room) -> Share<'_> {
        Share { account: self, room, taken: 0 }
    }
}

/// The bytes of one body; dropping it gives them back.
pub(super) struct Share<'a> {
    account: &'a Account,
    room: Room,
    taken: usize,
}

impl Share<'_> {
    /// Takes so many bytes more.
    ///
    /// # Errors
    /// [`Code::BodiesFull`]; then nothing more was taken.
    pub(super) fn take(&mut self, bytes: usize) -> Result<(), Failure> {
        let Account { total, own } = self.account;
        let full = |whose: &str| {
            let cause = format!("no room for {bytes} bytes more {whose}");
            Err(Failure::new(Code::BodiesFull, "too many bytes of requests are held at this time").because(cause))
        };
        if !add(own, bytes, self.room.each) {
            return full("of this sender");
        }
        if !add(total, bytes, self.room.total) {
            own.fetch_sub(bytes, Ordering::Relaxed);
            return full("in total");
        }
        self.taken = self.taken.saturating_add(bytes);
        Ok(())
    }
}

impl Drop for Share<'_> {
    fn drop(&mut self) {
        self.account.own.fetch_sub(self.taken, Ordering::Relaxed);
        self.account.total.fetch_sub(self.taken, Ordering::Relaxed);
    }
}

/// Adds, unless there would be more than `most`.
fn add(held: &AtomicUsize, bytes: usize, most: usize) -> bool {
    let sum = |held: usize| held.checked_add(bytes).filter(|sum| *sum <= most);
    held.fetch_update(Ordering::Relaxed, Ordering::Relaxed, sum).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOM: Room = Room { total: 100, each: 40 };

    fn refused(share: &mut Share<'_>, bytes: usize) -> bool {
        share.take(bytes).is_err_and(|failure| failure.code() == Code::BodiesFull)
    }

    #[test]
    fn a_certificate_has_its_part_over_all_its_connections_and_all_of_them_the_whole() {
        let bodies = Bodies::default();
        let certificates: Vec<_> = (0_u8..4).map(|n| Sender::Certificate(Thumbprint::of(&[n]))).collect();
        let (first, second) = (bodies.account(certificates[0]), bodies.account(certificates[0]));
        let mut one = first.share(ROOM);
        let mut two = second.share(ROOM);
        one.take(30).unwrap();
        two.take(10).unwrap();
        assert!(refused(&mut two, 1) && refused(&mut one, usize::MAX));
        let others: Vec<_> = certificates[1..].iter().map(|certificate| bodies.account(*certificate)).collect();
        let mut shares: Vec<_> = others.iter().map(|account| account.share(ROOM)).collect();
        shares[0].take(40).unwrap();
        assert!(refused(&mut shares[1], 21), "in total there are only 100");
        shares[1].take(20).unwrap();
        drop(one);
        shares[2].take(30).unwrap();
        drop((two, shares));
        assert_eq!(bodies.total.load(Ordering::Relaxed), 0);
        assert!(others.iter().chain([&first]).all(|account| account.own.load(Ordering::Relaxed) == 0));
    }

    #[test]
    fn certificates_that_are_gone_are_forgotten() {
        let bodies = Bodies::default();
        for n in 0_u8..100 {
            drop(bodies.account(Sender::Certificate(Thumbprint::of(&[n]))));
        }
        let _kept = bodies.account(Sender::User(7));
        assert_eq!(bodies.by_sender.lock().unwrap().len(), 1);
    }

    #[test]
    fn one_body_of_full_size_always_fits_a_part() {
        let room = |total, one| {
            Room::from(&HttpSection { max_body_bytes_total: total, max_body_bytes: one, ..HttpSection::default() })
        };
        assert_eq!(room(1000, 100).each, 250);
        assert_eq!(room(1000, 600).each, 600);
    }
}
