//! The tools that work on notes.

use std::collections::BTreeSet;

use chrono::Utc;
use rmcp::handler::server::wrapper::{Json, Parameters};
use rmcp::{tool, tool_router};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::desk::Note;
use crate::server::Sample;

#[derive(Deserialize, JsonSchema)]
struct ListNotes {
    /// Only notes with this tag.
    tag: Option<String>,
    /// Also list archived notes.
    #[serde(default)]
    include_archived: bool,
}

#[derive(Deserialize, JsonSchema)]
struct SearchNotes {
    /// Words to look for in titles and texts; upper and lower case are the same.
    query: String,
}

#[derive(Deserialize, JsonSchema)]
struct NoteId {
    /// Identifier of the note, such as `note-2`.
    id: String,
}

#[derive(Deserialize, JsonSchema)]
struct NewNote {
    /// One line that says what the note is about.
    title: String,
    /// The text.
    body: String,
    /// Labels.
    #[serde(default)]
    tags: BTreeSet<String>,
}

#[derive(Deserialize, JsonSchema)]
struct NoteUpdate {
    /// Identifier of the note, such as `note-2`.
    id: String,
    /// New title; absent: unchanged.
    title: Option<String>,
    /// New text, in place of the old one; absent: unchanged.
    body: Option<String>,
}

#[derive(Deserialize, JsonSchema)]
struct NoteAppendix {
    /// Identifier of the note, such as `note-2`.
    id: String,
    /// Text to add on a line of its own.
    text: String,
}

#[derive(Deserialize, JsonSchema)]
struct NoteTag {
    /// Identifier of the note, such as `note-2`.
    id: String,
    /// The label.
    tag: String,
}

#[derive(Serialize, JsonSchema)]
struct NoteSummary {
    id: String,
    title: String,
    tags: BTreeSet<String>,
    archived: bool,
}

#[derive(Serialize, JsonSchema)]
struct NoteList {
    notes: Vec<NoteSummary>,
}

#[derive(Serialize, JsonSchema)]
struct DeletedNote {
    deleted: String,
}

fn summary(note: &Note) -> NoteSummary {
    NoteSummary {
        id: note.id.clone(),
        title: note.title.clone(),
        tags: note.tags.clone(),
        archived: note.archived,
    }
}

#[tool_router(router = notes_tools, vis = "pub(crate)")]
impl Sample {
    /// List notes: identifier, title and tags, without their text.
    #[tool(annotations(title = "List notes", read_only_hint = true, open_world_hint = false))]
    fn notes_list(&self, Parameters(wanted): Parameters<ListNotes>) -> Json<NoteList> {
        let desk = self.desk.open();
        let notes = desk
            .notes
            .values()
            .filter(|note| wanted.include_archived || !note.archived)
            .filter(|note| wanted.tag.as_ref().is_none_or(|tag| note.tags.contains(tag)))
            .map(summary)
            .collect();
        Json(NoteList { notes })
    }

    /// Find notes whose title or text contains all the given words. Archived notes are searched too.
    #[tool(annotations(title = "Search notes", read_only_hint = true, open_world_hint = false))]
    fn notes_search(&self, Parameters(wanted): Parameters<SearchNotes>) -> Json<NoteList> {
        let words: Vec<String> = wanted.query.split_whitespace().map(str::to_lowercase).collect();
        let desk = self.desk.open();
        let notes = desk
            .notes
            .values()
            .filter(|note| {
                let text = format!("{}\n{}", note.title, note.body).to_lowercase();
                words.iter().all(|word| text.contains(word))
            })
            .map(summary)
            .collect();
        Json(NoteList { notes })
    }

    /// Read one note with its whole text.
    #[tool(annotations(title = "Read note", read_only_hint = true, open_world_hint = false))]
    fn notes_read(&self, Parameters(wanted): Parameters<NoteId>) -> Result<Json<Note>, String> {
        Ok(Json(self.desk.open().note(&wanted.id)?.clone()))
    }

