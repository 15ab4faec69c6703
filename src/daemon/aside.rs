//! Work that reads files or takes its time is done beside the threads that serve, so that a reload holds up nobody.

use super::draft::Draft;
use crate::config::Loaded;
use crate::error::{Code, Failure};

/// Reads files and compiles patterns away from the threads that serve.
pub(super) async fn aside<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    let broken = |error| Failure::new(Code::Internal, "the configuration could not be read").because(error);
    tokio::task::spawn_blocking(work).await.map_err(broken)?
}

/// What `compose` makes of a configuration, and what it took from the daemon's memory for it.
pub(super) async fn composed<T: Send + 'static>(
    loaded: Loaded,
    mut draft: Draft,
    compose: fn(&Loaded, &mut Draft) -> Result<T, Failure>,
) -> Result<(Loaded, Draft, T), Failure> {
    aside(move || compose(&loaded, &mut draft).map(|made| (loaded, draft, made))).await
}
