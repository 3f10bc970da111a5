//! A small reader of server-sent events, fed with bytes as they arrive.
//!
//! Follows the WHATWG's parsing rules as far as MCP uses them: `data`, `id` and `retry`; comments
//! and other fields are skipped.
//!
//! **Invariants.** One event, with all its lines, is never larger than the limit.

use std::{mem, time::Duration};

use thiserror::Error;

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// An event exceeded the limit.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("an event of the stream is larger than the limit")]
pub(super) struct EventTooLarge;

/// Takes a stream of events apart.
#[derive(Debug)]
pub(super) struct SseReader {
    line: Vec<u8>,
    data: Vec<u8>,
    has_data: bool,
    /// The bytes of the event's lines so far.
    size: usize,
    size_max: usize,
    after_cr: bool,
    first_line: bool,
    last_event_id: Option<Vec<u8>>,
    retry: Option<Duration>,
}

impl SseReader {
    pub fn new(event_bytes_max: usize) -> Self {
        Self {
            line: Vec::new(),
            data: Vec::new(),
            has_data: false,
            size: 0,
            size_max: event_bytes_max,
            after_cr: false,
            first_line: true,
            last_event_id: None,
            retry: None,
        }
    }

    /// The id of the last event that had one, with which a stream can be resumed.
    pub fn last_event_id(&self) -> Option<&[u8]> {
        self.last_event_id.as_deref()
    }

    /// How long the server wants a client to wait before it resumes.
    pub fn retry(&self) -> Option<Duration> {
        self.retry
    }

    /// Forgets a half-read event, for a stream that ended in its middle and is resumed.
    pub fn restart(&mut self) {
        *self =
            Self { last_event_id: self.last_event_id.take(), retry: self.retry, ..Self::new(self.size_max) };
    }

    /// Consumes bytes from the front of `chunk` up to the end of the next event, and gives the
    /// event's data. `None` means that the chunk is used up.
    pub fn next(&mut self, chunk: &mut &[u8]) -> Result<Option<Vec<u8>>, EventTooLarge> {
        loop {
            if self.after_cr && !chunk.is_empty() {
                self.after_cr = false;
                if chunk[0] == b'\n' {
                    *chunk = &chunk[1..];
                }
            }
            let Some(end) = chunk.iter().position(|b| matches!(b, b'\n' | b'\r')) else {
                self.grow(chunk.len())?;
                self.line.extend_from_slice(chunk);
                *chunk = &[];
                return Ok(None);
            };
            self.grow(end)?;
            self.after_cr = chunk[end] == b'\r';
            let (head, rest) = (&chunk[..end], &chunk[end + 1..]);
            *chunk = rest;
            // Most lines arrive whole: no need to gather them first.
            let event = if self.line.is_empty() {
                self.take_line(head)
            } else {
                self.line.extend_from_slice(head);
                let line = mem::take(&mut self.line);
                self.take_line(&line)
            };
            if event.is_some() {
                return Ok(event);
            }
        }
    }

    fn grow(&mut self, by: usize) -> Result<(), EventTooLarge> {
        self.size += by;
        if self.size > self.size_max {
            return Err(EventTooLarge);
        }
        Ok(())
    }

    fn take_line(&mut self, mut line: &[u8]) -> Option<Vec<u8>> {
        if mem::take(&mut self.first_line) {
            line = line.strip_prefix(BYTE_ORDER_MARK).unwrap_or(line);
        }
        if line.is_empty() {
            self.size = 0;
            let data = mem::take(&mut self.data);
            return mem::take(&mut self.has_data).then_some(data);
        }
        let (field, value) = match line.iter().position(|b| *b == b':') {
            Some(colon) => (&line[..colon], &line[colon + 1..]),
            None => (line, &[][..]),
        };
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match field {
            b"data" => {
                if mem::replace(&mut self.has_data, true) {
                    self.data.push(b'\n');
                }
                self.data.extend_from_slice(value);
            }
            b"id" if !value.contains(&0) => self.last_event_id = Some(value.to_vec()),
            b"retry" => {
                let ms = str::from_utf8(value).ok().and_then(|v| v.parse().ok());
                self.retry = ms.map(Duration::from_millis).or(self.retry);
            }
            // Comments do not add up: a stream may be kept alive for hours.
            b"" => self.size -= line.len().min(self.size),
            _ => {}
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(chunks: &[&[u8]]) -> Vec<String> {
        let mut reader = SseReader::new(1_000);
        let mut events = Vec::new();
        for chunk in chunks {
            let mut chunk = *chunk;
            while let Some(data) = reader.next(&mut chunk).unwrap() {
                events.push(String::from_utf8(data).unwrap());
            }
        }
        events
    }

    const STREAM: &[u8] = b"\xef\xbb\xbf: hello\r\n\r\nid: 7\nretry: 50\ndata:\n\nevent: message\r\n\
        data: {\"a\":\rdata: 1}\n\n:\n\ndata:x\r\n\r\ndata: \xc3\xbc\r\rignored\n\n";

    #[test]
    fn events_are_taken_apart_whatever_the_line_ends() {
        assert_eq!(read(&[STREAM]), ["", "{\"a\":\n1}", "x", "ü"]);
    }

    #[test]
    fn an_event_id_and_a_retry_time_are_remembered() {
        let mut reader = SseReader::new(1_000);
        let mut chunk = STREAM;
        while reader.next(&mut chunk).unwrap().is_some() {}
        assert_eq!(reader.last_event_id(), Some(&b"7"[..]));
        assert_eq!(reader.retry(), Some(Duration::from_millis(50)));
    }

    #[test]
    fn an_event_over_the_limit_is_refused_also_when_it_comes_in_small_pieces() {
        let mut reader = SseReader::new(100);
        let mut refused = false;
        for _ in 0..30 {
            let mut chunk = &b"data: x"[..];
            refused |= reader.next(&mut chunk).is_err();
        }
        assert!(refused);
        let mut reader = SseReader::new(100);
        let lines = b"data: x\n".repeat(30);
        assert_eq!(reader.next(&mut &lines[..]), Err(EventTooLarge));
    }

    #[test]
    fn comments_that_keep_a_stream_alive_never_reach_the_limit() {
        let mut reader = SseReader::new(100);
        for _ in 0..1_000 {
            assert_eq!(reader.next(&mut &b": ping\n"[..]), Ok(None));
        }
        assert_eq!(reader.next(&mut &b"data: x\n\n"[..]), Ok(Some(b"x".to_vec())));
    }

    proptest! {
        #[test]
        fn events_do_not_depend_on_where_the_chunks_are_cut(
            mut cuts in prop::collection::vec(0..=STREAM.len(), 0..12),
        ) {
            cuts.extend([0, STREAM.len()]);
            cuts.sort_unstable();
            let chunks: Vec<_> = cuts.windows(2).map(|w| &STREAM[w[0]..w[1]]).collect();
            prop_assert_eq!(read(&chunks), read(&[STREAM]));
        }
    }
}
