//! Collectors that cannot be trusted, that do not trust this side, or that behave oddly; and what the daemon says of them.
