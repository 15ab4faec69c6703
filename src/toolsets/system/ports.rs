//! `get_listening_ports`: what waits for connections or packets, and which process does.

use std::collections::HashSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::extent::{self, Extent};
use super::owners::{Owner, Owners, Wanted};
use super::query::{Ask, HostQuery};
use super::sockets::{self, Protocol, Socket, UnixSocket};
use super::user_names::{self, Users};
use crate::call::{Impact, ToolSpec};
use crate::error::{Code, Failure};
use crate::guard::LimitsSection;

pub(super) struct Query;

/// The most that are collected before they are put in order: more than a host has ports, for both versions of IP.
const COLLECTED: usize = 4 * 65_536;

/// What to list.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Args {
    /// Only this protocol. Unix sockets are listed only when asked for.
    protocol: Option<Protocol>,
    /// Only this port.
    port: Option<u16>,
    /// Only what a process with this in its name holds, in capitals or not. Needs the right to see its open files.
    #[schemars(length(min = 1, max = 128))]
    process: Option<String>,
    /// Most entries to list.
    #[schemars(range(min = 1))]
    limit: usize,
}

impl Default for Args {
    fn default() -> Self {
        Self { protocol: None, port: None, process: None, limit: extent::USUAL }
    }
}

/// What listens.
#[derive(Serialize, JsonSchema)]
pub(super) struct Answer {
    /// How much is listed.
    #[serde(flatten)]
    extent: Extent,
    /// Number of processes that keep their open files from the daemon, or have too many to look at: theirs may be the sockets without a process.
    closed_processes: usize,
    /// The sockets, by port, protocol and address; in the daemon's network namespace.
    listening: Vec<Listening>,
}

/// A socket that waits for whoever comes.
#[derive(Serialize, JsonSchema)]
struct Listening {
    /// What it speaks.
    protocol: Protocol,
    /// The address it is bound to; 0.0.0.0 or :: for all of the host's.
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<String>,
    /// The port.
    #[serde(skip_serializing_if = "Option::is_none")]
    port: Option<u16>,
    /// The path of a Unix socket, or its name after @.
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<String>,
    /// Id of the user who made it.
    #[serde(skip_serializing_if = "Option::is_none")]
    uid: Option<u32>,
    /// Name of that user, if the host's password file has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<String>,
    /// TCP: number of connections that the program has yet to accept. UDP: bytes it has yet to read.
    #[serde(skip_serializing_if = "Option::is_none")]
    waiting: Option<u64>,
    /// The processes that hold it; none where that is not shown to the daemon.
    processes: Vec<Owner>,
}

/// What was found, before it is described.
enum Found {
    Port(Protocol, Socket),
    Unix(UnixSocket),
}

impl Found {
    fn inode(&self) -> u64 {
        match self {
            Self::Port(_, socket) => socket.inode,
            Self::Unix(socket) => socket.inode,
        }
    }
}

impl HostQuery for Query {
    type Args = Args;
    type Answer = Answer;

