//! The door under load, beside servers that do less: what a call costs, what a new connection costs, and whether anything
//! grows. `scripts/bench-load` builds it and says how; without arguments it does nothing, so that `cargo bench` passes it by.

#![expect(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a measurement reads the clock, starts what it measures and computes with its own figures"
)]

mod calls;
mod client;
mod contender;
mod figures;
mod goals;
mod place;
mod process;
mod report;
mod tokens;
mod trials;

use std::error::Error;
use std::path::PathBuf;

use clap::{Parser, Subcommand};

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// Measures the door under load.
#[derive(Parser)]
#[command(name = "load")]
struct Arguments {
    #[command(subcommand)]
    verb: Option<Verb>,
    /// What `cargo bench` adds.
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Subcommand)]
enum Verb {
    /// Serves as one of those the door is compared with, until it is killed.
    Contend(contender::Args),
    /// Runs all trials and prints what came of them.
    Run(Run),
}

/// How much, and against which binary.
#[derive(clap::Args, Clone)]
struct Run {
    /// The doorward binary.
    #[arg(long)]
    doorward: PathBuf,
    /// An empty folder on a disk.
    #[arg(long)]
    home: PathBuf,
    /// A Python that has fastmcp and uvicorn; without it that comparison is left out, and said to be.
    #[arg(long)]
    python: Option<PathBuf>,
    /// One pass of a few seconds each, to see that everything runs; its figures are worth little.
    #[arg(long)]
    quick: bool,
    /// Only these trials: calls, latency, memory, endurance, handshakes, start, reload.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Only these contenders: bare, floor, sdk, door, fastmcp.
    #[arg(long, value_delimiter = ',')]
    who: Vec<String>,
    /// Where to write the figures as JSON.
    #[arg(long)]
    json: Option<PathBuf>,
    /// The processor that serves; all else runs on the one this program was started on.
    #[arg(long, default_value_t = 0)]
    core: usize,
}

impl Run {
    fn wants(&self, trial: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|name| name == trial)
    }

    fn measures(&self, who: &str) -> bool {
        self.who.is_empty() || self.who.iter().any(|name| name == who)
    }
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    match arguments.verb {
        Some(Verb::Contend(args)) => contender::serve(args),
        Some(Verb::Run(run)) => {
            doorward::transport::tls::install_provider();
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let figures = runtime.block_on(trials::all(&run))?;
            report::print(&figures);
            if let Some(path) = &run.json {
                std::fs::write(path, serde_json::to_string_pretty(&figures)? + "\n")?;
            }
            if goals::missed(&figures) { Err("a goal was missed".into()) } else { Ok(()) }
        }
        None => Ok(()),
    }
}
