//! `doorward token show`: what a token says of itself. Nothing is verified, and the first line says so.

use std::io::Read as _;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value, json};
use zeroize::Zeroizing;

use crate::cli::{Exit, Outcome, say, span};
use crate::clock::{Clock, Timestamp};
use crate::error::{Code, Failure};
use crate::identity::is_hidden;

/// Longer texts are not looked into, in bytes.
const MAX_BYTES: u64 = 64 * 1024;

/// Claims that are points in time (RFC 7519 section 4.1, OpenID Connect Core section 2).
const TIMES: [&str; 4] = ["iat", "nbf", "exp", "auth_time"];

#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// The token; - or nothing reads it from standard input, where the process list does not show it
    #[arg(default_value = "-", hide_default_value = true)]
    token: String,
    /// As JSON
    #[arg(long)]
    json: bool,
}

/// The two readable parts of a token.
#[derive(Debug)]
pub(super) struct Decoded {
    pub(super) header: Map<String, Value>,
    pub(super) claims: Map<String, Value>,
}

pub(super) fn run(args: Args, clock: &Clock) -> Outcome {
    let text = Zeroizing::new(if args.token == "-" { from_standard_input()? } else { args.token });
    let decoded = decode(&text)?;
    let now = clock.now();
    say(if args.json { in_json(&decoded, now) } else { in_words(&decoded, now) });
    Ok(Exit::Done)
}

fn from_standard_input() -> Result<String, Failure> {
    let mut text = String::new();
    let read = std::io::stdin().lock().take(MAX_BYTES.saturating_add(1)).read_to_string(&mut text);
    read.map_err(|error| Failure::new(Code::Io, "standard input cannot be read").because(error))?;
    Ok(text)
}

/// Takes a token in compact form apart (RFC 7515 section 3.1).
pub(super) fn decode(text: &str) -> Result<Decoded, Failure> {
    let wrong = |why| Failure::new(Code::TokenMalformed, "this is not a token").because(why);
    let text = text.trim();
    let text = text.strip_prefix("Bearer ").unwrap_or(text).trim_start();
    if u64::try_from(text.len()).unwrap_or(u64::MAX) > MAX_BYTES {
        return Err(wrong("longer than any token"));
    }
    match text.split('.').collect::<Vec<_>>().as_slice() {
        [header, claims, _signature] => Ok(Decoded {
            header: part(header).ok_or_else(|| wrong("the header is not a JSON object in base64url"))?,
            claims: part(claims).ok_or_else(|| wrong("the claims are not a JSON object in base64url"))?,
        }),
        [_, _, _, _, _] => Err(wrong("an encrypted token (JWE): only its recipient can read it")),
        _ => Err(wrong("not three parts with dots between them")),
    }
}

fn part(text: &str) -> Option<Map<String, Value>> {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text).ok()?).ok()
}

fn in_words(decoded: &Decoded, now: Timestamp) -> String {
    let mut lines = vec!["NOT VERIFIED: anybody can write a token that says this.".to_owned()];
    for (title, members) in [("header", &decoded.header), ("claims", &decoded.claims)] {
        lines.push(format!("\n{title}"));
        let width = members.keys().map(|name| name.chars().count()).max().unwrap_or(0).min(24);
        for (name, value) in members {
            let name = printable(name);
            let text = printable(&value.as_str().map_or_else(|| value.to_string(), str::to_owned));
            let when = time(&name, value).map(|at| format!("   {at} ({})", distance(at, now))).unwrap_or_default();
            lines.push(format!("  {name:<width$}  {text}{when}"));
        }
    }
    let state = match time("exp", decoded.claims.get("exp").unwrap_or(&Value::Null)) {
        Some(end) if end <= now => format!("EXPIRED {} ago", span::between(now, end)),
        Some(end) => format!("{} left", span::between(end, now)),
        None => "no exp: it never ends".to_owned(),
    };
    lines.push(format!("\n{state}"));
    lines.join("\n")
}

