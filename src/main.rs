//! Arguments, command, exit status.

use std::process::ExitCode;

fn main() -> ExitCode {
    doorward::cli::main()
}
