//! How a running tool says how far it is. A listener that is slow or gone never holds the tool up.

use tokio::sync::mpsc::{Receiver, Sender, channel};

use super::Leases;

/// One step on the way.
#[derive(Clone, Debug)]
pub struct Step {
    /// How far; it only ever grows within one call.
    pub done: f64,
    /// Of how much, where that is known.
    pub total: Option<f64>,
    /// For a person: "Connecting to web01".
    pub message: String,
    /// The secrets of the call, which may be in the message.
    pub leases: Leases,
}

/// Where a tool reports its steps.
#[derive(Clone, Debug)]
pub struct Progress {
    listener: Option<Sender<Step>>,
    leases: Leases,
}

impl Progress {
    /// For a caller who did not ask for progress.
    #[must_use]
    pub fn unheard() -> Self {
        Self { listener: None, leases: Leases::default() }
    }

    /// A reporter and its listener, which holds at most `capacity` steps.
    #[must_use]
    pub fn channel(capacity: usize) -> (Self, Receiver<Step>) {
        let (sender, receiver) = channel(capacity.max(1));
        (Self { listener: Some(sender), leases: Leases::default() }, receiver)
    }

    /// The same for a call that leases these: every step tells them to whoever hands it on.
    #[must_use]
    pub fn leasing(&self, leases: &Leases) -> Self {
        Self { listener: self.listener.clone(), leases: leases.clone() }
    }

    /// Reports a step; it is dropped when the listener is full.
    pub fn report(&self, done: f64, total: Option<f64>, message: impl Into<String>) {
        if let Some(sender) = &self.listener {
            let _ = sender.try_send(Step { done, total, message: message.into(), leases: self.leases.clone() });
        }
    }
}
