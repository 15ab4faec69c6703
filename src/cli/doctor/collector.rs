//! Whether records reach a collector on another machine. A target in the configuration is no proof: what shows it is where the
//! target lies, whether it is there, and how far the forwarder of the journal has come.

use std::collections::BTreeSet;
use std::fs;
use std::net::{IpAddr, Ipv6Addr};
use std::os::unix::fs::FileTypeExt as _;
use std::path::Path;

use crate::audit::syslog::{Delivered, Target};
use crate::clock::Timestamp;
use crate::config::Config;

/// Seconds after which records that wait are late.
const LATE: u64 = 300;

/// What was seen.
#[derive(Default)]
pub(super) struct Collector {
    /// Where records go, if they go anywhere.
    pub(super) target: Option<Target>,
    /// The target, in the words of the configuration.
    written: String,
    /// Addresses of this machine.
    addresses: BTreeSet<IpAddr>,
    /// Its names.
    names: BTreeSet<String>,
    /// Whether the socket of a local target is there.
    socket: bool,
    /// What was delivered.
    delivered: Option<Delivered>,
    /// Why that is not known.
    unseen: Option<String>,
    /// Seconds since the last delivery was noted.
    age: Option<u64>,
}

#[cfg(test)]
impl Collector {
    /// One that is there, and has nothing yet of what this configuration sends.
    pub(super) fn waiting(config: &Config) -> Self {
        let written = config.audit.syslog.target.clone();
        Self { target: target(config), written, socket: true, ..Self::default() }
    }

    /// One that has all of it.
    pub(super) fn taking(config: &Config) -> Self {
        let delivered = Delivered { seq: 7, target: config.audit.syslog.target.clone(), noted: None, last: Some(7) };
        Self { delivered: Some(delivered), ..Self::waiting(config) }
    }
}

/// What that comes to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Reached {
    /// Records have reached it.
    Proven(String),
    /// They do not, or not a place away from this machine.
    Refuted(String),
    /// Nothing shows either.
    Unproven(String),
}

impl Collector {
    /// Looks at this machine; what cannot be read is not there.
    pub(super) fn look(config: &Config, now: Timestamp) -> Self {
        let syslog = &config.audit.syslog;
        let Some(target) = target(config) else { return Self::default() };
        let text = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let addresses = addresses(&text("/proc/net/fib_trie"), &text("/proc/net/if_inet6"));
        let mut names = names(&text("/etc/hosts"), &addresses);
        names.insert(rustix::system::uname().nodename().to_string_lossy().to_lowercase());
        let (delivered, unseen) = match Delivered::of(&config.audit.path) {
            Ok(found) => (found, None),
            Err(why) => (None, Some(why)),
        };
        let noted = delivered.as_ref().and_then(|found| found.noted);
        let noted = noted.and_then(|at| at.duration_since(std::time::UNIX_EPOCH).ok());
        let age = noted.and_then(|at| Some(u64::try_from(now.seconds()).ok()?.saturating_sub(at.as_secs())));
        let socket = matches!(&target, Target::Unix(path) if is_socket(path));
        Self { target: Some(target), written: syslog.target.clone(), addresses, names, socket, delivered, unseen, age }
    }

    /// Whether records reach it; `runs` says whether the daemon does, as far as that can be seen.
    pub(super) fn reached(&self, runs: bool) -> Reached {
        let to = &self.written;
        match &self.target {
            None => return Reached::Refuted("there is no collector".to_owned()),
            Some(Target::Unix(path)) if !self.socket => {
                return Reached::Refuted(format!("there is no socket at {}", path.display()));
            }
            Some(Target::Udp(host) | Target::Tcp(host) | Target::Tls(host)) if self.is_here(&host.name) => {
                return Reached::Refuted(format!("records go to {to}, which is this machine"));
            }
            Some(_) => {}
        }
        let waits = |found: &Delivered| found.last.map_or(0, |last| last.saturating_sub(found.seq));
        match (&self.delivered, &self.unseen) {
            (Some(found), _) if found.target != *to => {
                Reached::Unproven(format!("records went to {} so far, and none to {to}", found.target))
            }
            (Some(found), _) if runs && waits(found) > 0 && self.age.is_none_or(|age| age > LATE) => {
                Reached::Refuted(format!("{} records wait to be sent to {to}", waits(found)))
            }
            (Some(found), _) => Reached::Proven(match self.age {
                Some(age) => format!("record {} went to {to} {age} seconds ago", found.seq),
                None => format!("record {} went to {to}", found.seq),
            }),
            (None, None) if runs => Reached::Refuted(format!("the daemon runs, and no record has reached {to}")),
            (None, None) => Reached::Unproven(format!("no record has gone to {to} yet")),
            (None, Some(why)) => Reached::Unproven(format!("what has gone to {to} cannot be seen: {why}")),
        }
    }

    fn is_here(&self, host: &str) -> bool {
        let name = host.trim_end_matches('.').to_lowercase();
        match host.parse::<IpAddr>() {
            Ok(address) => address.is_loopback() || address.is_unspecified() || self.addresses.contains(&address),
            Err(_) => name == "localhost" || name.ends_with(".localhost") || self.names.contains(&name),
        }
    }
}

