//! The way out: redaction, then caps. [`Released`] is the only thing that can become an answer.

mod apart;
mod assignments;
mod blocks;
mod builtin;
mod cap;
mod column;
mod commands;
mod directives;
mod disguise;
mod distinct;
mod fields;
mod innocent;
mod keyblock;
mod known;
mod leased;
mod manifest;
mod markup;
mod names;
mod plain;
mod prefilter;
mod redact;
mod rule;
mod settings;
mod size;
mod tally;
mod text;
mod tokens;
mod walk;

use std::sync::Arc;

use serde_json::Value;

use crate::call::{Leases, Output};
use crate::error::Failure;
use crate::policy::Permit;
use crate::secret::Secret;

use apart::Apart;
use leased::Leased;

pub use cap::Caps;
pub use redact::{Before, Redactor};
pub use settings::{FieldPattern, LimitsSection, LogLimits, Pattern, ProcessLimits, RedactionSection};
pub use tally::Redacted;

/// Whether `argument` says that the one behind it is a secret, as `--password` does.
#[must_use]
pub fn takes_secret(argument: &str) -> bool {
    commands::may_be_flag(argument) && known::Builtin::get().is_ok_and(|builtin| builtin.is_flag(argument))
}

/// Redacts and caps.
pub struct Guard {
    redactor: Arc<Redactor>,
    caps: Caps,
    apart: Apart,
}

/// An output that may leave. Only [`Guard::release`] makes one, and it needs the permit of the call.
#[derive(Debug)]
pub struct Released {
    structured: Value,
    text: String,
    redactions: Vec<Redacted>,
    cuts: Vec<String>,
    limits: Vec<String>,
}

impl Guard {
    /// From its two halves.
    #[must_use]
    pub fn new(redactor: impl Into<Arc<Redactor>>, caps: Caps) -> Self {
        Self { redactor: redactor.into(), caps, apart: Apart::default() }
    }

    /// Redacts `output`, writes out what cannot be seen, cuts it to size, and lets it out. What was leased for the call goes
    /// first, by its value; redaction comes before cutting, for a secret that was cut in two has no form any more.
    ///
    /// # Errors
    /// [`crate::error::Code::OverBudget`] when the output cannot be brought under the caps.
    pub fn release(&self, output: Output, permit: &Permit) -> Result<Released, Failure> {
        let_out(&self.redactor, self.caps, output, &permit.leased().all())
    }

    /// A failure of a tool that may be told: its two messages without secrets.
    #[must_use]
    pub fn release_failure(&self, failure: Failure, permit: &Permit) -> Failure {
        let leased = match Leased::new(&permit.leased().all()) {
            Ok(leased) => leased,
            Err(failure) => return failure,
        };
        let clean = |text: &str| {
            let mut text = Value::from(self.redactor.redact_text(text, leased.as_ref()));
            text::make_harmless(&mut text);
            text.as_str().unwrap_or_default().to_owned()
        };
        let told = Failure::new(failure.code(), clean(failure.public()));
        match failure.cause() {
            Some(cause) => told.because(clean(&cause)),
            None => told,
        }
    }

    /// Redacts what a tool says on its way, which reaches the client before there is an output: what was leased for the
    /// call by its value, and what has the form of a secret. What cannot be searched is not said.
    #[must_use]
    pub fn redact_message(&self, message: &str, leases: &Leases) -> String {
        let Ok(leased) = Leased::new(&leases.all()) else { return redact::REDACTED.to_owned() };
        let mut text = Value::from(self.redactor.redact_text(message, leased.as_ref()));
        text::make_harmless(&mut text);
        text.as_str().unwrap_or_default().to_owned()
    }

    /// Redacts values that go into the audit log, and makes them harmless for whoever reads it.
    #[must_use]
    pub fn redact_params(&self, mut params: Value) -> Value {
        self.redactor.redact(&mut params, None);
        text::make_harmless(&mut params);
        params
    }
}

