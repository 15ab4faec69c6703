//! Diagnostics of the host the daemon runs on.
