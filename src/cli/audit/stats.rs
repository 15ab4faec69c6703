//! `doorward audit stats`: what is in the journal, in numbers.

use std::ops::ControlFlow;

use serde_json::{Map, Value, json};

use super::place::{Place, Times, timestamp};
use crate::audit::search::{Counts, Filter, Tally};
use crate::cli::terminal::{Meter, Output, harmless};
use crate::cli::{Exit, Outcome, complain, span};
use crate::clock::Clock;

/// Names that are shown of each kind.
const TOP: usize = 10;

/// Count records, callers, tools and refusals
#[derive(clap::Args, Debug)]
pub(super) struct Args {
    #[command(flatten)]
    times: Times,
    /// As JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Place,
}

pub(super) fn run(args: &Args, clock: &Clock) -> Outcome {
    let journal = args.place.journal()?;
    let span = args.times.span(clock);
    let sieve = Filter { span, ..Filter::default() }.ready()?;
    let mut tally = Tally::default();
    let mut meter = Meter::new(clock.instant());
    let read = journal.each(span, &mut |line| {
        match sieve.pass(line) {
            Some(record) => tally.add(&record),
            None => tally.others = tally.others.saturating_add(u64::from(!sieve.is_outside(line))),
        }
        if tally.records.is_multiple_of(10_000) {
            meter.show(clock.instant(), || format!("{} records", tally.records));
        }
        ControlFlow::Continue(())
    });
    meter.clear();
    let troubles = read?;
    let size = journal.size();
    let mut output = Output::new();
    if args.json {
        output.line(&format!("{:#}", in_json(&tally, size, clock)));
    } else {
        in_words(&tally, size, clock).iter().for_each(|line| output.line(&harmless(line)));
    }
    output.flush();
    troubles.iter().for_each(|trouble| complain(format!("doorward: not all was read: {}", harmless(trouble))));
    Ok(if troubles.is_empty() { Exit::Done } else { Exit::Failed })
}

/// The tables, by title.
fn tables(tally: &Tally) -> [(&'static str, &Counts); 8] {
    [
        ("events", &tally.events),
        ("decisions", &tally.decisions),
        ("users", &tally.users),
        ("agents", &tally.agents),
        ("tools", &tally.tools),
        ("reasons", &tally.reasons),
        ("refused", &tally.refused),
        ("addresses", &tally.addresses),
    ]
}

/// How many are shown: the two kinds whose names this program chooses are shown whole.
fn most(title: &str) -> usize {
    if matches!(title, "events" | "decisions") { usize::MAX } else { TOP }
}

fn in_words(tally: &Tally, (files, bytes): (usize, u64), clock: &Clock) -> Vec<String> {
    let mut lines = vec![format!("{} records in {files} files, {bytes} bytes", tally.records)];
    if let Some((first, last)) = &tally.times {
        lines.push(format!("{first} to {last}"));
    }
    if tally.others > 0 {
        lines.push(format!("{} lines that are no records: see doorward audit verify", tally.others));
    }
    lines.push(match &tally.checkpoint {
        Some((seq, ts)) => {
            let age = timestamp(ts).map(|at| format!(", {} ago", span::between(clock.now(), at))).unwrap_or_default();
            format!("last checkpoint: record {seq}, {ts}{age}")
        }
        None => "no checkpoint".to_owned(),
    });
    lines.push(format!("{} refusals", tally.refusals));
    for (title, counts) in tables(tally) {
        let top = counts.top(most(title));
        if !top.is_empty() {
            lines.push(String::new());
            // What a table is of is not plain from these titles.
            lines.push(match title {
                "reasons" => "refusals by reason".to_owned(),
                "refused" => "refusals by user, else certificate".to_owned(),
                "addresses" => "refusals by address".to_owned(),
                _ => title.to_owned(),
            });
            lines.extend(top.iter().map(|(name, count)| format!("  {count:>10}  {name}")));
        }
    }
    let slowest = tally.slowest(TOP);
    if !slowest.is_empty() {
        lines.push(String::new());
        lines.push("slowest tools, milliseconds".to_owned());
        lines.push(format!("  {:>8} {:>8} {:>10}", "p50", "p99", "calls"));
        lines.extend(
            slowest
                .iter()
                .map(|slow| format!("  {:>8} {:>8} {:>10}  {}", slow.p50_ms, slow.p99_ms, slow.calls, slow.tool)),
        );
    }
    lines
}

fn in_json(tally: &Tally, (files, bytes): (usize, u64), clock: &Clock) -> Value {
    let counts = |(title, counts): (&str, &Counts)| {
        let names = counts.top(most(title)).into_iter().map(|(name, count)| (name.to_owned(), Value::from(count)));
        (title.to_owned(), Value::Object(names.collect()))
    };
    let mut all: Map<String, Value> = tables(tally).into_iter().map(counts).collect();
    let checkpoint = tally.checkpoint.as_ref().map(|(seq, ts)| {
        let age = timestamp(ts).map(|at| clock.now().since(at).as_secs());
        json!({ "seq": seq, "ts": ts, "age_seconds": age })
    });
    let (first, last) = tally.times.clone().unzip();
    let rest = json!({
        "files": files, "bytes": bytes, "records": tally.records, "not_records": tally.others,
        "first": first, "last": last, "checkpoint": checkpoint, "refusals": tally.refusals,
        "slowest": tally.slowest(TOP),
    });
    if let Value::Object(rest) = rest {
        all.extend(rest);
    }
    Value::Object(all)
}
