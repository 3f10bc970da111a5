//! How far long work is, on standard error: one line that changes at a terminal, plain lines elsewhere.

use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

/// How often it is said.
const EVERY: Duration = Duration::from_secs(1);

/// What was said so far. The work has stages, which are told apart by `S`.
pub(super) struct Shown<S> {
    is_terminal: bool,
    stage: Option<S>,
    stage_began: Instant,
    said: Instant,
}

impl<S> Default for Shown<S> {
    fn default() -> Self {
        let now = Instant::now();
        Self { is_terminal: std::io::stderr().is_terminal(), stage: None, stage_began: now, said: now }
    }
}

impl<S: PartialEq> Shown<S> {
    /// Says the line, which may tell for how long the stage has gone on, unless one was said just now.
    pub(super) fn show(&mut self, stage: S, is_done: bool, line: impl FnOnce(Duration) -> String) {
        let now = Instant::now();
        let is_new = self.stage.as_ref() != Some(&stage);
        if is_new {
            (self.stage, self.stage_began) = (Some(stage), now);
        }
        if !is_new && !is_done && now.duration_since(self.said) < EVERY {
            return;
        }
        self.said = now;
        let line = line(now.duration_since(self.stage_began));
        // The control sequence erases what is left of a longer line.
        if self.is_terminal { eprint!("\r{line}\x1b[K") } else { eprintln!("{line}") }
    }

    pub(super) fn finish(&self) {
        if self.is_terminal && self.stage.is_some() {
            eprintln!();
        }
    }
}
