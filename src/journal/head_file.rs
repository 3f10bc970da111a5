//! What an installation remembers of its journal outside of the journal: how far it has seen it.
//!
//! A database that was put back to an older state looks whole from within. So the newest position
//! and the leaf hash of the event there are kept in a small file in the data folder, and compared
//! when the journal is opened. The Merkle root of everything before joins them once there are
//! checkpoints.
//!
//! **Invariants.** What is remembered was durable in the journal before. The file never goes back.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use proctor_domain::leaf::leaf_hash;
use proctor_domain::{Position, Recorded, ReplicaId};
use serde::{Deserialize, Serialize};

use super::store::{Reader, StoreError};

/// Its name in the data folder.
const FILE_NAME: &str = "head.json";

#[derive(Serialize, Deserialize)]
struct Remembered {
    position: Position,
    /// In hexadecimal.
    leaf: String,
}

/// See the module.
#[derive(Clone, Debug)]
pub(super) struct HeadFile {
    path: PathBuf,
    /// Of this process alone, so that two in one folder do not write into each other's.
    draft: PathBuf,
}

impl HeadFile {
    pub(super) fn new(data_dir: &Path, replica: &ReplicaId) -> Self {
        Self { path: data_dir.join(FILE_NAME), draft: data_dir.join(format!("{FILE_NAME}.{replica}.draft")) }
    }

    /// Why the journal behind `reader` is not the one that this installation knows; `None` when it
    /// is.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub(super) async fn contradiction(&self, reader: &dyn Reader) -> Result<Option<String>, StoreError> {
        let known = match self.read() {
            Ok(None) => return Ok(None),
            Ok(Some(known)) => known,
            Err(error) => return Ok(Some(self.alarm(&format!("it cannot be read: {error}")))),
        };
        let there = reader.head().await?;
        if there < known.position {
            let found = format!(
                "the journal ends at position {there}, but {} was seen here: an old copy was put in its \
                 place, or its end was lost",
                known.position
            );
            return Ok(Some(self.alarm(&found)));
        }
        let before = Position(known.position.0.saturating_sub(1));
        let found = match reader.read(before, 1).await {
            Ok(events) => events.first().map(|event| hex::encode(leaf_hash(event))),
            Err(StoreError::Unreadable { .. }) => None,
            Err(error) => return Err(error),
        };
        if found.as_ref() == Some(&known.leaf) {
            return Ok(None);
        }
        let found = format!(
            "the event at position {} is another one than was seen here: this is another journal, or it was \
             altered",
            known.position
        );
        Ok(Some(self.alarm(&found)))
    }

    /// Remembers this event as the newest, unless a newer one is remembered.
    ///
    /// # Errors
    /// When the data folder cannot be written.
    pub(super) fn remember(&self, newest: &Recorded) -> io::Result<()> {
        let position = newest.place.position;
        if self.read()?.is_some_and(|known| known.position >= position) {
            return Ok(());
        }
        let text = serde_json::to_vec(&Remembered { position, leaf: hex::encode(leaf_hash(newest)) })?;
        let mut draft = File::create(&self.draft)?;
        draft.write_all(&text)?;
        // Before the new name is given: after a power failure the file is the old or the new one.
        draft.sync_data()?;
        fs::rename(&self.draft, &self.path)
    }

    fn read(&self) -> io::Result<Option<Remembered>> {
        match fs::read(&self.path) {
            Ok(text) => Ok(Some(serde_json::from_slice(&text)?)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn alarm(&self, found: &str) -> String {
        format!(
            "{found}; put the complete journal back, or, if its loss is accepted, remove {} and start again",
            self.path.display()
        )
    }
}
