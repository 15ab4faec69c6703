//! `/proc/diskstats`: what block devices did since the host started, and, watched twice, what they do.

use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;
use std::time::Duration;

use procfs_core::DiskStat;
use schemars::JsonSchema;
use serde::Serialize;

use super::Host;
use super::quantity::{per_second, percent, seconds_of_millis};

/// The unit of `/proc/diskstats`, whatever the disk's own.
const SECTOR_BYTES: u64 = 512;

/// Devices that are kept at most.
const DEVICES: usize = 16_384;

/// What a block device did since the host started.
#[derive(Clone, Serialize, JsonSchema)]
pub(super) struct Device {
    /// Its name in the kernel, such as sda.
    name: String,
    /// Number of reads that were completed.
    reads: u64,
    /// Bytes read.
    read_bytes: u64,
    /// Seconds that reads took, added up over all reads.
    read_seconds: f64,
    /// Number of writes that were completed.
    writes: u64,
    /// Bytes written.
    written_bytes: u64,
    /// Seconds that writes took, added up over all writes.
    write_seconds: f64,
    /// Seconds during which at least one request was under way.
    busy_seconds: f64,
    /// Number of requests under way now.
    in_progress: u64,
    /// Bytes given back to the device as unused, where the kernel counts them.
    #[serde(skip_serializing_if = "Option::is_none")]
    discarded_bytes: Option<u64>,
    /// Number of times it was told to make all it had written last, where the kernel counts them.
    #[serde(skip_serializing_if = "Option::is_none")]
    flushes: Option<u64>,
    /// What it did while it was watched.
    #[serde(skip_serializing_if = "Option::is_none")]
    sampled: Option<Rates>,
}

/// What a device did while it was watched.
#[derive(Clone, PartialEq, Debug, Serialize, JsonSchema)]
struct Rates {
    /// Reads a second.
    reads_per_second: f64,
    /// Bytes read a second.
    read_bytes_per_second: f64,
    /// Writes a second.
    writes_per_second: f64,
    /// Bytes written a second.
    written_bytes_per_second: f64,
    /// Percent of the time during which at least one request was under way.
    busy_percent: f64,
    /// Milliseconds that a request took on average; absent when none was completed.
    #[serde(skip_serializing_if = "Option::is_none")]
    mean_request_ms: Option<f64>,
}

/// What went to and from one device.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, JsonSchema)]
pub(super) struct Activity {
    /// The device's name in the kernel; get_disk_info lists it with all=true.
    device: String,
    /// Number of reads that were completed since the host started.
    reads: u64,
    /// Bytes read since then.
    read_bytes: u64,
    /// Number of writes that were completed since then.
    writes: u64,
    /// Bytes written since then.
    written_bytes: u64,
}

/// The counters at one moment.
#[derive(Default)]
pub(super) struct Counters(Vec<DiskStat>);

