//! What a person types: one file per verb, each an argument struct and a function to an exit status.

mod audit;
mod budget;
mod check;
mod completions;
mod connect;
mod demo;
mod doctor;
mod lookout;
mod pki;
mod schema;
mod serve;
mod signals;
mod span;
mod terminal;
mod token;
mod unsaid;

use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use clap::{CommandFactory as _, Parser, Subcommand};

use crate::clock::Clock;
use crate::config::Environment;
use crate::daemon;
use crate::error::{Code, Failure};
use crate::transport::tls;
use terminal::harmless;

/// One hardened door between AI agents and infrastructure.
///
/// Exit status: 0 done, 1 refused or findings, 2 wrong command line, 3 could not be done.
#[derive(Parser, Debug)]
#[command(name = "doorward", version, propagate_version = true, disable_help_subcommand = true)]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand, Debug)]
enum Verb {
    Serve(serve::Args),
    Check(check::Args),
    Doctor(doctor::Args),
    Schema(schema::Args),
    #[command(subcommand_required = true, arg_required_else_help = true)]
    Pki(pki::Args),
    #[command(subcommand_required = true, arg_required_else_help = true)]
    Token(token::Args),
    #[command(subcommand_required = true, arg_required_else_help = true)]
    Audit(audit::Args),
    #[command(subcommand_required = true, arg_required_else_help = true)]
    Budget(budget::Args),
    Connect(connect::Args),
    Demo(demo::Args),
    Completions(completions::Args),
    #[command(hide = true)]
    Lookout(lookout::Args),
}

/// The program.
#[must_use]
pub fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            let _ = error.print();
            let exit = if error.use_stderr() { Exit::Usage } else { Exit::Done };
            return ExitCode::from(exit.code());
        }
    };
    tls::install_provider();
    let clock = Clock::system();
    let outcome = match arguments.verb {
        Verb::Serve(args) => serve::run(args, clock),
        Verb::Check(args) => {
            let names = daemon::tools();
            check::run(args, &names.iter().map(String::as_str).collect::<Vec<_>>(), &clock)
        }
        Verb::Doctor(args) => doctor::run(args, &clock),
        Verb::Schema(args) => schema::run(args),
        Verb::Pki(args) => pki::run(args, &clock),
        Verb::Token(args) => token::run(args, &clock),
        Verb::Audit(args) => audit::run(args, &clock),
        Verb::Budget(args) => budget::run(args),
        Verb::Connect(args) => connect::run(args, clock),
        Verb::Demo(args) => demo::run(args, clock),
        Verb::Lookout(args) => lookout::run(&args),
        Verb::Completions(args) => completions::run(args, Arguments::command()),
    };
    let outcome = outcome.and_then(|exit| terminal::all_written().map(|()| exit));
    let exit = outcome.unwrap_or_else(|failure| {
        let cause = failure.cause().map(|cause| format!(": {cause}")).unwrap_or_default();
        let told = format!("doorward: {failure}{cause}");
        // What is wrong with a configuration has many lines; whatever else has more than one was led to it by a name.
        complain(if failure.code() == Code::Config { told.into() } else { harmless(&told) });
        Exit::from(&failure)
    });
    ExitCode::from(exit.code())
}

/// The environment, read once.
fn environment() -> Environment {
    std::env::vars_os().collect()
}

/// How long what is still under way may take to be put away when the work is done.
const LINGER: Duration = Duration::from_secs(1);

/// Does `work` on the threads that serve. A thread that is still blocked afterwards, such as one that reads standard
/// input which nobody closes, does not keep the program from ending.
fn block_on(work: impl Future<Output = Outcome>) -> Outcome {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(Code::Io, "no threads can be started").because(error))?;
    let outcome = runtime.block_on(work);
    runtime.shutdown_timeout(LINGER);
    outcome
}

/// Exit statuses, the same for every command.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Exit {
    /// 0: done, nothing found.
    Done,
    /// 1: refused, or there are findings.
    Refused,
    /// 2: the command line is wrong.
    Usage,
    /// 3: could not be done.
    Failed,
}

impl Exit {
    /// The number.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Refused => 1,
            Self::Usage => 2,
            Self::Failed => 3,
        }
    }
}

/// A failure of the machine could be done better another time; whatever else it is, this program said no.
impl From<&Failure> for Exit {
    fn from(failure: &Failure) -> Self {
        match failure.code() {
            Code::Io | Code::Upstream | Code::Internal | Code::AuditUnavailable => Self::Failed,
            _ => Self::Refused,
        }
    }
}

/// What a command comes to; a failure is printed with its cause, for the person at the keyboard is the operator.
pub type Outcome = Result<Exit, Failure>;

/// A line on standard output; a reader that has gone away is no error, and any other is one of the command.
pub fn say(line: impl AsRef<str>) {
    let mut out = std::io::stdout().lock();
    let text = line.as_ref().as_bytes();
    terminal::written(out.write_all(text).and_then(|()| out.write_all(b"\n")).and_then(|()| out.flush()));
}

/// A line on standard error, or some. Whatever it speaks of, names of files and what strangers sent among it, no terminal
/// is steered by it.
pub fn complain(line: impl AsRef<str>) {
    let mut out = std::io::stderr().lock();
    for line in line.as_ref().lines() {
        let _ = out.write_all(harmless(line).as_bytes()).and_then(|()| out.write_all(b"\n"));
    }
}
