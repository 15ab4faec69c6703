//! `get_memory_info`: how much memory the host has, and how short of it it is.

use std::collections::HashMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Host;
use super::cgroup::{Controller, Group, MemoryGroup};
use super::numa::{self, Node};
use super::pressure::Pressure;
use super::quantity::percent;
use super::query::{Ask, HostQuery};
use super::swaps::{self, Swap};
use crate::call::{Impact, ToolSpec};
use crate::error::{Code, Failure};

const HUGE_PAGES: &str = "sys/kernel/mm/hugepages";

pub(super) struct Query;

/// What to look at.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Args {
    /// The control group to show besides the host, such as system.slice/ssh.service; by default the one the daemon is in.
    #[schemars(length(min = 1, max = 4096))]
    control_group: Option<String>,
}

/// The memory of the host.
#[derive(Serialize, JsonSchema)]
pub(super) struct Answer {
    /// Bytes that the kernel and all programs share.
    total_bytes: u64,
    /// Bytes used for nothing at all.
    free_bytes: u64,
    /// Bytes that programs could get without swapping.
    #[serde(skip_serializing_if = "Option::is_none")]
    available_bytes: Option<u64>,
    /// Bytes that programs could not get: total less available.
    #[serde(skip_serializing_if = "Option::is_none")]
    used_bytes: Option<u64>,
    /// Used bytes in percent of the total.
    #[serde(skip_serializing_if = "Option::is_none")]
    used_percent: Option<f64>,
    /// Bytes of raw disk blocks kept in memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    buffers_bytes: Option<u64>,
    /// Bytes of files kept in memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    cached_bytes: Option<u64>,
    /// Bytes of shared memory and of file systems in memory; part of the cached ones.
    #[serde(skip_serializing_if = "Option::is_none")]
    shared_bytes: Option<u64>,
    /// Bytes of kernel structures that the kernel can give back.
    #[serde(skip_serializing_if = "Option::is_none")]
    reclaimable_kernel_bytes: Option<u64>,
    /// Bytes that wait to be written to a disk.
    #[serde(skip_serializing_if = "Option::is_none")]
    dirty_bytes: Option<u64>,
    /// Bytes promised to programs.
    #[serde(skip_serializing_if = "Option::is_none")]
    committed_bytes: Option<u64>,
    /// Swap space.
    #[serde(skip_serializing_if = "Option::is_none")]
    swap: Option<SwapSpace>,
    /// Huge pages set aside.
    #[serde(skip_serializing_if = "Option::is_none")]
    huge_pages: Option<HugePages>,
    /// Time lost for want of memory, where the kernel measures it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pressure: Option<Pressure>,
    /// Bytes of programs' own memory, files not counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    anonymous_bytes: Option<u64>,
    /// Bytes of files that programs have mapped.
    #[serde(skip_serializing_if = "Option::is_none")]
    mapped_bytes: Option<u64>,
    /// Bytes of kernel structures that the kernel cannot give back.
    #[serde(skip_serializing_if = "Option::is_none")]
    unreclaimable_kernel_bytes: Option<u64>,
    /// Bytes of the tables that say where memory is.
    #[serde(skip_serializing_if = "Option::is_none")]
    page_tables_bytes: Option<u64>,
    /// Bytes that are being written to a disk.
    #[serde(skip_serializing_if = "Option::is_none")]
    writeback_bytes: Option<u64>,
    /// Bytes that may be promised to programs, where the kernel is strict about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    commit_limit_bytes: Option<u64>,
    /// Each swap device and file.
    swap_devices: Vec<Swap>,
    /// What was swapped and killed since the host started.
    #[serde(skip_serializing_if = "Option::is_none")]
    paging: Option<Paging>,
    /// Huge pages of each size the processor knows.
    huge_page_pools: Vec<Pool>,
    /// When the kernel makes huge pages of its own accord: always, madvise (for programs that ask) or never.
    #[serde(skip_serializing_if = "Option::is_none")]
    transparent_huge_pages: Option<String>,
    /// The NUMA nodes; none on a kernel without them.
    numa_nodes: Vec<Node>,
    /// What a control group may use; absent where the host has no control groups for that, and no limit is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    control_group: Option<MemoryGroup>,
}

/// Swap space.
#[derive(Serialize, JsonSchema)]
struct SwapSpace {
    /// Bytes in all; 0 on a host without swap.
    total_bytes: u64,
    /// Bytes not in use.
    free_bytes: u64,
    /// Bytes in use.
    used_bytes: u64,
    /// Bytes in use in percent of the total.
    #[serde(skip_serializing_if = "Option::is_none")]
    used_percent: Option<f64>,
}

/// Huge pages set aside.
#[derive(Serialize, JsonSchema)]
struct HugePages {
    /// Number of pages.
    total_pages: u64,
    /// Number of pages not in use.
    free_pages: u64,
    /// Number of free pages that are promised.
    reserved_pages: u64,
    /// Bytes of one page.
    page_bytes: u64,
}

