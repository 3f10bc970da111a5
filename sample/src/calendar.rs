//! The tools that work on the calendar.

use std::collections::BTreeSet;

use chrono::{DateTime, Duration, Utc};
use rmcp::handler::server::wrapper::{Json, Parameters};
use rmcp::{tool, tool_router};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::desk::{Event, EventStatus};
use crate::server::Sample;

/// More free slots than this help nobody to choose.
const FREE_SLOTS_MAX: usize = 20;

#[derive(Deserialize, JsonSchema)]
struct ListEvents {
    /// Only events that end after this time.
    from: Option<DateTime<Utc>>,
    /// Only events that start before this time.
    to: Option<DateTime<Utc>>,
    /// Also list cancelled events.
    #[serde(default)]
    include_cancelled: bool,
}

#[derive(Deserialize, JsonSchema)]
struct EventId {
    /// Identifier of the event, such as `event-5`.
    id: String,
}

#[derive(Deserialize, JsonSchema)]
struct NewEvent {
    /// What the event is about.
    title: String,
    /// When it starts.
    starts_at: DateTime<Utc>,
    /// When it ends; must be after `starts_at`.
    ends_at: DateTime<Utc>,
    /// Where it takes place.
    #[serde(default)]
    location: String,
    /// Longer text: agenda, links.
    #[serde(default)]
    description: String,
    /// E-mail addresses of those invited.
    #[serde(default)]
    attendees: BTreeSet<String>,
}

#[derive(Deserialize, JsonSchema)]
struct EventMove {
    /// Identifier of the event, such as `event-5`.
    id: String,
    /// The new start; the event keeps its length.
    starts_at: DateTime<Utc>,
}

#[derive(Deserialize, JsonSchema)]
struct EventUpdate {
    /// Identifier of the event, such as `event-5`.
    id: String,
    /// New title; absent: unchanged.
    title: Option<String>,
    /// New place; absent: unchanged.
    location: Option<String>,
    /// New description; absent: unchanged.
    description: Option<String>,
}

#[derive(Deserialize, JsonSchema)]
struct Invitation {
    /// Identifier of the event, such as `event-5`.
    id: String,
    /// E-mail address of the person to invite.
    email: String,
}

#[derive(Deserialize, JsonSchema)]
struct WantedSlots {
    /// Start of the time to look at.
    from: DateTime<Utc>,
    /// End of the time to look at.
    to: DateTime<Utc>,
    /// Shortest useful slot, in minutes.
    #[schemars(range(min = 1, max = 1440))]
    minutes: u16,
}

#[derive(Deserialize, JsonSchema)]
struct PurgeBefore {
    /// Delete events that ended before this time; absent: before now.
    before: Option<DateTime<Utc>>,
}

#[derive(Serialize, JsonSchema)]
struct EventList {
    events: Vec<Event>,
}

#[derive(Serialize, JsonSchema)]
struct Slot {
    starts_at: DateTime<Utc>,
    ends_at: DateTime<Utc>,
}

#[derive(Serialize, JsonSchema)]
struct SlotList {
    slots: Vec<Slot>,
}

#[derive(Serialize, JsonSchema)]
struct DeletedEvents {
    deleted: Vec<String>,
}

#[tool_router(router = calendar_tools, vis = "pub(crate)")]
impl Sample {
    /// List events in the order in which they start.
    #[tool(annotations(title = "List events", read_only_hint = true, open_world_hint = false))]
    fn calendar_list_events(&self, Parameters(wanted): Parameters<ListEvents>) -> Json<EventList> {
        let desk = self.desk.open();
        let mut events: Vec<Event> = desk
            .events
            .values()
            .filter(|event| wanted.include_cancelled || event.status == EventStatus::Confirmed)
            .filter(|event| wanted.from.is_none_or(|from| event.ends_at > from))
            .filter(|event| wanted.to.is_none_or(|to| event.starts_at < to))
            .cloned()
            .collect();
        events.sort_by_key(|event| event.starts_at);
        Json(EventList { events })
    }

    /// Show one event with its attendees.
    #[tool(annotations(title = "Get event", read_only_hint = true, open_world_hint = false))]
    fn calendar_get_event(&self, Parameters(wanted): Parameters<EventId>) -> Result<Json<Event>, String> {
        Ok(Json(self.desk.open().event(&wanted.id)?.clone()))
    }

    /// Find stretches of time without any event, earliest first.
    #[tool(annotations(title = "Free slots", read_only_hint = true, open_world_hint = false))]
    fn calendar_free_slots(&self, Parameters(wanted): Parameters<WantedSlots>) -> Json<SlotList> {
        let desk = self.desk.open();
        let mut busy: Vec<(DateTime<Utc>, DateTime<Utc>)> = desk
            .events
            .values()
            .filter(|event| event.status == EventStatus::Confirmed)
            .filter(|event| event.starts_at < wanted.to)
            .map(|event| (event.starts_at, event.ends_at))
            .collect();
        busy.sort_unstable();
        busy.push((wanted.to, wanted.to));

        let shortest = Duration::minutes(wanted.minutes.into());
        let mut slots = Vec::new();
        let mut free_from = wanted.from;
        for (starts_at, ends_at) in busy {
            if starts_at - free_from >= shortest && slots.len() < FREE_SLOTS_MAX {
                slots.push(Slot { starts_at: free_from, ends_at: starts_at });
            }
            free_from = free_from.max(ends_at);
        }
        Json(SlotList { slots })
    }

