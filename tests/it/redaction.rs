//! Redaction against the corpus: every kind of secret is gone from whatever form its text is in, and innocent text stays as
//! it is.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use doorward::guard::{Caps, Guard, LimitsSection, RedactionSection, Redactor};
use serde::Deserialize;
use serde_json::{Value, json};

/// A secret of which so many letters in a row can be read is not gone.
const TELLING: usize = 10;

#[derive(Deserialize)]
struct Corpus {
    secrets: Vec<Case>,
    innocent: Vec<String>,
}

/// A secret in a text, at `{}`.
#[derive(Deserialize)]
struct Case {
    kind: String,
    by: String,
    text: String,
    secret: Vec<String>,
}

impl Case {
    fn secret(&self) -> String {
        self.secret.concat()
    }

    fn whole(&self) -> String {
        self.text.replace("{}", &self.secret())
    }

    /// The longest part of the secret that `text` tells.
    fn told(&self, text: &str) -> Option<String> {
        let secret = self.secret().replace("\\n", "\n");
        // The lines that say that a private key begins and ends are no secret.
        let lines = secret.lines().filter(|line| !line.starts_with("-----"));
        let letters: Vec<Vec<char>> = lines.map(|line| line.chars().collect()).collect();
        let pieces = letters.iter().flat_map(|line| line.windows(TELLING.min(line.len()).max(1)));
        pieces.map(|piece| piece.iter().collect::<String>()).find(|piece| text.contains(piece))
    }
}

fn corpus() -> Corpus {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases/redaction.yaml");
    serde_saphyr::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

fn guard() -> Guard {
    Guard::new(Redactor::new(&RedactionSection::default()).unwrap(), Caps::new(&LimitsSection::default()))
}

/// Every text of a value, with line ends between them, and its names.
fn texts(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(texts).collect::<Vec<_>>().join("\n"),
        Value::Object(members) => members.iter().map(|(key, value)| format!("{key}\n{}", texts(value))).collect(),
        other => other.to_string(),
    }
}

#[test]
fn the_corpus_is_as_large_as_it_is_said_to_be() {
    let corpus = corpus();
    let kinds: BTreeSet<&str> = corpus.secrets.iter().map(|case| case.kind.as_str()).collect();
    assert!(kinds.len() >= 100 && kinds.len() == corpus.secrets.len(), "{} kinds", kinds.len());
    let innocent: BTreeSet<&String> = corpus.innocent.iter().collect();
    assert!(innocent.len() >= 200, "{} innocent texts", innocent.len());
    let by: BTreeSet<&str> = corpus.secrets.iter().map(|case| case.by.as_str()).collect();
    let known = Redactor::builtin_names();
    let unproved: Vec<_> = known.iter().filter(|name| !name.contains('*') && !by.contains(*name)).collect();
    assert!(unproved.is_empty(), "no secret in the corpus is found by {unproved:?}");
}

