//! What the host tells of its network, held against ss(8), ip(8) and nft(8) in a network made for it.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::world::local;
use crate::world::program::there_is;

/// Two ends of a cable, a bridge, routes, a rule, neighbours, a packet filter, and a program with sockets.
const NETWORK: &str = r#"
ip link set lo up
ip link add br0 type bridge
ip link add v0 type veth peer name v1
ip link set v1 master br0
for name in v0 v1 br0; do ip link set "$name" up; done
ip addr add 10.9.0.1/24 dev v0
ip addr add fd09::1/64 dev v0 nodad
ip route add 10.10.0.0/16 via 10.9.0.2 metric 7
ip route add unreachable 10.11.0.0/16
ip route add blackhole 10.13.0.0/16
ip route add prohibit 10.14.0.0/16
ip route add throw 10.15.0.0/16
ip route add 10.16.0.0/16 nexthop via 10.9.0.2 weight 3 nexthop via 10.9.0.3 weight 1
ip route add 10.17.0.0/16 via inet6 fd09::2 dev v0
ip -6 route add fd10::/32 via fd09::2
ip -6 route add throw fd11::/32
ip -6 route add fd12::/32 via fd09::2 table 88
ip -6 route add fd13::/32 nexthop via fd09::2 weight 2 nexthop via fd09::3 dev v0
ip neigh add proxy 10.9.0.99 dev v0
ip -6 neigh add proxy fd09::99 dev v0
ip rule add from 10.9.0.7/32 lookup 77
ip route add 10.12.0.0/16 dev v0 table 77
ip neigh add 10.9.0.2 lladdr 02:00:00:00:00:02 dev v0
ip -6 neigh add fd09::2 lladdr 02:00:00:00:00:03 dev v0
nft -f - <<'END'
table inet doors {
    set blocked { type ipv4_addr; elements = { 203.0.113.9, 203.0.113.10 } }
    chain in {
        type filter hook input priority 5; policy accept;
        ct state { established, related } accept
        tcp dport { 22, 8000-8010 } counter accept comment "office"
        ip saddr 192.0.2.0/24 drop
        iifname != "lo" jump strangers
    }
    chain strangers { return; }
}
END
cat > sockets.py <<'END'
import socket, sys, time
kept = []
for family, address in [(socket.AF_INET, "10.9.0.1"), (socket.AF_INET6, "fd09::1")]:
    server = socket.socket(family); server.bind((address, 4242)); server.listen(7)
    client = socket.socket(family); client.connect((address, 4242))
    kept += [server, client, server.accept()[0]]
    late = socket.socket(family); late.connect((address, 4242)); kept.append(late)
    udp = socket.socket(family, socket.SOCK_DGRAM); udp.bind((address, 5353)); kept.append(udp)
there = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); there.connect(("10.9.0.1", 5353)); kept.append(there)
unix = socket.socket(socket.AF_UNIX); unix.bind("door sock"); unix.listen(1); kept.append(unix)
open("ready", "w").write("ready")
time.sleep(60)
END
python3 sockets.py & trap "kill $!" EXIT
while [ ! -e ready ]; do sleep 0.05; done
for name in v0 v1 br0; do until [ "$(cat /sys/class/net/$name/operstate)" = up ]; do sleep 0.05; done; done
ss -H -l -t -u -n -p > listening
ss -H -x -l -n > unix
ss -H -t -u -n -p state connected > connected
ip -json -details link > links
ip -json addr > addresses
ip -4 route show table all > routes4
ip -6 route show table all > routes6
ip -json -4 rule > rules
ip -json neigh > neighbours
ip -json neigh show proxy > proxies
nft list ruleset > rules.nft
"#;

fn text(directory: &Path, name: &str) -> String {
    fs::read_to_string(directory.join(name)).unwrap()
}

fn list(directory: &Path, name: &str) -> Vec<Value> {
    serde_json::from_str(&text(directory, name)).unwrap()
}

fn all<'a>(answer: &'a Value, path: &str) -> &'a Vec<Value> {
    answer.pointer(path).and_then(Value::as_array).unwrap_or_else(|| panic!("{path}: {answer}"))
}

fn word(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text")).to_owned()
}

/// Address and port from `10.9.0.1:4242`, `[fd09::1]:4242`.
fn end(text: &str) -> (String, u64) {
    let (address, port) = text.rsplit_once(':').unwrap();
    (address.trim_matches(['[', ']']).split('%').next().unwrap().to_owned(), port.parse().unwrap_or(0))
}

/// The first process id of a column such as `users:(("python3",pid=7,fd=3))`.
fn pid(line: &str) -> u64 {
    line.split_once("pid=").unwrap().1.split(',').next().unwrap().parse().unwrap()
}

