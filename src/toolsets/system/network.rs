//! `get_network_info`: the network interfaces, their addresses, and what went through them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Host;
use super::addresses::{self, Address};
use super::query::{Ask, HostQuery};
use crate::call::{Impact, ToolSpec};
use crate::error::{Code, Failure};

pub(super) struct Query;

/// What to look at.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Args {
    /// Only the interface of this name.
    #[schemars(length(min = 1, max = 64))]
    interface: Option<String>,
}

/// The network interfaces.
#[derive(Serialize, JsonSchema)]
pub(super) struct Answer {
    /// The interfaces in the daemon's network namespace.
    interfaces: Vec<Interface>,
    /// Addresses of this host for which the routing table does not name one interface.
    other_ipv4_addresses: Vec<String>,
}

/// One network interface.
#[derive(Serialize, JsonSchema)]
struct Interface {
    /// Its name in the kernel, such as eth0.
    name: String,
    /// Whether it works: up, down, dormant, unknown and so on (RFC 2863).
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<String>,
    /// Bytes of the largest packet.
    #[serde(skip_serializing_if = "Option::is_none")]
    mtu_bytes: Option<u64>,
    /// Its hardware address.
    #[serde(skip_serializing_if = "Option::is_none")]
    mac_address: Option<String>,
    /// Bits per second that the link was set up for.
    #[serde(skip_serializing_if = "Option::is_none")]
    speed_bits_per_second: Option<u64>,
    /// Its addresses; those of IPv4 are placed by the routing table.
    addresses: Vec<Address>,
    /// What came in since it was set up.
    received: Traffic,
    /// What went out since it was set up.
    sent: Traffic,
}

/// What went through an interface in one direction.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, JsonSchema)]
struct Traffic {
    /// Bytes.
    bytes: u64,
    /// Number of packets.
    packets: u64,
    /// Number of packets that were damaged or could not be sent.
    errors: u64,
    /// Number of packets thrown away, for want of room for example.
    dropped: u64,
}

impl HostQuery for Query {
    type Args = Args;
    type Answer = Answer;

    fn spec() -> ToolSpec {
        ToolSpec::query::<Args, Answer>(
            "get_network_info",
            "Network interfaces",
            "The host's network interfaces with state, addresses, and bytes, packets, errors and drops in each \
             direction.",
            Impact::Low,
        )
    }

    fn answer(ask: &Ask<'_>, args: Args) -> Result<Answer, Failure> {
        let mut counters = parse(&ask.host.read("proc/net/dev")?);
        if counters.is_empty() {
            return Err(Failure::new(Code::ToolFailed, "proc/net/dev of this host makes no sense"));
        }
        counters.retain(|(name, ..)| args.interface.as_ref().is_none_or(|wanted| wanted == name));
        let text = |path| ask.host.find(path).unwrap_or_default();
        let (mut addresses, others) = addresses::ipv4(&text("proc/net/fib_trie"), &text("proc/net/route"));
        addresses.extend(addresses::ipv6(&text("proc/net/if_inet6")));
        let mut interfaces = Vec::with_capacity(counters.len());
        for (name, received, sent) in counters {
            ask.go_on()?;
            interfaces.push(describe(ask.host, name, received, sent, &addresses));
        }
        let other_ipv4_addresses = if args.interface.is_none() { others } else { Vec::new() };
        Ok(Answer { interfaces, other_ipv4_addresses })
    }
}

fn describe(host: &Host, name: String, received: Traffic, sent: Traffic, all: &[(String, Address)]) -> Interface {
    let path = |file: &str| format!("sys/class/net/{name}/{file}");
    // An interface without a link says -1 or nothing.
    let megabits: Option<u64> = host.number(&path("speed")).filter(|speed| *speed > 0);
    let own = |(owner, address): &(String, Address)| (*owner == name).then(|| address.clone());
    Interface {
        state: host.line(&path("operstate")),
        mtu_bytes: host.number(&path("mtu")),
        mac_address: host.line(&path("address")),
        speed_bits_per_second: megabits.map(|megabits| megabits.saturating_mul(1_000_000)),
        addresses: all.iter().filter_map(own).collect(),
        received,
        sent,
        name,
    }
}

