//! What a reload changed, for its record: the names of keys, never their values, and which of them wait for a restart.

use crate::config::Config;

/// Keys, or sections, that are looked at only when the daemon starts.
const AT_START: [&str; 22] = [
    "audit.checkpoint",
    "audit.compress",
    "audit.durability",
    "audit.enabled",
    "audit.max_files",
    "audit.max_size_mb",
    "audit.path",
    "audit.rotate_daily",
    "audit.syslog",
    "auth.jwt.jti_cache_size",
    "http.header_timeout",
    "http.max_concurrent_streams",
    "http.max_header_bytes",
    "log",
    "metrics",
    "operator",
    "sandbox",
    "socket.group",
    "socket.mode",
    "socket.owner",
    "socket.path",
    "tls.bind",
];

/// The keys in which `new` is not what the daemon started with, and that have no effect until it starts again.
pub(super) fn waiting(started: &Config, new: &Config) -> Vec<String> {
    started.differences(new).into_iter().filter(|key| waits(key)).collect()
}

fn waits(key: &str) -> bool {
    AT_START.iter().any(|start| key.strip_prefix(start).is_some_and(|rest| rest.is_empty() || rest.starts_with('.')))
}

/// What is different in `new`, in one line; `None` when only files can be.
pub(super) fn describe(old: &Config, new: &Config) -> Option<String> {
    let (later, now): (Vec<String>, Vec<String>) = old.differences(new).into_iter().partition(|key| waits(key));
    let parts = [("changed: ", now), ("only after a restart: ", later)];
    let said =
        parts.into_iter().filter(|(_, keys)| !keys.is_empty()).map(|(what, keys)| what.to_owned() + &keys.join(", "));
    let said: Vec<String> = said.collect();
    (!said.is_empty()).then(|| said.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_for_a_restart_is_told_apart() {
        let old = Config::default();
        assert_eq!(describe(&old, &old), None);
        let mut new = old.clone();
        new.auth.jwt.max_ttl = 60;
        new.tls.allowed_subjects = vec!["CN=bot".to_owned()];
        assert_eq!(describe(&old, &new).unwrap(), "changed: auth.jwt.max_ttl, tls.allowed_subjects");
        new.tls.bind = ([127, 0, 0, 1], 1).into();
        new.log.path = Some("log".into());
        let waits = "only after a restart: log.path, tls.bind";
        assert_eq!(describe(&old, &new).unwrap(), format!("changed: auth.jwt.max_ttl, tls.allowed_subjects; {waits}"));
        assert_eq!(
            describe(&Config { log: new.log.clone(), tls: new.tls.clone(), ..old.clone() }, &new).unwrap(),
            "changed: auth.jwt.max_ttl"
        );
    }

    #[test]
    fn what_waits_goes_on_waiting_until_it_is_taken_back() {
        let started = Config::default();
        let mut new = started.clone();
        new.auth.jwt.max_ttl = 60;
        new.metrics.enabled = Some(false);
        assert_eq!(waiting(&started, &new), ["metrics.enabled"]);
        new.metrics.enabled = None;
        assert!(waiting(&started, &new).is_empty());
    }

    #[test]
    fn every_key_that_waits_is_one() {
        let known = serde_json::to_value(Config::default()).unwrap();
        for key in AT_START {
            assert!(known.pointer(&format!("/{}", key.replace('.', "/"))).is_some(), "{key}");
        }
    }
}
