//! Finds the API key that was presented.
//!
//! **Invariants.** A key is known by its SHA-256 alone. A key that was never created starts no
//! entity: otherwise anybody could fill the memory with keys made up.

use std::sync::Arc;

use dashmap::DashSet;
use proctor_domain::api_key::{ApiKey, ApiKeyError};
use proctor_domain::{KeyId, StreamId};
use sha2::{Digest as _, Sha256};

use super::ask::AskError;
use super::directory::Directory;

/// See the module.
#[derive(Debug, Default)]
pub struct ApiKeys {
    /// Keys that were created at some time; a stream never vanishes.
    created: DashSet<KeyId>,
}

impl ApiKeys {
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
}
