//! `doorward audit show`: one call, whole.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use regex::bytes::Regex;

use super::place::Place;
use super::row::remark;
use crate::audit::search::{Reading, Span};
use crate::cli::terminal::{Colour, Output, harmless};
use crate::cli::{Exit, Outcome, complain};
use crate::error::{Code, Failure};

/// Records and calls that are kept at most; a call has two records and a few more.
const MOST: usize = 1000;
/// Calls that are named when a beginning is that of several.
const NAMED: usize = 10;

/// Show one call: who, what, why it was allowed or not, and how it ended
///
/// Exit status: 0 shown, 1 no call, or more than one, has this id.
#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// The call's id, or the beginning of it
    #[arg(value_name = "ID", value_parser = id)]
    id: String,
    /// The lines of the journal as they are
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Place,
}

fn id(text: &str) -> Result<String, String> {
    let sound =
        !text.is_empty() && text.len() <= 128 && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    if sound { Ok(text.to_owned()) } else { Err("letters, digits and -".to_owned()) }
}

/// Ids are hexadecimal; some programs and people write that with capitals.
fn begins(id: &str, with: &str) -> bool {
    id.get(..with.len()).is_some_and(|beginning| beginning.eq_ignore_ascii_case(with))
}

pub(super) fn run(args: &Args) -> Outcome {
    let journal = args.place.journal()?;
    let broken = |error: regex::Error| Failure::new(Code::Internal, "this id cannot be searched for").because(error);
    let needle = Regex::new(&format!("\"id\":\"(?i){}", regex::escape(&args.id))).map_err(broken)?;
    let mut found: Vec<(Vec<u8>, Reading)> = Vec::new();
    let mut ids = BTreeSet::new();
    let troubles = journal.each(Span::default(), &mut |line| {
        if needle.is_match(line)
            && let Some(record) = Reading::of(line)
            && let Some(id) = record.id.as_ref().filter(|id| begins(id, &args.id))
        {
            if ids.len() <= NAMED {
                ids.insert(id.clone());
            }
            if ids.len() == 1 && found.len() < MOST {
                found.push((line.to_vec(), record));
            }
        }
        ControlFlow::Continue(())
    })?;
    troubles.iter().for_each(|trouble| complain(format!("doorward: not all was read: {}", harmless(trouble))));
    let (files, _) = journal.size();
    let place = journal.layout().active().display().to_string();
    if ids.len() != 1 {
        let begins = if ids.is_empty() { "no call has" } else { "more than one call has" };
        complain(format!("doorward: {begins} an id that begins with {} in {place} ({files} files)", args.id));
        let names = ids.iter().take(NAMED).map(|id| harmless(id).into_owned());
        names.chain((ids.len() > NAMED).then(|| "…".to_owned())).for_each(|id| complain(format!("  {id}")));
        return Ok(Exit::Refused);
    }
    let mut output = Output::new();
    if args.json {
        found.iter().for_each(|(line, _)| output.raw(line));
    } else {
        let records: Vec<&Reading> = found.iter().map(|(_, record)| record).collect();
        in_words(&mut output, &records);
    }
    output.flush();
    Ok(Exit::Done)
}

fn in_words(output: &mut Output, records: &[&Reading]) {
    let staged = |stage| records.iter().find(|record| record.stage.as_deref() == Some(stage)).copied();
    let (decision, outcome) = (staged("decision"), staged("outcome"));
    // A refusal is one record, without a stage.
    let refusal =
        records.iter().find(|record| record.stage.is_none() && record.result.as_deref() == Some("refused")).copied();
    let Some(main) = decision.or(refusal).or(records.first().copied()) else { return };
    let mut line = |name: &str, colour: Colour, text: String| {
        let text = output.paint(colour, &harmless(&text));
        output.line(&format!("{name:<12}{text}"));
    };
    line("call", Colour::Plain, main.id.clone().unwrap_or_default());
    line("who", Colour::Plain, who(main));
    line("from", Colour::Plain, from(main));
    if let Some(subject) = &main.client.subject {
        let certificate = main.client.certificate.as_ref().map(|hash| format!(" (SHA-256 {hash})")).unwrap_or_default();
        line("certificate", Colour::Plain, format!("{subject}{certificate}"));
    }
    let on = main.resource.as_ref().map(|resource| format!(" on {resource}")).unwrap_or_default();
    line("what", Colour::Plain, format!("{}{on}", main.query.as_deref().unwrap_or("-")));
    if let Some(params) = &main.params {
        line("arguments", Colour::Plain, params.get().to_owned());
    }
    if let Some(decision) = decision {
        line("decision", Colour::Green, format!("{}, {}", decided(decision), place(decision)));
    }
    if let Some(refusal) = refusal {
        line("decision", Colour::Red, format!("{}: {}, {}", decided(refusal), remark(refusal), place(refusal)));
    }
    match outcome {
        Some(outcome) => {
            let result = outcome.result.as_deref().unwrap_or("-");
            let colour = if result == "success" { Colour::Green } else { Colour::Red };
            let remark = remark(outcome);
            let remark = if remark.is_empty() { remark } else { format!(": {remark}") };
            line("outcome", colour, format!("{result}{remark}, {}", place(outcome)));
        }
        None if decision.is_some() => {
            line("outcome", Colour::Yellow, "none is recorded: the call runs, or the daemon was killed".to_owned());
        }
        None => {}
    }
    let shown: Vec<u64> = [decision, refusal, outcome].into_iter().flatten().map(|record| record.seq).collect();
    for record in records.iter().filter(|record| !shown.contains(&record.seq)) {
        let result = record.result.as_deref().map(|result| format!(" {result}")).unwrap_or_default();
        let remark = remark(record);
        let remark = if remark.is_empty() { remark } else { format!(": {remark}") };
        line("also", Colour::Plain, format!("{}{result}{remark}, {}", record.event, place(record)));
    }
    if let Some(config) = &main.config {
        line("config", Colour::Faint, config.clone());
    }
}

fn who(record: &Reading) -> String {
    let who = record.who().unwrap_or_else(|| "unknown".to_owned());
    if record.scopes.is_empty() { who } else { format!("{who} [{}]", record.scopes.join(" ")) }
}

fn from(record: &Reading) -> String {
    let client = &record.client;
    let over = client.transport.as_ref().map(|transport| format!(" over {transport}")).unwrap_or_default();
    format!("{}{over}", client.ip.as_deref().unwrap_or("here"))
}

fn decided(record: &Reading) -> String {
    let decision = record.decision.as_deref().or(record.result.as_deref()).unwrap_or("-");
    match record.rules() {
        Some(rules) => format!("{decision} by {rules}"),
        None => decision.to_owned(),
    }
}

fn place(record: &Reading) -> String {
    format!("{} (record {})", record.ts, record.seq)
}
