//! How many connections there may be, in total and from one place: a network, or a user of this machine.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use crate::error::{Code, Failure};
use crate::identity::Network;

/// Counts connections. One lock, taken once per connection and never per request.
#[derive(Clone, Default)]
pub(super) struct Slots(Arc<Mutex<Taken>>);

#[derive(Default)]
struct Taken {
    total: usize,
    by_place: HashMap<Place, usize>,
}

/// Where a connection comes from, as far as it is told from others.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Place {
    /// A network.
    Network(Network),
    /// A user of this machine.
    User(u32),
}

impl From<IpAddr> for Place {
    fn from(address: IpAddr) -> Self {
        Self::Network(Network::of(address))
    }
}

/// A connection's place; dropping it gives it back.
pub(super) struct Slot {
    slots: Slots,
    place: Place,
}

impl Slots {
    pub(super) fn take(&self, place: impl Into<Place>, most: usize, most_per_place: usize) -> Result<Slot, Failure> {
        let place = place.into();
        let mut taken = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let from_here = taken.by_place.get(&place).copied().unwrap_or(0);
        if taken.total >= most || from_here >= most_per_place {
            let cause = format!("{} in total, {from_here} from this place", taken.total);
            return Err(Failure::new(Code::TooManyConnections, "too many connections").because(cause));
        }
        taken.total = taken.total.saturating_add(1);
        taken.by_place.insert(place, from_here.saturating_add(1));
        Ok(Slot { slots: self.clone(), place })
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut taken = self.slots.0.lock().unwrap_or_else(PoisonError::into_inner);
        taken.total = taken.total.saturating_sub(1);
        match taken.by_place.get(&self.place).copied() {
            Some(count) if count > 1 => {
                taken.by_place.insert(self.place, count.saturating_sub(1));
            }
            _ => {
                taken.by_place.remove(&self.place);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(address: &str) -> IpAddr {
        address.parse().unwrap()
    }

    #[test]
    fn each_user_has_slots_of_its_own() {
        let slots = Slots::default();
        let _first = slots.take(Place::User(1), 3, 1).unwrap();
        assert!(slots.take(Place::User(1), 3, 1).is_err());
        let _second = slots.take(Place::User(2), 3, 1).unwrap();
        assert!(slots.take(Place::User(3), 2, 1).is_err(), "in total");
    }

    #[test]
    fn a_slot_is_given_back_and_a_neighbour_in_the_same_network_counts() {
        let slots = Slots::default();
        let first = slots.take(at("2001:db8::1"), 10, 1).unwrap();
        assert!(slots.take(at("2001:db8::2"), 10, 1).is_err());
        assert!(slots.take(at("::ffff:192.0.2.1"), 2, 1).is_ok());
        drop(first);
        let again = slots.take(at("2001:db8::2"), 1, 1);
        assert!(again.is_ok());
        assert!(slots.take(at("192.0.2.9"), 1, 1).is_err());
        drop(again);
        assert_eq!(slots.0.lock().unwrap().by_place.len(), 0);
    }
}
