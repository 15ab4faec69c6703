//! Routes, rules and neighbours as ip(8) tells them, and what is left of them without it.

use serde_json::json;

use super::*;
use crate::toolsets::system::query::ask;

#[test]
fn a_virtual_machine_shows_where_its_packets_go() {
    let answer = ask::<Query>(&Host::fixture("debian-vm"), json!({"interface": "eth0"})).unwrap();
    assert_eq!(
        answer["routes"],
        json!({"total": 9, "matching": 6, "returned": 6, "left_out": 0, "list": [
            {
                "destination": "0.0.0.0/0", "kind": "unicast", "table": "main", "metric": 100, "made_by": "dhcp",
                "source": "10.0.2.15", "hops": [{"gateway": "10.0.2.2", "interface": "eth0"}],
            },
            {
                "destination": "10.0.2.0/24", "kind": "unicast", "table": "main", "metric": 100, "made_by": "kernel",
                "source": "10.0.2.15", "hops": [{"interface": "eth0"}],
            },
            {
                "destination": "10.24.0.0/16", "kind": "unicast", "table": "main", "metric": 0, "made_by": "static",
                "hops": [
                    {"gateway": "10.0.2.3", "interface": "eth0", "weight": 3},
                    {"gateway": "fe80::2", "interface": "eth0", "weight": 1, "flags": ["linkdown"]},
                ],
            },
            {
                "destination": "10.0.9.0/24", "kind": "unicast", "table": "200", "metric": 0, "made_by": "static",
                "hops": [{"interface": "eth0"}],
            },
            {
                "destination": "2001:db8::/64", "kind": "unicast", "table": "main", "metric": 256, "made_by": "kernel",
                "hops": [{"interface": "eth0"}],
            },
            {
                "destination": "::/0", "kind": "unicast", "table": "main", "metric": 1024, "made_by": "ra",
                "hops": [{"gateway": "fe80::2", "interface": "eth0"}],
            },
        ]})
    );
    let all = ask::<Query>(&Host::fixture("debian-vm"), json!({})).unwrap();
    let kinds: Vec<&Value> = all["routes"]["list"].as_array().unwrap().iter().map(|one| &one["kind"]).collect();
    let kinds: Vec<&Value> = kinds.into_iter().filter(|kind| **kind != "unicast").collect();
    assert_eq!(kinds, ["blackhole", "prohibit", "throw"]);
    assert_eq!(
        answer["rules"],
        json!([
            {"ipv6": false, "priority": 0, "from": "all", "table": "local", "other": []},
            {
                "ipv6": false, "priority": 100, "from": "10.0.9.0/24", "table": "200",
                "other": ["fwmark 0x1", "not"],
            },
            {"ipv6": false, "priority": 32766, "from": "all", "table": "main", "other": []},
            {"ipv6": true, "priority": 0, "from": "all", "to": "fd00::/8", "table": "local", "other": []},
        ])
    );
    assert_eq!(
        answer["neighbours"]["list"],
        json!([
            {"address": "10.0.2.2", "mac_address": "52:55:0a:00:02:02", "interface": "eth0", "state": "reachable"},
            {"address": "10.0.2.9", "interface": "eth0", "state": "failed"},
            {"address": "10.0.2.99", "interface": "eth0", "state": "proxy"},
            {"address": "fe80::2", "mac_address": "52:56:00:00:00:02", "interface": "eth0", "state": "stale"},
            {"address": "2001:db8::99", "interface": "eth0", "state": "proxy"},
        ])
    );
    assert_eq!((&answer["forwards_ipv4"], &answer["not_shown"]), (&json!(false), &json!([])));
    assert_eq!(
        (&answer["ipv4_tables"], &answer["interfaces"][0]["name"]),
        (&json!(["200", "local", "main"]), &json!("eth0"))
    );
}

#[test]
fn a_board_without_the_program_says_what_is_missing() {
    let answer = ask::<Query>(&Host::fixture("rpi-arm"), json!({"limit": 1})).unwrap();
    assert_eq!(answer["routes"]["left_out"], 1);
    assert_eq!(answer.get("rules"), None);
    // Routes of IPv4, rules, states of the neighbours of IPv4, neighbours of IPv6.
    assert_eq!(answer["not_shown"].as_array().unwrap().len(), 4, "{answer}");
    assert_eq!(answer["neighbours"]["list"][0]["state"], "complete");
    assert!(answer["not_shown"][2].as_str().unwrap().contains("not whether they still answer"), "{answer}");
    assert!(answer["not_shown"][0].as_str().unwrap().contains("main table only"), "{answer}");
    assert_eq!(answer["routes"]["list"][0]["hops"], json!([{"gateway": "192.168.178.1", "interface": "wlan0"}]));
}
