//! `doorward audit tail`: the last records, and those that come.

use std::time::Duration;

use super::place::Place;
use super::row;
use crate::audit::chain::Link;
use crate::audit::search::Follower;
use crate::cli::signals::Signals;
use crate::cli::terminal::Output;
use crate::cli::{Exit, Outcome, block_on};
use crate::error::Code;

/// How often new records are looked for.
const LOOK: Duration = Duration::from_millis(200);

/// Show the last records, one line each
#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// Go on with new ones, through rotations, until Ctrl-C
    #[arg(short, long)]
    follow: bool,
    /// How many to begin with
    #[arg(short = 'n', long, value_name = "COUNT", default_value_t = 20)]
    lines: usize,
    /// The lines of the journal as they are
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Place,
}

pub(super) fn run(args: &Args) -> Outcome {
    let layout = args.place.layout()?;
    let last = match args.place.journal() {
        // The number of the last record is needed even if none is to be shown.
        Ok(journal) => journal.last(args.lines.max(1))?,
        // A daemon that has not written anything yet can be followed.
        Err(failure) if failure.code() == Code::Io && args.follow && layout.directory().is_dir() => Vec::new(),
        Err(failure) => return Err(failure),
    };
    let mut output = Output::new();
    let shown = last.len().saturating_sub(args.lines);
    last.iter().skip(shown).for_each(|line| row::show(&mut output, line, args.json));
    output.flush();
    if !args.follow {
        return Ok(Exit::Done);
    }
    let told = last.iter().rev().find_map(|line| Link::of(line)).map_or(0, |link| link.seq);
    drop(last);
    block_on(follow(Follower::after(layout, told), output, args.json))
}

async fn follow(mut follower: Follower, mut output: Output, json: bool) -> Outcome {
    let mut signals = Signals::listen()?;
    while !output.is_gone() {
        follower.poll(&mut |line| row::show(&mut output, line, json))?;
        output.flush();
        tokio::select! {
            _ = signals.next() => break,
            () = tokio::time::sleep(LOOK) => {}
        }
    }
    Ok(Exit::Done)
}
