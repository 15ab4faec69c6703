//! `get_connections`: who talks to whom. All connections are counted by state; those asked for are listed.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::IpAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::extent::{self, Extent};
use super::owners::{Owner, Owners, Wanted};
use super::query::{Ask, HostQuery};
use super::sockets::{self, End, Protocol, Socket, State};
use super::user_names::{self, Users};
use crate::call::{Impact, ToolSpec};
use crate::error::{Code, Failure};
use crate::guard::LimitsSection;

/// The most peers that are counted apart; what others bring counts as the rest.
const PEERS: usize = 65_536;

/// The peers that are named.
const PEERS_NAMED: usize = 10;

pub(super) struct Query;

/// What to list.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Args {
    /// Only this protocol; all but Unix sockets by default.
    protocol: Option<Protocol>,
    /// Only connections in this state.
    state: Option<State>,
    /// Only connections with this port at either end.
    port: Option<u16>,
    /// Only connections with this address at either end.
    address: Option<IpAddr>,
    /// Only connections of a process with this in its name, in capitals or not. Needs the right to see its open files.
    #[schemars(length(min = 1, max = 128))]
    process: Option<String>,
    /// Most connections to list; 0 to count only.
    #[schemars(range(min = 0))]
    limit: usize,
}

impl Default for Args {
    fn default() -> Self {
        Self { protocol: None, state: None, port: None, address: None, process: None, limit: extent::USUAL }
    }
}

/// Connections.
#[derive(Serialize, JsonSchema)]
pub(super) struct Answer {
    /// How much is listed.
    #[serde(flatten)]
    extent: Extent,
    /// Of the fitting ones, how many are in which state.
    by_state: Vec<InState>,
    /// Of the fitting ones, the addresses at the other end that have the most, at most ten.
    top_peers: Vec<Peer>,
    /// Number of processes that keep their open files from the daemon, or have too many to look at: theirs may be the connections without a process.
    closed_processes: usize,
    /// The connections, in the kernel's order; in the daemon's network namespace.
    connections: Vec<Connection>,
}

/// How many are in a state.
#[derive(Serialize, JsonSchema)]
struct InState {
    /// The protocol.
    protocol: Protocol,
    /// The state.
    state: State,
    /// Number of connections.
    count: usize,
}

/// How many go to one address.
#[derive(Serialize, JsonSchema)]
struct Peer {
    /// The address.
    address: String,
    /// Number of connections.
    count: usize,
}

/// One connection.
#[derive(Serialize, JsonSchema)]
struct Connection {
    /// What it speaks.
    protocol: Protocol,
    /// The address here.
    local_address: String,
    /// The port here.
    local_port: u16,
    /// The address at the other end.
    remote_address: String,
    /// The port at the other end.
    remote_port: u16,
    /// Where it stands.
    state: State,
    /// Bytes that the peer has yet to confirm.
    send_queue_bytes: u64,
    /// Bytes that the program here has yet to read.
    receive_queue_bytes: u64,
    /// Id of the user who made it; 0 also where nobody holds it any more.
    uid: u32,
    /// Name of that user, if the host's password file has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<String>,
    /// The processes that hold it; none where that is not shown to the daemon, or nobody holds it any more.
    processes: Vec<Owner>,
}

impl HostQuery for Query {
    type Args = Args;
    type Answer = Answer;

    fn spec() -> ToolSpec {
        ToolSpec::query::<Args, Answer>(
            "get_connections",
            "Connections",
            "The host's TCP and UDP connections by state, port, address or process, with counts by state and by peer. \
             What waits for connections is in get_listening_ports.",
            Impact::Medium,
        )
        .reading(["/etc/passwd"])
        .looking_into_processes()
    }

    fn narrow(spec: &mut ToolSpec, limits: &LimitsSection) {
        extent::narrow(spec, extent::USUAL, limits.max_array_items);
    }