    /// Put a new event into the calendar and return it with its identifier.
    #[tool(annotations(
        title = "Create event",
        read_only_hint = false,
        destructive_hint = false,
        idempotent_hint = false,
        open_world_hint = false
    ))]
    fn calendar_create_event(&self, Parameters(new): Parameters<NewEvent>) -> Result<Json<Event>, String> {
        if new.ends_at <= new.starts_at {
            return Err("the event would end before it starts: ends_at must be after starts_at".into());
        }
        let mut desk = self.desk.open();
        let event = Event {
            id: desk.next_id("event"),
            title: new.title,
            location: new.location,
            description: new.description,
            starts_at: new.starts_at,
            ends_at: new.ends_at,
            attendees: new.attendees,
            status: EventStatus::Confirmed,
        };
        desk.events.insert(event.id.clone(), event.clone());
        Ok(Json(event))
    }

    /// Move an event to another time. It keeps its length.
    #[tool(annotations(
        title = "Move event",
        read_only_hint = false,
        destructive_hint = false,
        idempotent_hint = true,
        open_world_hint = false
    ))]
    fn calendar_move_event(&self, Parameters(new): Parameters<EventMove>) -> Result<Json<Event>, String> {
        let mut desk = self.desk.open();
        let event = desk.event(&new.id)?;
        event.ends_at = new
            .starts_at
            .checked_add_signed(event.ends_at - event.starts_at)
            .ok_or("the event would end after the last date that the calendar knows")?;
        event.starts_at = new.starts_at;
        Ok(Json(event.clone()))
    }

    /// Change the title, the place or the description of an event. The old text is lost.
    #[tool(annotations(
        title = "Update event",
        read_only_hint = false,
        destructive_hint = true,
        idempotent_hint = true,
        open_world_hint = false
    ))]
    fn calendar_update_event(&self, Parameters(new): Parameters<EventUpdate>) -> Result<Json<Event>, String> {
        self.change_event(&new.id, |event| {
            event.title = new.title.unwrap_or(std::mem::take(&mut event.title));
            event.location = new.location.unwrap_or(std::mem::take(&mut event.location));
            event.description = new.description.unwrap_or(std::mem::take(&mut event.description));
        })
    }

    /// Invite a person to an event by e-mail address.
    #[tool(annotations(
        title = "Invite to event",
        read_only_hint = false,
        destructive_hint = false,
        idempotent_hint = true,
        open_world_hint = true
    ))]
    fn calendar_invite(&self, Parameters(new): Parameters<Invitation>) -> Result<Json<Event>, String> {
        if !new.email.contains('@') {
            return Err(format!("{:?} is not an e-mail address: it has no @", new.email));
        }
        self.change_event(&new.id, |event| {
            event.attendees.insert(new.email);
        })
    }

    /// Call an event off. It stays in the calendar, marked as cancelled, and attendees are told.
    #[tool(annotations(
        title = "Cancel event",
        read_only_hint = false,
        destructive_hint = true,
        idempotent_hint = true,
        open_world_hint = true
    ))]
    fn calendar_cancel_event(&self, Parameters(wanted): Parameters<EventId>) -> Result<Json<Event>, String> {
        self.change_event(&wanted.id, |event| event.status = EventStatus::Cancelled)
    }

    /// Delete an event for good, without telling anybody. calendar_cancel_event keeps a trace.
    #[tool(annotations(
        title = "Delete event",
        read_only_hint = false,
        destructive_hint = true,
        idempotent_hint = true,
        open_world_hint = false
    ))]
    fn calendar_delete_event(
        &self,
        Parameters(wanted): Parameters<EventId>,
    ) -> Result<Json<DeletedEvents>, String> {
        let mut desk = self.desk.open();
        desk.event(&wanted.id)?;
        desk.events.remove(&wanted.id);
        Ok(Json(DeletedEvents { deleted: vec![wanted.id] }))
    }

    /// Delete all events that are over. They cannot be brought back.
    #[tool(annotations(
        title = "Purge past events",
        read_only_hint = false,
        destructive_hint = true,
        idempotent_hint = true,
        open_world_hint = false
    ))]
    fn calendar_purge_past(&self, Parameters(wanted): Parameters<PurgeBefore>) -> Json<DeletedEvents> {
        let before = wanted.before.unwrap_or_else(Utc::now);
        let mut desk = self.desk.open();
        let gone = desk.events.extract_if(.., |_, event| event.ends_at < before);
        let deleted = gone.map(|(id, _)| id).collect();
        Json(DeletedEvents { deleted })
    }
}

impl Sample {
    fn change_event(&self, id: &str, change: impl FnOnce(&mut Event)) -> Result<Json<Event>, String> {
        let mut desk = self.desk.open();
        let event = desk.event(id)?;
        change(event);
        Ok(Json(event.clone()))
    }
}
