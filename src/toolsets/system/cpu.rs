//! `get_cpu_info`: what processors the host has and what they do.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Host;
use super::cgroup::{Controller, CpuGroup, Group};
use super::kernel_stat::{KernelStat, Utilisation};
use super::load::Load;
use super::numa::{self, Node};
use super::pressure::Pressure;
use super::processor::{Processor, Processors};
use super::query::{Ask, HostQuery};
use super::sample;
use crate::call::{Impact, ToolSpec};
use crate::error::{Code, Failure};

const CPUS: &str = "sys/devices/system/cpu";

pub(super) struct Query;

/// What to look at.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Args {
    /// Also list each logical processor.
    per_cpu: bool,
    /// Milliseconds to watch the processors for; 0 to give only what they did since the host started. The kernel counts
    /// in steps of 10 ms, so under 100 the figures are coarse.
    #[schemars(range(min = 0, max = 500))]
    sample_ms: u64,
    /// The control group to show besides the host, such as system.slice/ssh.service; by default the one the daemon is in.
    #[schemars(length(min = 1, max = 4096))]
    control_group: Option<String>,
}

/// The processors of the host.
#[derive(Serialize, JsonSchema)]
pub(super) struct Answer {
    /// What the processor calls itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<String>,
    /// Who made it.
    #[serde(skip_serializing_if = "Option::is_none")]
    vendor: Option<String>,
    /// The machine or board, where the kernel names it.
    #[serde(skip_serializing_if = "Option::is_none")]
    machine: Option<String>,
    /// Number of sockets with a processor.
    #[serde(skip_serializing_if = "Option::is_none")]
    sockets: Option<u32>,
    /// Number of cores in all sockets.
    #[serde(skip_serializing_if = "Option::is_none")]
    physical_processors: Option<u32>,
    /// Number of processors that the kernel schedules on: threads of cores.
    logical_processors: u32,
    /// How fast they run.
    frequency: Frequency,
    /// How busy the host was.
    #[serde(skip_serializing_if = "Option::is_none")]
    load: Option<Load>,
    /// Number of tasks that wait for input or output.
    #[serde(skip_serializing_if = "Option::is_none")]
    blocked_tasks: Option<u64>,
    /// All processors together, since the host started.
    #[serde(skip_serializing_if = "Option::is_none")]
    since_boot: Option<Utilisation>,
    /// All processors together, while they were watched.
    #[serde(skip_serializing_if = "Option::is_none")]
    sampled: Option<Utilisation>,
    /// Each logical processor, if asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    processors: Option<Vec<One>>,
    /// Time lost for want of a processor, where the kernel measures it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pressure: Option<Pressure>,
    /// The NUMA nodes; none on a kernel without them.
    numa_nodes: Vec<Node>,
    /// What a control group may use; absent where the host has no control groups for that, and no limit is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    control_group: Option<CpuGroup>,
}

/// How fast the processors run.
#[derive(Serialize, JsonSchema)]
struct Frequency {
    /// Hertz, on average over the logical processors, now.
    #[serde(skip_serializing_if = "Option::is_none")]
    current_hertz: Option<u64>,
    /// Hertz, the least that any of them can run at.
    #[serde(skip_serializing_if = "Option::is_none")]
    minimum_hertz: Option<u64>,
    /// Hertz, the most that any of them can run at.
    #[serde(skip_serializing_if = "Option::is_none")]
    maximum_hertz: Option<u64>,
}

/// One logical processor.
#[derive(Serialize, JsonSchema)]
struct One {
    /// Its number in the kernel.
    number: u32,
    /// Hertz, now.
    #[serde(skip_serializing_if = "Option::is_none")]
    current_hertz: Option<u64>,
    /// What it did since the host started.
    #[serde(skip_serializing_if = "Option::is_none")]
    since_boot: Option<Utilisation>,
    /// What it did while it was watched.
    #[serde(skip_serializing_if = "Option::is_none")]
    sampled: Option<Utilisation>,
}

impl HostQuery for Query {
    type Args = Args;
    type Answer = Answer;

    fn spec() -> ToolSpec {
        ToolSpec::query::<Args, Answer>(
            "get_cpu_info",
            "Processors",
            "Model, number and frequency of the host's processors, load averages, what the processors spend their time \
             on since the host started and, with sample_ms, right now, NUMA nodes, the time lost for want of a processor, \
             and the limits of a control group.",
            Impact::Medium,
        )
    }

