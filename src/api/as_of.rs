//! A moment in the past, as `at` names it: a position in the journal, or a time.

use proctor_domain::{Micros, Position};
use serde::Serialize;
use utoipa::ToSchema;

use super::filters::wrong;
use super::opened;
use super::page::given;
use super::problem::Problem;
use super::time;
use crate::actors::now;
use crate::proctor::Proctor;

/// After this event, and before the next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Moment {
    /// The last event that counts.
    pub(super) position: Position,
    /// The time then.
    pub(super) at: Micros,
}

/// The same in an answer.
#[derive(Serialize, ToSchema)]
#[schema(as = Moment)]
pub(super) struct ShownMoment {
    /// The last event that counts.
    #[schema(value_type = u64)]
    position: Position,
    #[schema(format = DateTime)]
    at: String,
}

impl Moment {
    /// The moment that is asked for, of a journal that ends at `head`.
    pub(super) async fn read(
        proctor: &Proctor,
        text: Option<&str>,
        head: Position,
    ) -> Result<Option<Self>, Problem> {
        let Some(text) = given(text) else { return Ok(None) };
        if let Ok(position) = text.parse() {
            return Self::of_position(proctor, Position(position), head).await.map(Some);
        }
        let at = time::read(text).ok_or_else(|| {
            wrong(format!(
                "at is {text:?}: write a position, or an RFC 3339 time such as 2026-11-22T00:00:00Z"
            ))
        })?;
        if at > now() {
            return Err(wrong(format!(
                "at is {}, which is still to come: name a moment in the past",
                time::shown(at)
            )));
        }
        Ok(Some(Self { position: last_until(proctor, at, head).await?, at }))
    }

    async fn of_position(proctor: &Proctor, position: Position, head: Position) -> Result<Self, Problem> {
        let there = if position > head { None } else { opened::at(proctor, position).await? };
        let event = there
            .ok_or_else(|| wrong(format!("at is position {position}: the journal goes from 1 to {head}")))?;
        Ok(Self { position, at: event.place.recorded_at })
    }

    /// The moment as an answer says it.
    pub(super) fn shown(self) -> ShownMoment {
        ShownMoment { position: self.position, at: time::shown(self.at) }
    }
}

/// The position of the last event that was recorded at this time or earlier; 0 where there is none.
async fn last_until(proctor: &Proctor, at: Micros, head: Position) -> Result<Position, Problem> {
    // Events are recorded in the order of their times.
    let (mut before, mut after) = (0, head.0 + 1);
    while before + 1 < after {
        let middle = before + (after - before) / 2;
        match opened::at(proctor, Position(middle)).await? {
            Some(event) if event.place.recorded_at <= at => before = middle,
            Some(_) | None => after = middle,
        }
    }
    Ok(Position(before))
}
