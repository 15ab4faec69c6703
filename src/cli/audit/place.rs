//! Which journal is meant, and which stretch of time.

use std::path::PathBuf;
use std::time::Duration;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::audit::layout::Layout;
use crate::audit::search::{Journal, Span};
use crate::cli::environment;
use crate::clock::{Clock, Timestamp};
use crate::config;
use crate::error::Failure;

/// Where the journal is.
#[derive(clap::Args, Debug)]
pub(super) struct Place {
    /// The file that is written; its rotated ones are found beside it
    #[arg(long, value_name = "AUDIT.JSONL", conflicts_with = "config")]
    path: Option<PathBuf>,
    /// The configuration whose `audit.path` is meant [default: that of a daemon without one]
    #[arg(long, value_name = "FILE", env = "DOORWARD_CONFIG")]
    config: Option<PathBuf>,
}

impl Place {
    /// The names of its files.
    ///
    /// # Errors
    /// When the configuration cannot be read.
    pub(super) fn layout(&self) -> Result<Layout, Failure> {
        if let Some(path) = &self.path {
            return Ok(Layout::of(path));
        }
        Ok(Layout::of(&config::audit_path(self.config.as_deref(), &environment())?))
    }

    /// The journal itself.
    ///
    /// # Errors
    /// When it is not there, too.
    pub(super) fn journal(&self) -> Result<Journal, Failure> {
        Journal::find(self.layout()?).map_err(|failure| {
            let cause = failure.cause().unwrap_or_default();
            failure
                .because(format!("{cause} (--path names a log; --config or DOORWARD_CONFIG, the configuration of one)"))
        })
    }
}

/// From when to when.
#[derive(clap::Args, Debug)]
pub(super) struct Times {
    /// Nothing before this: a time (RFC 3339), or how long ago (45s, 15m, 2h, 3d)
    #[arg(long, value_name = "TIME", value_parser = Moment::parse)]
    since: Option<Moment>,
    /// Nothing after this
    #[arg(long, value_name = "TIME", value_parser = Moment::parse)]
    until: Option<Moment>,
}

impl Times {
    /// The same as points in time.
    pub(super) fn span(&self, clock: &Clock) -> Span {
        let now = clock.now();
        let at = |moment: &Option<Moment>| moment.map(|moment| moment.at(now));
        Span { since: at(&self.since), until: at(&self.until) }
    }
}

/// A point in time as it is typed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Moment {
    At(Timestamp),
    Ago(Duration),
}

impl Moment {
    fn parse(text: &str) -> Result<Self, String> {
        if let Some(at) = timestamp(text) {
            return Ok(Self::At(at));
        }
        let units = [("s", 1), ("m", 60), ("h", 3600), ("d", 86_400)];
        let ago = units.into_iter().find_map(|(unit, seconds)| {
            let count: u64 = text.strip_suffix(unit)?.parse().ok()?;
            Some(Self::Ago(Duration::from_secs(count.checked_mul(seconds)?)))
        });
        ago.ok_or_else(|| "a time as 2026-11-20T10:30:00Z, or how long ago as 45s, 15m, 2h, 3d".to_owned())
    }

    fn at(self, now: Timestamp) -> Timestamp {
        match self {
            Self::At(at) => at,
            Self::Ago(ago) => now.minus(ago),
        }
    }
}

/// A time as records have it (RFC 3339).
pub(super) fn timestamp(text: &str) -> Option<Timestamp> {
    let at = OffsetDateTime::parse(text, &Rfc3339).ok()?;
    let millis = at.unix_timestamp_nanos().checked_div(1_000_000)?;
    Some(Timestamp::from_millis(i64::try_from(millis).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_points_or_distances() {
        let at = Timestamp::from_millis(1_800_000_000_500);
        for (text, wanted) in [
            ("2027-01-15T08:00:00.500Z", Some(Moment::At(at))),
            ("2027-01-15T09:00:00.5+01:00", Some(Moment::At(at))),
            ("45s", Some(Moment::Ago(Duration::from_secs(45)))),
            ("15m", Some(Moment::Ago(Duration::from_secs(900)))),
            ("2h", Some(Moment::Ago(Duration::from_secs(7200)))),
            ("3d", Some(Moment::Ago(Duration::from_secs(259_200)))),
            ("-3d", None),
            ("3", None),
            ("yesterday", None),
            ("99999999999999999999d", None),
        ] {
            assert_eq!(Moment::parse(text).ok(), wanted, "{text}");
        }
        assert_eq!(timestamp(&at.to_string()), Some(at));
        assert_eq!(Moment::Ago(Duration::from_millis(500)).at(at), Timestamp::from_seconds(1_800_000_000));
    }
}
