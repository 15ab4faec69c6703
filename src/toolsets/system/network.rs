//! `get_network_info`: the network interfaces, their addresses, and what went through them.

use std::collections::HashMap;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Host;
use super::addresses::{self, Address};
use super::link::Link;
use super::quantity::per_second;
use super::query::{Ask, HostQuery};
use super::sample;
use super::unknown::unknown;
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
    /// Milliseconds to watch the interfaces for; 0 to give only what went through since they were set up.
    #[schemars(range(min = 0, max = 500))]
    sample_ms: u64,
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
    /// What it is and how its link stands.
    #[serde(flatten)]
    link: Link,
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
    /// What went through while it was watched.
    #[serde(skip_serializing_if = "Option::is_none")]
    sampled: Option<Rates>,
}

/// What went through an interface while it was watched.
#[derive(Clone, PartialEq, Debug, Serialize, JsonSchema)]
struct Rates {
    /// Bytes a second that came in.
    received_bytes_per_second: f64,
    /// Packets a second that came in.
    received_packets_per_second: f64,
    /// Bytes a second that went out.
    sent_bytes_per_second: f64,
    /// Packets a second that went out.
    sent_packets_per_second: f64,
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
    /// Of the errors, those for want of room in the hardware.
    overruns: u64,
    /// Of the errors, those of framing; received packets only.
    #[serde(skip_serializing_if = "Option::is_none")]
    frame_errors: Option<u64>,
    /// Number of packets for several receivers; received packets only.
    #[serde(skip_serializing_if = "Option::is_none")]
    multicast: Option<u64>,
    /// Number of collisions on the wire; sent packets only.
    #[serde(skip_serializing_if = "Option::is_none")]
    collisions: Option<u64>,
    /// Of the errors, those for want of a link; sent packets only.
    #[serde(skip_serializing_if = "Option::is_none")]
    carrier_errors: Option<u64>,
}

impl HostQuery for Query {
    type Args = Args;
    type Answer = Answer;

    fn spec() -> ToolSpec {
        ToolSpec::query::<Args, Answer>(
            "get_network_info",
            "Network interfaces",
            "The host's network interfaces with kind, state, addresses, and bytes, packets, errors and drops in each \
             direction since they were set up and, with sample_ms, right now.",
            Impact::Low,
        )
    }

    fn answer(ask: &Ask<'_>, args: Args) -> Result<Answer, Failure> {
        let mut counters = parse(&ask.host.read("proc/net/dev")?);
        if counters.is_empty() {
            return Err(Failure::new(Code::ToolFailed, "proc/net/dev of this host makes no sense"));
        }
        if let Some(wanted) = &args.interface {
            if !counters.iter().any(|(name, ..)| name == wanted) {
                return Err(unknown("interface", wanted, counters.iter().map(|(name, ..)| name)));
            }
            counters.retain(|(name, ..)| name == wanted);
        }
        let (mut addresses, others) = addresses::ipv4(ask.host);
        addresses.extend(addresses::ipv6(&ask.host.find("proc/net/if_inet6").unwrap_or_default()));
        let later = match args.sample_ms {
            0 => None,
            millis => {
                let elapsed = sample::watch(ask, millis, "the interfaces")?;
                Some((parse(&ask.host.read("proc/net/dev")?), elapsed))
            }
        };
        let after: HashMap<&str, &Counted> =
            later.iter().flat_map(|(later, _)| later).map(|counted| (counted.0.as_str(), counted)).collect();
        let mut owned: HashMap<String, Vec<Address>> = HashMap::new();
        for (owner, address) in addresses {
            owned.entry(owner).or_default().push(address);
        }
        let mut interfaces = Vec::with_capacity(counters.len());
        for counted in counters {
            ask.go_on()?;
            let after = later.as_ref().zip(after.get(counted.0.as_str()));
            let sampled = after.and_then(|((_, elapsed), after)| Rates::between(&counted, after, *elapsed));
            let addresses = owned.remove(&counted.0).unwrap_or_default();
            interfaces.push(describe(ask.host, counted, sampled, addresses));
        }
        let other_ipv4_addresses = if args.interface.is_none() { others } else { Vec::new() };
        Ok(Answer { interfaces, other_ipv4_addresses })
    }
}

/// The name of an interface, what came in and what went out.
type Counted = (String, Traffic, Traffic);

fn describe(host: &Host, counted: Counted, sampled: Option<Rates>, addresses: Vec<Address>) -> Interface {
    let (name, received, sent) = counted;
    let path = |file: &str| format!("sys/class/net/{name}/{file}");
    // An interface without a link says -1 or nothing.
    let megabits: Option<u64> = host.number(&path("speed")).filter(|speed| *speed > 0);
    Interface {
        mac_address: host.line(&path("address")),
        speed_bits_per_second: megabits.map(|megabits| megabits.saturating_mul(1_000_000)),
        addresses,
        received,
        sent,
        sampled,
        link: Link::read(host, &name).unwrap_or_else(|| Link::named(&name)),
    }
}