    fn answer(ask: &Ask<'_>, args: Args) -> Result<Answer, Failure> {
        let group = Group::find(ask.host, Controller::Cpu, args.control_group.as_deref())?;
        let first = read_stat(ask.host)?;
        let later = match args.sample_ms {
            0 => None,
            millis => {
                sample::watch(ask, millis, "the processors")?;
                Some(read_stat(ask.host)?)
            }
        };
        let mut found = Processors::parse(&ask.host.find("proc/cpuinfo").unwrap_or_default());
        for (number, _) in &first.processors {
            found.list.entry(*number).or_default();
        }
        let limits = complete(ask, &mut found)?;
        let sampled = later.as_ref().and_then(|later| later.total.since(first.total).shares());
        Ok(Answer {
            sockets: found.sockets(),
            physical_processors: found.cores(),
            logical_processors: u32::try_from(found.list.len()).unwrap_or(u32::MAX),
            frequency: Frequency {
                current_hertz: mean(found.list.values().filter_map(|one| one.hertz)),
                minimum_hertz: limits.0,
                maximum_hertz: limits.1,
            },
            load: ask.host.find("proc/loadavg").and_then(|text| Load::parse(&text)),
            blocked_tasks: first.blocked_tasks,
            since_boot: first.total.shares(),
            sampled,
            processors: args.per_cpu.then(|| each(&found, &first, later.as_ref())),
            model: found.model,
            vendor: found.vendor,
            machine: found.machine,
            pressure: Pressure::read(ask.host, "proc/pressure/cpu"),
            numa_nodes: numa::nodes(ask.host),
            control_group: group.map(|group| group.cpu(ask.host)),
        })
    }
}

fn read_stat(host: &Host) -> Result<KernelStat, Failure> {
    KernelStat::parse(&host.read("proc/stat")?)
        .ok_or_else(|| Failure::new(Code::ToolFailed, "proc/stat of this host makes no sense"))
}

/// Fills in from /sys what cpuinfo does not say, and gives the least and the greatest frequency in hertz.
fn complete(ask: &Ask<'_>, found: &mut Processors) -> Result<(Option<u64>, Option<u64>), Failure> {
    let (mut least, mut most) = (None, None);
    for (number, one) in &mut found.list {
        ask.go_on()?;
        let folder = format!("{CPUS}/cpu{number}");
        let hertz = |name: &str| {
            let kilohertz: u64 = ask.host.number(&format!("{folder}/cpufreq/{name}"))?;
            Some(kilohertz.saturating_mul(1000))
        };
        let place = |name: &str| ask.host.number(&format!("{folder}/topology/{name}")).filter(|id: &i64| *id >= 0);
        *one = Processor {
            package: one.package.or_else(|| place("physical_package_id")),
            core: one.core.or_else(|| place("core_id")),
            hertz: one.hertz.or_else(|| hertz("scaling_cur_freq")),
        };
        least = least.into_iter().chain(hertz("cpuinfo_min_freq")).min();
        most = most.into_iter().chain(hertz("cpuinfo_max_freq")).max();
    }
    Ok((least, most))
}

fn mean(figures: impl Iterator<Item = u64>) -> Option<u64> {
    let (sum, count) =
        figures.fold((0_u64, 0_u64), |(sum, count), one| (sum.saturating_add(one), count.saturating_add(1)));
    sum.checked_div(count)
}

