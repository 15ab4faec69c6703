//! `/sys/class/net`: what kind of interface one is, how it is joined to others, and how its link stands.

use schemars::JsonSchema;
use serde::Serialize;

use super::Host;

/// One network interface.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, JsonSchema)]
pub(super) struct Link {
    /// Its name in the kernel, such as eth0.
    name: String,
    /// Its number in the kernel.
    #[serde(skip_serializing_if = "Option::is_none")]
    index: Option<u32>,
    /// What it is: ethernet, loopback, wlan, bridge, bond, vlan, tunnel, wireguard and so on, in the driver's words where it
    /// has some.
    kind: String,
    /// The driver that serves its hardware.
    #[serde(skip_serializing_if = "Option::is_none")]
    driver: Option<String>,
    /// Whether it works: up, down, dormant, unknown and so on (RFC 2863).
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<String>,
    /// Whether somebody switched it on.
    #[serde(skip_serializing_if = "Option::is_none")]
    enabled: Option<bool>,
    /// Whether a cable or a radio link is there.
    #[serde(skip_serializing_if = "Option::is_none")]
    carrier: Option<bool>,
    /// How often the link came or went since the interface was made.
    #[serde(skip_serializing_if = "Option::is_none")]
    carrier_changes: Option<u64>,
    /// Full or half duplex.
    #[serde(skip_serializing_if = "Option::is_none")]
    duplex: Option<String>,
    /// Bytes of the largest packet.
    #[serde(skip_serializing_if = "Option::is_none")]
    mtu_bytes: Option<u64>,
    /// Packets that wait to be sent at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    queue_packets: Option<u64>,
    /// The bridge, bond or other interface it belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    member_of: Option<String>,
    /// The interfaces that belong to it or that it is laid upon.
    made_of: Vec<String>,
}

/// if_arp.h: the kinds of hardware that tell more than that there is some.
fn hardware(number: u32) -> Option<&'static str> {
    Some(match number {
        1 => "ethernet",
        32 => "infiniband",
        512 => "ppp",
        768 | 769 | 776 | 778 | 823 => "tunnel",
        772 => "loopback",
        801..=803 => "wlan",
        65_534 => "tunnel",
        _ => return None,
    })
}

impl Link {
    /// One of which only the name is known.
    pub(super) fn named(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            index: None,
            kind: "other".to_owned(),
            driver: None,
            state: None,
            enabled: None,
            carrier: None,
            carrier_changes: None,
            duplex: None,
            mtu_bytes: None,
            queue_packets: None,
            member_of: None,
            made_of: Vec::new(),
        }
    }

    /// `None` when the interface has gone. Anything may be among the names: `bonding_masters` is.
    pub(super) fn read(host: &Host, name: &str) -> Option<Self> {
        let folder = format!("sys/class/net/{name}");
        let path = |file: &str| format!("{folder}/{file}");
        let entries = host.names(&folder).ok()?;
        let uevent = host.find(&path("uevent")).unwrap_or_default();
        let declared = uevent.lines().find_map(|line| line.strip_prefix("DEVTYPE=")).map(str::to_owned);
        let number: Option<u32> = host.number(&path("type"));
        let has = |entry: &str| entries.iter().any(|name| name == entry);
        let kind = declared
            .or_else(|| has("bridge").then(|| "bridge".to_owned()))
            .or_else(|| has("bonding").then(|| "bond".to_owned()))
            .or_else(|| has("tun_flags").then(|| "tunnel".to_owned()))
            .or_else(|| has("wireless").then(|| "wlan".to_owned()))
            .or_else(|| number.and_then(hardware).map(str::to_owned));
        // linux/if.h: IFF_UP.
        let flags = host.line(&path("flags")).and_then(|line| u32::from_str_radix(line.strip_prefix("0x")?, 16).ok());
        Some(Self {
            index: host.number(&path("ifindex")),
            kind: kind.unwrap_or_else(|| "other".to_owned()),
            driver: host.link_name(&path("device/driver")),
            state: host.line(&path("operstate")),
            enabled: flags.map(|flags| flags & 1 == 1),
            carrier: host.number(&path("carrier")).map(|on: u8| on == 1),
            carrier_changes: host.number(&path("carrier_changes")),
            duplex: host.line(&path("duplex")).filter(|duplex| duplex != "unknown"),
            mtu_bytes: host.number(&path("mtu")),
            queue_packets: host.number(&path("tx_queue_len")),
            member_of: host.link_name(&path("master")),
            made_of: entries.iter().filter_map(|entry| entry.strip_prefix("lower_")).map(str::to_owned).collect(),
            name: name.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_virtual_machine_shows_how_its_interfaces_are_joined() {
        let host = Host::fixture("debian-vm");
        let link = |name| serde_json::to_value(Link::read(&host, name).unwrap()).unwrap();
        assert_eq!(
            link("eth0"),
            json!({
                "name": "eth0", "index": 2, "kind": "ethernet", "driver": "virtio_net", "state": "up", "enabled": true,
                "carrier": true, "carrier_changes": 2, "duplex": "full", "mtu_bytes": 1500, "queue_packets": 1000,
                "made_of": [],
            })
        );
        assert_eq!(link("lo")["kind"], "loopback");
        assert_eq!(Link::read(&host, "eth9"), None);
        assert_eq!(Link::read(&host, "../../../etc"), None);
    }

    #[test]
    fn a_bridge_and_its_members_name_each_other() {
        let root = tempfile::tempdir().unwrap();
        let net = root.path().join("sys/class/net");
        std::fs::create_dir_all(net.join("br0/lower_veth1")).unwrap();
        std::fs::create_dir_all(net.join("br0/bridge")).unwrap();
        std::fs::create_dir_all(net.join("veth1")).unwrap();
        std::os::unix::fs::symlink("../br0", net.join("veth1/master")).unwrap();
        std::fs::write(net.join("veth1/uevent"), "DEVTYPE=veth\nINTERFACE=veth1\n").unwrap();
        let host = Host::folder(root.path());
        let (bridge, member) = (Link::read(&host, "br0").unwrap(), Link::read(&host, "veth1").unwrap());
        assert_eq!((bridge.kind.as_str(), bridge.made_of), ("bridge", vec!["veth1".to_owned()]));
        assert_eq!((member.kind.as_str(), member.member_of.as_deref()), ("veth", Some("br0")));
    }
}