#[test]
fn the_network_is_told_as_ss_ip_and_nft_tell_it() {
    for program in ["ss", "ip", "nft"] {
        if !there_is(program, "what the host tells of its network") {
            return;
        }
    }
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    let calls = [
        ("get_listening_ports", json!({})),
        ("get_listening_ports", json!({ "protocol": "unix" })),
        ("get_connections", json!({})),
        ("get_network_config", json!({})),
        ("get_network_info", json!({ "sample_ms": 100 })),
        ("get_firewall_rules", json!({})),
    ];
    let Some(answers) = local::ask_apart(home, NETWORK, &calls) else { return };
    let [listening, unix, connections, config, info, firewall] = &answers[..] else { panic!() };
    listening_sockets(home, listening);
    let path = unix["listening"].as_array().unwrap().iter().any(|one| one["path"] == "door sock");
    assert!(path && text(home, "unix").contains("door sock"), "{unix}");
    connected_sockets(home, connections);
    routes_and_rules(home, config);
    interfaces(home, config, info);
    packet_filter(home, firewall);
}

fn listening_sockets(home: &Path, answer: &Value) {
    let told: BTreeSet<_> = all(answer, "/listening")
        .iter()
        .map(|one| {
            let protocol = word(&one["protocol"]).replace('6', "");
            let process = one["processes"][0]["pid"].as_u64().unwrap();
            (protocol, word(&one["address"]), one["port"].as_u64().unwrap(), one["waiting"].as_u64().unwrap(), process)
        })
        .collect();
    let wanted: BTreeSet<_> = text(home, "listening")
        .lines()
        .map(|line| {
            let columns: Vec<&str> = line.split_whitespace().collect();
            let (address, port) = end(columns[4]);
            (columns[0].to_owned(), address, port, columns[2].parse().unwrap(), pid(line))
        })
        .collect();
    assert_eq!(told, wanted);
    assert_eq!(wanted.len(), 4);
}

fn connected_sockets(home: &Path, answer: &Value) {
    // What was accepted by nobody yet has no process.
    let told: BTreeSet<_> = all(answer, "/connections")
        .iter()
        .map(|one| {
            let local = (word(&one["local_address"]), one["local_port"].as_u64().unwrap());
            let remote = (word(&one["remote_address"]), one["remote_port"].as_u64().unwrap());
            (local, remote, one["processes"][0]["pid"].as_u64())
        })
        .collect();
    let wanted: BTreeSet<_> = text(home, "connected")
        .lines()
        .map(|line| {
            let columns: Vec<&str> = line.split_whitespace().collect();
            (end(columns[4]), end(columns[5]), line.contains("pid=").then(|| pid(line)))
        })
        .collect();
    assert_eq!(told, wanted);
    assert_eq!(wanted.len(), 9);
}

fn routes_and_rules(home: &Path, answer: &Value) {
    // As ip(8) writes them for people: kind and destination, table, then each way.
    let told: BTreeSet<String> = all(answer, "/routes/list").iter().map(told_route).collect();
    let text = text(home, "routes4") + &text(home, "routes6");
    let kernels = ["local", "broadcast", "anycast", "multicast"];
    let lines = text.replace("\n\t", " ");
    let lines = lines.lines().filter(|line| !kernels.contains(&line.split(' ').next().unwrap()));
    let wanted: BTreeSet<String> = lines.map(written_route).collect();
    assert_eq!(told, wanted);
    assert!(wanted.len() >= 14, "{wanted:?}");

    let rules = all(answer, "/rules");
    let told: Vec<_> = rules
        .iter()
        .filter(|one| one["ipv6"] == false)
        .map(|one| (one["priority"].clone(), one["from"].clone(), one["table"].clone()))
        .collect();
    let wanted: Vec<_> = list(home, "rules")
        .into_iter()
        .map(|one| (one["priority"].clone(), one["src"].clone(), one["table"].clone()))
        .collect();
    assert_eq!(told, wanted);
    assert!(rules.iter().any(|one| one["ipv6"] == true));
    assert!(all(answer, "/ipv4_tables").contains(&json!("77")), "{answer}");

    let neighbours = |list: &[Value], address: &str, mac: &str, interface: &str| -> BTreeSet<_> {
        list.iter().map(|one| (word(&one[address]), word(&one[mac]), word(&one[interface]))).collect()
    };
    let wanted = neighbours(&list(home, "neighbours"), "dst", "lladdr", "dev");
    let (proxies, hosts): (Vec<Value>, Vec<Value>) =
        all(answer, "/neighbours/list").iter().cloned().partition(|one| one["state"] == "proxy");
    assert_eq!(neighbours(&hosts, "address", "mac_address", "interface"), wanted);
    let addresses = |list: &[Value], name: &str| -> BTreeSet<_> { list.iter().map(|one| word(&one[name])).collect() };
    assert_eq!(addresses(&proxies, "address"), addresses(&list(home, "proxies"), "dst"));
    assert_eq!(proxies.len(), 2, "{proxies:?}");
    assert_eq!(answer["not_shown"], json!([]));
}

/// A route of the answer in the words of [`written_route`].
fn told_route(route: &Value) -> String {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let mut words = vec![text(&route["kind"]), text(&route["destination"]), text(&route["table"])];
    for hop in all(route, "/hops") {
        let part = |name: &str| hop.get(name).map_or("-".to_owned(), text);
        words.push(format!("{} {} {}", part("gateway"), part("interface"), part("weight")));
    }
    words.push(route["metric"].to_string());
    words.join(", ")
}