fn each(found: &Processors, first: &KernelStat, later: Option<&KernelStat>) -> Vec<One> {
    let one = |(number, processor): (&u32, &Processor)| {
        let before = first.processor(*number);
        let after = later.and_then(|later| later.processor(*number));
        One {
            number: *number,
            current_hertz: processor.hertz,
            since_boot: before.and_then(|before| before.shares()),
            sampled: after.zip(before).and_then(|(after, before)| after.since(before).shares()),
        }
    };
    found.list.iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::query::{ask, ask_within};
    use super::*;
    use crate::call::Progress;
    use crate::guard::LimitsSection;

    #[test]
    fn a_virtual_machine_shows_its_processors() {
        assert_eq!(
            ask::<Query>(&Host::fixture("debian-vm"), json!({})).unwrap(),
            json!({
                "model": "Intel(R) Xeon(R) Gold 6248 CPU @ 2.50GHz",
                "vendor": "GenuineIntel",
                "sockets": 1,
                "physical_processors": 1,
                "logical_processors": 2,
                "frequency": {"current_hertz": 2_494_140_000_u64},
                "load": {
                    "one_minute": 0.42, "five_minutes": 0.31, "fifteen_minutes": 0.18,
                    "running_tasks": 2, "total_tasks": 187,
                },
                "blocked_tasks": 1,
                "since_boot": {
                    "busy_percent": 3.0, "user_percent": 1.5, "nice_percent": 0.0, "system_percent": 1.0,
                    "idle_percent": 96.0, "iowait_percent": 1.0, "irq_percent": 0.0, "softirq_percent": 0.25,
                    "steal_percent": 0.25,
                },
                "pressure": {
                    "some": {
                        "last_10s_percent": 1.5, "last_60s_percent": 0.75, "last_300s_percent": 0.2,
                        "total_seconds": 4.0,
                    },
                    "full": {
                        "last_10s_percent": 0.0, "last_60s_percent": 0.0, "last_300s_percent": 0.0,
                        "total_seconds": 0.0,
                    },
                },
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
                    "group": "/system.slice/doorward.service", "version": 2, "limited": true, "limit_processors": 0.5, "weight": 100,
                    "allowed_processors": "0-1", "used_seconds": 12.5, "throttled_percent": 25.0,
                    "throttled_seconds": 1.5,
                    "pressure": {"some": {
                        "last_10s_percent": 1.5, "last_60s_percent": 0.0, "last_300s_percent": 0.0,
                        "total_seconds": 2.0,
                    }},
                },
            })
        );
    }

    #[test]
    fn a_board_shows_what_only_sys_knows() {
        let answer = ask::<Query>(&Host::fixture("rpi-arm"), json!({"per_cpu": true})).unwrap();
        assert_eq!(answer["model"], "Cortex-A72");
        assert_eq!(answer["vendor"], "ARM");
        assert_eq!(answer["machine"], "Raspberry Pi 4 Model B Rev 1.4");
        assert_eq!((&answer["sockets"], &answer["physical_processors"]), (&json!(1), &json!(4)));
        assert_eq!(
            answer["frequency"],
            json!({"current_hertz": 1_050_000_000, "minimum_hertz": 600_000_000, "maximum_hertz": 1_500_000_000})
        );
        let processors = answer["processors"].as_array().unwrap();
        assert_eq!(processors.len(), 4);
        assert_eq!(processors[2]["number"], 2);
        assert_eq!(processors[0]["current_hertz"], 600_000_000);
        assert_eq!(processors[3]["since_boot"]["busy_percent"], 25.0);
    }

    #[test]
    fn sampling_says_so_and_a_host_that_does_not_move_has_no_sample() {
        let (progress, mut steps) = Progress::channel(4);
        let arguments = json!({"sample_ms": 1, "per_cpu": true});
        let answer =
            ask_within::<Query>(&Host::fixture("debian-vm"), &LimitsSection::default(), &progress, arguments).unwrap();
        assert_eq!(answer.get("sampled"), None);
        assert_eq!(answer["processors"][1]["since_boot"]["idle_percent"], 96.0);
        assert_eq!(steps.try_recv().unwrap().message, "sampling the processors for 1 ms");
        assert_eq!(steps.try_recv().unwrap().done, 1.0);
    }

    #[test]
    fn a_sample_longer_than_the_bound_is_refused() {
        for arguments in [json!({"sample_ms": 501}), json!({"sample_ms": -1}), json!({"per_cpu": 1}), json!({"x": 1})] {
            let failure = ask::<Query>(&Host::fixture("debian-vm"), arguments).unwrap_err();
            assert_eq!(failure.code(), Code::ArgumentsInvalid);
        }
    }

    #[test]
    fn the_processors_of_the_real_host_are_watched() {
        let answer = ask::<Query>(&Host::this(), json!({"sample_ms": 120})).unwrap();
        let busy = answer["sampled"]["busy_percent"].as_f64().unwrap();
        assert!((0.0..=100.0).contains(&busy), "{answer}");
        assert!(answer["logical_processors"].as_u64().unwrap() >= 1);
        assert_ne!(answer["since_boot"], Value::Null);
    }
}