/// Huge pages of one size.
#[derive(PartialEq, Eq, Debug, Serialize, JsonSchema)]
struct Pool {
    /// Bytes of one page.
    page_bytes: u64,
    /// Number of pages.
    total_pages: u64,
    /// Number of pages not in use.
    free_pages: u64,
    /// Number of free pages that are promised.
    reserved_pages: u64,
    /// Number of pages beyond those that were set aside.
    surplus_pages: u64,
}

/// What the kernel moved for want of memory since the host started.
#[derive(Serialize, JsonSchema)]
struct Paging {
    /// Number of pages read back from swap space.
    swapped_in_pages: u64,
    /// Number of pages written to swap space.
    swapped_out_pages: u64,
    /// Number of faults that had to wait for a disk.
    major_faults: u64,
    /// Number of processes killed for want of memory, where the kernel counts them.
    #[serde(skip_serializing_if = "Option::is_none")]
    killed_processes: Option<u64>,
}

impl HostQuery for Query {
    type Args = Args;
    type Answer = Answer;

    fn spec() -> ToolSpec {
        ToolSpec::query::<Args, Answer>(
            "get_memory_info",
            "Memory",
            "Total, free and available memory of the host, caches, swap and its devices, huge pages, NUMA nodes, the \
             time lost for want of memory, and the limits of a control group.",
            Impact::Low,
        )
    }

    fn answer(ask: &Ask<'_>, args: Args) -> Result<Answer, Failure> {
        let host = ask.host;
        let text = host.read("proc/meminfo")?;
        let answer = describe(&parse(&text))
            .ok_or_else(|| Failure::new(Code::ToolFailed, "proc/meminfo of this host makes no sense"))?;
        let group = Group::find(host, Controller::Memory, args.control_group.as_deref())?;
        let chosen = host.line("sys/kernel/mm/transparent_hugepage/enabled");
        Ok(Answer {
            pressure: Pressure::read(host, "proc/pressure/memory"),
            swap_devices: swaps::parse(&host.find("proc/swaps").unwrap_or_default()),
            paging: host.find("proc/vmstat").and_then(|text| Paging::parse(&text)),
            huge_page_pools: pools(host),
            transparent_huge_pages: chosen.and_then(|line| Some(line.split_once('[')?.1.split_once(']')?.0.to_owned())),
            numa_nodes: numa::nodes(host),
            control_group: group.map(|group| group.memory(host)),
            ..answer
        })
    }
}

/// What the kernel's own list says; the rest stands in other files.
fn describe(found: &HashMap<&str, u64>) -> Option<Answer> {
    let get = |name: &str| found.get(name).copied();
    let total = get("MemTotal")?;
    let used = get("MemAvailable").map(|available| total.saturating_sub(available));
    Some(Answer {
        total_bytes: total,
        free_bytes: get("MemFree")?,
        available_bytes: get("MemAvailable"),
        used_bytes: used,
        used_percent: used.and_then(|used| percent(used, total)),
        buffers_bytes: get("Buffers"),
        cached_bytes: get("Cached"),
        shared_bytes: get("Shmem"),
        reclaimable_kernel_bytes: get("SReclaimable"),
        dirty_bytes: get("Dirty"),
        committed_bytes: get("Committed_AS"),
        swap: get("SwapTotal").zip(get("SwapFree")).map(|(total, free)| {
            let used = total.saturating_sub(free);
            SwapSpace { total_bytes: total, free_bytes: free, used_bytes: used, used_percent: percent(used, total) }
        }),
        huge_pages: get("HugePages_Total").zip(get("Hugepagesize")).map(|(total, size)| HugePages {
            total_pages: total,
            free_pages: get("HugePages_Free").unwrap_or(0),
            reserved_pages: get("HugePages_Rsvd").unwrap_or(0),
            page_bytes: size,
        }),
        pressure: None,
        anonymous_bytes: get("AnonPages"),
        mapped_bytes: get("Mapped"),
        unreclaimable_kernel_bytes: get("SUnreclaim"),
        page_tables_bytes: get("PageTables"),
        writeback_bytes: get("Writeback"),
        commit_limit_bytes: get("CommitLimit"),
        swap_devices: Vec::new(),
        paging: None,
        huge_page_pools: Vec::new(),
        transparent_huge_pages: None,
        numa_nodes: Vec::new(),
        control_group: None,
    })
}

/// The figures by name: in bytes where the kernel gives a unit (its `kB` is 1024 bytes), else as they are.
fn parse(text: &str) -> HashMap<&str, u64> {
    let line = |line| {
        let (name, rest): (&str, &str) = str::split_once(line, ':')?;
        let mut words = rest.split_whitespace();
        let figure: u64 = words.next()?.parse().ok()?;
        match words.next() {
            None => Some((name, figure)),
            Some("kB") => Some((name, figure.saturating_mul(1024))),
            Some(_) => None,
        }
    };
    text.lines().filter_map(line).collect()
}

