//! An event as the journal holds it.

use std::sync::Arc;

use crate::{Event, Place, StreamId};

/// One entry of the journal, read or just written.
#[derive(Clone, Debug, PartialEq)]
pub struct Recorded {
    /// Where and when it was recorded.
    pub place: Place,
    /// `evt_` and a UUIDv7.
    pub event_id: Arc<str>,
    /// The stream it belongs to.
    pub stream: StreamId,
    /// Its place in that stream, from 1.
    pub sequence: u64,
    /// What happened.
    pub event: Event,
    /// The exact text of its payload.
    pub payload: Box<str>,
    /// The exact text of its metadata: a JSON object of strings. `sealed` is the SHA-256, in
    /// hexadecimal, of what is sealed beside the event.
    pub metadata: Box<str>,
}
