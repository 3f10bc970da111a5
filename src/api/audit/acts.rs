//! `GET /audit/acts`: one row per administrative act, newest first.

use std::collections::BTreeMap;

use actix_web::{HttpResponse, web};
use proctor_domain::{Position, SubjectId};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use super::super::answer;
use super::super::caller::Caller;
use super::super::filters;
use super::super::openapi::words;
use super::super::opened::Opener;
use super::super::page::{self, given};
use super::super::problem::Problem;
use super::super::time;
use super::on_the_record;
use crate::proctor::Proctor;
use crate::views::{ActFilter, ActRow};

const LIST: &str = "acts";

/// What the list is filtered by.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct Query {
    user: Option<String>,
    /// The identifier of the key or process that did it.
    by: Option<String>,
    /// The event's type, such as `ConnectionRegistered`.
    #[serde(rename = "type")]
    kind: Option<String>,
    /// What was acted on, such as `connection`.
    object_kind: Option<String>,
    object_id: Option<String>,
    /// Recorded at this time or later.
    #[param(format = DateTime)]
    from: Option<String>,
    /// Recorded before this time.
    #[param(format = DateTime)]
    to: Option<String>,
    /// How many items the page has at most: 50 when nothing is said.
    #[param(value_type = Option<u16>, minimum = 1, maximum = 500)]
    limit: Option<String>,
    /// `next_cursor` of the page before, as it is.
    cursor: Option<String>,
}

/// An administrative act.
#[derive(Serialize, ToSchema)]
#[schema(as = Act)]
pub(super) struct Shown<'a> {
    #[schema(value_type = u64)]
    position: Position,
    #[schema(format = DateTime)]
    at: String,
    /// The event's type.
    #[serde(rename = "type")]
    kind: String,
    /// Who did it.
    #[schema(value_type = Option<words::By>)]
    by: Option<BTreeMap<&'a str, &'a str>>,
    object: ActObject<'a>,
    /// The user that it was about, as your product knows them.
    user: Option<String>,
    #[schema(value_type = Option<String>)]
    subject: Option<&'a SubjectId>,
    reason: Option<&'a str>,
    /// What else the event says.
    #[schema(value_type = Object)]
    details: Value,
}

/// What was acted on.
#[derive(Serialize, ToSchema)]
struct ActObject<'a> {
    kind: &'a str,
    id: &'a str,
}

pub(in crate::api) async fn acts(
    proctor: web::Data<Proctor>,
    caller: Caller,
    query: web::Query<Query>,
) -> Result<HttpResponse, Problem> {
    let limit = page::limit(query.limit.as_deref())?;
    let before: Option<Position> = page::after(&proctor, LIST, query.cursor.as_deref())?;
    let text = |parameter: &Option<String>| given(parameter.as_deref()).map(str::to_owned);
    let filter = ActFilter {
        subjects: filters::subjects(&proctor, query.user.as_deref()).await?,
        by: text(&query.by),
        kind: given(query.kind.as_deref()).map(kind_of),
        object_kind: text(&query.object_kind),
        object_id: text(&query.object_id),
        from_us: filters::at("from", query.from.as_deref())?,
        to_us: filters::at("to", query.to.as_deref())?,
    };
    let position = filters::views_at_head(&proctor).await?;
    let mut rows = proctor.views.acts(filter.clone(), before, limit + 1).await?;
    let more = rows.len() > limit;
    rows.truncate(limit);
    on_the_record(&proctor, &caller, LIST, recorded(&filter), rows.len()).await?;
    let mut opener = Opener::new(&proctor);
    let mut items = Vec::with_capacity(rows.len());
    for row in &rows {
        items.push(shown(&mut opener, row).await?);
    }
    let cursor = page::cursor(&proctor, LIST, rows.last().filter(|_| more).map(|row| row.position))?;
    Ok(answer::ok(position, &page::shown(items, cursor.as_deref(), position)))
}

async fn shown<'a>(opener: &mut Opener<'_>, row: &'a ActRow) -> Result<Shown<'a>, Problem> {
    let details: Value = serde_json::from_str(&row.details)
        .map_err(|error| Problem::internal("read an act's details", &error))?;
    let user = match &row.subject {
        Some(subject) => opener.user(subject).await?,
        None => None,
    };
    let by = row.by_kind.as_deref().zip(row.by_id.as_deref());
    Ok(Shown {
        position: row.position,
        at: time::shown(row.recorded_at),
        kind: type_of(&row.kind),
        by: by.map(|by| BTreeMap::from([by])),
        object: ActObject { kind: &row.object_kind, id: &row.object_id },
        user,
        subject: row.subject.as_ref(),
        reason: row.reason.as_deref(),
        details,
    })
}

/// The event's type, as timelines name it, of an act's kind, as the views do.
fn type_of(kind: &str) -> String {
    kind.split('_')
        .flat_map(|word| {
            let mut letters = word.chars();
            letters.next().map(|first| first.to_ascii_uppercase()).into_iter().chain(letters)
        })
        .collect()
}

/// The reverse; what is no type is no kind, and finds nothing.
fn kind_of(event_type: &str) -> String {
    let mut kind = String::with_capacity(event_type.len() + 4);
    for letter in event_type.chars() {
        if letter.is_ascii_uppercase() && !kind.is_empty() {
            kind.push('_');
        }
        kind.push(letter.to_ascii_lowercase());
    }
    kind
}

fn recorded(filter: &ActFilter) -> BTreeMap<String, String> {
    let subjects =
        |subjects: &Vec<SubjectId>| subjects.iter().map(SubjectId::as_str).collect::<Vec<_>>().join(",");
    [
        ("subject", filter.subjects.as_ref().map(subjects)),
        ("by", filter.by.clone()),
        ("type", filter.kind.as_deref().map(type_of)),
        ("object_kind", filter.object_kind.clone()),
        ("object_id", filter.object_id.clone()),
        ("from", filter.from_us.map(time::shown)),
        ("to", filter.to_us.map(time::shown)),
    ]
    .into_iter()
    .filter_map(|(name, value)| Some((name.to_owned(), value?)))
    .collect()
}

#[cfg(test)]
mod tests {
    use proctor_domain::Event;

    use super::*;

    #[test]
    fn an_act_is_called_by_its_events_type() {
        for (_, forms) in Event::FORMS {
            for (event_type, _) in *forms {
                assert_eq!(type_of(&kind_of(event_type)), *event_type);
            }
        }
        assert_eq!(kind_of("VirtualServerSessionsCut"), "virtual_server_sessions_cut");
    }
}
