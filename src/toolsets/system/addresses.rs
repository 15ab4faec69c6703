//! `/proc/net/if_inet6`, `/proc/net/fib_trie` and `/proc/net/route`: which addresses the host has.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::ops::ControlFlow;

use schemars::JsonSchema;
use serde::Serialize;

use super::Host;

/// linux/route.h: the route is usable.
const RTF_UP: u32 = 1;

/// Directly connected networks that are kept.
const NETWORKS: usize = 1024;

/// Addresses that are kept.
const ADDRESSES: usize = 8192;

/// One address of an interface.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, JsonSchema)]
pub(super) struct Address {
    /// The address, IPv4 or IPv6.
    pub(super) address: String,
    /// Number of leading bits that the addresses of its network share.
    pub(super) prefix_length: u32,
    /// How far it reaches.
    pub(super) scope: Scope,
}

/// How far an address reaches.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Scope {
    /// Beyond the link.
    Global,
    /// The link only.
    Link,
    /// The host only.
    Host,
}

/// The IPv6 addresses, each with the name of its interface.
pub(super) fn ipv6(if_inet6: &str) -> Vec<(String, Address)> {
    if_inet6.lines().filter_map(ipv6_line).collect()
}

/// Columns: address, index, prefix length, scope, flags, name; the figures in hexadecimal.
fn ipv6_line(line: &str) -> Option<(String, Address)> {
    let mut words = line.split_whitespace();
    let digits = words.next().filter(|digits| digits.len() == 32)?;
    let address = Ipv6Addr::from(u128::from_str_radix(digits, 16).ok()?);
    let prefix_length = u32::from_str_radix(words.nth(1)?, 16).ok().filter(|length| *length <= 128)?;
    let scope = match u32::from_str_radix(words.next()?, 16).ok()? & 0xf0 {
        0x10 => Scope::Host,
        0x20 => Scope::Link,
        _ => Scope::Global,
    };
    Some((words.nth(1)?.to_owned(), Address { address: address.to_string(), prefix_length, scope }))
}

/// Addresses with the name of their interface, and addresses without.
type Placed = (Vec<(String, Address)>, Vec<String>);

