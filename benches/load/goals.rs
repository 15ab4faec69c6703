//! What must hold. Every goal is a ratio to something measured in the same run, or a bound that a user would notice.

use crate::figures::{Figures, Held, median};

/// A goal and what came of it.
pub(crate) struct Goal {
    pub(crate) what: String,
    pub(crate) goal: String,
    pub(crate) measured: String,
    pub(crate) held: bool,
}

/// Whether any was missed.
pub(crate) fn missed(figures: &Figures) -> bool {
    all(figures).iter().any(|goal| !goal.held)
}

/// Those that this run has figures for.
pub(crate) fn all(figures: &Figures) -> Vec<Goal> {
    let mut goals = Vec::new();
    let at_least = |what: String, measured: Option<f64>, least: f64| {
        measured.map(|value| Goal {
            what,
            goal: format!("at least {least}"),
            measured: format!("{value:.2}"),
            held: value >= least,
        })
    };
    let at_most = |what: String, measured: Option<f64>, most: f64| {
        measured.map(|value| Goal {
            what,
            goal: format!("at most {most}"),
            measured: format!("{value:.2}"),
            held: value <= most,
        })
    };
    for (form, least) in [("2025-11-25", 0.75), ("2026-07-28", 0.68)] {
        for connections in [16, 64] {
            let of = |who, of: fn(&crate::figures::Calls) -> f64| figures.median(who, form, connections, of);
            let over = |one: Option<f64>, other: Option<f64>| Some(one? / other?);
            let rate = over(of("door", |c| c.per_second), of("floor", |c| c.per_second));
            goals.extend(at_least(
                format!("calls/s against the floor, {form}, {connections} connections"),
                rate,
                least,
            ));
            let ours = of("door", |c| c.server_us).zip(of("sdk", |c| c.server_us)).map(|(door, sdk)| door - sdk);
            goals.extend(at_most(
                format!("µs a call beyond floor and protocol library, {form}, {connections}"),
                ours,
                8.0,
            ));
            let tail = over(of("door", |c| c.p99_ms), of("floor", |c| c.p99_ms));
            goals.extend(at_most(format!("p99 against the floor's, {form}, {connections}"), tail, 1.8));
        }
    }
    for connections in [16, 64] {
        let of = |who| figures.median(who, "2025-11-25", connections, |c| c.per_second);
        let times = of("door").zip(of("fastmcp")).map(|(door, fastmcp)| door / fastmcp);
        goals.extend(at_least(format!("calls/s against FastMCP, {connections} connections"), times, 15.0));
    }
    let shaken = figures.handshake("door", |s| s.per_second).zip(figures.handshake("handshake", |s| s.per_second));
    goals.extend(at_least("new connections/s against rustls alone".into(), shaken.map(|(door, raw)| door / raw), 0.95));
    goals.extend(at_most("ms from start to ready".into(), median(figures.start_ms.clone()), 50.0));
    if let Some(memory) = &figures.memory {
        goals.extend(at_most("MiB idle".into(), Some(memory.idle_mib), 20.0));
        goals.extend(at_most(format!("MiB with {} connections", memory.connections), Some(memory.connected_mib), 60.0));
    }
    if let Some(endurance) = &figures.endurance {
        for (what, held) in [("calls", &endurance.calls), ("connections", &endurance.connections)] {
            let goal = |what: String, growth: Option<f64>, most| at_most(what, growth, most);
            goals.extend(goal(
                format!("MiB grown in the second half of the {what}"),
                grown(held, |h| h.memory_mib),
                2.0,
            ));
            goals.extend(goal(
                format!("threads and files grown in the second half of the {what}"),
                grown(held, |h| (h.threads + h.files) as f64),
                4.0,
            ));
        }
    }
    goals.extend(at_most("errors".into(), Some(errors(figures) as f64), 0.0));
    if let Some(reload) = &figures.reload {
        goals.extend(at_least(
            "reloads under load, none of which refused a call".into(),
            Some(reload.reloads as f64),
            if figures.quick { 5.0 } else { 35.0 },
        ));
    }
    goals
}

/// What came to it between half and end.
fn grown(held: &[Held], of: impl Fn(&Held) -> f64) -> Option<f64> {
    let half = held.get(held.len() / 2)?;
    Some(of(held.last()?) - of(half))
}

/// Calls and connections of the door that failed, in any trial.
fn errors(figures: &Figures) -> usize {
    let calls = figures.calls.iter().chain(&figures.latency).filter(|sample| sample.who == "door");
    calls.map(|sample| sample.calls.errors).sum::<usize>()
        + figures.handshakes.iter().map(|shaken| shaken.errors).sum::<usize>()
        + figures.memory.as_ref().map_or(0, |memory| memory.errors)
        + figures.endurance.as_ref().map_or(0, |endurance| endurance.errors)
        + figures.reload.as_ref().map_or(0, |reload| reload.errors)
}
