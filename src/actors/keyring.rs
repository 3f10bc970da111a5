//! Subjects' and sessions' keys, unwrapped when they are needed and kept for a while.

use std::sync::Arc;

use dashmap::DashMap;
use proctor_domain::{Micros, Name, SubjectId};
use zeroize::Zeroizing;

use crate::journal::{Reader, StoreError, SubjectRow};
use crate::vault::{OpenError, Purpose, PurposeKeyRow, SessionKey, SubjectKey, Vault, VaultError};

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
    /// The keys that Proctor made for itself cannot be taken in.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// It was destroyed, or never was.
    #[error("the key of {0} is not there any more: what it sealed cannot be opened")]
    Gone(String),
}

/// See the module.
pub struct Keyring {
    vault: Arc<Vault>,
    reader: Arc<dyn Reader>,
    sessions: DashMap<Arc<str>, Arc<SessionKey>>,
    /// Held while purpose keys are read and taken in, so that no older ones take the place of newer ones.
    taking_in: tokio::sync::Mutex<()>,
}

impl Keyring {
    /// An empty keyring.
    #[must_use]
    pub fn new(vault: Arc<Vault>, reader: Arc<dyn Reader>) -> Self {
        Self { vault, reader, sessions: DashMap::new(), taking_in: Default::default() }
    }

    /// The vault that it unwraps with.
    #[must_use]
    pub fn vault(&self) -> &Vault {
        &self.vault
    }

    /// The reference of a user, if there is one: under whichever key the user was registered.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn subject_of(&self, user: &str) -> Result<Option<SubjectId>, KeyringError> {
        let found = self.find(user).await?;
        // Another replica may have registered the user under a key that is not known here yet.
        if found.is_some() || !self.learn_indexes().await? {
            return Ok(found);
        }
        self.find(user).await
    }

    /// Makes sure that all keys are known by which users and labels are found. Answers whether one was
    /// not.
    ///
    /// # Errors
    /// When they cannot be read or opened.
    pub async fn learn_indexes(&self) -> Result<bool, KeyringError> {
        let rows = self.reader.purpose_keys().await?;
        let mut indexes = rows.iter().filter(|row| row.purpose == Purpose::BlindIndexes.name());
        if indexes.all(|row| self.vault.knows(&row.kid)) {
            return Ok(false);
        }
        self.take_in_purpose_keys().await?;
        Ok(true)
    }

    async fn find(&self, user: &str) -> Result<Option<SubjectId>, KeyringError> {
        for index in self.vault.user_indexes(user) {
            if let Some(row) = self.reader.subject_by_index(&index).await? {
                return Ok(Some(row.subject.into()));
            }
        }
        Ok(None)
    }

    /// Takes in the purpose keys as they are stored and in force now, by the database's time. Answers
    /// them, and that time.
    ///
    /// # Errors
    /// When they cannot be read or opened; then those that are known stay as they are.
    pub async fn take_in_purpose_keys(&self) -> Result<(Vec<PurposeKeyRow>, Micros), KeyringError> {
        let _taking_in = self.taking_in.lock().await;
        let rows = self.reader.purpose_keys().await?;
        let now = self.reader.now().await?;
        self.vault.take_in(&rows, now.0)?;
        Ok((rows, now))
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