fn in_json(decoded: &Decoded, now: Timestamp) -> String {
    let times = TIMES.into_iter().filter_map(|name| {
        let at = time(name, decoded.claims.get(name)?)?;
        Some((name.to_owned(), Value::from(at.to_string())))
    });
    let left = time("exp", decoded.claims.get("exp").unwrap_or(&Value::Null)).map(|end| end.since(now).as_secs());
    let shown = json!({
        "verified": false,
        "header": decoded.header,
        "claims": decoded.claims,
        "times": times.collect::<Map<_, _>>(),
        "seconds_left": left,
    });
    format!("{shown:#}").lines().map(printable).collect::<Vec<_>>().join("\n")
}

fn time(name: &str, value: &Value) -> Option<Timestamp> {
    TIMES.contains(&name).then(|| value.as_i64().map(Timestamp::from_seconds)).flatten()
}

fn distance(at: Timestamp, now: Timestamp) -> String {
    let span = span::between(at, now);
    if at > now { format!("in {span}") } else { format!("{span} ago") }
}

/// A token comes from anywhere, so what could move the cursor or turn the line around is written as JSON escapes it.
fn printable(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if is_hidden(c) {
            let mut units = [0; 2];
            shown.extend(c.encode_utf16(&mut units).iter().map(|unit| format!("\\u{unit:04x}")));
        } else {
            shown.push(c);
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(header: &Value, claims: &Value) -> String {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        format!("{}.{}.c2ln", part(header), part(claims))
    }

    #[test]
    fn times_are_told_in_both_ways() {
        let token =
            token(&json!({"alg": "ES256"}), &json!({"sub": "alice", "exp": 1_800_000_090, "iat": 1_800_000_000}));
        let decoded = decode(&format!(" Bearer {token}\n")).unwrap();
        let now = Timestamp::from_seconds(1_800_000_048);
        let words = in_words(&decoded, now);
        assert!(words.starts_with("NOT VERIFIED"));
        assert!(words.contains("2027-01-15T08:01:30.000Z (in 42 seconds)"), "{words}");
        assert!(words.contains("(48 seconds ago)") && words.ends_with("42 seconds left"), "{words}");
        assert!(in_words(&decoded, Timestamp::from_seconds(1_800_000_100)).ends_with("EXPIRED 10 seconds ago"));
        let json: Value = serde_json::from_str(&in_json(&decoded, now)).unwrap();
        assert_eq!(json["verified"], false);
        assert_eq!(json["seconds_left"], 42);
        assert_eq!(json["times"]["iat"], "2027-01-15T08:00:00.000Z");
    }

    #[test]
    fn a_token_cannot_play_with_the_terminal() {
        let token = token(&json!({}), &json!({"sub": "a\u{1b}[2Jb\u{9b}c\u{202e}d\u{7f}\n0"}));
        let decoded = decode(&token).unwrap();
        let now = Timestamp::from_seconds(0);
        let words = in_words(&decoded, now);
        assert!(words.contains("a\\u001b[2Jb\\u009bc\\u202ed\\u007f\\u000a0"), "{words}");
        let json: Value = serde_json::from_str(&in_json(&decoded, now)).unwrap();
        assert_eq!(json["claims"]["sub"], "a\u{1b}[2Jb\u{9b}c\u{202e}d\u{7f}\n0");
    }

    #[test]
    fn what_is_not_a_token_is_said_to_be_none() {
        let cases = [
            "",
            "a.b",
            "a.b.c",
            "e30.W10.c2ln",
            "e30.e30.a.b.c",
            "e30=.e30.c",
            &format!("{}.e30.", "A".repeat(70_000)),
        ];
        for text in cases {
            assert_eq!(decode(text).unwrap_err().code(), Code::TokenMalformed, "{text:.20}");
        }
        assert!(decode("e30.e30.").is_ok(), "alg none has an empty signature");
    }
}
