//! `doorward doctor`: the checklist for a door in production, held against a configuration and this machine.

mod collector;
mod lookout;
mod machine;
mod monitor;
mod points;

use std::path::PathBuf;

use serde::Serialize;
use serde_json::json;

use super::terminal::{Colour, Output, harmless};
use super::{Exit, Outcome, complain, say};
use crate::clock::Clock;
use crate::daemon::Source;
use crate::error::{Code, Failure};
use machine::Machine;

/// Hold the checklist for production against a configuration and this machine
///
/// Each point passes, is open, or does not apply, and says what to do. Points that every door in production must meet come
/// first. What cannot be seen from here is open until you accept it by name; what only a daemon that runs can prove is
/// unproven until it has.
///
/// Exit status: 0 when nothing that is required is open, 1 when something is or the configuration has findings, 3 if the file
/// cannot be read.
#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// The configuration file; without one the defaults are looked at
    #[arg(long, short, value_name = "FILE", env = "DOORWARD_CONFIG")]
    config: Option<PathBuf>,
    /// A point that is open on purpose; may be repeated
    #[arg(long, value_name = "POINT")]
    accept: Vec<String>,
    /// As JSON
    #[arg(long)]
    json: bool,
}

/// How much a point weighs.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
enum Weight {
    /// Every door in production meets it.
    Required,
    /// A good one does.
    Recommended,
    /// To be looked at again and again.
    Review,
}

/// How a point stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
enum Standing {
    Pass,
    Open,
    /// Neither: what would prove it is not there yet, or cannot be seen by who asks.
    Unproven,
    /// Open, and meant to be.
    Accepted,
    NotApplicable,
}

/// One point of the list.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
struct Point {
    name: &'static str,
    weight: Weight,
    standing: Standing,
    /// What was seen.
    says: String,
    /// What to do; empty unless it is open or unproven.
    #[serde(skip_serializing_if = "str::is_empty")]
    advice: &'static str,
}

/// Gives [`Exit::Refused`] when a point that is required is open.
pub(super) fn run(args: Args, clock: &Clock) -> Outcome {
    let source = Source { path: args.config, environment: super::environment() };
    let loaded = match source.load(clock.now()) {
        Ok(loaded) => loaded,
        Err(failure) if failure.code() == Code::Config => {
            if args.json {
                say(format!("{:#}", json!({ "error": { "message": failure.public(), "cause": failure.cause() } })));
            }
            complain(failure.cause().unwrap_or_default());
            complain(format!("doorward: {failure}, and no door opens with it; doorward check says the same"));
            return Ok(Exit::Refused);
        }
        Err(failure) => return Err(failure),
    };
    let machine = Machine::look(source.path.as_deref(), &loaded.config, clock.now());
    let mut points = points::all(&loaded.config, &machine);
    for name in &args.accept {
        let Some(point) = points.iter_mut().find(|point| point.name == name) else {
            complain(format!("doorward: there is no point {name}"));
            return Ok(Exit::Usage);
        };
        if matches!(point.standing, Standing::Open | Standing::Unproven) {
            point.standing = Standing::Accepted;
        }
    }
    let open =
        |weight| points.iter().filter(|point| point.standing == Standing::Open && point.weight == weight).count();
    let required = open(Weight::Required);
    if args.json {
        let report = json!({ "points": points, "open": { "required": required,
            "recommended": open(Weight::Recommended), "review": open(Weight::Review) } });
        let broken = |error| Failure::new(Code::Internal, "the report has no JSON form").because(error);
        say(serde_json::to_string_pretty(&report).map_err(broken)?);
    } else {
        print(&points);
        complain(match required {
            0 => "nothing that is required is open".to_owned(),
            1 => "1 point that is required is open".to_owned(),
            count => format!("{count} points that are required are open"),
        });
    }
    Ok(if required > 0 { Exit::Refused } else { Exit::Done })
}

fn print(points: &[Point]) {
    let mut out = Output::new();
    for weight in [Weight::Required, Weight::Recommended, Weight::Review] {
        out.line(match weight {
            Weight::Required => "Required in production",
            Weight::Recommended => "Recommended",
            Weight::Review => "To be looked at again",
        });
        for point in points.iter().filter(|point| point.weight == weight) {
            let (word, colour) = match point.standing {
                Standing::Pass => ("pass", Colour::Green),
                Standing::Open if weight == Weight::Required => ("open", Colour::Red),
                Standing::Open => ("open", Colour::Yellow),
                Standing::Unproven => ("unproven", Colour::Yellow),
                Standing::Accepted => ("accepted", Colour::Yellow),
                Standing::NotApplicable => ("-", Colour::Faint),
            };
            let word = out.paint(colour, &format!("{word:<8}"));
            out.line(&format!("  {word} {:<18} {}", point.name, harmless(&point.says)));
            if matches!(point.standing, Standing::Open | Standing::Unproven) {
                out.line(&format!("  {:<8} {:<18} {}", "", "", point.advice));
            }
        }
    }
    out.flush();
}
