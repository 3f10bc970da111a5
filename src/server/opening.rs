//! Opens what everything else stands on: the store, the keys, the journal.

use std::sync::Arc;

use proctor_domain::ReplicaId;

use super::{StartError, VIEWS_FILE};
use crate::config::{Config, StoreConfig};
use crate::journal::postgres::{self, PostgresConfig};
use crate::journal::{
    Deliveries, IdempotentRequests, Journal, JournalConfig, KeyUses, PendingCredentials, Reader, Rows, Store,
    StoreError, sqlite,
};
use crate::vault::Vault;
use crate::views::ViewsPlace;

/// What everything else stands on.
pub(super) struct Ground {
    pub(super) journal: Journal,
    pub(super) reader: Arc<dyn Reader>,
    pub(super) vault: Arc<Vault>,
    pub(super) views: ViewsPlace,
    pub(super) deliveries: Deliveries,
    pub(super) pending: PendingCredentials,
    pub(super) key_uses: KeyUses,
    pub(super) idempotent_requests: IdempotentRequests,
}

/// Opens the store that is configured.
pub(super) async fn open(config: &Config, replica: &ReplicaId) -> Result<Ground, StartError> {
    match &config.store {
        StoreConfig::Sqlite { path } => {
            let (store, reader) = sqlite::open(path)?;
            let views = ViewsPlace::Sqlite(config.data_dir.join(VIEWS_FILE));
            let rows = sqlite::rows(path, &reader)?;
            stand_on(config, replica, store, reader, (views, rows)).await
        }
        StoreConfig::Postgres { url, hosts } => {
            let settings = PostgresConfig { hosts: hosts.clone(), ..PostgresConfig::new(url.expose()) };
            let (store, reader) = postgres::open(&settings).await?;
            let views = ViewsPlace::Postgres(reader.pool().clone());
            let rows = Arc::clone(&reader) as _;
            stand_on(config, replica, store, reader, (views, rows)).await
        }
    }
}

async fn stand_on<S: Store>(
    config: &Config,
    replica: &ReplicaId,
    mut store: S,
    reader: Arc<dyn Reader>,
    (views, rows): (ViewsPlace, Arc<dyn Rows>),
) -> Result<Ground, StartError> {
    // Before anything is written: whoever starts on the old store by mistake is told where to go.
    if let Some(moved) = reader.moved().await? {
        return Err(StoreError::Moved(moved).into());
    }
    let vault = Arc::new(open_vault(config, &mut store, &*reader).await?);
    let settings = JournalConfig {
        replica: replica.clone(),
        lease_ms: u64::try_from(config.lease.as_millis()).unwrap_or(u64::MAX),
        data_dir: Some(config.data_dir.clone()),
        master_keys: config.master_keys.to_string(),
    };
    let journal = Journal::open(store, Arc::clone(&reader), settings).await?;
    let (deliveries, key_uses) = (Deliveries::new(Arc::clone(&rows)), KeyUses::new(Arc::clone(&rows)));
    let idempotent_requests = IdempotentRequests::new(Arc::clone(&rows));
    let pending = PendingCredentials::new(rows);
    Ok(Ground { journal, reader, vault, views, deliveries, pending, key_uses, idempotent_requests })
}

async fn open_vault(
    config: &Config,
    store: &mut impl Store,
    reader: &dyn Reader,
) -> Result<Vault, StartError> {
    let rows = reader.purpose_keys().await?;
    let now_us = reader.now().await?.0;
    let missing = Vault::missing_rows(&config.master_keys, &rows, now_us)?;
    if missing.is_empty() {
        return Ok(Vault::open(&config.master_keys, &rows, now_us)?);
    }
    store.add_purpose_keys(&missing).await?;
    Ok(Vault::open(&config.master_keys, &reader.purpose_keys().await?, now_us)?)
}
