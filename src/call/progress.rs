//! How a running tool says how far it is. A listener that is slow or gone never holds the tool up.

use tokio::sync::mpsc::{Receiver, Sender, channel};

/// One step on the way.
#[derive(Clone, PartialEq, Debug)]
pub struct Step {
    /// How far; it only ever grows within one call.
    pub done: f64,
    /// Of how much, where that is known.
    pub total: Option<f64>,
    /// For a person: "Connecting to web01".
    pub message: String,
}

/// Where a tool reports its steps.
#[derive(Clone, Debug)]
pub struct Progress(Option<Sender<Step>>);

impl Progress {
    /// For a caller who did not ask for progress.
    #[must_use]
    pub fn unheard() -> Self {
        Self(None)
    }

    /// A reporter and its listener, which holds at most `capacity` steps.
    #[must_use]
    pub fn channel(capacity: usize) -> (Self, Receiver<Step>) {
        let (sender, receiver) = channel(capacity.max(1));
        (Self(Some(sender)), receiver)
    }

    /// Reports a step; it is dropped when the listener is full.
    pub fn report(&self, done: f64, total: Option<f64>, message: impl Into<String>) {
        if let Some(sender) = &self.0 {
            let _ = sender.try_send(Step { done, total, message: message.into() });
        }
    }
}