/// Where this configuration sends records.
fn target(config: &Config) -> Option<Target> {
    let syslog = &config.audit.syslog;
    (config.audits() && syslog.enabled).then(|| Target::parse(&syslog.target).ok()).flatten()
}

fn is_socket(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|metadata| metadata.file_type().is_socket())
}

/// The addresses that the kernel takes for its own: of IPv4 those above a line `/32 host LOCAL`, of IPv6 one a line.
fn addresses(trie: &str, ipv6: &str) -> BTreeSet<IpAddr> {
    let mut found = BTreeSet::new();
    let mut above = None;
    for line in trie.lines().map(str::trim) {
        match line.strip_prefix("|-- ") {
            Some(address) => above = address.parse::<IpAddr>().ok(),
            None if line == "/32 host LOCAL" => found.extend(above),
            None => {}
        }
    }
    let digits = ipv6.lines().filter_map(|line| line.split_whitespace().next()).filter(|word| word.len() == 32);
    found.extend(digits.filter_map(|word| Some(IpAddr::V6(Ipv6Addr::from(u128::from_str_radix(word, 16).ok()?)))));
    found
}

/// The names that /etc/hosts gives to addresses of this machine.
fn names(hosts: &str, addresses: &BTreeSet<IpAddr>) -> BTreeSet<String> {
    let own = |line: &str| {
        let mut words = line.split('#').next().unwrap_or_default().split_whitespace();
        let address = words.next()?.parse::<IpAddr>().ok()?;
        let is_own = address.is_loopback() || addresses.contains(&address);
        is_own.then(|| words.map(str::to_lowercase).collect::<Vec<_>>())
    };
    hosts.lines().filter_map(own).flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn collector(target: &str) -> Collector {
        let trie = "Main:\n  +-- 10.0.0.0/8 3 0 5\n     |-- 10.0.2.0\n        /24 link UNICAST\n     |-- 10.0.2.15\n        \
                    /32 host LOCAL\n     |-- 10.0.2.255\n        /32 link BROADCAST\n";
        let addresses = addresses(trie, "20010db8000000000000000000000015 02 40 00 80 eth0\nnonsense\n");
        let names = names("127.0.1.1 door door.example # and more\n10.0.2.9 siem\nnonsense\n", &addresses);
        Collector {
            target: Target::parse(target).ok(),
            written: target.to_owned(),
            addresses,
            names,
            ..Collector::default()
        }
    }

    #[test]
    fn a_target_that_is_this_machine_by_whatever_name_is_no_other_one() {
        for here in
            ["127.0.0.2", "0.0.0.0", "[::1]", "10.0.2.15", "[2001:db8::15]", "localhost", "Door.example", "door"]
        {
            let reached = collector(&format!("tcp://{here}:601")).reached(false);
            assert!(matches!(&reached, Reached::Refuted(why) if why.contains("this machine")), "{here}: {reached:?}");
        }
        for elsewhere in ["10.0.2.9", "10.0.2.255", "siem", "siem.example", "[2001:db8::16]"] {
            let reached = collector(&format!("tcp://{elsewhere}:601")).reached(false);
            assert!(matches!(reached, Reached::Unproven(_)), "{elsewhere}: {reached:?}");
        }
    }

    #[test]
    fn only_what_was_delivered_is_proof() {
        let target = "tls://siem.example:6514";
        let with = |delivered, age| Collector { delivered, age, ..collector(target) };
        let found = |target: &str, last| Some(Delivered { seq: 7, target: target.to_owned(), noted: None, last });
        for runs in [false, true] {
            assert!(matches!(with(found(target, Some(7)), Some(9000)).reached(runs), Reached::Proven(_)));
            assert!(matches!(with(found(target, Some(9)), Some(10)).reached(runs), Reached::Proven(_)));
            assert!(matches!(with(found("tcp://old:1", Some(7)), Some(10)).reached(runs), Reached::Unproven(_)));
            let unseen = Collector { unseen: Some("denied".to_owned()), ..collector(target) };
            assert!(matches!(unseen.reached(runs), Reached::Unproven(_)));
        }
        assert!(matches!(with(None, None).reached(false), Reached::Unproven(_)));
        assert!(matches!(with(None, None).reached(true), Reached::Refuted(_)));
        let late = with(found(target, Some(9)), Some(9000));
        assert_eq!(late.reached(true), Reached::Refuted(format!("2 records wait to be sent to {target}")));
        assert!(matches!(late.reached(false), Reached::Proven(_)), "nobody is there to send them");
    }

    #[test]
    fn a_socket_has_to_be_there() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("log");
        let target = format!("unix:{}", path.display());
        let seen = |path: &Path| Collector { socket: is_socket(path), ..collector(&target) }.reached(false);
        assert!(matches!(seen(&path), Reached::Refuted(why) if why.contains("no socket")));
        fs::write(&path, "").unwrap();
        assert!(matches!(seen(&path), Reached::Refuted(_)));
        fs::remove_file(&path).unwrap();
        let _socket = std::os::unix::net::UnixDatagram::bind(&path).unwrap();
        assert!(matches!(seen(&path), Reached::Unproven(_)));
    }
}
