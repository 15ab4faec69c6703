//! `get_memory_info`: how much memory the host has, and how short of it it is.

use std::collections::HashMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::quantity::{decimal, percent, seconds_of_micros};
use super::query::{Ask, HostQuery};
use crate::call::{Impact, ToolSpec};
use crate::error::{Code, Failure};

pub(super) struct Query;

/// No arguments.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Args {}

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
    swap: Option<Swap>,
    /// Huge pages set aside.
    #[serde(skip_serializing_if = "Option::is_none")]
    huge_pages: Option<HugePages>,
    /// Time lost for want of memory, where the kernel measures it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pressure: Option<Pressure>,
}

/// Swap space.
#[derive(Serialize, JsonSchema)]
struct Swap {
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

/// Time that tasks stood still for want of memory.
#[derive(Serialize, JsonSchema)]
struct Pressure {
    /// While at least one task stood still.
    some: Stalled,
    /// While all tasks that had work to do stood still.
    #[serde(skip_serializing_if = "Option::is_none")]
    full: Option<Stalled>,
}

/// How much of the time was lost.
#[derive(PartialEq, Debug, Serialize, JsonSchema)]
struct Stalled {
    /// Percent of the last 10 seconds.
    last_10s_percent: f64,
    /// Percent of the last minute.
    last_60s_percent: f64,
    /// Percent of the last 5 minutes.
    last_300s_percent: f64,
    /// Seconds since the host started.
    total_seconds: f64,
}

impl HostQuery for Query {
    type Args = Args;
    type Answer = Answer;

    fn spec() -> ToolSpec {
        ToolSpec::query::<Args, Answer>(
            "get_memory_info",
            "Memory",
            "Total, free and available memory of the host, caches, swap, huge pages, and the time lost for want of \
             memory.",
            Impact::Low,
        )
    }

    fn answer(ask: &Ask<'_>, _args: Args) -> Result<Answer, Failure> {
        let text = ask.host.read("proc/meminfo")?;
        let found = parse(&text);
        let pressure = ask.host.find("proc/pressure/memory").and_then(|text| Pressure::parse(&text));
        describe(&found, pressure)
            .ok_or_else(|| Failure::new(Code::ToolFailed, "proc/meminfo of this host makes no sense"))
    }
}

fn describe(found: &HashMap<&str, u64>, pressure: Option<Pressure>) -> Option<Answer> {
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
            Swap { total_bytes: total, free_bytes: free, used_bytes: used, used_percent: percent(used, total) }
        }),
        huge_pages: get("HugePages_Total").zip(get("Hugepagesize")).map(|(total, size)| HugePages {
            total_pages: total,
            free_pages: get("HugePages_Free").unwrap_or(0),
            reserved_pages: get("HugePages_Rsvd").unwrap_or(0),
            page_bytes: size,
        }),
        pressure,
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

impl Pressure {
    /// From lines such as `some avg10=0.00 avg60=0.12 avg300=0.05 total=391926`.
    fn parse(text: &str) -> Option<Self> {
        let line = |kind: &str| text.lines().find_map(|line| Stalled::parse(line.strip_prefix(kind)?));
        Some(Self { some: line("some ")?, full: line("full ") })
    }
}

impl Stalled {
    fn parse(text: &str) -> Option<Self> {
        let word = |name: &str| text.split_whitespace().find_map(|word| word.strip_prefix(name)?.strip_prefix('='));
        Some(Self {
            last_10s_percent: decimal(word("avg10")?)?,
            last_60s_percent: decimal(word("avg60")?)?,
            last_300s_percent: decimal(word("avg300")?)?,
            total_seconds: seconds_of_micros(word("total")?.parse().ok()?),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::super::Host;
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

    #[test]
    fn half_a_line_of_pressure_is_none() {
        assert!(Pressure::parse("some avg10=1.00 avg60=1.00 avg300=1.00 total=1").is_some());
        for text in ["", "some", "full avg10=0 avg60=0 avg300=0 total=0", "some avg10=x avg60=0 avg300=0 total=0"] {
            assert!(Pressure::parse(text).is_none(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_is_a_panic(
            text in "\\PC*|((MemTotal|MemFree|SwapTotal|SwapFree|é): *[0-9]{0,21}( kB| MB)?\n){0,6}|some( avg[0-9=.]*){0,5}",
        ) {
            let _ = describe(&parse(&text), Pressure::parse(&text));
        }
    }
}