impl Counters {
    /// None where the host does not show them.
    pub(super) fn read(host: &Host) -> Self {
        let mut found = Vec::new();
        let _ = host.each_line("proc/diskstats", |line| {
            found.extend(DiskStat::from_line(line));
            if found.len() >= DEVICES { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        Self(found)
    }

    /// Whole disks that did something, or all. The kernel writes a `/` in a name as `!` in /sys.
    pub(super) fn devices(&self, host: &Host, all: bool, later: Option<&(Self, Duration)>) -> Vec<Device> {
        let whole: HashSet<String> = host.list("sys/block").into_iter().map(|name| name.replace('!', "/")).collect();
        let after: HashMap<&str, &DiskStat> =
            later.iter().flat_map(|(later, _)| &later.0).map(|stat| (stat.name.as_str(), stat)).collect();
        let shown = |stat: &&DiskStat| {
            let idle = stat.reads == 0 && stat.writes == 0;
            all || !idle && (whole.is_empty() || whole.contains(&stat.name))
        };
        let device = |stat: &DiskStat| {
            let sampled = later.zip(after.get(stat.name.as_str()));
            let sampled = sampled.and_then(|((_, elapsed), after)| Rates::between(stat, after, *elapsed));
            Device { sampled, ..Device::from(stat) }
        };
        self.0.iter().filter(shown).map(device).collect()
    }

    /// What went to and from the device of this number, such as `8:1`.
    pub(super) fn of(&self, number: &str) -> Option<Activity> {
        let stat = self.0.iter().find(|stat| format!("{}:{}", stat.major, stat.minor) == number)?;
        Some(Activity {
            device: stat.name.clone(),
            reads: stat.reads,
            read_bytes: bytes(stat.sectors_read),
            writes: stat.writes,
            written_bytes: bytes(stat.sectors_written),
        })
    }
}

fn bytes(sectors: u64) -> u64 {
    sectors.saturating_mul(SECTOR_BYTES)
}

impl From<&DiskStat> for Device {
    fn from(stat: &DiskStat) -> Self {
        Self {
            name: stat.name.clone(),
            reads: stat.reads,
            read_bytes: bytes(stat.sectors_read),
            read_seconds: seconds_of_millis(stat.time_reading),
            writes: stat.writes,
            written_bytes: bytes(stat.sectors_written),
            write_seconds: seconds_of_millis(stat.time_writing),
            busy_seconds: seconds_of_millis(stat.time_in_progress),
            in_progress: stat.in_progress,
            discarded_bytes: stat.sectors_discarded.map(bytes),
            flushes: stat.flushes,
            sampled: None,
        }
    }
}

impl Rates {
    fn between(before: &DiskStat, after: &DiskStat, elapsed: Duration) -> Option<Self> {
        let rate = |before: u64, after: u64| per_second(after.saturating_sub(before), elapsed);
        let requests = |stat: &DiskStat| stat.reads.saturating_add(stat.writes);
        let taken = |stat: &DiskStat| stat.time_reading.saturating_add(stat.time_writing);
        let busy = after.time_in_progress.saturating_sub(before.time_in_progress);
        let millis = u64::try_from(elapsed.as_millis()).ok()?;
        let completed = requests(after).saturating_sub(requests(before));
        Some(Self {
            reads_per_second: rate(before.reads, after.reads)?,
            read_bytes_per_second: rate(bytes(before.sectors_read), bytes(after.sectors_read))?,
            writes_per_second: rate(before.writes, after.writes)?,
            written_bytes_per_second: rate(bytes(before.sectors_written), bytes(after.sectors_written))?,
            busy_percent: percent(busy.min(millis), millis)?,
            // A mean is a share: of so many requests, so many milliseconds.
            mean_request_ms: percent(taken(after).saturating_sub(taken(before)), completed)
                .map(|percent| percent / 100.0),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_a_disk_did_while_it_was_watched_is_told_by_the_second() {
        let before = DiskStat::from_line("8 0 sda 100 0 1000 50 10 0 80 20 0 40 70").unwrap();
        let after = DiskStat::from_line("8 0 sda 150 0 2000 90 10 0 80 20 0 140 110").unwrap();
        let rates = Rates::between(&before, &after, Duration::from_millis(200)).unwrap();
        assert_eq!((rates.reads_per_second, rates.read_bytes_per_second), (250.0, 2_560_000.0));
        assert_eq!((rates.writes_per_second, rates.busy_percent, rates.mean_request_ms), (0.0, 50.0, Some(0.8)));
        assert_eq!(Rates::between(&after, &before, Duration::from_millis(10)).unwrap().reads_per_second, 0.0);
        assert_eq!(Rates::between(&before, &after, Duration::ZERO), None);
    }

    proptest! {
        #[test]
        fn no_line_is_a_panic(line in "\\PC*|[0-9]{1,3} [0-9]{1,3} sda( [0-9]{1,21}){0,20}", millis in 0_u64..1000) {
            if let Ok(stat) = DiskStat::from_line(&line) {
                let _ = (Device::from(&stat), Rates::between(&stat, &stat, Duration::from_millis(millis)));
            }
        }
    }
}
