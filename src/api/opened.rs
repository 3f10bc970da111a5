//! Opens what is sealed, for those who may see it: users, labels, arguments, results.
//!
//! **Invariants.** What was erased is shown as absent, never guessed. Nothing that is opened here is
//! kept beyond one request.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use proctor_domain::{Position, Recorded, SessionId, SubjectId};

use super::problem::Problem;
use crate::actors::KeyringError;
use crate::payload;
use crate::proctor::Proctor;

/// A caller's labels, by name.
pub(super) type Labels = BTreeMap<String, String>;

/// Opens sealed values for one answer; each user and each session's labels once.
pub(super) struct Opener<'p> {
    proctor: &'p Proctor,
    users: HashMap<SubjectId, Option<String>>,
    labels: HashMap<String, Labels>,
}

impl<'p> Opener<'p> {
    pub(super) fn new(proctor: &'p Proctor) -> Self {
        Self { proctor, users: HashMap::new(), labels: HashMap::new() }
    }

    /// The user's own identifier; nothing once it was erased.
    pub(super) async fn user(&mut self, subject: &SubjectId) -> Result<Option<String>, Problem> {
        if let Some(user) = self.users.get(subject) {
            return Ok(user.clone());
        }
        let user = unless_gone(self.proctor.keyring.user_of(subject).await)?.map(|user| user.to_string());
        self.users.insert(subject.clone(), user.clone());
        Ok(user)
    }

    /// The labels that are sealed beside the opening of a session, which stands at `opened_at`.
    pub(super) async fn labels(
        &mut self,
        session: &str,
        subject: &SubjectId,
        opened_at: Position,
    ) -> Result<Labels, Problem> {
        if let Some(labels) = self.labels.get(session) {
            return Ok(labels.clone());
        }
        let opened = self.payload(session, subject, opened_at).await?;
        let opened = opened.map(|bytes| payload::Opened::read(&bytes)).transpose().map_err(unreadable)?;
        let labels = opened.unwrap_or_default().labels;
        self.labels.insert(session.to_owned(), labels.clone());
        Ok(labels)
    }

    /// The labels of a session, wherever its opening stands.
    pub(super) async fn labels_of(&mut self, session: &str, subject: &SubjectId) -> Result<Labels, Problem> {
        if let Some(labels) = self.labels.get(session) {
            return Ok(labels.clone());
        }
        match self.proctor.views.session(SessionId::from(session)).await? {
            Some(row) => self.labels(session, subject, row.position).await,
            None => Ok(Labels::default()),
        }
    }

    /// What is sealed beside the event of a session at a position; nothing where nothing is, or
    /// where it was erased.
    pub(super) async fn payload(
        &self,
        session: &str,
        subject: &SubjectId,
        position: Position,
    ) -> Result<Option<Vec<u8>>, Problem> {
        let reader = self.proctor.journal.reader();
        let Some(sealed) = reader.sealed(position).await? else { return Ok(None) };
        let Some(event) = at(self.proctor, position).await? else { return Ok(None) };
        let key = self.proctor.keyring.session_key(session, subject).await;
        let Some(key) = unless_gone(key)? else { return Ok(None) };
        let opened = key.open_payload(&event.event_id, &sealed);
        opened.map(Some).map_err(|error| Problem::internal("open what is sealed beside an event", &error))
    }
}

/// The event at a position.
pub(super) async fn at(proctor: &Proctor, position: Position) -> Result<Option<Arc<Recorded>>, Problem> {
    let before = Position(position.0.saturating_sub(1));
    let events = proctor.journal.reader().read(before, 1).await?;
    Ok(events.into_iter().next().filter(|event| event.place.position == position))
}

/// What a payload of a form that we did not write is.
pub(super) fn unreadable(error: serde_json::Error) -> Problem {
    Problem::internal("read what is sealed beside an event", &error)
}

fn unless_gone<T>(answer: Result<T, KeyringError>) -> Result<Option<T>, Problem> {
    match answer {
        Ok(there) => Ok(Some(there)),
        Err(KeyringError::Gone(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}