#[test]
fn every_secret_is_gone_and_by_the_rule_that_is_named() {
    let guard = guard();
    let mut wrong = Vec::new();
    for case in &corpus().secrets {
        let whole = case.whole();
        let lines: Vec<Value> = whole.lines().map(|line| json!({ "at": 1, "message": line })).collect();
        let shapes = [
            ("a text", json!({ "text": whole })),
            ("a long log", json!(format!("one line\nanother\n{whole}\nand more\n"))),
            ("items of a list", json!({ "entries": lines })),
            ("a list of lines", json!(whole.lines().collect::<Vec<_>>())),
            ("a name", json!({ "map": { whole.as_str(): 1 } })),
        ];
        for (shape, value) in shapes {
            let clean = guard.redact_params(value);
            if let Some(piece) = case.told(&texts(&clean)) {
                wrong.push(format!("{} in {shape}: {piece:?} in {clean}", case.kind));
            }
        }
        let by = found_by(&whole);
        if !by.contains(&case.by) {
            wrong.push(format!("{}: found by {by:?}, not by {}", case.kind, case.by));
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

/// The built-in rules without which `text` comes out otherwise.
fn found_by(text: &str) -> BTreeSet<String> {
    let clean = |without: &[&str]| {
        let without = without.iter().map(|name| (*name).to_owned()).collect();
        let section = RedactionSection { without, ..RedactionSection::default() };
        let guard = Guard::new(Redactor::new(&section).unwrap(), Caps::new(&LimitsSection::default()));
        guard.redact_params(json!(text))
    };
    let names = Redactor::builtin_names();
    let patterns: Vec<&str> = names.iter().copied().filter(|name| !name.contains('*')).collect();
    // A rule finds it if it does so alone.
    let alone = |name: &&str| {
        let others: Vec<&str> = patterns.iter().copied().filter(|other| other != name).collect();
        clean(&others) != json!(text)
    };
    patterns.iter().copied().filter(|name| alone(name)).map(str::to_owned).collect()
}

#[test]
fn every_secret_is_gone_from_another_form_of_its_text_too() {
    let guard = guard();
    let mut wrong = Vec::new();
    for case in &corpus().secrets {
        let whole = case.whole();
        let address: String = whole.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let escapes: String = whole.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect();
        let quoted = serde_json::to_string(&whole).unwrap();
        let hidden: String = whole.chars().flat_map(|letter| [letter, '\u{200b}']).collect();
        let forms = [
            ("JSON", format!("event={quoted} done")),
            ("JSON in JSON", format!("event={} done", serde_json::to_string(&quoted).unwrap())),
            ("an address", format!("GET /?q={address} 200")),
            ("escapes", format!("say {escapes}")),
            ("base64", format!("data {} end", STANDARD.encode(&whole))),
            ("base64 of addresses", format!("https://x.example/{}", URL_SAFE_NO_PAD.encode(&whole))),
            ("base64 of base64", STANDARD.encode(STANDARD.encode(&whole))),
            ("letters that are not seen", hidden),
        ];
        for (form, text) in forms {
            let clean = guard.redact_params(json!({ "text": text.clone() }));
            let clean = clean["text"].as_str().unwrap();
            let told = case.told(clean);
            let left = !form.starts_with("JSON") && whole_is_left(&text, clean);
            if clean == text || told.is_some() || left {
                wrong.push(format!("{} in {form}: {told:?} in {clean}", case.kind));
            }
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

/// Whether the encoded part of `text` is still in `clean`.
fn whole_is_left(text: &str, clean: &str) -> bool {
    text.split_whitespace().max_by_key(|word| word.len()).is_some_and(|word| clean.contains(word))
}

#[test]
fn innocent_text_is_left_alone() {
    let guard = guard();
    let corpus = corpus();
    let mut wrong = Vec::new();
    for text in &corpus.innocent {
        let clean = guard.redact_params(json!([text]));
        if clean[0] != *text {
            wrong.push(format!("{text:?} became {}", clean[0]));
        }
    }
    // All of them as the lines of one log, and as the items of a list.
    let lines: Vec<&str> = corpus.innocent.iter().flat_map(|text| text.lines()).collect();
    let clean = guard.redact_params(json!({ "log": lines.join("\n"), "entries": lines }));
    for (before, after) in lines.iter().zip(clean["log"].as_str().unwrap().lines()) {
        if *before != after {
            wrong.push(format!("in a log {before:?} became {after:?}"));
        }
    }
    for (before, after) in lines.iter().zip(clean["entries"].as_array().unwrap()) {
        if after != before {
            wrong.push(format!("in a list {before:?} became {after:?}"));
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn what_the_page_on_redaction_shows_is_accepted_and_does_what_it_says() {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/redaction.md")).unwrap();
    let blocks: Vec<&str> = page.split("```yaml\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    assert!(blocks.len() >= 4);
    let home = tempfile::tempdir().unwrap();
    for block in &blocks {
        fs::write(home.path().join("doorward.yaml"), block).unwrap();
        let ended = crate::world::program::doorward(home.path(), &["check", "--config", "doorward.yaml"]);
        assert_eq!(ended.status, 0, "{block}\n{}", ended.stderr);
    }
    #[derive(Deserialize)]
    struct Block {
        redaction: RedactionSection,
    }
    let with = |block: &str| {
        let block: Block = serde_saphyr::from_str(block).unwrap();
        Guard::new(Redactor::new(&block.redaction).unwrap(), Caps::new(&LimitsSection::default()))
    };
    let ticket = ["a", "BEGIN TICKET", "x", "END TICKET"];
    let clean = with(blocks[0]).redact_params(json!({ "badge": 7, "t": "E-123456 password=abcd", "log": ticket }));
    assert_eq!(clean["t"], "[REDACTED:EMPLOYEE_ID] password=[REDACTED]");
    assert_eq!(clean["badge"], "[REDACTED]");
    assert_eq!(clean["log"], json!(["a", "[REDACTED:TICKET]", "[REDACTED]", "[REDACTED]"]));
    let clean = with(blocks[1])
        .redact_params(json!({ "passcode": 7, "t": "secret=abcd", "u": "secret=abcdefghijklmnopqrstuv" }));
    assert_eq!(clean, json!({ "passcode": 7, "t": "secret=abcd", "u": "secret=[REDACTED]" }));

    // The table has every pattern, with kinds of the corpus.
    let table = page.split_once("<!-- patterns -->\n").unwrap().1.split_once("\n\n").unwrap().0;
    let rows: BTreeSet<&str> = table.lines().skip(2).map(|row| row.split('|').nth(1).unwrap().trim()).collect();
    let names: BTreeSet<&str> = Redactor::builtin_names().into_iter().filter(|name| !name.contains('*')).collect();
    assert_eq!(rows, names);
    let corpus = corpus();
    for row in table.lines().skip(2) {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        for kind in cells[2].split("; ") {
            assert!(corpus.secrets.iter().any(|case| case.kind == kind && case.by == cells[1]), "{row}");
        }
    }
}
