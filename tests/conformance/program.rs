//! The product with fixtures and sessions, under a name of its own so that it cannot be taken for the product.

use std::process::ExitCode;

fn main() -> ExitCode {
    doorward::cli::main()
}
