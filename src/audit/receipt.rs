//! The promise that a record will be kept. Whoever answers a caller waits for it first; what lies between the two goes on
//! meanwhile, and the writer is woken once for all records that came in together.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot::{self, error::TryRecvError};

use super::queue::{Queue, unavailable};
use super::writer::Told;
use crate::error::Failure;

/// How long a sender waits at most.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

/// A record that is kept or about to be. It is kept whether or not anybody waits.
#[must_use = "what is not waited for may not be kept yet"]
pub struct Receipt {
    /// None once it is known what became of it.
    pending: Option<(oneshot::Receiver<Told>, Arc<Queue>)>,
}

impl Receipt {
    /// Of a record that is kept already.
    pub fn kept_already() -> Self {
        Self { pending: None }
    }

    pub(super) fn awaiting(answer: oneshot::Receiver<Told>, queue: &Arc<Queue>) -> Self {
        Self { pending: Some((answer, Arc::clone(queue))) }
    }

    /// Returns once the record is kept.
    ///
    /// # Errors
    /// [`Code::AuditUnavailable`](crate::error::Code::AuditUnavailable) when it was not kept in time.
    pub async fn kept(mut self) -> Result<(), Failure> {
        let Some((answer, queue)) = &mut self.pending else { return Ok(()) };
        let mut told = answer.try_recv();
        if told == Err(TryRecvError::Empty) {
            // Whoever else is ready gets a turn first, and has its record in the same page.
            tokio::task::yield_now().await;
            told = answer.try_recv();
        }
        if told == Err(TryRecvError::Empty) {
            // Not before it is known that nobody else rang: what is in the queue by now may be a page that others fill.
            queue.ring();
            told = tokio::time::timeout(PATIENCE, answer).await.map_err(|_| late())?.map_err(|_| TryRecvError::Closed);
        }
        self.pending = None;
        match told {
            Ok(Ok(())) => Ok(()),
            Ok(Err(cause)) => Err(unavailable(cause.to_string())),
            Err(_) => Err(unavailable("the writer has ended".to_owned())),
        }
    }
}

impl Drop for Receipt {
    /// Nobody waits any more, or ever did: then nobody else may ring.
    fn drop(&mut self) {
        if let Some((_, queue)) = &self.pending {
            queue.ring();
        }
    }
}

pub(super) fn late() -> Failure {
    unavailable(format!("not written within {} s", PATIENCE.as_secs()))
}