    fn answer(ask: &Ask<'_>, args: Args) -> Result<Answer, Failure> {
        if !sockets::shown(ask.host) {
            return Err(Failure::new(Code::ToolFailed, "this host does not show its sockets"));
        }
        if args.protocol == Some(Protocol::Unix) {
            let text = "connections of Unix sockets have no ends to show; get_listening_ports lists those that listen";
            return Err(Failure::new(Code::ToolFailed, text));
        }
        let named = match args.process.as_ref().map(|part| part.to_lowercase()) {
            Some(part) => Some(Owners::find(ask, &Wanted::Named(&part))?),
            None => None,
        };
        let limit = args.limit.min(ask.limits.max_array_items);
        let mut tally = Tally::default();
        for protocol in Protocol::WITH_PORTS {
            if args.protocol.is_some_and(|wanted| wanted != protocol) {
                continue;
            }
            let whole = sockets::each(ask, protocol, |line| {
                let Some(socket) = Socket::parse(line).filter(|socket| !socket.listens(protocol)) else { return };
                tally.total = tally.total.saturating_add(1);
                let owned = named.as_ref().is_none_or(|owners| owners.knows(socket.inode));
                if owned && fits(&args, &socket) {
                    tally.add(protocol, socket, limit);
                }
            })?;
            tally.cut |= !whole;
        }
        let owners = match named {
            Some(owners) => owners,
            None => Owners::find(ask, &Wanted::Sockets(&tally.inodes()))?,
        };
        let users = user_names::by_id(ask.host);
        Ok(Answer {
            extent: Extent::new(tally.total, tally.matching, tally.listed.len())
                .of_whole(!tally.cut)
                .narrow("raise limit, or narrow with protocol, state, port, address or process"),
            by_state: tally.by_state(),
            top_peers: tally.top_peers(),
            closed_processes: owners.closed_processes,
            connections: tally
                .listed
                .iter()
                .map(|(protocol, socket)| describe(*protocol, socket, &owners, &users))
                .collect(),
        })
    }
}

fn fits(args: &Args, socket: &Socket) -> bool {
    let either = |test: &dyn Fn(End) -> bool| test(socket.local) || test(socket.remote);
    args.state.is_none_or(|state| state == socket.state)
        && args.port.is_none_or(|port| either(&|end| end.port == port))
        && args.address.is_none_or(|address| either(&|end| end.address.to_canonical() == address.to_canonical()))
}

/// What was counted, and the first ones that fit.
#[derive(Default)]
struct Tally {
    /// Whether the host has more than was read.
    cut: bool,
    total: usize,
    matching: usize,
    states: BTreeMap<(Protocol, State), usize>,
    peers: HashMap<IpAddr, usize>,
    listed: Vec<(Protocol, Socket)>,
}

impl Tally {
    fn add(&mut self, protocol: Protocol, socket: Socket, limit: usize) {
        self.matching = self.matching.saturating_add(1);
        let state = self.states.entry((protocol, socket.state)).or_default();
        *state = state.saturating_add(1);
        let peer = socket.remote.address.to_canonical();
        if self.peers.len() < PEERS || self.peers.contains_key(&peer) {
            let count = self.peers.entry(peer).or_default();
            *count = count.saturating_add(1);
        }
        if self.listed.len() < limit {
            self.listed.push((protocol, socket));
        }
    }

    fn inodes(&self) -> HashSet<u64> {
        self.listed.iter().map(|(_, socket)| socket.inode).filter(|inode| *inode > 0).collect()
    }

    fn by_state(&self) -> Vec<InState> {
        self.states
            .iter()
            .map(|((protocol, state), count)| InState { protocol: *protocol, state: *state, count: *count })
            .collect()
    }

    fn top_peers(&self) -> Vec<Peer> {
        let mut peers: Vec<(&IpAddr, &usize)> = self.peers.iter().collect();
        peers.sort_by(|one, other| other.1.cmp(one.1).then(one.0.cmp(other.0)));
        peers
            .into_iter()
            .take(PEERS_NAMED)
            .map(|(address, count)| Peer { address: address.to_string(), count: *count })
            .collect()
    }
}

