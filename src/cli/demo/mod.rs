//! `doorward demo`: an authority, certificates, a key, a daemon and a client, all on this machine, and what they do.

mod estate;
mod paste;
mod stages;
mod steps;

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;

use super::signals::{Signals, Told};
use super::{Exit, Outcome, say};
use crate::clock::Clock;
use crate::config::Environment;
use crate::daemon::{Daemon, Listeners, Source};
use crate::error::{Code, Failure};
use crate::transport::Published;

use estate::Estate;
use stages::Trace;
use steps::{Expected, Step};

/// How long the records of a step may be on their way.
const PATIENCE: Duration = Duration::from_secs(3);

/// Watch a call pass every lock, and the wrong ways in refused.
///
/// Makes a throw-away authority, certificates and a token key in a directory of its own, serves on 127.0.0.1, calls the
/// door as a client would, and stays up until Ctrl-C. A directory that is already there is used again as it is.
#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// Where everything is kept.
    #[arg(long, value_name = "DIR", default_value = "./doorward-demo")]
    dir: PathBuf,
    /// The door's port; its keys are published on the next one.
    #[arg(long, value_name = "PORT", default_value_t = 8443, value_parser = clap::value_parser!(u16).range(1..=65534))]
    port: u16,
    /// End after the calls; exit 0 only if all went as they should.
    #[arg(long)]
    once: bool,
}

/// Runs the verb.
///
/// # Errors
/// What keeps the demo from being set up.
pub(super) fn run(args: Args, clock: Clock) -> Outcome {
    super::block_on(play(args, clock))
}

async fn play(args: Args, clock: Clock) -> Outcome {
    let keys_port = args.port.saturating_add(1);
    let door_listener = listen(args.port)?;
    let keys_listener = listen(keys_port)?;
    let estate = Estate::prepare(&args.dir, args.port, keys_port, &clock)?;
    say(format!("{}\n", estate.describe()));
    let documents = BTreeMap::from([("/jwks.json".to_owned(), estate.jwks()?)]);
    let _keys = Published::start(keys_listener, &estate.path("server.crt"), &estate.path("server.key"), documents)?;
    let source = Source { path: Some(estate.path("doorward.yaml")), environment: Environment::default() };
    let listeners = Listeners { main: Some(door_listener), ..Listeners::default() };
    let daemon = Daemon::start(source, clock.clone(), listeners).await?;
    daemon.ready(Duration::from_secs(10)).await?;
    let trace = Trace::from_now(estate.path("audit.jsonl"), PATIENCE).await;
    let (all_well, lines) = calls(steps::all(&estate, &clock)?, trace).await;
    say(format!("\nWhat the audit log remembers of it ({}):\n", estate.path("audit.jsonl").display()));
    lines.iter().for_each(|line| say(format!("  {line}")));
    say("");
    say(paste::lines(&estate, &std::env::current_exe().unwrap_or_else(|_| PathBuf::from("doorward"))));
    if !args.once {
        let mut signals = Signals::listen()?;
        say(format!("The door is open on {}. Ctrl-C closes it.", estate.url()));
        while signals.next().await != Told::Stop {}
    }
    daemon.stop().await;
    Ok(if all_well { Exit::Done } else { Exit::Refused })
}

/// Makes the calls one after the other; returns whether all went as they should, and the audit lines they left.
async fn calls(steps: Vec<Step>, mut trace: Trace) -> (bool, Vec<String>) {
    let (mut all_well, mut lines) = (true, Vec::new());
    for Step { title, expected, play } in steps {
        let seen = play.await;
        let left = trace.next().await;
        let records: Vec<Value> = left.iter().filter_map(|line| serde_json::from_str(line).ok()).collect();
        let well = expected.fits(&seen, stages::reason(&records)) && !records.is_empty();
        let said = match (&seen, &expected) {
            (Ok(answer), _) => answer.to_string(),
            (Err(_), Expected::Handshake(code)) if well => format!("no answer: the handshake was refused ({code})"),
            (Err(failure), _) => failure.cause().unwrap_or_else(|| failure.to_string()),
        };
        let told = if records.is_empty() { "no record was left".to_owned() } else { stages::told(&records) };
        say(format!("  {} {title}\n      {told}\n      {said}", if well { "ok " } else { "BAD" }));
        all_well &= well;
        lines.extend(left);
    }
    (all_well, lines)
}

fn listen(port: u16) -> Result<TcpListener, Failure> {
    TcpListener::bind(("127.0.0.1", port)).map_err(|error| {
        let text = format!("cannot listen on 127.0.0.1:{port}; choose another with --port");
        Failure::new(Code::Io, text).because(error)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// A step that leaves a record, or none, and is answered with tools.
    fn step(expected: Expected, log: PathBuf, record: &'static str) -> Step {
        let play = Box::pin(async move {
            std::fs::write(log, record).unwrap();
            Ok(steps::tests::answer(200, json!({ "result": { "tools": [] } })))
        });
        Step { title: "a step", expected, play }
    }

    #[tokio::test]
    async fn a_step_that_goes_otherwise_or_leaves_no_record_is_bad() {
        let home = tempfile::tempdir().unwrap();
        let log = || home.path().join("audit.jsonl");
        let (good, record) = (|| Expected::Result("tools"), "{\"event\":\"auth_success\"}\n");
        let play = async |expected, record| {
            let _ = std::fs::remove_file(log());
            let trace = Trace::from_now(log(), Duration::from_millis(50)).await;
            calls(vec![step(expected, log(), record)], trace).await
        };
        assert_eq!(play(good(), record).await, (true, vec![record.trim().to_owned()]));
        assert!(!play(good(), "").await.0);
        assert!(!play(Expected::Result("other"), record).await.0);
        assert!(!play(Expected::Handshake(Code::CertificateMissing), record).await.0);
    }
}
