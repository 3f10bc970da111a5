//! What lists are filtered by, as clients write it.

use std::future::Future;

use proctor_domain::{Micros, Position, SubjectId};

use super::page::given;
use super::problem::{Code, Problem};
use super::time;
use crate::proctor::Proctor;
use crate::views::{NotCaughtUp, ViewsError, WAIT_MAX};

/// Between a label's key and value; a key has neither.
pub(super) const LABEL_SEPARATORS: [char; 2] = [':', '='];

impl From<NotCaughtUp> for Problem {
    fn from(error: NotCaughtUp) -> Self {
        Self::new(Code::ViewsBehind, error.to_string())
    }
}

impl From<ViewsError> for Problem {
    fn from(error: ViewsError) -> Self {
        tracing::error!(%error, "failed to read the audit views");
        Self::new(Code::ViewsBehind, "failed to read the audit views: try again soon")
    }
}

/// The journal's head at arrival, once the views have reached it.
pub(super) async fn views_at_head(proctor: &Proctor) -> Result<Position, Problem> {
    let head = proctor.journal.confirm().await?;
    proctor.views.wait_for(head, WAIT_MAX).await?;
    Ok(head)
}

/// The references of a user; none when the user was never here.
pub(super) async fn subjects(
    proctor: &Proctor,
    user: Option<&str>,
) -> Result<Option<Vec<SubjectId>>, Problem> {
    let Some(user) = given(user) else { return Ok(None) };
    Ok(Some(proctor.keyring.subject_of(user).await?.into_iter().collect()))
}

/// The blind indexes of a label that is written as `key:value` or `key=value`: one with each key, the
/// one in force first. A single nothing when no label is asked for.
pub(super) async fn label_indexes(
    proctor: &Proctor,
    label: Option<&str>,
) -> Result<Vec<Option<String>>, Problem> {
    let Some(label) = given(label) else { return Ok(vec![None]) };
    let (key, value) = label
        .split_once(LABEL_SEPARATORS)
        .ok_or_else(|| wrong(format!("label is {label:?}: write it as key:value")))?;
    proctor.keyring.learn_indexes().await?;
    Ok(proctor.vault.label_indexes(key, value).into_iter().map(|index| Some(hex::encode(index))).collect())
}

/// One page of rows, newest first, whichever key their label was indexed with: `read` reads a page with
/// one of the indexes.
pub(super) async fn with_any_label<Row, F>(
    indexes: &[Option<String>],
    limit: usize,
    position: impl Fn(&Row) -> Position,
    mut read: impl FnMut(Option<String>) -> F,
) -> Result<Vec<Row>, Problem>
where
    F: Future<Output = Result<Vec<Row>, ViewsError>>,
{
    let mut rows = Vec::new();
    for index in indexes {
        rows.extend(read(index.clone()).await?);
    }
    if indexes.len() > 1 {
        rows.sort_by_key(|row| std::cmp::Reverse(position(row)));
        rows.truncate(limit);
    }
    Ok(rows)
}

/// A time in the parameter of this name.
pub(super) fn at(name: &str, text: Option<&str>) -> Result<Option<Micros>, Problem> {
    let Some(text) = given(text) else { return Ok(None) };
    time::read(text).map(Some).ok_or_else(|| {
        wrong(format!("{name} is {text:?}: write an RFC 3339 time such as 2026-11-22T00:00:00Z"))
    })
}

pub(super) fn wrong(detail: String) -> Problem {
    Problem::new(Code::InvalidQuery, detail)
}
