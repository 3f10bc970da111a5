//! The store whose rows are sealed, and the servers that run on it.

use std::sync::Arc;

use proctor_domain::ReplicaId;

use crate::cli::Failure;
use crate::config::StoreConfig;
use crate::journal::postgres::{self, PostgresConfig, PostgresStore};
use crate::journal::sqlite::{self, SqliteStore};
use crate::journal::{Journal, JournalConfig, Reader, SealedRows, StoreError};
use crate::vault::{KeyId, MasterKeys, Vault};

/// How long this command's lease lasts, should it be killed.
const LEASE_MS: u64 = 30_000;
const MICROSECONDS_PER_SECOND: i64 = 1_000_000;

/// See the module.
pub(in crate::cli) struct Opened {
    pub(super) reader: Arc<dyn Reader>,
    pub(super) rows: SealedRows,
    store: Writing,
}

enum Writing {
    Sqlite(SqliteStore),
    Postgres(Box<PostgresStore>),
}

/// A server that is alive, as its lease has it.
pub(super) struct Alive {
    pub(super) replica: ReplicaId,
    /// Names the master keys that it opens with, the one that it seals with first.
    pub(super) master_keys: Vec<String>,
    /// For how long it counts as alive without a word.
    pub(super) ends_in_s: i64,
}

impl Alive {
    pub(super) fn opens(&self, key: KeyId) -> bool {
        let key = key.to_string();
        self.master_keys.contains(&key)
    }

    pub(super) fn seals_with(&self, key: KeyId) -> bool {
        self.master_keys.first().is_some_and(|first| *first == key.to_string())
    }
}

impl Opened {
    /// Opens a store that is there already, with the keys that it was made with.
    pub(in crate::cli) async fn open(config: &StoreConfig, keys: &MasterKeys) -> Result<Self, Failure> {
        let opened = match config {
            StoreConfig::Sqlite { path } => {
                if !path.exists() {
                    let path = path.display();
                    return Err(format!(
                        "failed to open the journal: there is no file {path}: name the data folder with \
                         --data-dir, or the store with DATABASE_URL"
                    )
                    .into());
                }
                let (store, reader) = sqlite::open(path)?;
                let rows = SealedRows::new(sqlite::rows(path, &reader)?);
                Self { reader, rows, store: Writing::Sqlite(store) }
            }
            StoreConfig::Postgres { url, hosts } => {
                let settings = PostgresConfig { hosts: hosts.clone(), ..PostgresConfig::new(url.expose()) };
                let (store, reader) = postgres::open(&settings).await?;
                let rows = SealedRows::new(Arc::clone(&reader) as _);
                Self { reader, rows, store: Writing::Postgres(Box::new(store)) }
            }
        };
        if let Some(moved) = opened.reader.moved().await? {
            return Err(StoreError::Moved(moved).into());
        }
        let purpose_keys = opened.reader.purpose_keys().await?;
        if purpose_keys.is_empty() {
            return Err("no Proctor has run on this store yet: nothing is sealed there".into());
        }
        Vault::open(keys, &purpose_keys, opened.reader.now().await?.0)?;
        Ok(opened)
    }

    /// The servers that are alive.
    pub(super) async fn alive(reader: &dyn Reader) -> Result<Vec<Alive>, StoreError> {
        let now = reader.now().await?;
        let mut alive: Vec<_> = reader
            .leases()
            .await?
            .into_iter()
            .filter(|lease| lease.ends_at > now)
            .map(|lease| Alive {
                replica: lease.replica,
                master_keys: lease
                    .master_keys
                    .split(',')
                    .filter(|name| !name.is_empty())
                    .map(Into::into)
                    .collect(),
                ends_in_s: (lease.ends_at.0 - now.0) / MICROSECONDS_PER_SECOND + 1,
            })
            .collect();
        alive.sort_by(|a, b| a.replica.as_str().cmp(b.replica.as_str()));
        Ok(alive)
    }

    /// Joins the journal as a process of its own, to write down what is done.
    pub(super) async fn join(
        self,
        replica: ReplicaId,
        keys: &MasterKeys,
    ) -> Result<(Journal, Arc<dyn Reader>, SealedRows), StoreError> {
        let config =
            JournalConfig { replica, lease_ms: LEASE_MS, data_dir: None, master_keys: keys.to_string() };
        let reader = Arc::clone(&self.reader);
        let journal = match self.store {
            Writing::Sqlite(store) => Journal::open(store, reader, config).await?,
            Writing::Postgres(store) => Journal::open(*store, reader, config).await?,
        };
        Ok((journal, self.reader, self.rows))
    }
}