fn describe(protocol: Protocol, socket: &Socket, owners: &Owners, users: &Users) -> Connection {
    Connection {
        protocol,
        local_address: socket.local.address.to_string(),
        local_port: socket.local.port,
        remote_address: socket.remote.address.to_string(),
        remote_port: socket.remote.port,
        state: socket.state,
        send_queue_bytes: socket.send_queue,
        receive_queue_bytes: socket.receive_queue,
        uid: socket.uid,
        // What nobody holds any more has the user 0 whoever made it.
        user: users.get(&socket.uid).filter(|_| socket.inode != 0).cloned(),
        processes: owners.of(socket.inode),
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use serde_json::{Value, json};

    use super::super::Host;
    use super::super::query::ask;
    use super::*;

    fn listed(arguments: Value) -> Value {
        ask::<Query>(&Host::fixture("debian-vm"), arguments).unwrap()
    }

    #[test]
    fn a_virtual_machine_shows_who_talks_to_whom() {
        assert_eq!(
            listed(json!({"state": "established", "protocol": "tcp"})),
            json!({
                "total": 3, "matching": 1, "returned": 1, "left_out": 0, "closed_processes": 0,
                "by_state": [{"protocol": "tcp", "state": "established", "count": 1}],
                "top_peers": [{"address": "10.0.2.2", "count": 1}],
                "connections": [{
                    "protocol": "tcp", "local_address": "10.0.2.15", "local_port": 22, "remote_address": "10.0.2.2",
                    "remote_port": 40_112, "state": "established", "send_queue_bytes": 36, "receive_queue_bytes": 0,
                    "uid": 0, "user": "root", "processes": [],
                }],
            })
        );
    }

    #[test]
    fn all_are_counted_by_state_and_any_end_may_be_asked_for() {
        let answer = listed(json!({"limit": 0}));
        assert_eq!((&answer["total"], &answer["left_out"], &answer["connections"]), (&json!(5), &json!(5), &json!([])));
        let states: Vec<&Value> = answer["by_state"].as_array().unwrap().iter().map(|one| &one["state"]).collect();
        assert_eq!(states, ["established", "time_wait", "close_wait", "established", "established"]);
        // An IPv4 address within IPv6 is the same peer.
        assert_eq!(answer["top_peers"][0], json!({"address": "10.0.2.2", "count": 2}));
        assert_eq!(listed(json!({"address": "10.0.2.2"}))["matching"], 2);
        assert_eq!(listed(json!({"port": 443}))["matching"], 2);
        assert_eq!(listed(json!({"process": "ssh"}))["matching"], 0, "it holds the port, and no connection");
        let late = listed(json!({"state": "time_wait"}))["connections"][0].take();
        assert_eq!((&late["processes"], late.get("user")), (&json!([]), None));
        let failure = ask::<Query>(&Host::fixture("debian-vm"), json!({"protocol": "unix"})).unwrap_err();
        assert!(failure.public().contains("get_listening_ports"));
    }

    #[test]
    fn a_hundred_thousand_connections_are_counted_and_few_are_kept() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(root.path().join("proc/net")).unwrap();
        let mut text = "  sl  local_address rem_address   st\n".to_owned();
        for number in 0..100_000_u32 {
            writeln!(text, "{number}: 0100007F:1F90 {:08X}:D431 01 0:0 0:0 0 0 0 {number} 1", number % 70_000).unwrap();
        }
        std::fs::write(root.path().join("proc/net/tcp"), text).unwrap();
        let answer = ask::<Query>(&Host::folder(root.path()), json!({"limit": 2})).unwrap();
        assert_eq!((&answer["matching"], &answer["left_out"]), (&json!(100_000), &json!(99_998)));
        assert_eq!(answer["top_peers"].as_array().unwrap().len(), PEERS_NAMED);
    }
}
