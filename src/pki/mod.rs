//! Certificates as files: making them, reading them, looking into them, revoking them.