    fn spec() -> ToolSpec {
        ToolSpec::query::<Args, Answer>(
            "get_listening_ports",
            "Listening ports",
            "The TCP and UDP ports (on request the Unix sockets) that something listens on, with address, user and the \
             process behind each where the daemon may see it.",
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
        let (mut found, total, whole) = collect(ask, &args)?;
        let process = args.process.map(|part| part.to_lowercase());
        let owners = match &process {
            Some(part) => {
                let owners = Owners::find(ask, &Wanted::Named(part))?;
                found.retain(|one| owners.knows(one.inode()));
                owners
            }
            None => Owners::default(),
        };
        let limit = args.limit.min(ask.limits.max_array_items);
        let extent = Extent::cut(&mut found, total, limit)
            .of_whole(whole)
            .narrow("raise limit, or narrow with protocol, port or process");
        let owners = match process {
            Some(_) => owners,
            None => Owners::find(ask, &Wanted::Sockets(&found.iter().map(Found::inode).collect::<HashSet<_>>()))?,
        };
        let users = user_names::by_id(ask.host);
        let listening = found.into_iter().map(|one| describe(one, &owners, &users)).collect();
        Ok(Answer { extent, closed_processes: owners.closed_processes, listening })
    }
}

/// What fits the protocol and the port, in order, how many there are in all, and whether all were looked at.
fn collect(ask: &Ask<'_>, args: &Args) -> Result<(Vec<Found>, usize, bool), Failure> {
    let (mut total, mut whole) = (0_usize, true);
    let mut ports = Vec::new();
    for protocol in Protocol::WITH_PORTS {
        if args.protocol.is_some_and(|wanted| wanted != protocol) {
            continue;
        }
        whole &= sockets::each(ask, protocol, |line| {
            let Some(socket) = Socket::parse(line).filter(|socket| socket.listens(protocol)) else { return };
            total = total.saturating_add(1);
            if args.port.is_none_or(|port| port == socket.local.port) && ports.len() < COLLECTED {
                ports.push((protocol, socket));
            }
        })?;
    }
    ports.sort_by_key(|(protocol, socket)| (socket.local.port, *protocol, socket.local.address, socket.inode));
    let mut found: Vec<Found> = ports.into_iter().map(|(protocol, socket)| Found::Port(protocol, socket)).collect();
    if args.protocol == Some(Protocol::Unix) {
        let mut unix = Vec::new();
        whole &= sockets::each(ask, Protocol::Unix, |line| {
            let Some(socket) = UnixSocket::parse(line) else { return };
            total = total.saturating_add(1);
            if args.port.is_none() && unix.len() < COLLECTED {
                unix.push(socket);
            }
        })?;
        unix.sort_by(|one, other| (&one.path, one.inode).cmp(&(&other.path, other.inode)));
        found.extend(unix.into_iter().map(Found::Unix));
    }
    Ok((found, total, whole && total <= COLLECTED))
}

fn describe(found: Found, owners: &Owners, users: &Users) -> Listening {
    let processes = owners.of(found.inode());
    match found {
        Found::Port(protocol, socket) => Listening {
            protocol,
            address: Some(socket.local.address.to_string()),
            port: Some(socket.local.port),
            path: None,
            uid: Some(socket.uid),
            user: users.get(&socket.uid).cloned(),
            waiting: Some(socket.receive_queue),
            processes,
        },
        Found::Unix(socket) => Listening {
            protocol: Protocol::Unix,
            address: None,
            port: None,
            path: Some(socket.path).filter(|path| !path.is_empty()),
            uid: None,
            user: None,
            waiting: None,
            processes,
        },
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::Host;
    use super::super::query::ask;
    use super::*;

    fn listed(host: &str, arguments: Value) -> Value {
        ask::<Query>(&Host::fixture(host), arguments).unwrap()
    }

    #[test]
    fn a_virtual_machine_shows_what_listens_and_who_does() {
        assert_eq!(
            listed("debian-vm", json!({})),
            json!({
                "total": 5, "matching": 5, "returned": 5, "left_out": 0, "closed_processes": 0,
                "listening": [
                    {
                        "protocol": "tcp", "address": "0.0.0.0", "port": 22, "uid": 0, "user": "root", "waiting": 0,
                        "processes": [{"pid": 742, "name": "sshd"}],
                    },
                    {
                        "protocol": "tcp6", "address": "::", "port": 22, "uid": 0, "user": "root", "waiting": 0,
                        "processes": [],
                    },
                    {
                        "protocol": "udp", "address": "127.0.0.53", "port": 53, "uid": 991, "waiting": 512,
                        "processes": [],
                    },
                    {
                        "protocol": "udp6", "address": "fe80::5054:ff:fe12:3456", "port": 546, "uid": 998, "waiting": 0,
                        "processes": [],
                    },
                    {
                        "protocol": "tcp", "address": "127.0.0.1", "port": 5432, "uid": 112, "user": "postgres",
                        "waiting": 3, "processes": [{"pid": 1311, "name": "postgres"}],
                    },
                ],
            })
        );
    }

    #[test]
    fn the_arguments_narrow_the_list_and_the_rest_is_counted() {
        let answer = listed("debian-vm", json!({"port": 22, "protocol": "tcp6"}));
        assert_eq!((&answer["total"], &answer["matching"]), (&json!(1), &json!(1)));
        let answer = listed("debian-vm", json!({"limit": 1}));
        assert_eq!((&answer["left_out"], &answer["listening"][0]["port"]), (&json!(4), &json!(22)));
        let answer = listed("debian-vm", json!({"process": "POST"}));
        assert_eq!((&answer["matching"], &answer["listening"][0]["port"]), (&json!(1), &json!(5432)));
        let answer = listed("debian-vm", json!({"protocol": "unix"}));
        assert_eq!(
            answer["listening"],
            json!([
                {"protocol": "unix", "path": "/run/postgresql/.s.PGSQL.5432", "processes": []},
                {"protocol": "unix", "path": "@/tmp/.X11-unix/X0", "processes": []},
            ])
        );
    }

    #[test]
    fn a_board_without_ipv6_shows_its_ports() {
        let answer = listed("rpi-arm", json!({}));
        assert_eq!(answer["total"], 1);
        assert_eq!((&answer["listening"][0]["port"], &answer["listening"][0]["processes"]), (&json!(1883), &json!([])));
    }
}
