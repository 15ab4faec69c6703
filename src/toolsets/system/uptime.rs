//! `get_uptime`: since when the host runs.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::load::Load;
use super::quantity::{decimal, moment};
use super::query::{Ask, HostQuery};
use crate::call::{Impact, ToolSpec};
use crate::error::{Code, Failure};

pub(super) struct Query;

/// No arguments.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Args {}

/// Since when the host runs.
#[derive(Serialize, JsonSchema)]
pub(super) struct Answer {
    /// Seconds since the host started, without the time it slept.
    uptime_seconds: f64,
    /// Seconds that the processors were idle, added up over all of them.
    idle_seconds: f64,
    /// When the host started: RFC 3339, UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    boot_time: Option<String>,
    /// How busy the host was.
    #[serde(skip_serializing_if = "Option::is_none")]
    load: Option<Load>,
}

impl HostQuery for Query {
    type Args = Args;
    type Answer = Answer;

    const AT_ONCE: bool = true;

    fn spec() -> ToolSpec {
        ToolSpec::query::<Args, Answer>(
            "get_uptime",
            "Uptime",
            "How long the host has been running, when it started, and its load averages.",
            Impact::Minimal,
        )
    }

    fn answer(ask: &Ask<'_>, _args: Args) -> Result<Answer, Failure> {
        let (uptime_seconds, idle_seconds) = parse(&ask.host.uptime()?)
            .ok_or_else(|| Failure::new(Code::ToolFailed, "proc/uptime of this host makes no sense"))?;
        Ok(Answer {
            uptime_seconds,
            idle_seconds,
            boot_time: ask.host.booted().and_then(|seconds| moment(seconds.saturating_mul(1000))),
            load: ask.host.load().ok().and_then(|text| Load::parse(&text)),
        })
    }
}

/// Uptime and idle time, in seconds.
fn parse(text: &str) -> Option<(f64, f64)> {
    let mut words = text.split_whitespace().map(decimal);
    Some((words.next()??, words.next()??))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::super::Host;
    use super::super::kernel_stat::KernelStat;
    use super::super::query::ask;
    use super::*;

    #[test]
    fn a_virtual_machine_says_since_when_it_runs() {
        let host = Host::fixture("debian-vm");
        assert_eq!(
            ask::<Query>(&host, json!({})).unwrap(),
            json!({
                "uptime_seconds": 93_784.52,
                "idle_seconds": 181_240.97,
                "boot_time": "2025-11-03T06:12:44.000Z",
                "load": {
                    "one_minute": 0.42, "five_minutes": 0.31, "fifteen_minutes": 0.18,
                    "running_tasks": 2, "total_tasks": 187,
                },
            })
        );
    }

    #[test]
    fn this_machine_says_what_its_files_say() {
        let host = Host::this();
        let answer = ask::<Query>(&host, json!({})).unwrap();
        let stat = KernelStat::parse(&host.read("proc/stat").unwrap()).unwrap();
        let boot = stat.boot_seconds.unwrap();
        // Where the second ends is a matter of rounding.
        let told = [boot, boot + 1, boot - 1].map(|seconds| moment(seconds * 1000));
        assert!(told.contains(&answer["boot_time"].as_str().map(str::to_owned)), "{answer} {boot}");
        let file = parse(&host.read("proc/uptime").unwrap()).unwrap();
        assert!((file.0 - answer["uptime_seconds"].as_f64().unwrap()).abs() < 10.0, "{answer} {file:?}");
    }

    #[test]
    fn arguments_there_are_none() {
        let failure = ask::<Query>(&Host::this(), json!({"verbose": true})).unwrap_err();
        assert_eq!(failure.code(), Code::ArgumentsInvalid);
    }

    #[test]
    fn half_a_line_is_not_an_uptime() {
        assert_eq!(parse("12.5 7.25\n"), Some((12.5, 7.25)));
        for text in ["", "12.5", "a b", "nan inf", "-1 2"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_is_a_panic(text in "\\PC*|[0-9. -]{0,30}") {
            let _ = parse(&text);
        }
    }
}