/// Name, what came in and what went out; the two lines of headings have no such form.
fn parse(text: &str) -> Vec<(String, Traffic, Traffic)> {
    let line = |line: &str| {
        let (name, figures) = line.rsplit_once(':')?;
        let figures: Vec<u64> = figures.split_whitespace().map(|word| word.parse().ok()).collect::<Option<_>>()?;
        let (received, sent) = figures.split_at_checked(8)?;
        Some((name.trim().to_owned(), Traffic::from_columns(received)?, Traffic::from_columns(sent)?))
    };
    text.lines().filter_map(line).collect()
}

impl Traffic {
    fn from_columns(columns: &[u64]) -> Option<Self> {
        let [bytes, packets, errors, dropped, ..] = *columns else { return None };
        Some(Self { bytes, packets, errors, dropped })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::super::query::ask;
    use super::*;

    #[test]
    fn a_virtual_machine_shows_its_interface() {
        assert_eq!(
            ask::<Query>(&Host::fixture("debian-vm"), json!({"interface": "eth0"})).unwrap(),
            json!({
                "interfaces": [{
                    "name": "eth0",
                    "state": "up",
                    "mtu_bytes": 1500,
                    "mac_address": "52:54:00:12:34:56",
                    "speed_bits_per_second": 10_000_000_000_u64,
                    "addresses": [
                        {"address": "10.0.2.15", "prefix_length": 24, "scope": "global"},
                        {"address": "2001:db8::15", "prefix_length": 64, "scope": "global"},
                        {"address": "fe80::5054:ff:fe12:3456", "prefix_length": 64, "scope": "link"},
                    ],
                    "received": {"bytes": 95_587_945, "packets": 84_039, "errors": 1, "dropped": 12},
                    "sent": {"bytes": 2_591_280, "packets": 22_470, "errors": 0, "dropped": 3},
                }],
                "other_ipv4_addresses": [],
            })
        );
    }

    #[test]
    fn a_board_without_a_cable_has_no_speed() {
        let answer = ask::<Query>(&Host::fixture("rpi-arm"), json!({})).unwrap();
        let names: Vec<&str> =
            answer["interfaces"].as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap()).collect();
        assert_eq!(names, ["lo", "eth0", "wlan0"]);
        assert_eq!(answer["interfaces"][1]["state"], "down");
        assert_eq!(answer["interfaces"][1].get("speed_bits_per_second"), None);
        assert_eq!(answer["interfaces"][2]["addresses"][0]["address"], "192.168.178.40");
        assert_eq!(answer["interfaces"][0]["addresses"][0]["scope"], "host");
        assert_eq!(answer["other_ipv4_addresses"], json!(["198.51.100.9"]));
    }

    #[test]
    fn an_interface_that_is_not_there_is_an_empty_list_and_a_strange_name_is_no_path() {
        for name in ["eth9", "../../../etc/passwd"] {
            let answer = ask::<Query>(&Host::fixture("debian-vm"), json!({"interface": name})).unwrap();
            assert_eq!(answer["interfaces"], json!([]));
        }
    }

    #[test]
    fn figures_may_stick_to_the_colon() {
        let text = " face |bytes packets\n eth0:9 8 7 6 5 4 3 2 1 2 3 4 5 6 7 8\n";
        let received = Traffic { bytes: 9, packets: 8, errors: 7, dropped: 6 };
        let sent = Traffic { bytes: 1, packets: 2, errors: 3, dropped: 4 };
        assert_eq!(parse(text), [("eth0".to_owned(), received, sent)]);
    }

    proptest! {
        #[test]
        fn no_text_is_a_panic(text in "\\PC*|([a-z]{1,4}:( ?[0-9]{1,21}){0,17}\n){0,4}") {
            let _ = parse(&text);
        }
    }
}