/// What [`Guard::release`] does.
fn let_out(redactor: &Redactor, caps: Caps, output: Output, leased: &[Secret<Vec<u8>>]) -> Result<Released, Failure> {
    let leased = Leased::new(leased)?;
    let limits = output.limits().iter().map(|limit| redactor.redact_text(limit, leased.as_ref())).collect();
    let before = output.taken().list();
    let mut structured = output.into_structured();
    let mut redactions = redactor.redact(&mut structured, leased.as_ref());
    redactions.extend(before.into_iter().map(|(by, field, count)| Redacted { by, field: field.to_owned(), count }));
    text::make_harmless(&mut structured);
    let (text, cuts) = caps.cut(&mut structured)?;
    Ok(Released { structured, text, redactions, cuts, limits })
}

impl Released {
    /// The structured result and the same as JSON text.
    #[must_use]
    pub fn into_parts(self) -> (Value, String) {
        (self.structured, self.text)
    }

    /// Its size as text, in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.text.len()
    }

    /// How many rows it has: the items of the lists that are members of the answer, or of the answer itself.
    #[must_use]
    pub fn rows(&self) -> usize {
        let items = |value: &Value| value.as_array().map_or(0, Vec::len);
        match &self.structured {
            Value::Object(members) => members.values().map(items).fold(0, usize::saturating_add),
            other => items(other),
        }
    }

    /// What was taken out, by pattern and field; never the value.
    #[must_use]
    pub fn redactions(&self) -> &[Redacted] {
        &self.redactions
    }

    /// Which caps and limits were reached, for the audit log.
    pub fn cuts(&self) -> impl Iterator<Item = &str> {
        self.limits.iter().chain(&self.cuts).map(String::as_str)
    }

    /// What the agent must know besides the result: that it is not whole, and how to see the rest. To be answered as a text
    /// of its own, since the result keeps the form of the tool's schema.
    #[must_use]
    pub fn notices(&self) -> Vec<String> {
        if self.cuts.is_empty() {
            return Vec::new();
        }
        vec![format!("truncated: {}. {NARROWER}", self.cuts.join("; "))]
    }
}

/// How to see what was left out.
const NARROWER: &str = "Ask again for less: narrow the query by its arguments, or take it in parts.";

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_a_tool_says_on_its_way_holds_no_secret_and_steers_no_terminal() {
        let redactor = Redactor::new(&RedactionSection::default()).unwrap();
        let guard = Guard::new(redactor, Caps::new(&LimitsSection::default()));
        let said = guard.redact_message("connecting with password=hunter2 to web01\u{1b}[2J", &Leases::default());
        assert!(said.starts_with("connecting with password=[REDACTED]") && !said.contains("hunter2"), "{said}");
        assert!(said.contains("web01") && !said.contains('\u{1b}'), "{said}");
    }

    #[test]
    fn what_was_leased_is_in_no_message_whatever_it_looks_like() {
        let redactor = Redactor::new(&RedactionSection { enabled: false, ..RedactionSection::default() }).unwrap();
        let guard = Guard::new(redactor, Caps::new(&LimitsSection::default()));
        let leases = Leases::default();
        assert_eq!(guard.redact_message("as Correct Horse 42 to web01", &leases), "as Correct Horse 42 to web01");
        leases.add(&Secret::new(b"Correct Horse 42".to_vec()));
        assert_eq!(guard.redact_message("as Correct%20Horse 42 to web01", &leases), "as [REDACTED] to web01");
    }

    #[test]
    fn arguments_go_into_the_log_without_secrets_and_hidden_characters() {
        let redactor = Redactor::new(&RedactionSection::default()).unwrap();
        let guard = Guard::new(redactor, Caps::new(&LimitsSection::default()));
        let params = guard.redact_params(json!({"password": "a", "query": "x\u{202e}y token=b"}));
        assert_eq!(params, json!({"password": "[REDACTED]", "query": "x\\u{202e}y token=[REDACTED]"}));
    }
}
