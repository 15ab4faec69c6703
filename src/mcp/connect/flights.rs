//! Which requests are under way, by their id, so that one can be called back: its POST is closed, which is how MCP
//! cancels over HTTP, and nothing more is written for it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_util::sync::CancellationToken;

use super::message::Id;
use crate::error::{Code, Failure};

/// Streams that stay open for news (`subscriptions/listen`); they must not use up the places of calls.
const LISTENERS: usize = 16;

/// The requests under way.
#[derive(Clone, Default)]
pub(super) struct Flights {
    running: Arc<Mutex<HashMap<Id, Entry>>>,
}

struct Entry {
    cancelled: CancellationToken,
    listens: bool,
}

/// One request under way; landed when dropped.
pub(super) struct Flight {
    id: Id,
    cancelled: CancellationToken,
    flights: Flights,
}

impl Flights {
    /// Takes off. `listens` for a stream that ends only when it is closed.
    ///
    /// # Errors
    /// When a request with this id is under way, or too many listen.
    pub(super) fn begin(&self, id: &Id, listens: bool) -> Result<Flight, Failure> {
        let mut running = self.lock();
        if running.contains_key(id) {
            return Err(Failure::new(Code::InvalidRequest, "a request with this id is still under way"));
        }
        if listens && running.values().filter(|entry| entry.listens).count() >= LISTENERS {
            return Err(Failure::new(Code::TooManyCalls, "too many subscriptions are open: close one first"));
        }
        let cancelled = CancellationToken::new();
        running.insert(id.clone(), Entry { cancelled: cancelled.clone(), listens });
        Ok(Flight { id: id.clone(), cancelled, flights: self.clone() })
    }

    /// Calls a request back; no matter if it has landed.
    pub(super) fn cancel(&self, id: &Id) {
        if let Some(entry) = self.lock().get(id) {
            entry.cancelled.cancel();
        }
    }

    /// Calls back all that would never end by themselves.
    pub(super) fn cancel_listeners(&self) {
        self.lock().values().filter(|entry| entry.listens).for_each(|entry| entry.cancelled.cancel());
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Id, Entry>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Flight {
    /// Tells when it is called back.
    pub(super) fn cancelled(&self) -> &CancellationToken {
        &self.cancelled
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.flights.lock().remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mcp::connect::message::{Kind, Message};

    fn id(number: usize) -> Id {
        let text = format!(r#"{{"jsonrpc":"2.0","id":{number},"method":"x"}}"#);
        let Kind::Request(id) = Message::parse(&text).unwrap().kind else { panic!("a request") };
        id
    }

    #[test]
    fn only_the_request_that_is_meant_is_called_back() {
        let flights = Flights::default();
        let (one, two) = (flights.begin(&id(1), false).unwrap(), flights.begin(&id(2), false).unwrap());
        flights.cancel(&id(2));
        flights.cancel(&id(3));
        assert!(!one.cancelled().is_cancelled());
        assert!(two.cancelled().is_cancelled());
    }

    #[test]
    fn an_id_is_free_again_after_landing() {
        let flights = Flights::default();
        let flight = flights.begin(&id(1), false).unwrap();
        assert!(flights.begin(&id(1), false).is_err());
        flights.cancel(&id(1));
        drop(flight);
        let again = flights.begin(&id(1), false).unwrap();
        assert!(!again.cancelled().is_cancelled());
    }

    #[test]
    fn listeners_are_counted_and_ended_apart() {
        let flights = Flights::default();
        let call = flights.begin(&id(1000), false).unwrap();
        let listeners: Vec<_> = (0..LISTENERS).map(|at| flights.begin(&id(at), true).unwrap()).collect();
        assert_eq!(flights.begin(&id(99), true).err().unwrap().code(), Code::TooManyCalls);
        flights.begin(&id(99), false).unwrap();
        flights.cancel_listeners();
        assert!(listeners.iter().all(|flight| flight.cancelled().is_cancelled()));
        assert!(!call.cancelled().is_cancelled());
    }
}
