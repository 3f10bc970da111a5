//! The Merkle leaf of an event: what a checkpoint signs of it.
//!
//! A leaf is SHA-256 over the byte 0x00 (RFC 6962, section 2.1: leaves and nodes differ in their
//! first byte) and these fields, in this order, each as a 4-byte big-endian length and its bytes:
//!
//! | field | bytes |
//! |---|---|
//! | format | one byte: [`FORMAT`] |
//! | position | 8 bytes, big-endian |
//! | event_id | UTF-8 |
//! | aggregate_type | UTF-8 |
//! | aggregate_id | UTF-8 |
//! | sequence | 8 bytes, big-endian |
//! | event_type | UTF-8 |
//! | event_version | UTF-8 |
//! | recorded_at | 8 bytes, big-endian, two's complement: microseconds since the epoch, UTC |
//! | payload | the exact stored bytes |
//! | metadata | the exact stored bytes |
//!
//! `tests/leaf_vectors.py` computes the same without this code.
//!
//! **Invariants.** Fixed from the first release: a change of any kind is a new [`FORMAT`], and
//! events recorded before keep the old one.

use sha2::{Digest, Sha256};

use crate::Recorded;

/// The format that this program writes and reads.
pub const FORMAT: u8 = 1;

/// First byte of what is hashed for a leaf (RFC 6962, section 2.1).
const LEAF: u8 = 0x00;

/// The leaf of this event.
#[must_use]
pub fn leaf_hash(recorded: &Recorded) -> [u8; 32] {
    let mut hash = Sha256::new_with_prefix([LEAF]);
    let mut field = |bytes: &[u8]| {
        let length =
            u32::try_from(bytes.len()).expect("no database that we use stores a text of 4 GiB or more");
        hash.update(length.to_be_bytes());
        hash.update(bytes);
    };
    field(&[FORMAT]);
    field(&recorded.place.position.0.to_be_bytes());
    field(recorded.event_id.as_bytes());
    field(recorded.stream.kind.as_bytes());
    field(recorded.stream.id.as_bytes());
    field(&recorded.sequence.to_be_bytes());
    field(recorded.event.type_name().as_bytes());
    field(recorded.event.version_name().as_bytes());
    field(&recorded.place.recorded_at.0.to_be_bytes());
    field(recorded.payload.as_bytes());
    field(recorded.metadata.as_bytes());
    hash.finalize().into()
}
