//! `GET /audit/tool-calls`: one row per tool call, newest first.

use std::collections::BTreeMap;

use actix_web::{HttpResponse, web};
use proctor_domain::virtual_server::Method;
use proctor_domain::{Position, SessionId, SubjectId};
use serde::Deserialize;
use utoipa::IntoParams;

use super::super::answer;
use super::super::caller::Caller;
use super::super::filters;
use super::super::openapi::words;
use super::super::opened::{Opener, unreadable};
use super::super::page::{self, given};
use super::super::problem::Problem;
use super::{on_the_record, shown};
use crate::payload::Asked;
use crate::proctor::Proctor;
use crate::views::{CallOutcome, ToolCallFilter, ToolCallRow};

const LIST: &str = "tool-calls";

/// What the list is filtered by.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct Query {
    user: Option<String>,
    session: Option<String>,
    /// A label, written as `key:value`.
    label: Option<String>,
    virtual_server: Option<String>,
    connection: Option<String>,
    #[param(value_type = Option<words::Method>, inline)]
    method: Option<String>,
    tool: Option<String>,
    #[param(value_type = Option<words::Outcome>, inline)]
    outcome: Option<String>,
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

pub(in crate::api) async fn tool_calls(
    proctor: web::Data<Proctor>,
    caller: Caller,
    query: web::Query<Query>,
) -> Result<HttpResponse, Problem> {
    let limit = page::limit(query.limit.as_deref())?;
    let before: Option<Position> = page::after(&proctor, LIST, query.cursor.as_deref())?;
    let text = |parameter: &Option<String>| given(parameter.as_deref()).map(str::to_owned);
    let filter = ToolCallFilter {
        subjects: filters::subjects(&proctor, query.user.as_deref()).await?,
        session: text(&query.session).map(SessionId::from),
        label_index: None,
        virtual_server: text(&query.virtual_server),
        connection: text(&query.connection),
        method: method(query.method.as_deref())?,
        tool: text(&query.tool),
        outcome: outcome(query.outcome.as_deref())?,
        from_us: filters::at("from", query.from.as_deref())?,
        to_us: filters::at("to", query.to.as_deref())?,
    };
    let position = filters::views_at_head(&proctor).await?;
    let labels = filters::label_indexes(&proctor, query.label.as_deref()).await?;
    let read = |label_index| {
        proctor.views.tool_calls(ToolCallFilter { label_index, ..filter.clone() }, before, limit + 1)
    };
    let position_of = |row: &ToolCallRow| row.position;
    let mut rows = filters::with_any_label(&labels, limit + 1, position_of, read).await?;
    let more = rows.len() > limit;
    rows.truncate(limit);
    let filter = ToolCallFilter { label_index: labels.into_iter().next().flatten(), ..filter };
    on_the_record(&proctor, &caller, LIST, recorded(&filter), rows.len()).await?;
    let mut opener = Opener::new(&proctor);
    let mut items = Vec::with_capacity(rows.len());
    for row in &rows {
        let bytes = opener.payload(row.session.as_str(), &row.subject, row.position).await?;
        let asked = bytes.as_deref().map(Asked::read).transpose().map_err(unreadable)?;
        items.push(shown(&mut opener, row, asked.as_ref()).await?);
    }
    let cursor = page::cursor(&proctor, LIST, rows.last().filter(|_| more).map(|row| row.position))?;
    Ok(answer::ok(position, &page::shown(items, cursor.as_deref(), position)))
}

fn outcome(text: Option<&str>) -> Result<Option<CallOutcome>, Problem> {
    let Some(text) = given(text) else { return Ok(None) };
    CallOutcome::from_code(text).map(Some).ok_or_else(|| {
        let known: Vec<_> = CallOutcome::ALL.iter().map(|outcome| outcome.code()).collect();
        filters::wrong(format!("outcome is {text:?}: choose one of {}", known.join(", ")))
    })
}

fn method(text: Option<&str>) -> Result<Option<Method>, Problem> {
    let Some(text) = given(text) else { return Ok(None) };
    Method::named(text).map(Some).ok_or_else(|| {
        let known = Method::ALL.map(Method::name).join(", ");
        filters::wrong(format!("method is {text:?}: choose one of {known}"))
    })
}

/// The filters as they stand in the journal: nothing personal among them.
fn recorded(filter: &ToolCallFilter) -> BTreeMap<String, String> {
    let subjects =
        |subjects: &Vec<SubjectId>| subjects.iter().map(SubjectId::as_str).collect::<Vec<_>>().join(",");
    let at = |at: proctor_domain::Micros| super::time::shown(at);
    [
        ("subject", filter.subjects.as_ref().map(subjects)),
        ("session", filter.session.as_ref().map(ToString::to_string)),
        ("label", filter.label_index.clone()),
        ("virtual_server", filter.virtual_server.clone()),
        ("connection", filter.connection.clone()),
        ("method", filter.method.map(|method| method.name().to_owned())),
        ("tool", filter.tool.clone()),
        ("outcome", filter.outcome.map(|outcome| outcome.code().to_owned())),
        ("from", filter.from_us.map(at)),
        ("to", filter.to_us.map(at)),
    ]
    .into_iter()
    .filter_map(|(name, value)| Some((name.to_owned(), value?)))
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outcome_is_one_of_those_that_there_are() {
        assert_eq!(outcome(Some("refused")).unwrap(), Some(CallOutcome::Refused));
        assert_eq!(outcome(Some("")).unwrap(), None);
        assert!(outcome(Some("nonsense")).unwrap_err().detail.contains("abandoned"));
    }

    #[test]
    fn a_read_is_recorded_by_the_users_reference() {
        let filter = ToolCallFilter {
            subjects: Some(vec![SubjectId::from("sub_1")]),
            tool: Some("echo".to_owned()),
            ..ToolCallFilter::default()
        };
        let expected = [("subject", "sub_1"), ("tool", "echo")];
        let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(recorded(&filter), BTreeMap::from(expected));
    }
}