/// The IPv4 addresses. The kernel lists them without interface; the interface is the one that has the narrowest
/// directly connected network around the address, if it is only one. The others stand in the second list. Both files hold
/// every route of the host besides, so they are read line by line.
pub(super) fn ipv4(host: &Host) -> Placed {
    let (mut local, mut networks) = (Local::default(), Vec::new());
    let _ = host.each_line("proc/net/fib_trie", |line| {
        local.take(line);
        ControlFlow::Continue(())
    });
    let _ = host.each_line("proc/net/route", |line| {
        networks.extend(Network::parse(line));
        if networks.len() >= NETWORKS { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    place(&local.found, &networks)
}

fn place(local: &BTreeSet<Ipv4Addr>, networks: &[Network]) -> Placed {
    let (mut placed, mut others) = (Vec::new(), Vec::new());
    for address in local {
        let home = if address.is_loopback() { Some(("lo", 8)) } else { home(*address, networks) };
        match home {
            Some((interface, prefix_length)) => {
                let scope = scope(*address);
                placed.push((interface.to_owned(), Address { address: address.to_string(), prefix_length, scope }));
            }
            None => others.push(address.to_string()),
        }
    }
    (placed, others)
}

fn scope(address: Ipv4Addr) -> Scope {
    if address.is_loopback() {
        Scope::Host
    } else if address.is_link_local() {
        Scope::Link
    } else {
        Scope::Global
    }
}

/// The leaves of the trie that are addresses of this host.
#[derive(Default)]
struct Local {
    leaf: Option<Ipv4Addr>,
    found: BTreeSet<Ipv4Addr>,
}

impl Local {
    fn take(&mut self, line: &str) {
        let line = line.trim_start();
        if let Some(address) = line.strip_prefix("|-- ") {
            self.leaf = address.trim().parse().ok();
        } else if line.starts_with("/32 host LOCAL") && self.found.len() < ADDRESSES {
            self.found.extend(self.leaf);
        }
    }
}

fn home(address: Ipv4Addr, networks: &[Network]) -> Option<(&str, u32)> {
    let around = || networks.iter().filter(|network| network.holds(address));
    let narrowest = around().map(Network::prefix_length).max()?;
    let mut names = around().filter(|network| network.prefix_length() == narrowest).map(|network| &network.interface);
    let name = names.next()?;
    names.all(|other| other == name).then_some((name.as_str(), narrowest))
}

/// A directly connected network.
struct Network {
    interface: String,
    address: Ipv4Addr,
    mask: Ipv4Addr,
}

impl Network {
    /// Columns: interface, destination, gateway, flags, three counters, mask; addresses as the machine's own numbers.
    fn parse(line: &str) -> Option<Self> {
        let mut words = line.split_whitespace();
        let interface = words.next()?.to_owned();
        let mut number = |skip| u32::from_str_radix(words.nth(skip)?, 16).ok();
        let (address, gateway, flags, mask) = (number(0)?, number(0)?, number(0)?, number(3)?);
        let plain = |number: u32| Ipv4Addr::from(number.to_ne_bytes());
        (gateway == 0 && flags & RTF_UP != 0 && mask != 0 && interface != "*").then(|| Self {
            interface,
            address: plain(address),
            mask: plain(mask),
        })
    }

    fn holds(&self, address: Ipv4Addr) -> bool {
        address & self.mask == self.address
    }

    fn prefix_length(&self) -> u32 {
        self.mask.to_bits().count_ones()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ipv4(fib_trie: &str, route: &str) -> Placed {
        let mut local = Local::default();
        fib_trie.lines().for_each(|line| local.take(line));
        place(&local.found, &route.lines().filter_map(Network::parse).collect::<Vec<_>>())
    }

    const ROUTE: &str = "\
Iface Destination Gateway Flags RefCnt Use Metric Mask MTU Window IRTT
eth0 00000000 0102000A 0003 0 0 100 00000000 0 0 0
eth0 0002000A 00000000 0001 0 0 100 00FFFFFF 0 0 0
br0 0000A8C0 00000000 0001 0 0 0 0000FFFF 0 0 0
br1 0000A8C0 00000000 0001 0 0 0 0000FFFF 0 0 0
";
    const TRIE: &str = "\
Main:
  +-- 0.0.0.0/0 3 0 5
     |-- 10.0.2.0
        /24 link UNICAST
     |-- 10.0.2.15
        /32 host LOCAL
     |-- 127.0.0.0
        /8 host LOCAL
     |-- 127.0.0.1
        /32 host LOCAL
     |-- 192.168.0.9
        /32 host LOCAL
     |-- 203.0.113.7
        /32 host LOCAL
Local:
     |-- 10.0.2.15
        /32 host LOCAL
";

    #[test]
    fn an_address_is_placed_where_one_network_is_around_it() {
        let (placed, others) = ipv4(TRIE, ROUTE);
        let address =
            |address: &str, prefix_length, scope| Address { address: address.to_owned(), prefix_length, scope };
        assert_eq!(
            placed,
            [
                ("eth0".to_owned(), address("10.0.2.15", 24, Scope::Global)),
                ("lo".to_owned(), address("127.0.0.1", 8, Scope::Host)),
            ]
        );
        assert_eq!(others, ["192.168.0.9", "203.0.113.7"]);
    }

    #[test]
    fn ipv6_addresses_come_with_their_scope() {
        let text = "fd000000000000000000000000000002 04 40 00 82     eth0\n00000000000000000000000000000001 01 80 10 80 lo\n\
                    fe8000000000000000fc00fffe000001 04 40 20 80     eth0\nfe80 04 40 20 80 eth0\n";
        let found = ipv6(text);
        assert_eq!(found.len(), 3);
        assert_eq!((found[0].1.address.as_str(), found[0].1.prefix_length), ("fd00::2", 64));
        assert_eq!((found[1].0.as_str(), found[1].1.scope), ("lo", Scope::Host));
        assert_eq!((found[2].1.address.as_str(), found[2].1.scope), ("fe80::fc:ff:fe00:1", Scope::Link));
    }

    proptest! {
        #[test]
        fn no_text_is_a_panic(
            six in "\\PC*|([0-9a-f]{31,33}( [0-9a-f]{1,9}){0,4} eth0\n){0,3}",
            trie in "\\PC*|([|]-- [0-9.]{0,15}\n/32 host LOCAL\n){0,3}",
            route in "\\PC*|(eth0( [0-9A-F]{1,9}){0,8}\n){0,3}",
        ) {
            let _ = (ipv6(&six), ipv4(&trie, &route));
        }
    }
}