/// The pools of huge pages, by the size of a page.
fn pools(host: &Host) -> Vec<Pool> {
    let pool = |name: &String| {
        let kibibytes: u64 = name.strip_prefix("hugepages-")?.strip_suffix("kB")?.parse().ok()?;
        let figure = |file: &str| host.number(&format!("{HUGE_PAGES}/{name}/{file}"));
        Some(Pool {
            page_bytes: kibibytes.saturating_mul(1024),
            total_pages: figure("nr_hugepages")?,
            free_pages: figure("free_hugepages")?,
            reserved_pages: figure("resv_hugepages").unwrap_or(0),
            surplus_pages: figure("surplus_hugepages").unwrap_or(0),
        })
    };
    let mut pools: Vec<Pool> = host.list(HUGE_PAGES).iter().filter_map(pool).collect();
    pools.sort_by_key(|pool| pool.page_bytes);
    pools
}

impl Paging {
    /// From `/proc/vmstat`: a name and a figure a line.
    fn parse(text: &str) -> Option<Self> {
        let get = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok());
        Some(Self {
            swapped_in_pages: get("pswpin")?,
            swapped_out_pages: get("pswpout")?,
            major_faults: get("pgmajfault")?,
            killed_processes: get("oom_kill"),
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
    fn a_virtual_machine_shows_all_of_its_memory() {
        assert_eq!(
            ask::<Query>(&Host::fixture("debian-vm"), json!({})).unwrap(),
            json!({
                "total_bytes": 4_194_304_000_u64,
                "free_bytes": 524_288_000,
                "available_bytes": 3_145_728_000_u64,
                "used_bytes": 1_048_576_000,
                "used_percent": 25.0,
                "buffers_bytes": 104_857_600,
                "cached_bytes": 2_097_152_000,
                "shared_bytes": 20_971_520,
                "reclaimable_kernel_bytes": 209_715_200,
                "dirty_bytes": 131_072,
                "committed_bytes": 1_572_864_000,
                "swap": {
                    "total_bytes": 1_024_000_000, "free_bytes": 768_000_000, "used_bytes": 256_000_000,
                    "used_percent": 25.0,
                },
                "huge_pages": {"total_pages": 8, "free_pages": 6, "reserved_pages": 1, "page_bytes": 2_097_152},
                "pressure": {
                    "some": {
                        "last_10s_percent": 0.25, "last_60s_percent": 0.12, "last_300s_percent": 0.05,
                        "total_seconds": 0.391_926,
                    },
                    "full": {
                        "last_10s_percent": 0.0, "last_60s_percent": 0.0, "last_300s_percent": 0.01,
                        "total_seconds": 0.25,
                    },
                },
                "anonymous_bytes": 736_690_176,
                "mapped_bytes": 215_769_088,
                "unreclaimable_kernel_bytes": 39_374_848,
                "writeback_bytes": 0,
                "commit_limit_bytes": 3_121_152_000_u64,
                "swap_devices": [{
                    "path": "/dev/vda14", "kind": "partition", "size_bytes": 1_024_000_000,
                    "used_bytes": 256_000_000, "priority": -2,
                }],
                "paging": {
                    "swapped_in_pages": 120, "swapped_out_pages": 64_500, "major_faults": 3100, "killed_processes": 1,
                },
                "huge_page_pools": [
                    {
                        "page_bytes": 2_097_152, "total_pages": 8, "free_pages": 6, "reserved_pages": 1,
                        "surplus_pages": 0,
                    },
                    {
                        "page_bytes": 1_073_741_824, "total_pages": 0, "free_pages": 0, "reserved_pages": 0,
                        "surplus_pages": 0,
                    },
                ],
                "transparent_huge_pages": "madvise",
                "numa_nodes": [
                    {
                        "number": 0, "processors": "0", "total_bytes": 2_097_152_000_u64, "free_bytes": 262_144_000,
                        "distances": [10, 20],
                    },
                    {
                        "number": 1, "processors": "1", "total_bytes": 2_097_152_000_u64, "free_bytes": 262_144_000,
                        "distances": [20, 10],
                    },
                ],
                "control_group": {
                    "group": "/system.slice/doorward.service", "version": 2, "limited": true, "used_bytes": 134_217_728, "peak_bytes": 268_435_456,
                    "limit_bytes": 536_870_912, "used_percent": 25.0, "swap_used_bytes": 0, "swap_limit_bytes": 0,
                    "limit_events": 5, "killed_processes": 2,
                },
            })
        );
    }

    #[test]
    fn an_older_kernel_leaves_out_what_it_does_not_know() {
        let answer = ask::<Query>(&Host::fixture("rpi-arm"), json!({})).unwrap();
        assert_eq!(answer["total_bytes"], 3_999_997_952_u64);
        assert_eq!(answer["swap"], json!({"total_bytes": 0, "free_bytes": 0, "used_bytes": 0}));
        for name in ["available_bytes", "used_bytes", "used_percent", "huge_pages", "pressure"] {
            assert_eq!(answer.get(name), None, "{name}");
        }
    }

    proptest! {
        #[test]
        fn no_text_is_a_panic(
            text in "\\PC*|((MemTotal|MemFree|SwapTotal|SwapFree|é): *[0-9]{0,21}( kB| MB)?\n){0,6}|((pswpin|pswpout|pgmajfault) [0-9]{0,21}\n){0,3}",
        ) {
            let _ = (describe(&parse(&text)), Paging::parse(&text));
        }
    }
}
