//! Finds the API key that was presented.
//!
//! **Invariants.** A key is known by its SHA-256 alone. A key that was never created starts no
//! entity: otherwise anybody could fill the memory with keys made up.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use dashmap::DashSet;
use proctor_domain::api_key::{ApiKey, ApiKeyError};
use proctor_domain::{KeyId, Micros, StreamId};
use sha2::{Digest as _, Sha256};

use super::ask::AskError;
use super::directory::Directory;
use crate::journal::{KeyUses, StoreError};

/// See the module.
pub struct ApiKeys {
    /// Keys that were created at some time; a stream never vanishes.
    created: DashSet<KeyId>,
    uses: KeyUses,
    /// When keys were last used, as far as that is not written yet.
    used: Mutex<BTreeMap<KeyId, Micros>>,
}

impl ApiKeys {
    /// None is known yet.
    #[must_use]
    pub fn new(uses: KeyUses) -> Self {
        Self { created: DashSet::new(), uses, used: Mutex::default() }
    }

    /// The identifier of a key.
    #[must_use]
    pub fn id_of(key: &str) -> KeyId {
        hex::encode(Sha256::digest(key.as_bytes())).into()
    }

    /// The key's identifier and state, if it was ever created.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub async fn find(
        &self,
        directory: &Arc<Directory>,
        key: &str,
    ) -> Result<Option<(KeyId, Arc<ApiKey>)>, AskError<ApiKeyError>> {
        let id = Self::id_of(key);
        if !self.created.contains(&id) {
            let stream = StreamId::of::<ApiKey>(id.as_str());
            let events = directory.journal().reader().stream(&stream, 0).await;
            if events.map_err(|_| AskError::Unavailable(stream))?.is_empty() {
                return Ok(None);
            }
            self.created.insert(id.clone());
        }
        let state = directory.state::<ApiKey>(id.as_str()).await?;
        Ok(Some((id, state)))
    }

    /// Notes that a key was used.
    pub fn used(&self, key: &KeyId, at: Micros) {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        match used.get_mut(key) {
            Some(last) => *last = at.max(*last),
            None => drop(used.insert(key.clone(), at)),
        }
    }

    /// Writes when keys were used since the last time. Called once a minute and at the end. What cannot
    /// be written is written the next time, and lost with the process.
    pub async fn flush(&self) {
        let used = std::mem::take(&mut *self.used.lock().unwrap_or_else(PoisonError::into_inner));
        if let Err(error) = self.uses.write(&used).await {
            tracing::warn!(%error, "failed to write when API keys were used; it is tried again");
            for (key, at) in used {
                self.used(&key, at);
            }
        }
    }

    /// When each key was last used: here until now, by other processes until a minute ago.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn last_used(&self) -> Result<BTreeMap<KeyId, Micros>, StoreError> {
        let mut last = self.uses.read().await?;
        for (key, at) in &*self.used.lock().unwrap_or_else(PoisonError::into_inner) {
            let written = last.entry(key.clone()).or_insert(*at);
            *written = *at.max(written);
        }
        Ok(last)
    }
}