    /// Write a new note and return it with its identifier.
    #[tool(annotations(
        title = "Create note",
        read_only_hint = false,
        destructive_hint = false,
        idempotent_hint = false,
        open_world_hint = false
    ))]
    fn notes_create(&self, Parameters(new): Parameters<NewNote>) -> Json<Note> {
        let mut desk = self.desk.open();
        let note = Note {
            id: desk.next_id("note"),
            title: new.title,
            body: new.body,
            tags: new.tags,
            archived: false,
            updated_at: Utc::now(),
        };
        desk.notes.insert(note.id.clone(), note.clone());
        Json(note)
    }

    /// Replace the title or the text of a note. The old text is lost.
    #[tool(annotations(
        title = "Update note",
        read_only_hint = false,
        destructive_hint = true,
        idempotent_hint = true,
        open_world_hint = false
    ))]
    fn notes_update(&self, Parameters(new): Parameters<NoteUpdate>) -> Result<Json<Note>, String> {
        self.change_note(&new.id, |note| {
            note.title = new.title.unwrap_or(std::mem::take(&mut note.title));
            note.body = new.body.unwrap_or(std::mem::take(&mut note.body));
        })
    }

    /// Add a line of text at the end of a note.
    #[tool(annotations(
        title = "Append to note",
        read_only_hint = false,
        destructive_hint = false,
        idempotent_hint = false,
        open_world_hint = false
    ))]
    fn notes_append(&self, Parameters(new): Parameters<NoteAppendix>) -> Result<Json<Note>, String> {
        self.change_note(&new.id, |note| {
            note.body.push('\n');
            note.body.push_str(&new.text);
        })
    }

    /// Put a tag on a note. A tag that is there already stays as it is.
    #[tool(annotations(
        title = "Tag note",
        read_only_hint = false,
        destructive_hint = false,
        idempotent_hint = true,
        open_world_hint = false
    ))]
    fn notes_tag(&self, Parameters(new): Parameters<NoteTag>) -> Result<Json<Note>, String> {
        self.change_note(&new.id, |note| {
            note.tags.insert(new.tag);
        })
    }

    /// Take a tag off a note.
    #[tool(annotations(
        title = "Untag note",
        read_only_hint = false,
        destructive_hint = false,
        idempotent_hint = true,
        open_world_hint = false
    ))]
    fn notes_untag(&self, Parameters(old): Parameters<NoteTag>) -> Result<Json<Note>, String> {
        self.change_note(&old.id, |note| {
            note.tags.remove(&old.tag);
        })
    }

    /// Archive a note: it is kept and can be searched and read, but is no longer listed.
    #[tool(annotations(
        title = "Archive note",
        read_only_hint = false,
        destructive_hint = false,
        idempotent_hint = true,
        open_world_hint = false
    ))]
    fn notes_archive(&self, Parameters(wanted): Parameters<NoteId>) -> Result<Json<Note>, String> {
        self.change_note(&wanted.id, |note| note.archived = true)
    }

    /// Delete a note for good. It cannot be brought back; notes_archive only hides it.
    #[tool(annotations(
        title = "Delete note",
        read_only_hint = false,
        destructive_hint = true,
        idempotent_hint = true,
        open_world_hint = false
    ))]
    fn notes_delete(&self, Parameters(wanted): Parameters<NoteId>) -> Result<Json<DeletedNote>, String> {
        let mut desk = self.desk.open();
        desk.note(&wanted.id)?;
        desk.notes.remove(&wanted.id);
        Ok(Json(DeletedNote { deleted: wanted.id }))
    }
}

impl Sample {
    fn change_note(&self, id: &str, change: impl FnOnce(&mut Note)) -> Result<Json<Note>, String> {
        let mut desk = self.desk.open();
        let note = desk.note(id)?;
        change(note);
        note.updated_at = Utc::now();
        Ok(Json(note.clone()))
    }
}
