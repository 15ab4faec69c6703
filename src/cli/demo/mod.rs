//! `doorward demo`: an authority, certificates, a key, a daemon and a client, all on this machine, and what they do.

mod estate;
mod paste;
mod steps;

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::path::PathBuf;
use std::time::Duration;

use super::{Exit, Outcome, say};
use crate::clock::Clock;
use crate::config::Environment;
use crate::daemon::{Daemon, Listeners, Source};
use crate::error::{Code, Failure};
use crate::transport::Published;

use estate::Estate;
use steps::Step;

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
    #[arg(long, value_name = "PORT", default_value_t = 8443)]
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
    super::runtime()?.block_on(play(args, clock))
}

async fn play(args: Args, clock: Clock) -> Outcome {
    let keys_port =
        args.port.checked_add(1).ok_or_else(|| Failure::new(Code::Config, "the port must be below 65535"))?;
    let door_listener = listen(args.port)?;
    let keys_listener = listen(keys_port)?;
    let estate = Estate::prepare(&args.dir, args.port, keys_port, &clock)?;
    say(format!("{}\n", estate.describe()));
    let documents = BTreeMap::from([("/jwks.json".to_owned(), estate.jwks()?)]);
    let _keys = Published::start(keys_listener, &estate.path("server.crt"), &estate.path("server.key"), documents)?;
    let source = Source { path: Some(estate.path("doorward.yaml")), environment: Environment::default() };
    let listeners = Listeners { main: Some(door_listener), probes: None };
    let daemon = Daemon::start(source, clock.clone(), listeners).await?;
    daemon.ready(Duration::from_secs(10)).await?;
    let before = estate.audit_lines();
    let all_well = calls(&estate, &clock).await?;
    print_audit(&estate, before);
    say(paste::lines(&estate, &std::env::current_exe().unwrap_or_else(|_| PathBuf::from("doorward"))));
    if !args.once {
        say(format!("The door is open on https://localhost:{}/mcp. Ctrl-C closes it.", args.port));
        tokio::signal::ctrl_c()
            .await
            .map_err(|error| Failure::new(Code::Io, "no Ctrl-C can be received").because(error))?;
    }
    daemon.stop().await;
    Ok(if all_well { Exit::Done } else { Exit::Refused })
}

async fn calls(estate: &Estate, clock: &Clock) -> Result<bool, Failure> {
    let mut all_well = true;
    for step in steps::all(estate, clock)? {
        let Step { title, expected, play } = step;
        let seen = play.await;
        let (well, said) = match &seen {
            Ok(answer) => (expected.fits(answer), answer.to_string()),
            Err(failure) => (expected.is_no_connection(), failure.cause().unwrap_or_else(|| failure.to_string())),
        };
        all_well &= well;
        say(format!("  {} {title}\n      {said}", if well { "ok " } else { "BAD" }));
    }
    say("");
    Ok(all_well)
}

fn print_audit(estate: &Estate, before: usize) {
    say(format!("What the audit log remembers of it ({}):\n", estate.path("audit.jsonl").display()));
    for line in estate.audit_since(before) {
        say(format!("  {line}"));
    }
    say("");
}

fn listen(port: u16) -> Result<TcpListener, Failure> {
    TcpListener::bind(("127.0.0.1", port)).map_err(|error| {
        let text = format!("cannot listen on 127.0.0.1:{port}; choose another with --port");
        Failure::new(Code::Io, text).because(error)
    })
}
