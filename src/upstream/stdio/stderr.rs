//! What children write to stderr, on its way into the log.
//!
//! **Invariants.** No value that a user brought gets there, also where it comes in pieces. What waits
//! for the end of its line is bounded.

use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};
use zeroize::Zeroizing;

/// A line is cut here.
const LINE_BYTES_MAX: usize = 2_048;
/// Stands where a user's value stood.
const REDACTED: &[u8] = b"[redacted]";

/// Takes the values that a user brought out of text.
#[derive(Default)]
pub(super) struct Redactor {
    /// Longest first, so that none that is part of another leaves the rest of that.
    secrets: Vec<Zeroizing<Vec<u8>>>,
}

impl Redactor {
    /// Looks for these values, and for each line of those that have several.
    pub fn of<'a>(values: impl IntoIterator<Item = &'a str>) -> Self {
        let lines = values.into_iter().flat_map(|value| value.split(['\r', '\n']));
        let lines = lines.map(str::trim).filter(|line| !line.is_empty());
        let mut secrets: Vec<_> = lines.map(|line| Zeroizing::new(line.as_bytes().to_vec())).collect();
        secrets.sort_unstable_by(|one, other| other.len().cmp(&one.len()).then_with(|| one.cmp(other)));
        secrets.dedup();
        Self { secrets }
    }

    fn longest(&self) -> usize {
        self.secrets.first().map_or(0, |secret| secret.len())
    }

    /// Moves what can be told of `raw` into the answer. Unless the line has ended, what may be the
    /// beginning of a value stays.
    fn take(&self, raw: &mut Zeroizing<Vec<u8>>, has_ended: bool) -> Vec<u8> {
        let whole = if has_ended { raw.len() } else { raw.len().saturating_sub(self.longest()) };
        let mut told = Vec::with_capacity(whole);
        let mut at = 0;
        while at < whole {
            match self.secrets.iter().find(|secret| raw[at..].starts_with(secret)) {
                Some(secret) => {
                    told.extend_from_slice(REDACTED);
                    at += secret.len();
                }
                None => {
                    told.push(raw[at]);
                    at += 1;
                }
            }
        }
        let rest = Zeroizing::new(raw[at..].to_vec());
        *raw = rest;
        told
    }
}

/// Hands on what comes, line by line, cut into pieces of bounded size.
pub(super) async fn log(stderr: impl AsyncRead + Unpin, redactor: Redactor, mut tell: impl FnMut(&str)) {
    let mut stderr = BufReader::with_capacity(LINE_BYTES_MAX, stderr);
    let mut raw = Zeroizing::new(Vec::new());
    let mut say = |told: Vec<u8>| {
        for piece in told.chunks(LINE_BYTES_MAX) {
            tell(String::from_utf8_lossy(piece).trim_end());
        }
    };
    loop {
        let bytes = stderr.fill_buf().await.unwrap_or_default();
        if bytes.is_empty() {
            return say(redactor.take(&mut raw, true));
        }
        let end = bytes.iter().position(|byte| *byte == b'\n');
        let taken = end.unwrap_or(bytes.len());
        raw.extend_from_slice(&bytes[..taken]);
        stderr.consume(end.map_or(taken, |end| end + 1));
        match end {
            Some(_) => say(redactor.take(&mut raw, true)),
            None if raw.len() >= LINE_BYTES_MAX + redactor.longest() => say(redactor.take(&mut raw, false)),
            None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt as _;

    use super::*;

    /// What the log is told of what is written in these pieces.
    async fn told(secrets: &[&str], pieces: &[&str]) -> Vec<String> {
        // So small that a piece is read before the next is written.
        let (mut child, stderr) = tokio::io::duplex(7);
        let (redactor, mut lines) = (Redactor::of(secrets.iter().copied()), Vec::new());
        let writing = async move {
            for piece in pieces {
                child.write_all(piece.as_bytes()).await.unwrap();
                tokio::task::yield_now().await;
            }
        };
        tokio::join!(writing, log(stderr, redactor, |line| lines.push(line.to_owned())));
        lines
    }

    #[tokio::test]
    async fn lines_are_told_as_they_are() {
        assert_eq!(
            told(&[], &["one\ntwo", " and more\r\n", "the last"]).await,
            ["one", "two and more", "the last"]
        );
        let long = "x".repeat(5_000);
        let pieces = told(&[], &[&long, "\nend\n"]).await;
        assert_eq!(pieces.concat(), long + "end");
        assert!(pieces.iter().all(|piece| piece.len() <= LINE_BYTES_MAX));
    }

    #[tokio::test]
    async fn no_value_of_a_user_is_told_wherever_it_is_cut() {
        let secret = "canary-0123456789";
        for at in 0..secret.len() {
            let (head, tail) = secret.split_at(at);
            let lines = told(&[secret], &["key=", head, tail, " is wrong\n"]).await;
            assert_eq!(lines, ["key=[redacted] is wrong"]);
        }
        for before in [0, 1, 2_000, 2_040, 2_048, 4_090] {
            let line = format!("{}{secret}{secret}{}", "x".repeat(before), "y".repeat(3_000));
            let all = told(&[secret], &[&line]).await.concat();
            assert!(!all.contains("canary") && !all.contains("789"), "after {before}");
            assert_eq!(all.len(), before + 2 * REDACTED.len() + 3_000);
        }
    }

    #[tokio::test]
    async fn a_value_that_is_part_of_another_leaves_nothing_of_that() {
        let lines = told(&["abc", "abcdef", "line one\nline two\n"], &["abcdef abc line two\n"]).await;
        assert_eq!(lines, ["[redacted] [redacted] [redacted]"]);
    }
}
