//! `proctor completions`: what a shell needs to complete this command.

use clap::CommandFactory as _;
use clap_complete::Shell;

pub(super) const HELP: &str = "\
Example:
  proctor completions bash > ~/.local/share/bash-completion/completions/proctor";

pub(super) fn run(shell: Shell) {
    clap_complete::generate(shell, &mut super::Command::command(), "proctor", &mut std::io::stdout());
}
