//! Subjects' and sessions' keys, unwrapped when they are needed and kept for a while.

use std::sync::Arc;

use dashmap::DashMap;
use proctor_domain::{Name, SubjectId};
use zeroize::Zeroizing;

use crate::journal::{Reader, StoreError, SubjectRow};
use crate::vault::{OpenError, SessionKey, SubjectKey, Vault};

/// Keys kept unwrapped; all are forgotten together when there are more.
const KEYS_KEPT_MAX: usize = 50_000;

/// A key that cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum KeyringError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// It does not open under the master key in use.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// It was destroyed, or never was.
    #[error("the key of {0} is not there any more: what it sealed cannot be opened")]
    Gone(String),
}

/// See the module.
pub struct Keyring {
    vault: Arc<Vault>,
    reader: Arc<dyn Reader>,
    sessions: DashMap<Arc<str>, Arc<SessionKey>>,
}

impl Keyring {
    /// An empty keyring.
    #[must_use]
    pub fn new(vault: Arc<Vault>, reader: Arc<dyn Reader>) -> Self {
        Self { vault, reader, sessions: DashMap::new() }
    }

    /// The vault that it unwraps with.
    #[must_use]
    pub fn vault(&self) -> &Vault {
        &self.vault
    }

    /// The reference of a user, if there is one.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn subject_of(&self, user: &str) -> Result<Option<SubjectId>, KeyringError> {
        let row = self.reader.subject_by_index(&self.vault.user_index(user)).await?;
        Ok(row.map(|row| row.subject.into()))
    }

    /// The user's own identifier behind a reference.
    ///
    /// # Errors
    /// When it was erased, or cannot be read.
    pub async fn user_of(&self, subject: &SubjectId) -> Result<Zeroizing<String>, KeyringError> {
        let row = self.row(subject).await?;
        let key = self.vault.unwrap_subject_key(&row.subject, &row.wrapped_key)?;
        Ok(key.open_user(&row.subject, &row.user_sealed)?)
    }

    /// A subject's key.
    ///
    /// # Errors
    /// When it was destroyed, or cannot be read.
    pub async fn subject_key(&self, subject: &SubjectId) -> Result<SubjectKey, KeyringError> {
        let row = self.row(subject).await?;
        Ok(self.vault.unwrap_subject_key(&row.subject, &row.wrapped_key)?)
    }

    /// A user's credential for a connection, while it is still this one.
    ///
    /// # Errors
    /// When it was replaced or forgotten, or cannot be read.
    pub async fn user_credential(
        &self,
        subject: &SubjectId,
        connection: &Name,
        generation: u32,
    ) -> Result<Zeroizing<String>, KeyringError> {
        let (subject_id, connection) = (subject.as_str(), connection.as_str());
        let sealed = self.reader.user_credential(subject_id, connection, generation).await?;
        let gone = || KeyringError::Gone(format!("{subject_id} for {connection}"));
        let sealed = sealed.ok_or_else(gone)?;
        let key = self.subject_key(subject).await?;
        Ok(key.open_credential(subject_id, connection, generation, &sealed)?)
    }

    /// What a person brought by this link, while it waits to be confirmed.
    ///
    /// # Errors
    /// When it was forgotten or something else took its place, or it cannot be read.
    pub async fn pending_credential(
        &self,
        subject: &SubjectId,
        connection: &Name,
        link: &str,
    ) -> Result<Zeroizing<String>, KeyringError> {
        let (subject_id, connection) = (subject.as_str(), connection.as_str());
        let sealed = self.reader.pending_credential(subject_id, connection, link).await?;
        let sealed = sealed.ok_or_else(|| KeyringError::Gone(format!("what {link} brought")))?;
        let key = self.subject_key(subject).await?;
        Ok(key.open_pending(subject_id, connection, link, &sealed)?)
    }

    /// A session's key.
    ///
    /// # Errors
    /// When it was destroyed, or cannot be read.
    pub async fn session_key(
        &self,
        session: &str,
        subject: &SubjectId,
    ) -> Result<Arc<SessionKey>, KeyringError> {
        if let Some(key) = self.sessions.get(session) {
            return Ok(Arc::clone(&key));
        }
        let wrapped =
            self.reader.session_key(session).await?.ok_or_else(|| KeyringError::Gone(session.to_owned()))?;
        let key = Arc::new(self.subject_key(subject).await?.unwrap_session_key(session, &wrapped)?);
        self.keep(session, Arc::clone(&key));
        Ok(key)
    }

    /// Keeps a session's key that was just made.
    pub fn keep(&self, session: &str, key: Arc<SessionKey>) {
        if self.sessions.len() >= KEYS_KEPT_MAX {
            self.sessions.clear();
        }
        self.sessions.insert(session.into(), key);
    }

    async fn row(&self, subject: &SubjectId) -> Result<SubjectRow, KeyringError> {
        let row = self.reader.subject(subject.as_str()).await?;
        row.ok_or_else(|| KeyringError::Gone(subject.to_string()))
    }
}
