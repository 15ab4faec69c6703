//! How many connections there may be, in total and from one address.

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
    by_address: HashMap<Network, usize>,
}

/// A connection's place; dropping it gives it back.
pub(super) struct Slot {
    slots: Slots,
    address: Network,
}

impl Slots {
    pub(super) fn take(&self, address: IpAddr, most: usize, most_per_address: usize) -> Result<Slot, Failure> {
        let address = Network::of(address);
        let mut taken = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let from_here = taken.by_address.get(&address).copied().unwrap_or(0);
        if taken.total >= most || from_here >= most_per_address {
            let cause = format!("{} in total, {from_here} from this address", taken.total);
            return Err(Failure::new(Code::TooManyConnections, "too many connections").because(cause));
        }
        taken.total = taken.total.saturating_add(1);
        taken.by_address.insert(address, from_here.saturating_add(1));
        Ok(Slot { slots: self.clone(), address })
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut taken = self.slots.0.lock().unwrap_or_else(PoisonError::into_inner);
        taken.total = taken.total.saturating_sub(1);
        match taken.by_address.get(&self.address).copied() {
            Some(count) if count > 1 => {
                taken.by_address.insert(self.address, count.saturating_sub(1));
            }
            _ => {
                taken.by_address.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_is_given_back_and_a_neighbour_in_the_same_network_counts() {
        let slots = Slots::default();
        let first = slots.take("2001:db8::1".parse().unwrap(), 10, 1).unwrap();
        assert!(slots.take("2001:db8::2".parse().unwrap(), 10, 1).is_err());
        assert!(slots.take("::ffff:192.0.2.1".parse().unwrap(), 2, 1).is_ok());
        drop(first);
        let again = slots.take("2001:db8::2".parse().unwrap(), 1, 1);
        assert!(again.is_ok());
        assert!(slots.take("192.0.2.9".parse().unwrap(), 1, 1).is_err());
        drop(again);
        assert_eq!(slots.0.lock().unwrap().by_address.len(), 0);
    }
}
