//! No secret is ever written: the whole table of refusals and a day's work of good calls, at the built program with its log
//! at `trace`; then everything it wrote and answered is searched.

use std::collections::HashMap;
use std::fs;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD as B64};
use doorward::secret::{hex, random};
use serde_json::{Value, json};

use crate::refusals::{Mode, Opened, TRACE, run_all};
use crate::world::child::Child;
use crate::world::tokens::sign_with_secret;
use crate::world::{Choice, Estate, wire};

/// A secret of which so many letters in a row can be read is no secret any more.
const TELLING: usize = 24;

/// What to look for: pieces of secrets, and whose they are.
#[derive(Default)]
struct Secrets(HashMap<Vec<u8>, String>);

impl Secrets {
    /// In clear, in both kinds of base64 wherever in a larger text it stands, and in both kinds of hexadecimal.
    fn add(&mut self, whose: &str, secret: &str) {
        self.add_text(whose, secret);
        for before in 0..3 {
            let shifted = [&b"\0\0"[..before], secret.as_bytes()].concat();
            // The first and the last letters depend on what stands around.
            for text in [STANDARD_NO_PAD.encode(&shifted), B64.encode(&shifted)] {
                self.add_text(whose, text.get(4..text.len().saturating_sub(1)).unwrap_or_default());
            }
        }
        let digits = hex(secret.as_bytes());
        self.add_text(whose, &digits.to_uppercase());
        self.add_text(whose, &digits);
    }

    fn add_text(&mut self, whose: &str, text: &str) {
        // A forged signature of nothing but zeros tells nothing, and looks like the hash that the first record names.
        let telling = |piece: &&[u8]| piece.iter().any(|byte| *byte != piece[0]);
        for piece in text.as_bytes().chunks_exact(TELLING).filter(telling) {
            self.0.insert(piece.to_vec(), whose.to_owned());
        }
    }

    /// A token, and its claims and signature alone.
    fn add_token(&mut self, token: &str) {
        self.add("a token", token);
        for (part, whose) in token.split('.').zip(["", "a token's claims", "a token's signature"]).skip(1) {
            self.add(whose, part);
            if let Ok(bytes) = B64.decode(part)
                && whose.ends_with("signature")
            {
                self.add_text(whose, &hex(&bytes));
                self.add_text(whose, &STANDARD.encode(&bytes));
            }
        }
    }

    /// A private key in PEM: its text line by line, and its bytes.
    fn add_key(&mut self, whose: &str, pem: &str) {
        let lines: Vec<&str> = pem.lines().filter(|line| !line.starts_with('-')).collect();
        for line in &lines {
            // A line may be cut anywhere by whoever wraps it anew.
            self.add_text(whose, line);
        }
        let whole = lines.concat();
        let bytes = STANDARD.decode(&whole).unwrap();
        self.add_text(whose, &B64.encode(&bytes));
        // What comes before is the same in every key of the kind.
        self.add_text(whose, &hex(bytes.get(36..).unwrap_or_default()));
        self.add(whose, &whole);
    }

    fn found_in(&self, text: &[u8]) -> Option<String> {
        let at = text.windows(TELLING).position(|window| self.0.contains_key(window))?;
        let around = &text[at.saturating_sub(200)..(at + 200).min(text.len())];
        Some(format!("{} in …{}…", self.0[&text[at..at + TELLING]], String::from_utf8_lossy(around)))
    }
}

