//! The reading of a configuration's text, open to the fuzz target and to nobody else.

use super::{Environment, Loaded, Refused, Source, load};
use crate::clock::Timestamp;

/// Reads `text` as the file `fuzz.yaml` with the environment above it.
///
/// # Errors
/// As [`super::load`].
pub fn read(text: &str, environment: &Environment, tools: &[&str]) -> Result<Loaded, Refused> {
    load::read(text, Source::File("fuzz.yaml".into()), environment, tools, Timestamp::from_seconds(0))
}
