//! `doorward serve`: the daemon in the foreground.

use std::path::PathBuf;

use super::signals::{Signals, Told};
use super::{Exit, Outcome, complain};
use crate::clock::Clock;
use crate::daemon::{Daemon, Listeners, Source, sandbox};
use crate::error::Code;
use crate::sandbox::lookout;
use crate::telemetry;
use crate::transport::activation;

/// What `--transport` stands for.
const TRANSPORT: &str = "DOORWARD__TRANSPORT";

/// Serve until SIGTERM or Ctrl-C; SIGHUP reads the configuration and its files again.
#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// The configuration. Without one the door serves the process that started it, over standard input and output.
    #[arg(long, short, value_name = "FILE", env = "DOORWARD_CONFIG")]
    config: Option<PathBuf>,
    /// How callers reach the door, whatever the configuration says; several with commas between them.
    #[arg(long, value_name = "TRANSPORT", value_delimiter = ',')]
    transport: Vec<String>,
}

/// Runs the verb.
///
/// # Errors
/// What keeps the daemon from serving.
pub(super) fn run(args: Args, clock: Clock) -> Outcome {
    // While there is one thread: the variables that announce them are taken away.
    let handed = activation::take()?;
    let listeners = Listeners { main: handed.https, probes: handed.probes, unix: handed.unix };
    let environment = match args.transport.as_slice() {
        [] => super::environment(),
        chosen => super::environment().with(TRANSPORT, format!("[{}]", chosen.join(", "))),
    };
    let source = Source { path: args.config, environment };
    let mut loaded = match source.load(clock.now()) {
        Ok(loaded) => loaded,
        Err(failure) if failure.code() == Code::Config => {
            complain(failure.cause().unwrap_or_default());
            complain(format!("doorward: {failure}"));
            return Ok(Exit::Refused);
        }
        Err(failure) => return Err(failure),
    };
    // Before the thread of the log, and before any other.
    let sandbox = sandbox::enter(&loaded)?;
    sandbox::note_needs(&mut loaded);
    let _logs = telemetry::start_logs(&loaded.config.log)?;
    lookout::watch();
    loaded.notes().findings().iter().for_each(|note| tracing::info!("{note}"));
    match sandbox {
        Some(sandbox) => {
            sandbox.lacking().for_each(|what| tracing::warn!("the sandbox is not whole: {what}"));
            tracing::info!("within a sandbox: {sandbox}");
        }
        None => tracing::warn!("there is no sandbox: sandbox.mode is off"),
    }
    drop(loaded);
    super::block_on(serve(source, clock, listeners))
}

async fn serve(source: Source, clock: Clock, listeners: Listeners) -> Outcome {
    let mut signals = Signals::listen()?;
    let daemon = Daemon::start(source, clock, listeners).await?;
    let probes = daemon.probes().map(tracing::field::display);
    match (daemon.address(), daemon.socket()) {
        (None, None) => tracing::info!(transport = "stdio", audit = daemon.audits(), "serving"),
        (address, socket) => {
            let (address, socket) =
                (address.map(tracing::field::display), socket.map(|path| path.display().to_string()));
            tracing::info!(address, probes, socket, "serving");
        }
    }
    let client = daemon.serve_stdio();
    tokio::pin!(client);
    let ended = loop {
        let mut why = tokio::select! {
            told = signals.next() => match told {
                Told::Reload => Some("SIGHUP"),
                Told::Stop => break Ok(()),
            },
            () = daemon.idle_until_changed() => Some("a file changed"),
            ended = &mut client => break ended,
        };
        // A reload that has to wait, for a disk or for an issuer, keeps nobody from stopping the daemon.
        let mut over = None;
        while let (Some(because), None) = (why.take(), &over) {
            let reloading = reload(&daemon, because);
            tokio::pin!(reloading);
            over = loop {
                tokio::select! {
                    () = &mut reloading => break None,
                    told = signals.next() => match told {
                        Told::Reload => why = Some("SIGHUP"),
                        Told::Stop => break Some(Ok(())),
                    },
                    ended = &mut client => break Some(ended),
                }
            };
        }
        if let Some(ended) = over {
            break ended;
        }
    };
    tracing::info!("stopping");
    daemon.stop().await;
    ended.map(|()| Exit::Done)
}

async fn reload(daemon: &Daemon, why: &str) {
    match daemon.reload().await {
        Ok(()) => tracing::info!(why, "configuration reloaded"),
        Err(failure) => {
            tracing::error!(why, reason = %failure.code(), cause = failure.cause(), "{failure}; the old one goes on");
        }
    }
}