#[test]
fn the_search_finds_a_secret_in_every_form() {
    let token = "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhbGljZSIsImp0aSI6IjAxMjM0NTY3ODkwMTIzNDU2Nzg5In0.c2lnbmF0dXJlIHNpZ25hdHVyZSBzaWduYXR1cmUgc2lnbmF0dXJl";
    let mut secrets = Secrets::default();
    secrets.add_token(token);
    let claims = token.split('.').nth(1).unwrap();
    for text in [
        format!("x {token}"),
        format!("x {claims}"),
        format!("x {}", STANDARD.encode(token)),
        format!("x {}", B64.encode(format!("ab{token}cd"))),
        format!("x {}", STANDARD.encode(format!("a{claims}"))),
        format!("x {}", hex(token.as_bytes()).to_uppercase()),
        format!("x {}", hex(b"signature signature signature signature")),
    ] {
        assert!(secrets.found_in(text.as_bytes()).is_some(), "{text}");
    }
    assert_eq!(secrets.found_in(b"alice used the token 01234567890123456789, and it was refused: token_expired"), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_secret_is_written_whatever_is_asked() {
    let report = run_all(Mode::Binary).await;
    assert!(report.wrong.is_empty(), "{} of {}:\n{}", report.wrong.len(), report.cases, report.wrong.join("\n"));
    let mut secrets = Secrets::default();
    report.tokens.iter().for_each(|token| secrets.add_token(token));
    let mut written: Vec<(String, Vec<u8>)> =
        report.answers.into_iter().map(|answer| ("an answer".to_owned(), answer.into_bytes())).collect();
    for opened in report.opened {
        let Opened::Child(mut child) = opened else { panic!("not the built program") };
        // Good calls at the usual door; the others refuse for reasons of their own, or have no room.
        let usual = fs::read_to_string(child.path("doorward.yaml")).unwrap().contains("max_body_bytes");
        if usual {
            for token in work(&child, |claims| child.signer.sign(claims), &mut written).await {
                secrets.add_token(&token);
            }
        }
        collect(&mut child, &mut secrets, &mut written);
    }
    search(&secrets, &written);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shared_secret_is_not_written_either() {
    let secret = STANDARD.encode(random::<36>().unwrap());
    let choice = Choice {
        key_source: Some("    secret: ${HMAC_KEY}".to_owned()),
        more: format!("{TRACE}  path: {{root}}/doorward.log\n"),
        ..Choice::default()
    };
    let mut child = tokio::task::block_in_place(|| Child::start(choice, &[("HMAC_KEY", &secret)]));
    let (mut secrets, mut written) = (Secrets::default(), Vec::new());
    secrets.add("the shared secret", &secret);
    for token in work(&child, |claims| sign_with_secret(&secret, claims), &mut written).await {
        secrets.add_token(&token);
    }
    // The secret itself as a token, as a password, and tokens that another secret made.
    let wrong = sign_with_secret("another secret of more than 32 bytes", &child.claims(&["core"]));
    secrets.add_token(&wrong);
    for line in [format!("Bearer {secret}"), format!("Basic {secret}"), format!("Bearer {wrong}"), secret.clone()] {
        let request = String::from_utf8(wire::post(child.port, "TOKEN", &wire::call("get_uptime", json!({})))).unwrap();
        let answer = send(&child, request.replace("Bearer TOKEN", &line).as_bytes(), &mut written).await;
        assert_eq!(answer.status, 401);
    }
    collect(&mut child, &mut secrets, &mut written);
    assert!(written.iter().any(|(name, text)| name == "doorward.log" && text.len() > 100), "there is no log file");
    search(&secrets, &written);
}

/// Good calls of every kind; the tokens that were used.
async fn work(child: &Child, sign: impl Fn(&Value) -> String, written: &mut Vec<(String, Vec<u8>)>) -> Vec<String> {
    let mut tokens = Vec::new();
    let tools = ["cpu_info", "memory_info", "disk_info", "network_info", "processes", "uptime", "temperature"];
    let calls = tools.iter().map(|tool| wire::call(&format!("get_{tool}"), json!({})));
    let list = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {} });
    let initialize = json!({ "jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {
        "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": { "name": "x", "version": "1" } } });
    for body in calls.chain([list, initialize]) {
        let token = sign(&child.claims(&["core"]));
        let answer = send(child, &wire::post(child.port, &token, &body), written).await;
        assert_eq!(answer.status, 200, "{body} {}", answer.body);
        tokens.push(token);
    }
    tokens
}

async fn send(estate: &Estate, bytes: &[u8], written: &mut Vec<(String, Vec<u8>)>) -> wire::Answer {
    let mut stream = wire::connect(&estate.path(""), estate.port, Some("good")).await.unwrap();
    let answer = wire::exchange(&mut stream, bytes).await.unwrap();
    written.push(("an answer".to_owned(), format!("{:?}\n{}", answer.headers, answer.body).into_bytes()));
    answer
}

/// Ends the program and takes everything it has written, and every key that lay beside it.
fn collect(child: &mut Child, secrets: &mut Secrets, written: &mut Vec<(String, Vec<u8>)>) {
    for path in ["/metrics", "/ready", "/health"] {
        written.push((path.to_owned(), child.probe(path).unwrap().into_bytes()));
    }
    child.stop();
    secrets.add_key("the token key", child.signer.key.private_pem().unwrap().expose());
    for folder in [child.path(""), child.path("log"), child.path("ca"), child.path("rogue")] {
        for entry in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            let name = entry.file_name().unwrap().to_string_lossy().into_owned();
            if name.ends_with(".key") {
                secrets.add_key(&name, &fs::read_to_string(&entry).unwrap());
            } else if name.ends_with(".txt") || name.ends_with(".jsonl") || name.starts_with("doorward.log") {
                written.push((name, fs::read(&entry).unwrap()));
            }
        }
    }
}

fn search(secrets: &Secrets, written: &[(String, Vec<u8>)]) {
    let length: usize = written.iter().map(|(_, text)| text.len()).sum();
    assert!(length > 10_000, "only {length} bytes were written");
    let traced = written.iter().filter(|(name, _)| name == "stderr.txt" || name.starts_with("doorward.log"));
    assert!(
        traced.clone().any(|(_, text)| text.windows(7).any(|word| word == b"\"DEBUG\"")),
        "the log was not detailed"
    );
    let found: Vec<_> =
        written.iter().filter_map(|(name, text)| Some(format!("{name}: {}", secrets.found_in(text)?))).collect();
    assert!(found.is_empty(), "{} places, the first: {}", found.len(), found[0]);
}
