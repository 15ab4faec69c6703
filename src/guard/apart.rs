//! Large outputs are redacted on threads beside the runtime's, within what is left of the call's time: on a thread that serves
//! calls one of them would hold up all others.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

use super::{Guard, Released, let_out};
use crate::call::Output;
use crate::error::{Code, Failure};
use crate::policy::Permit;

/// Bytes of names and texts from which on an output is large. On a busy machine so much takes half a millisecond to redact, and
/// six where every line has a secret; no call is held up for longer by an answer to another.
const LARGE: usize = 64 << 10;

/// Places for those that are redacted at the same time. One whose caller is gone keeps its place until it is done.
pub(super) struct Apart(Arc<Semaphore>);

impl Default for Apart {
    /// As many as there are processors.
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(std::thread::available_parallelism().map_or(1, usize::from))))
    }
}

impl Guard {
    /// As [`Guard::release`], and a large output within `left`, which is asked for only then.
    ///
    /// # Errors
    /// As those of [`Guard::release`], and [`Code::TimedOut`].
    pub async fn release_within(
        &self,
        output: Output,
        permit: &Permit,
        left: impl FnOnce() -> Duration,
    ) -> Result<Released, Failure> {
        if !output.is_larger_than(LARGE) {
            return self.release(output, permit);
        }
        let work = Box::pin(self.release_apart(output, permit));
        tokio::time::timeout(left(), work).await.unwrap_or_else(|_| {
            Err(Failure::new(Code::TimedOut, "the answer is so large that the time did not suffice; ask for less"))
        })
    }

    async fn release_apart(&self, output: Output, permit: &Permit) -> Result<Released, Failure> {
        let place = Arc::clone(&self.apart.0).acquire_owned().await;
        let place = place.map_err(|error| Failure::new(Code::Internal, "no place to redact").because(error))?;
        let (redactor, caps, leased) = (Arc::clone(&self.redactor), self.caps, permit.leased().all());
        let work = tokio::task::spawn_blocking(move || {
            let _place = place;
            let_out(&redactor, caps, output, &leased)
        });
        work.await.unwrap_or_else(|error| Err(Failure::new(Code::Internal, "the query broke off").because(error)))
    }
}
