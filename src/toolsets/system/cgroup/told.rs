//! What is told of a control group, in either version.

use schemars::JsonSchema;
use serde::Serialize;

use crate::toolsets::system::pressure::Pressure;

/// What a control group may use of the processors, and what it used.
#[derive(PartialEq, Debug, Serialize, JsonSchema)]
pub(in crate::toolsets::system) struct CpuGroup {
    /// The group.
    pub(super) group: String,
    /// The version of control groups, 1 or 2, that tells it.
    pub(super) version: u8,
    /// Whether there is a limit of processor time, on it or a group above; absent where that is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) limited: Option<bool>,
    /// Number of processors' time it may use, the limits of the groups above it counted in; absent without a limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) limit_processors: Option<f64>,
    /// Its weight among its siblings; 100 is usual in version 2, 1024 in version 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) weight: Option<u64>,
    /// Number of threads and processes in it, those of groups below counted in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) tasks: Option<u64>,
    /// The most it may have, the limits of the groups above it counted in; absent without a limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) tasks_limit: Option<u64>,
    /// The logical processors it may run on, such as 0-3.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) allowed_processors: Option<String>,
    /// Seconds of processor time it used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) used_seconds: Option<f64>,
    /// Percent of the periods in which it had used up its limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) throttled_percent: Option<f64>,
    /// Seconds it stood still because it had used up its limit, added up over its tasks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) throttled_seconds: Option<f64>,
    /// Time it lost for want of a processor.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) pressure: Option<Pressure>,
}

/// What a control group may use of the memory, and what it uses.
#[derive(PartialEq, Debug, Serialize, JsonSchema)]
pub(in crate::toolsets::system) struct MemoryGroup {
    /// The group.
    pub(super) group: String,
    /// The version of control groups, 1 or 2, that tells it.
    pub(super) version: u8,
    /// Whether there is a limit of memory, on it or a group above; absent where that is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) limited: Option<bool>,
    /// Bytes it holds, caches counted in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) used_bytes: Option<u64>,
    /// The most bytes it ever held.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) peak_bytes: Option<u64>,
    /// Bytes over which its processes are killed, the limits of the groups above it counted in; absent without a limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) limit_bytes: Option<u64>,
    /// Bytes over which it is slowed down, those of the groups above it counted in; absent without a limit, and in version 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) high_bytes: Option<u64>,
    /// Used bytes in percent of the limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) used_percent: Option<f64>,
    /// Bytes of swap space it holds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) swap_used_bytes: Option<u64>,
    /// Bytes of swap space it may hold; absent without a limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) swap_limit_bytes: Option<u64>,
    /// How often it met its limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) limit_events: Option<u64>,
    /// Number of its processes that were killed for want of memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) killed_processes: Option<u64>,
    /// Time it lost for want of memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) pressure: Option<Pressure>,
}

/// What a control group read and wrote.
#[derive(PartialEq, Debug, Serialize, JsonSchema)]
pub(in crate::toolsets::system) struct IoGroup {
    /// The group.
    pub(super) group: String,
    /// The version of control groups, 1 or 2, that tells it.
    pub(super) version: u8,
    /// What it read and wrote on each device.
    pub(super) devices: Vec<DeviceIo>,
    /// Time it lost waiting for input or output.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) pressure: Option<Pressure>,
}

/// What a control group read and wrote on a device, and how much it may.
#[derive(PartialEq, Debug, Serialize, JsonSchema)]
pub(in crate::toolsets::system) struct DeviceIo {
    /// The device's number in the kernel: major:minor.
    pub(super) device: String,
    /// Bytes read.
    pub(super) read_bytes: u64,
    /// Bytes written.
    pub(super) written_bytes: u64,
    /// Number of reads.
    pub(super) reads: u64,
    /// Number of writes.
    pub(super) writes: u64,
    /// The limits of this group for the device in the kernel's words, such as rbps=1048576 wiops=max.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) limits: Option<String>,
}
