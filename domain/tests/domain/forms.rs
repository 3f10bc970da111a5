//! Every event's stored form of every release still loads, and is written as it was read.
//!
//! `tests/events/v<version>/<kind>.<EventType>[.<what is special>].json` holds the exact text of a
//! payload, without a line feed at its end. A released file is never changed; a new form gets a new
//! version.
#![expect(clippy::disallowed_methods, reason = "fixtures are files; the crate itself reads none")]

use std::collections::BTreeSet;
use std::fs;

use proctor_domain::session::{Refusal, SessionEvent};
use proctor_domain::{Event, UnreadableEvent};

const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/events");

struct Fixture {
    file: String,
    kind: String,
    event_type: String,
    version: String,
    payload: String,
}

impl Fixture {
    fn read(&self) -> Event {
        Event::read(&self.kind, &self.event_type, &self.version, &self.payload)
            .unwrap_or_else(|err| panic!("{}: {err:?}", self.file))
    }
}

fn fixtures() -> Vec<Fixture> {
    let folders = fs::read_dir(FIXTURES).unwrap().map(|folder| folder.unwrap().path());
    let files = folders.flat_map(|folder| fs::read_dir(folder).unwrap()).map(|file| file.unwrap().path());
    files
        .map(|path| {
            let file = path.file_name().unwrap().to_str().unwrap().to_owned();
            let folder = path.parent().unwrap().file_name().unwrap().to_str().unwrap();
            let mut parts = file.split('.').map(str::to_owned);
            Fixture {
                kind: parts.next().unwrap(),
                event_type: parts.next().unwrap(),
                version: folder.strip_prefix('v').unwrap().to_owned(),
                payload: fs::read_to_string(&path).unwrap(),
                file,
            }
        })
        .collect()
}

#[test]
fn every_stored_form_is_read_and_written_back_byte_for_byte() {
    for fixture in fixtures() {
        let event = fixture.read();
        assert_eq!(event.kind(), fixture.kind, "{}", fixture.file);
        assert_eq!(event.type_name(), fixture.event_type, "{}", fixture.file);
        assert_eq!(event.payload().unwrap(), fixture.payload, "{}", fixture.file);
    }
}

#[test]
fn every_form_that_the_program_writes_has_a_fixture() {
    let have: BTreeSet<_> =
        fixtures().into_iter().map(|fixture| (fixture.kind, fixture.event_type, fixture.version)).collect();
    for (kind, forms) in Event::FORMS {
        for (event_type, version) in *forms {
            let form = ((*kind).to_owned(), (*event_type).to_owned(), (*version).to_owned());
            assert!(have.contains(&form), "write tests/events/v{version}/{kind}.{event_type}.json");
        }
    }
}

#[test]
fn a_kind_is_known_by_its_text() {
    for (kind, _) in Event::FORMS {
        assert_eq!(Event::kind_named(kind), Some(*kind));
    }
    assert_eq!(Event::kind_named("ghost"), None);
}

#[test]
fn the_code_of_a_refusal_is_its_stored_text() {
    let mut seen = BTreeSet::new();
    for fixture in fixtures() {
        if let Event::Session(SessionEvent::ToolCallRefused { reason, .. }) = fixture.read() {
            assert_eq!(serde_json::to_string(&reason).unwrap(), format!("\"{}\"", reason.code()));
            seen.insert(reason);
        }
    }
    assert_eq!(seen.len(), 22, "each reason has a fixture: {seen:?}");
    assert!(seen.contains(&Refusal::ArgumentsRefused));
}

#[test]
fn an_event_of_an_unknown_kind_type_or_version_is_not_read() {
    let payload = r#"{"SubjectRegistered":{"by":{"key":"k"}}}"#;
    let kind = Event::read("ghost", "SubjectRegistered", "1", payload).unwrap_err();
    assert!(matches!(kind, UnreadableEvent::Kind(ref name) if name == "ghost"), "{kind:?}");
    let other = Event::read("subject", "SubjectPromoted", "1", payload).unwrap_err();
    assert!(matches!(other, UnreadableEvent::Form { ref event_type, .. } if event_type == "SubjectPromoted"));
    let newer = Event::read("subject", "SubjectRegistered", "2", payload).unwrap_err();
    assert!(matches!(newer, UnreadableEvent::Form { ref version, .. } if version == "2"), "{newer:?}");
    assert!(newer.to_string().contains("subject/SubjectRegistered of version 2"), "{newer}");
}

#[test]
fn a_payload_of_another_type_than_its_row_says_is_not_read() {
    let payload = r#"{"SubjectUnblocked":{"by":{"key":"k"}}}"#;
    assert!(Event::read("subject", "SubjectUnblocked", "1", payload).is_ok());
    let err = Event::read("subject", "SubjectRegistered", "1", payload).unwrap_err();
    assert!(matches!(err, UnreadableEvent::Payload { .. }), "{err:?}");
}

#[test]
fn a_payload_that_is_cut_short_or_has_bytes_after_it_is_not_read() {
    for fixture in fixtures() {
        let read = |payload: &str| Event::read(&fixture.kind, &fixture.event_type, &fixture.version, payload);
        let mut short = fixture.payload.clone();
        short.pop();
        assert!(read(&short).is_err(), "{}", fixture.file);
        assert!(read(&format!("{}x", fixture.payload)).is_err(), "{}", fixture.file);
    }
}
