//! `transport`, `tls`, `http`, `metrics`: how the daemon is reached.

use super::Check;
use super::hosts::{host_header, https_url, origin};
use crate::config::place::KeyPath;
use crate::config::tree::{Kind, Node};
use crate::identity::SubjectPattern;
use crate::transport::{TransportKind, trust};

impl Check<'_> {
    pub(super) fn transport(&mut self) {
        self.kinds();
        self.unread();
        self.tls();
        self.http();
        self.metrics();
        self.socket();
    }

    /// Each transport by itself, and what they make together.
    fn kinds(&mut self) {
        let kinds = self.config.transport.all();
        for kind in kinds {
            match kind {
                TransportKind::Stdio | TransportKind::Unix | TransportKind::Https => {}
                TransportKind::Http => self.find(
                    "transport",
                    "there is no plaintext HTTP, ever: anyone on the way could read the tokens",
                    "use https with client certificates, or stdio",
                ),
                TransportKind::Pipe if cfg!(windows) => {
                    self.find("transport", "named pipes are not served in this version", "use stdio, or https");
                }
                TransportKind::Pipe => self.find(
                    "transport",
                    "named pipes exist on Windows only",
                    "use stdio or unix for local callers, or https",
                ),
            }
        }
        if kinds.is_empty() {
            self.find("transport", "nobody could call", "name at least one transport");
        }
        if (1..kinds.len())
            .any(|at| kinds.get(..at).zip(kinds.get(at)).is_some_and(|(before, one)| before.contains(one)))
        {
            self.find("transport", "names a transport twice", "");
        }
        if kinds.len() > 1 && kinds.contains(&TransportKind::Stdio) {
            self.find(
                "transport",
                "stdio goes with no other transport: the end of the input would be the end of all of them",
                "let clients start doorward serve for stdio by themselves, beside the daemon",
            );
        }
    }

    /// What guards https must not look as if it guarded stdio too; least of all where https was meant and not written.
    fn unread(&mut self) {
        let transport = KeyPath::from("transport");
        if self.given.left_out.iter().any(|out| out.is_within(&transport)) {
            return;
        }
        if !self.config.transport.uses(TransportKind::Stdio) {
            return self.unread_by_sockets();
        }
        // The one key of `http` that bounds a line as it bounds a body.
        let bounds =
            |node: &Node| matches!(&node.kind, Kind::Map(keys) if keys.iter().all(|e| e.key == "max_body_bytes"));
        let bound = self.given.tree.at(&KeyPath::from("http")).is_some_and(bounds);
        let sections = ["tls", "http", "auth", "metrics", "socket"].into_iter();
        let written: Vec<&str> =
            sections.filter(|section| self.wrote(section) && !(*section == "http" && bound)).collect();
        let sections = written.join(", ");
        let guards = ["tls", "auth.jwt"].into_iter().find(|key| self.wrote(key));
        match guards.filter(|_| !self.wrote("transport")) {
            Some(key) => self.find(
                key,
                format!("nothing reads {sections}: no transport is written, so it is stdio, which asks for no token"),
                "write transport: https, or transport: stdio if only the process that starts the door shall call",
            ),
            None if written.is_empty() => {}
            None => {
                let section = written.first().copied().unwrap_or_default();
                let at = if self.wrote("transport") { transport } else { KeyPath::from(section) };
                self.note_at(
                    &at,
                    format!("over stdio nothing reads {sections}, and no certificate or token is asked for"),
                );
            }
        }
    }

    fn unread_by_sockets(&mut self) {
        let silent = |switch: Option<bool>| switch.is_none();
        for (section, unread, why) in [
            ("tls", !self.https(), "https is not among the transports, and no other asks for a certificate"),
            ("socket", !self.unix(), "unix is not among the transports"),
            (
                "auth",
                !self.config.verifies_tokens() && silent(self.config.auth.enabled),
                "auth.jwt says nothing, so callers over the socket are known by their uid",
            ),
            (
                "metrics",
                !self.config.probes() && silent(self.config.metrics.enabled),
                "without https there are probes only with metrics.enabled: true",
            ),
        ] {
            if unread && self.wrote(section) {
                self.note_at(&KeyPath::from(section), format!("nothing reads it: {why}"));
            }
        }
    }

    fn tls(&mut self) {
        let tls = &self.config.tls;
        if !tls.require_client_cert {
            self.find("tls.require_client_cert", "client certificates cannot be switched off", "remove the key");
        }
        for (index, entry) in tls.allowed_subjects.iter().enumerate() {
            if let Err(error) = SubjectPattern::parse(entry) {
                let path = KeyPath::from("tls.allowed_subjects").item(index);
                self.find_at(
                    &path,
                    error.to_string(),
                    "write CN=name, DNS:name, URI:spiffe://… or a full distinguished name",
                );
            } else if entry.contains('*') {
                let path = KeyPath::from("tls.allowed_subjects").item(index);
                self.find_at(&path, "wildcards are not supported; name each subject", "");
            }
        }
        if !self.https() {
            return;
        }
        if tls.allowed_subjects.is_empty() && !tls.bind.ip().is_loopback() {
            self.find(
                "tls.allowed_subjects",
                format!("nobody is named, and {} can be reached from outside", tls.bind),
                "name the subjects that may connect, or bind to 127.0.0.1",
            );
        }
        let files = [
            ("tls.cert", &tls.cert, "the server certificate, PEM"),
            ("tls.key", &tls.key, "the server's private key, PEM"),
            ("tls.client_ca", &tls.client_ca, "the authorities of client certificates, PEM"),
        ];
        for (key, path, what) in files {
            match path {
                None => self.find(key, "is missing; https needs it", &format!("name the file of {what}")),
                Some(path) if key == "tls.key" => self.private_file(key, path),
                Some(path) => self.file(key, path),
            }
        }
        if let Some(path) = &tls.client_crl {
            self.file("tls.client_crl", path);
        }
        self.tls_files();
    }

    /// What is in the files, as the daemon would judge it.
    fn tls_files(&mut self) {
        let keys = ["tls.cert", "tls.key", "tls.client_ca", "tls.client_crl"];
        let known: Vec<&str> = keys.into_iter().filter(|key| self.found(key)).collect();
        for problem in trust::problems(&self.config.tls, self.given.now) {
            if known.contains(&problem.key) {
                continue;
            }
            if problem.refuses {
                self.find(problem.key, problem.what, problem.advice);
            } else {
                self.note_at(&KeyPath::from(problem.key), format!("{}; {}", problem.what, problem.advice));
            }
        }
    }

    fn http(&mut self) {
        let http = &self.config.http;
        type Judge = fn(&str) -> Result<(), &'static str>;
        let lists: [(&str, &[String], Judge); 3] = [
            ("http.allowed_hosts", &http.allowed_hosts, host_header),
            ("http.cors_allowed_origins", &http.cors_allowed_origins, origin),
            ("http.authorization_servers", &http.authorization_servers, https_url),
        ];
        for (key, entries, judge) in lists {
            for (index, entry) in entries.iter().enumerate() {
                if let Err(problem) = judge(entry) {
                    self.find_at(&KeyPath::from(key).item(index), problem, "");
                }
            }
        }
        let bind = self.config.tls.bind;
        if self.https() && http.allowed_hosts.is_empty() && bind.ip().is_unspecified() {
            self.find(
                "http.allowed_hosts",
                format!("is empty, and {bind} is nobody's name, so every request would be refused"),
                "give the names under which callers reach this server",
            );
        }
        if http.max_body_bytes > http.max_body_bytes_total {
            self.find(
                "http.max_body_bytes_total",
                format!("has no room for one body of max_body_bytes, {}", http.max_body_bytes),
                "allow several at once",
            );
        }
        if let Some(Err(problem)) = http.public_url.as_deref().map(https_url) {
            self.find("http.public_url", problem, "");
        }
    }

    fn metrics(&mut self) {
        let (metrics, tls) = (&self.config.metrics, &self.config.tls);
        if metrics.enabled == Some(false) {
            return;
        }
        if !metrics.bind.ip().is_loopback() {
            self.find(
                "metrics.bind",
                format!("{} can be reached from outside, and asks for no certificate", metrics.bind),
                "bind to 127.0.0.1, and let an agent on this machine pass them on; /health and /ready are served over https too",
            );
        }
        let same_ip = tls.bind.ip() == metrics.bind.ip() || tls.bind.ip().is_unspecified();
        if self.https() && same_ip && tls.bind.port() == metrics.bind.port() && tls.bind.port() != 0 {
            self.find("metrics.bind", "is the address of tls.bind", "give each its own port");
        }
    }
}
