//! `audit.syslog`: where records are forwarded to, and as what.

use super::Check;
use crate::audit::syslog::Target;

/// The most that an IPv4 datagram holds.
const LARGEST_DATAGRAM: u32 = 65_507;

impl Check<'_> {
    pub(super) fn syslog(&mut self) {
        let syslog = &self.config.audit.syslog;
        if syslog.enabled && !self.config.audits() {
            self.find("audit.syslog.enabled", "there is no audit log to forward", "set audit.enabled: true");
        }
        let target = match Target::parse(&syslog.target) {
            Ok(target) => Some(target),
            Err(problem) => {
                self.find("audit.syslog.target", problem, "write unix:/dev/log, or tls://siem.example.com:6514");
                None
            }
        };
        self.words();
        if let Some(target) = &target {
            self.fits(target);
        }
        if matches!(target, Some(Target::Tls(_))) {
            self.credentials();
        }
    }

    fn words(&mut self) {
        let syslog = &self.config.audit.syslog;
        let names = [("tag", Some(&syslog.tag), 48), ("hostname", syslog.hostname.as_ref(), 255)];
        for (key, text, most) in names {
            let Some(text) = text else { continue };
            if text.is_empty() || text.len() > most || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
                self.find(
                    &format!("audit.syslog.{key}"),
                    format!("must be 1 to {most} printable ASCII characters without blanks"),
                    "",
                );
            }
        }
    }

    /// Keys that another kind of target needs.
    fn fits(&mut self, target: &Target) {
        let syslog = &self.config.audit.syslog;
        if matches!(target, Target::Udp(_)) && syslog.max_message_bytes.is_some_and(|most| most > LARGEST_DATAGRAM) {
            self.find(
                "audit.syslog.max_message_bytes",
                format!("a UDP datagram has at most {LARGEST_DATAGRAM} bytes"),
                "send long records over tcp:// or tls://",
            );
        }
        if matches!(target, Target::Tls(_)) {
            return;
        }
        for (key, is_given) in [
            ("ca", syslog.ca.is_some()),
            ("cert", syslog.cert.is_some()),
            ("key", syslog.key.is_some()),
            ("server_name", syslog.server_name.is_some()),
        ] {
            if is_given {
                self.find(
                    &format!("audit.syslog.{key}"),
                    "is for TLS, and the target is not reached by TLS",
                    "begin audit.syslog.target with tls://, or remove the key",
                );
            }
        }
    }

    fn credentials(&mut self) {
        let syslog = &self.config.audit.syslog;
        match (&syslog.cert, &syslog.key) {
            (Some(_), None) => self.find("audit.syslog.key", "is missing; audit.syslog.cert needs it", ""),
            (None, Some(_)) => self.find("audit.syslog.cert", "is missing; audit.syslog.key needs it", ""),
            _ => {}
        }
        if let Some(name) = &syslog.server_name
            && (name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_:".contains(&byte)))
        {
            self.find("audit.syslog.server_name", "must be a host name or an address", "");
        }
        if !syslog.enabled {
            return;
        }
        for (key, path) in [("audit.syslog.ca", &syslog.ca), ("audit.syslog.cert", &syslog.cert)] {
            if let Some(path) = path {
                self.file(key, path);
            }
        }
        if let Some(path) = &syslog.key {
            self.private_file("audit.syslog.key", path);
        }
    }
}
