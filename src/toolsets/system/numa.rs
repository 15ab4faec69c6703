//! `/sys/devices/system/node`: which processors and which memory are near to each other.

use schemars::JsonSchema;
use serde::Serialize;

use super::Host;

const NODES: &str = "sys/devices/system/node";

/// A node: processors and the memory next to them.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, JsonSchema)]
pub(super) struct Node {
    /// Its number.
    number: u32,
    /// The logical processors in it, such as 0-3,8.
    processors: String,
    /// Bytes of its memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    total_bytes: Option<u64>,
    /// Bytes of its memory used for nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    free_bytes: Option<u64>,
    /// How far each node is, this one among them, in the order of their numbers; 10 is near.
    distances: Vec<u32>,
}

/// The nodes by number; none on a kernel without them.
pub(super) fn nodes(host: &Host) -> Vec<Node> {
    let names = host.list(NODES);
    let mut nodes: Vec<Node> = names
        .iter()
        .filter_map(|name| name.strip_prefix("node")?.parse().ok())
        .map(|number| read(host, number))
        .collect();
    nodes.sort_by_key(|node| node.number);
    nodes
}

fn read(host: &Host, number: u32) -> Node {
    let path = |file: &str| format!("{NODES}/node{number}/{file}");
    let memory = host.find(&path("meminfo")).unwrap_or_default();
    let distances = host.line(&path("distance")).unwrap_or_default();
    Node {
        number,
        processors: host.line(&path("cpulist")).unwrap_or_default(),
        total_bytes: figure(&memory, "MemTotal:"),
        free_bytes: figure(&memory, "MemFree:"),
        distances: distances.split_whitespace().filter_map(|word| word.parse().ok()).collect(),
    }
}

/// From a line such as `Node 0 MemTotal: 4096000 kB`, in bytes.
fn figure(text: &str, name: &str) -> Option<u64> {
    let rest = text.lines().find_map(|line| Some(line.split_once(name)?.1))?;
    Some(rest.split_whitespace().next()?.parse::<u64>().ok()?.saturating_mul(1024))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_virtual_machine_with_two_nodes_shows_them() {
        let nodes = nodes(&Host::fixture("debian-vm"));
        assert_eq!(nodes.len(), 2);
        assert_eq!((nodes[0].processors.as_str(), nodes[0].total_bytes), ("0", Some(2_097_152_000)));
        assert_eq!(
            (nodes[1].number, nodes[1].free_bytes, nodes[1].distances.as_slice()),
            (1, Some(262_144_000), [20, 10].as_slice())
        );
        assert!(super::nodes(&Host::fixture("rpi-arm")).is_empty());
        assert_eq!(figure("Node 0 MemTotal: x kB", "MemTotal:"), None);
    }
}
