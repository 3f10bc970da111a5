//! The `proctor` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    proctor::cli::run()
}
