//! `GET /audit/acts`: one row per administrative act, newest first.

use std::collections::BTreeMap;

use actix_web::{HttpResponse, web};
use proctor_domain::{Position, SubjectId};
use serde::Deserialize;
use serde_json::{Value, json};

use super::super::answer;
use super::super::caller::Caller;
use super::super::filters;
use super::super::opened::Opener;
use super::super::page::{self, given};
use super::super::problem::Problem;
use super::super::time;
use super::on_the_record;
use crate::proctor::Proctor;
use crate::views::{ActFilter, ActRow};

const LIST: &str = "acts";

/// What the list is filtered by.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct Query {
    user: Option<String>,
    by: Option<String>,
    #[serde(rename = "type")]
    kind: Option<String>,
    object_kind: Option<String>,
    object_id: Option<String>,
    from: Option<String>,
    to: Option<String>,
    limit: Option<String>,
    cursor: Option<String>,
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

async fn shown(opener: &mut Opener<'_>, row: &ActRow) -> Result<Value, Problem> {
    let details: Value = serde_json::from_str(&row.details)
        .map_err(|error| Problem::internal("read an act's details", &error))?;
    let user = match &row.subject {
        Some(subject) => opener.user(subject).await?,
        None => None,
    };
    let by = row.by_kind.as_ref().zip(row.by_id.as_ref()).map(|(kind, id)| json!({ kind: id }));
    Ok(json!({
        "position": row.position,
        "at": time::shown(row.recorded_at),
        "type": type_of(&row.kind),
        "by": by,
        "object": { "kind": row.object_kind, "id": row.object_id },
        "user": user,
        "subject": row.subject,
        "reason": row.reason,
        "details": details,
    }))
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
