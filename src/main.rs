//! The `proctor` command.

use std::process::ExitCode;

use tikv_jemallocator::Jemalloc;

/// A call allocates a few hundred times, and frees on other threads than it allocated on: the C
/// library's allocator took a fifth of its processor time, and gave no memory back afterwards.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

fn main() -> ExitCode {
    proctor::cli::run()
}
