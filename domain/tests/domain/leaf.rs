//! The leaf format, against vectors that `leaf_vectors.py` computed without our code.

use proctor_domain::leaf::leaf_hash;
use proctor_domain::{Event, Micros, Place, Position, Recorded, StreamId};
use serde::Deserialize;

const VECTORS: &str = include_str!("../leaf-vectors.json");

#[derive(Clone, Deserialize)]
struct Vector {
    why: String,
    position: u64,
    event_id: String,
    aggregate_type: String,
    aggregate_id: String,
    sequence: u64,
    event_type: String,
    event_version: String,
    recorded_at: i64,
    payload: String,
    metadata: String,
    leaf: String,
}

impl Vector {
    fn recorded(&self) -> Recorded {
        let kind = Event::kind_named(&self.aggregate_type).unwrap();
        Recorded {
            place: Place { position: Position(self.position), recorded_at: Micros(self.recorded_at) },
            event_id: self.event_id.as_str().into(),
            stream: StreamId { kind, id: self.aggregate_id.as_str().into() },
            sequence: self.sequence,
            event: Event::read(kind, &self.event_type, &self.event_version, &self.payload).unwrap(),
            payload: self.payload.as_str().into(),
            metadata: self.metadata.as_str().into(),
        }
    }
}

fn vectors() -> Vec<Vector> {
    serde_json::from_str(VECTORS).unwrap()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn leaves_equal_the_vectors_computed_elsewhere() {
    let vectors = vectors();
    assert_eq!(vectors.len(), 5);
    for vector in vectors {
        assert_eq!(hex(&leaf_hash(&vector.recorded())), vector.leaf, "{}", vector.why);
    }
}

#[test]
fn a_change_of_any_field_changes_the_leaf() {
    let recorded = vectors()[1].recorded();
    let other = vectors()[2].recorded();
    let changed = [
        Recorded { place: Place { position: Position(1), ..recorded.place }, ..recorded.clone() },
        Recorded { place: Place { recorded_at: Micros(1), ..recorded.place }, ..recorded.clone() },
        Recorded { event_id: other.event_id, ..recorded.clone() },
        Recorded {
            stream: StreamId { kind: other.stream.kind, ..recorded.stream.clone() },
            ..recorded.clone()
        },
        Recorded { stream: StreamId { id: other.stream.id, ..recorded.stream.clone() }, ..recorded.clone() },
        Recorded { sequence: 301, ..recorded.clone() },
        Recorded { event: other.event, ..recorded.clone() },
        Recorded { payload: format!("{} ", recorded.payload).into(), ..recorded.clone() },
        Recorded { metadata: "{}".into(), ..recorded.clone() },
    ];
    let mut leaves: Vec<_> = changed.iter().chain([&recorded]).map(leaf_hash).collect();
    leaves.sort_unstable();
    leaves.dedup();
    assert_eq!(leaves.len(), changed.len() + 1);
}

#[test]
fn bytes_moved_from_one_field_to_the_next_change_the_leaf() {
    let recorded = vectors()[1].recorded();
    let joined = format!("{}{}", recorded.payload, recorded.metadata);
    let (payload, metadata) = joined.split_at(recorded.payload.len() - 1);
    let moved = Recorded { payload: payload.into(), metadata: metadata.into(), ..recorded.clone() };
    assert_ne!(leaf_hash(&moved), leaf_hash(&recorded));
}