/// A line of ip(8): `throw fd11::/32 dev lo metric 1024 pref medium`, `10.16.0.0/16  nexthop via 10.9.0.2 dev v0 weight 3 nexthop …`.
fn written_route(line: &str) -> String {
    let (head, hops) = line.split_once("nexthop ").map_or((line, None), |(head, hops)| (head, Some(hops)));
    let after = |part: &str, name: &str| {
        let mut words = part.split_whitespace().skip_while(|word| *word != name).skip(1);
        let word = words.next().map(str::to_owned);
        if word.as_deref() == Some("inet6") { words.next().map(str::to_owned) } else { word }
    };
    let first = head.split_whitespace().next().unwrap();
    let sends = !["unreachable", "blackhole", "prohibit", "throw"].contains(&first);
    let destination = if sends { first } else { head.split_whitespace().nth(1).unwrap() };
    let long = if destination.contains(':') { "128" } else { "32" };
    let destination = if destination.contains('/') { destination.to_owned() } else { format!("{destination}/{long}") };
    let kind = if sends { "unicast" } else { first };
    let mut words = vec![kind.to_owned(), destination, after(head, "table").unwrap_or_else(|| "main".to_owned())];
    for hop in hops.unwrap_or(head).split("nexthop ").filter(|_| sends) {
        let part = |name: &str| after(hop, name).unwrap_or_else(|| "-".to_owned());
        words.push(format!("{} {} {}", part("via"), part("dev"), part("weight")));
    }
    words.push(after(head, "metric").unwrap_or_else(|| "0".to_owned()));
    words.join(", ")
}

fn interfaces(home: &Path, config: &Value, info: &Value) {
    let links = list(home, "links");
    assert_eq!(all(config, "/interfaces").len(), links.len());
    for link in &links {
        let told = |answer: &Value| {
            let all = all(answer, "/interfaces").iter();
            all.clone().find(|one| one["name"] == link["ifname"]).unwrap_or_else(|| panic!("{link}: {answer}")).clone()
        };
        for told in [told(config), told(info)] {
            assert_eq!((&told["index"], &told["mtu_bytes"]), (&link["ifindex"], &link["mtu"]));
            assert_eq!(word(&told["state"]), word(&link["operstate"]).to_lowercase());
            assert_eq!(told["member_of"], link["master"]);
            match link["linkinfo"]["info_kind"].as_str() {
                // The kernel's files do not tell one end of a cable from a card.
                Some("veth") => assert_eq!(told["kind"], "ethernet"),
                Some(kind) => assert_eq!(told["kind"], kind),
                None => assert_eq!(told["kind"], "loopback"),
            }
        }
        let address = list(home, "addresses").into_iter().find(|one| one["ifname"] == link["ifname"]).unwrap();
        // The kernel has link-local addresses only when the link has been up for a while.
        let settled = |text: &String| !text.starts_with("fe80");
        let wanted: BTreeSet<String> = all(&address, "/addr_info")
            .iter()
            .map(|one| format!("{}/{}", word(&one["local"]), one["prefixlen"]))
            .filter(settled)
            .collect();
        let told: BTreeSet<String> = all(&told(info), "/addresses")
            .iter()
            .map(|one| format!("{}/{}", word(&one["address"]), one["prefix_length"]))
            .filter(settled)
            .collect();
        assert_eq!(told, wanted, "{}", link["ifname"]);
        assert!(told_rate(info, link));
    }
}

fn told_rate(info: &Value, link: &Value) -> bool {
    let mut interfaces = all(info, "/interfaces").iter();
    interfaces.any(|one| one["name"] == link["ifname"] && one["sampled"]["received_bytes_per_second"].is_number())
}

fn packet_filter(home: &Path, answer: &Value) {
    assert_eq!((&answer["told_by"], &answer["total"]), (&json!(["nft"]), &json!(5)));
    let table = &answer["tables"][0];
    assert_eq!(
        (&table["family"], &table["name"], &table["sets"][0]["elements"]),
        (&json!("inet"), &json!("doors"), &json!(2))
    );
    let chain = &table["chains"][0];
    assert_eq!((&chain["hook"], &chain["priority"], &chain["policy"]), (&json!("input"), &json!(5), &json!("accept")));
    // In the words of nft itself, which writes some of them with other blanks.
    let bare = |text: &str| text.replace([' ', '\t', '\n'], "");
    let told_by_nft = bare(&text(home, "rules.nft"));
    for rule in all(table, "/chains").iter().flat_map(|chain| all(chain, "/rules")) {
        let text = word(&rule["text"]);
        let parts = [text.trim_end_matches("accept"), "accept"];
        let found = told_by_nft.contains(&bare(&text))
            || rule["packets"].is_number() && parts.iter().all(|part| told_by_nft.contains(&bare(part)));
        assert!(found, "{text}: {told_by_nft}");
    }
    assert_eq!(chain["rules"][1]["comment"], "office");
}
