//! `/proc/net/route`, `/proc/net/ipv6_route` and `/proc/net/arp`: where packets go.

use std::net::{Ipv4Addr, Ipv6Addr};

use schemars::JsonSchema;
use serde::Serialize;

/// linux/route.h and linux/ipv6_route.h.
const REJECT: u32 = 0x0200;
const ADDRESS_CONFIGURED: u32 = 0x0004_0000;
const ANYCAST: u32 = 0x0010_0000;
const CACHED: u32 = 0x0100_0000;
const LOCAL: u32 = 0x8000_0000;

/// One route.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, JsonSchema)]
pub(super) struct Route {
    /// The network it leads to, with its prefix length; 0.0.0.0/0 and ::/0 are the default routes.
    pub(super) destination: String,
    /// The router it goes through; absent where the network is on the link itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) gateway: Option<String>,
    /// The interface it leaves by; * for one that refuses packets.
    pub(super) interface: String,
    /// Of several routes to a network the one with the lowest metric is taken.
    pub(super) metric: u32,
    /// Whether packets are refused rather than sent.
    pub(super) unreachable: bool,
    /// Whether the host learned it from a router; known of IPv6 only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) learned: Option<bool>,
}

/// A route of the main table of IPv4. Columns: interface, destination, gateway, flags, counters, metric, mask; addresses
/// as the machine's own numbers.
pub(super) fn ipv4(line: &str) -> Option<Route> {
    let mut words = line.split_whitespace();
    let interface = words.next()?.to_owned();
    let mut number = || u32::from_str_radix(words.next()?, 16).ok();
    let (destination, gateway, flags) = (number()?, number()?, number()?);
    let metric = words.nth(2)?.parse().ok()?;
    let mask = u32::from_str_radix(words.next()?, 16).ok()?;
    let address = |number: u32| Ipv4Addr::from(number.to_ne_bytes());
    Some(Route {
        destination: format!("{}/{}", address(destination), mask.count_ones()),
        gateway: (gateway != 0).then(|| address(gateway).to_string()),
        interface,
        metric,
        unreachable: flags & REJECT != 0,
        learned: None,
    })
}

/// A route of IPv6 that is the host's own, unlike the kernel's entries for its addresses. Columns: destination and length,
/// source and length, gateway, metric, counters, flags, interface; all hexadecimal.
pub(super) fn ipv6(line: &str) -> Option<Route> {
    let mut words = line.split_whitespace();
    let address = |word: &str| {
        let digits = Some(word).filter(|word| word.len() == 32)?;
        Some(Ipv6Addr::from(u128::from_str_radix(digits, 16).ok()?))
    };
    let number = |word: &str| u32::from_str_radix(word, 16).ok();
    let destination = address(words.next()?)?;
    let length = number(words.next()?).filter(|length| *length <= 128)?;
    let gateway = address(words.nth(2)?)?;
    let metric = number(words.next()?)?;
    let flags = number(words.nth(2)?)?;
    let interface = words.next()?.to_owned();
    let kernels = flags & (LOCAL | ANYCAST | CACHED) != 0 || destination.is_multicast();
    // What packets without any route meet.
    let last = metric == u32::MAX;
    (!kernels && !last).then(|| Route {
        destination: format!("{destination}/{length}"),
        gateway: (!gateway.is_unspecified()).then(|| gateway.to_string()),
        interface,
        metric,
        unreachable: flags & REJECT != 0,
        learned: Some(flags & ADDRESS_CONFIGURED != 0),
    })
}

/// What a host on the link answers to.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, JsonSchema)]
pub(super) struct Neighbour {
    /// Its address.
    pub(super) address: String,
    /// Its hardware address; absent while it has not answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) mac_address: Option<String>,
    /// The interface it is behind.
    pub(super) interface: String,
    /// What is known of it, in the words of ip-neighbour(8), such as reachable, stale or failed. Where ip(8) cannot be
    /// asked, of IPv4: complete (its hardware address is known, be it still good or not), incomplete or permanent.
    pub(super) state: String,
}

