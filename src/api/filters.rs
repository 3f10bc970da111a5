//! What lists are filtered by, as clients write it.

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

/// The blind index of a label that is written as `key:value` or `key=value`.
pub(super) fn label_index(proctor: &Proctor, label: Option<&str>) -> Result<Option<String>, Problem> {
    let Some(label) = given(label) else { return Ok(None) };
    let (key, value) = label
        .split_once(LABEL_SEPARATORS)
        .ok_or_else(|| wrong(format!("label is {label:?}: write it as key:value")))?;
    Ok(Some(hex::encode(proctor.vault.label_index(key, value))))
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
