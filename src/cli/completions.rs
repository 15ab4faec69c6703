//! `doorward completions`: what a shell needs to complete this program's command lines.

use std::io::{ErrorKind, Write as _};

use clap_complete::Shell;

use super::{Exit, Outcome};
use crate::error::{Code, Failure};

/// Print what a shell needs to complete these command lines
#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// The shell
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

/// Prints the completions of `command`, the whole command line of this program.
///
/// # Errors
/// [`Code::Io`] when standard output cannot be written; a reader that has gone away is no error.
pub(super) fn run(args: Args, command: clap::Command) -> Outcome {
    let script = script(args.shell, command);
    let mut out = std::io::stdout().lock();
    match out.write_all(&script).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Failure::new(Code::Io, "standard output cannot be written").because(error))
        }
        Ok(()) | Err(_) => Ok(Exit::Done),
    }
}

fn script(shell: Shell, mut command: clap::Command) -> Vec<u8> {
    let name = command.get_name().to_owned();
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command, name, &mut script);
    script
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::{Args as _, ValueEnum as _};

    #[test]
    fn every_shell_learns_every_word() {
        let connect = crate::cli::connect::Args::augment_args(clap::Command::new("connect"));
        let command = clap::Command::new("doorward").subcommand(connect);
        for shell in Shell::value_variants() {
            let script = String::from_utf8(script(*shell, command.clone())).unwrap();
            for word in ["doorward", "connect", "token-command"] {
                assert!(script.contains(word), "{shell} does not know {word}");
            }
        }
    }
}
