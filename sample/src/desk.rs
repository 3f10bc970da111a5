//! What the sample knows: notes and calendar events, in memory.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, Duration, Utc};
use schemars::JsonSchema;
use serde::Serialize;

/// A note.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Note {
    /// Identifier, such as `note-3`.
    pub id: String,
    /// One line that says what the note is about.
    pub title: String,
    /// The text.
    pub body: String,
    /// Labels, in alphabetical order.
    pub tags: BTreeSet<String>,
    /// Archived notes are kept, but not listed unless asked for.
    pub archived: bool,
    /// When the note was last changed.
    pub updated_at: DateTime<Utc>,
}

/// Whether an event still takes place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum EventStatus {
    /// It takes place.
    Confirmed,
    /// It was called off; it stays visible in the calendar.
    Cancelled,
}

/// A calendar event.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Event {
    /// Identifier, such as `event-2`.
    pub id: String,
    /// What the event is about.
    pub title: String,
    /// Where it takes place.
    pub location: String,
    /// Longer text: agenda, links.
    pub description: String,
    /// When it starts.
    pub starts_at: DateTime<Utc>,
    /// When it ends; always after `starts_at`.
    pub ends_at: DateTime<Utc>,
    /// E-mail addresses of those invited.
    pub attendees: BTreeSet<String>,
    /// Whether it still takes place.
    pub status: EventStatus,
}

/// Everything that the server holds. Identifiers are never given out twice.
#[derive(Debug, Default)]
pub struct Contents {
    pub notes: BTreeMap<String, Note>,
    pub events: BTreeMap<String, Event>,
    last_id: u64,
}

impl Contents {
    pub fn next_id(&mut self, kind: &str) -> String {
        self.last_id += 1;
        format!("{kind}-{}", self.last_id)
    }

    pub fn note(&mut self, id: &str) -> Result<&mut Note, String> {
        self.notes.get_mut(id).ok_or_else(|| format!("there is no note {id:?}: notes_list shows what exists"))
    }

    pub fn event(&mut self, id: &str) -> Result<&mut Event, String> {
        self.events
            .get_mut(id)
            .ok_or_else(|| format!("there is no event {id:?}: calendar_list_events shows what exists"))
    }

    fn add_note(&mut self, title: &str, body: &str, tags: &[&str], at: DateTime<Utc>) {
        let id = self.next_id("note");
        let note = Note {
            id: id.clone(),
            title: title.into(),
            body: body.into(),
            tags: tags.iter().map(ToString::to_string).collect(),
            archived: false,
            updated_at: at,
        };
        self.notes.insert(id, note);
    }

    fn add_event(&mut self, title: &str, location: &str, starts_at: DateTime<Utc>, minutes: i64) {
        let id = self.next_id("event");
        let event = Event {
            id: id.clone(),
            title: title.into(),
            location: location.into(),
            description: String::new(),
            starts_at,
            ends_at: starts_at + Duration::minutes(minutes),
            attendees: ["ada@example.com".to_owned(), "grace@example.com".to_owned()].into(),
            status: EventStatus::Confirmed,
        };
        self.events.insert(id, event);
    }
}

/// The contents behind a lock that is never held across an await.
#[derive(Debug, Default)]
pub struct Desk(Mutex<Contents>);

impl Desk {
    /// A desk with a few notes and a few events around `now`.
    pub fn with_starting_content(now: DateTime<Utc>) -> Self {
        let mut contents = Contents::default();
        contents.add_note("Shopping list", "Milk\nBread\nTwo lemons", &["home"], now - Duration::days(3));
        contents.add_note(
            "Release plan",
            "Freeze on Monday, candidate on Wednesday, release on Friday.",
            &["release", "work"],
            now - Duration::days(1),
        );
        contents.add_note(
            "Door code",
            "The code of the office door is with the reception.",
            &["work"],
            now - Duration::hours(2),
        );
        contents.add_event("Retrospective", "Room 2", now - Duration::days(2), 60);
        contents.add_event("Stand-up", "Room 1", now + Duration::hours(18), 15);
        contents.add_event("Release review", "Room 2", now + Duration::days(2), 45);
        Self(Mutex::new(contents))
    }

    /// The contents, locked.
    pub fn open(&self) -> MutexGuard<'_, Contents> {
        // No invariant spans two statements of a holder, so what a panicking one left is usable.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
