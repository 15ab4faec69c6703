//! Arguments, command, exit status.

use std::process::ExitCode;

/// A call is many small allocations on whatever thread comes by, which the C library's allocator is slow at. Where pages may
/// be of more than one size, as on Arm, that one stays: this one is built for one size of page.
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    doorward::cli::main()
}