/// A neighbour of IPv4. Columns: address, kind, flags, hardware address, mask, interface.
pub(super) fn neighbour(line: &str) -> Option<Neighbour> {
    let mut words = line.split_whitespace();
    let address: Ipv4Addr = words.next()?.parse().ok()?;
    let flags = u32::from_str_radix(words.nth(1)?.strip_prefix("0x")?, 16).ok()?;
    let mac_address = words.next()?.to_owned();
    let state = match (flags & 0x2 != 0, flags & 0x4 != 0) {
        (_, true) => "permanent",
        (true, false) => "complete",
        (false, false) => "incomplete",
    };
    Some(Neighbour {
        address: address.to_string(),
        mac_address: (flags & 0x6 != 0).then_some(mac_address),
        interface: words.nth(1)?.to_owned(),
        state: state.to_owned(),
    })
}

/// The tables of IPv4 that hold routes, from the headings of `/proc/net/fib_trie`.
pub(super) fn table(line: &str) -> Option<String> {
    match line.strip_suffix(':')? {
        "Main" => Some("main".to_owned()),
        "Local" => Some("local".to_owned()),
        other => other.strip_prefix("Id ").map(str::to_owned),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn routes_are_read_in_the_kernels_numbers() {
        let route = ipv4("eth0\t00000000\t0202000A\t0003\t0\t0\t100\t00000000\t0\t0\t0").unwrap();
        assert_eq!(
            (route.destination.as_str(), route.gateway.as_deref(), route.metric),
            ("0.0.0.0/0", Some("10.0.2.2"), 100)
        );
        assert!(ipv4("*\t0000A8C0\t00000000\t0200\t0\t0\t0\t0000FFFF\t0\t0\t0").unwrap().unreachable);
        assert_eq!(ipv4("Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\tMTU"), None);
    }

    #[test]
    fn the_kernels_own_entries_of_ipv6_are_no_routes() {
        let zero = "0".repeat(32);
        let line = |address: &str, length: &str, gateway: &str, metric: &str, flags: &str| {
            format!("{address} {length} {zero} 00 {gateway} {metric} 00000001 00000000 {flags} eth0")
        };
        let router = "fe800000000000000000000000000002";
        let default = ipv6(&line(&zero, "00", router, "00000064", "00450003")).unwrap();
        assert_eq!((default.destination.as_str(), default.gateway.as_deref()), ("::/0", Some("fe80::2")));
        assert_eq!((default.metric, default.learned), (100, Some(true)));
        for (address, metric, flags) in [
            ("20010db8000000000000000000000015", "00000000", "80200001"),
            ("ff000000000000000000000000000000", "00000100", "00000001"),
            (zero.as_str(), "ffffffff", "00200200"),
        ] {
            assert_eq!(ipv6(&line(address, "00", &zero, metric, flags)), None, "{address}");
        }
    }

    #[test]
    fn a_neighbour_that_does_not_answer_has_no_hardware_address() {
        let known = neighbour("10.0.2.2 0x1 0x2 52:55:0a:00:02:02 * eth0").unwrap();
        assert_eq!((known.mac_address.as_deref(), known.state.as_str()), (Some("52:55:0a:00:02:02"), "complete"));
        let silent = neighbour("10.0.2.9 0x1 0x0 00:00:00:00:00:00 * eth0").unwrap();
        assert_eq!((silent.mac_address, silent.interface.as_str()), (None, "eth0"));
        assert_eq!(neighbour("IP address       HW type     Flags       HW address            Mask     Device"), None);
        assert_eq!(
            (table("Main:"), table("Id 200:"), table("  +-- 0.0.0.0/0")),
            (Some("main".into()), Some("200".into()), None)
        );
    }

    proptest! {
        #[test]
        fn no_line_is_a_panic(line in "\\PC*|([0-9a-f]{8} ?){0,9}|([0-9a-f]{32} [0-9a-f]{2} ){2}[0-9a-f]{32}( [0-9a-f]{1,9}){0,4} eth0") {
            let _ = (ipv4(&line), ipv6(&line), neighbour(&line), table(&line));
        }
    }
}