/// The two lines of headings have no such form.
fn parse(text: &str) -> Vec<Counted> {
    let line = |line: &str| {
        let (name, figures) = line.rsplit_once(':')?;
        let figures: Vec<u64> = figures.split_whitespace().map(|word| word.parse().ok()).collect::<Option<_>>()?;
        let (received, sent) = figures.split_at_checked(8)?;
        Some((name.trim().to_owned(), Traffic::received(received)?, Traffic::sent(sent)?))
    };
    text.lines().filter_map(line).collect()
}

impl Rates {
    fn between(before: &Counted, after: &Counted, elapsed: Duration) -> Option<Self> {
        let rate = |before: u64, after: u64| per_second(after.saturating_sub(before), elapsed);
        Some(Self {
            received_bytes_per_second: rate(before.1.bytes, after.1.bytes)?,
            received_packets_per_second: rate(before.1.packets, after.1.packets)?,
            sent_bytes_per_second: rate(before.2.bytes, after.2.bytes)?,
            sent_packets_per_second: rate(before.2.packets, after.2.packets)?,
        })
    }
}

impl Traffic {
    /// Columns: bytes, packets, errors, dropped, overruns, framing, compressed, multicast.
    fn received(columns: &[u64]) -> Option<Self> {
        let [.., frame, _, multicast] = *columns else { return None };
        Some(Self { frame_errors: Some(frame), multicast: Some(multicast), ..Self::both(columns)? })
    }

    /// Columns: bytes, packets, errors, dropped, overruns, collisions, carrier, compressed; old kernels have fewer.
    fn sent(columns: &[u64]) -> Option<Self> {
        let (collisions, carrier_errors) = (columns.get(5).copied(), columns.get(6).copied());
        Some(Self { collisions, carrier_errors, ..Self::both(columns)? })
    }

    fn both(columns: &[u64]) -> Option<Self> {
        let [bytes, packets, errors, dropped, overruns, ..] = *columns else { return None };
        Some(Self {
            bytes,
            packets,
            errors,
            dropped,
            overruns,
            frame_errors: None,
            multicast: None,
            collisions: None,
            carrier_errors: None,
        })
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
                    "name": "eth0", "index": 2, "kind": "ethernet", "driver": "virtio_net", "state": "up",
                    "enabled": true, "carrier": true, "carrier_changes": 2, "duplex": "full", "mtu_bytes": 1500,
                    "queue_packets": 1000, "made_of": [],
                    "mac_address": "52:54:00:12:34:56",
                    "speed_bits_per_second": 10_000_000_000_u64,
                    "addresses": [
                        {"address": "10.0.2.15", "prefix_length": 24, "scope": "global"},
                        {"address": "2001:db8::15", "prefix_length": 64, "scope": "global"},
                        {"address": "fe80::5054:ff:fe12:3456", "prefix_length": 64, "scope": "link"},
                    ],
                    "received": {
                        "bytes": 95_587_945, "packets": 84_039, "errors": 1, "dropped": 12, "overruns": 0,
                        "frame_errors": 0, "multicast": 0,
                    },
                    "sent": {
                        "bytes": 2_591_280, "packets": 22_470, "errors": 0, "dropped": 3, "overruns": 0,
                        "collisions": 0, "carrier_errors": 0,
                    },
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
    fn an_interface_that_is_not_there_is_refused_with_those_that_are_and_a_strange_name_is_no_path() {
        for name in ["eth9", "../../../etc/passwd"] {
            let failure = ask::<Query>(&Host::fixture("debian-vm"), json!({"interface": name})).unwrap_err();
            assert_eq!(failure.public(), format!("there is no interface {name}; there are eth0, lo"));
        }
    }

    #[test]
    fn figures_may_stick_to_the_colon() {
        let text = " face |bytes packets\n eth0:9 8 7 6 5 4 3 2 1 2 3 4 5 6 7 8\n";
        let found = parse(text);
        let (name, received, sent) = &found[0];
        assert_eq!((found.len(), name.as_str(), received.bytes, received.dropped), (1, "eth0", 9, 6));
        assert_eq!((received.frame_errors, received.multicast, received.collisions), (Some(4), Some(2), None));
        assert_eq!((sent.bytes, sent.overruns, sent.collisions, sent.carrier_errors), (1, 5, Some(6), Some(7)));
    }

    #[test]
    fn what_went_through_while_it_was_watched_is_told_by_the_second() {
        let before = parse("eth0: 100 1 0 0 0 0 0 0 50 1 0 0 0 0 0 0").remove(0);
        let after = parse("eth0: 300 3 0 0 0 0 0 0 40 2 0 0 0 0 0 0").remove(0);
        let rates = Rates::between(&before, &after, Duration::from_millis(500)).unwrap();
        assert_eq!((rates.received_bytes_per_second, rates.received_packets_per_second), (400.0, 4.0));
        assert_eq!((rates.sent_bytes_per_second, rates.sent_packets_per_second), (0.0, 2.0));
    }

    proptest! {
        #[test]
        fn no_text_is_a_panic(text in "\\PC*|([a-z]{1,4}:( ?[0-9]{1,21}){0,17}\n){0,4}") {
            let _ = parse(&text);
        }
    }
}
