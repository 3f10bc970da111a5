//! How far a copy is, on standard error: one line that changes at a terminal, plain lines elsewhere.

use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

use crate::journal::copying::{Progress, Stage};

/// How often it is said.
const EVERY: Duration = Duration::from_secs(1);

/// What was said so far.
pub(super) struct Shown {
    is_terminal: bool,
    stage: Option<Stage>,
    stage_began: Instant,
    said: Instant,
}

impl Default for Shown {
    fn default() -> Self {
        let now = Instant::now();
        Self { is_terminal: std::io::stderr().is_terminal(), stage: None, stage_began: now, said: now }
    }
}

impl Shown {
    pub(super) fn show(&mut self, progress: Progress) {
        let now = Instant::now();
        let is_new = self.stage != Some(progress.stage);
        if is_new {
            (self.stage, self.stage_began) = (Some(progress.stage), now);
        }
        let is_done = progress.rows >= progress.rows_total;
        if !is_new && !is_done && now.duration_since(self.said) < EVERY {
            return;
        }
        self.said = now;
        let line = line(progress, now.duration_since(self.stage_began));
        // The control sequence erases what is left of a longer line.
        if self.is_terminal { eprint!("\r{line}\x1b[K") } else { eprintln!("{line}") }
    }

    pub(super) fn finish(&self) {
        if self.is_terminal && self.stage.is_some() {
            eprintln!();
        }
    }
}

fn line(progress: Progress, took: Duration) -> String {
    let percent = (progress.rows * 100).checked_div(progress.rows_total).unwrap_or(100).min(100);
    let stage = match progress.stage {
        Stage::Copying => "copying",
        Stage::Comparing => "comparing",
        // Of how far that is nobody hears.
        Stage::Committing => return "committing".to_owned(),
    };
    let took_ms = took.as_millis().max(1);
    let pace = u128::from(progress.events) * 1_000 / took_ms;
    format!("{stage}: {percent} %, {} events, {pace} events/s", progress.events)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_how_far_it_is_and_how_fast() {
        let progress = Progress { stage: Stage::Copying, rows: 50, rows_total: 200, events: 40 };
        assert_eq!(line(progress, Duration::from_secs(2)), "copying: 25 %, 40 events, 20 events/s");
        let nothing = Progress { stage: Stage::Comparing, rows: 0, rows_total: 0, events: 0 };
        assert_eq!(line(nothing, Duration::ZERO), "comparing: 100 %, 0 events, 0 events/s");
        let last = Progress { stage: Stage::Committing, ..progress };
        assert_eq!(line(last, Duration::from_secs(2)), "committing");
    }
}
