//! A record as one line for a person: when, what, how it ended, who, which tool, and what else matters, in columns.

use crate::audit::search::Reading;
use crate::cli::terminal::{Colour, Output, harmless, harmless_bytes};

/// Width of the columns; longer texts push the rest of their line.
const EVENT: usize = 14;
const RESULT: usize = 9;
const WHO: usize = 26;
const TOOL: usize = 18;

/// Shows a line of the journal, as it is or in columns.
pub(super) fn show(output: &mut Output, line: &[u8], json: bool) {
    if json {
        output.raw(line);
        return;
    }
    match Reading::of(line) {
        Some(record) => row(output, &record),
        None => {
            let mut text = harmless_bytes(line);
            text.truncate(text.char_indices().nth(120).map_or(text.len(), |(end, _)| end));
            output.line(&output.paint(Colour::Red, &format!("not a record: {text}")));
        }
    }
}

fn row(output: &mut Output, record: &Reading) {
    let colour = colour(record);
    let result = match record.event.as_str() {
        "checkpoint" => String::new(),
        _ => record.result.clone().unwrap_or_default(),
    };
    let who = record.who().unwrap_or_else(|| "-".to_owned());
    let tool = record.query.as_deref().unwrap_or("-");
    let id = record.id.as_deref().map(|id| id.chars().take(8).collect::<String>()).unwrap_or_default();
    let columns = [
        output.paint(Colour::Faint, &harmless(&record.ts)),
        output.paint(colour, &format!("{} {}", wide(&record.event, EVENT), wide(&result, RESULT))),
        wide(&who, WHO),
        wide(tool, TOOL),
        output.paint(Colour::Faint, &wide(&id, 8)),
        harmless(&remark(record)).into_owned(),
    ];
    output.line(columns.join(" ").trim_end());
}

fn wide(text: &str, width: usize) -> String {
    format!("{:<width$}", harmless(text))
}

fn colour(record: &Reading) -> Colour {
    match (record.event.as_str(), record.result.as_deref()) {
        ("unclean_stop" | "audit_gap" | "warning", _) | (_, Some("abandoned")) => Colour::Yellow,
        (_, Some("refused" | "failed")) | ("auth_failure" | "query_denied", _) => Colour::Red,
        ("limit_exceeded", _) => Colour::Yellow,
        ("checkpoint", _) => Colour::Faint,
        (_, Some("permitted" | "success")) => Colour::Green,
        _ => Colour::Plain,
    }
}

/// What is not in a column.
pub(super) fn remark(record: &Reading) -> String {
    let mut parts = Vec::new();
    parts.extend(record.covers());
    if let Some(ms) = record.duration_ms {
        parts.push(format!("{ms} ms"));
    }
    if let Some(bytes) = record.output_bytes {
        parts.push(format!("{bytes} bytes"));
    }
    parts.extend(record.reason.clone());
    parts.extend(record.detail.clone());
    if record.stage.as_deref() == Some("decision") {
        parts.extend(record.rules().map(|rules| format!("by {rules}")));
    }
    if let Some(count) = record.count {
        parts.push(format!("{count} times"));
    }
    if record.user.is_none() && record.client.subject.is_some() {
        parts.extend(record.client.ip.clone());
    }
    parts.join(", ")
}
