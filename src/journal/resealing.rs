//! The rows that the master key seals, and how they are sealed anew under another one while everybody
//! goes on.
//!
//! **Invariants.** A row is replaced only where it still is what was opened. The keys for Proctor's own
//! purposes come last: no server starts without the old master key while anything else needs it.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::copying::{Cell, Cells};
use super::rows::{Rows, Statement};
use super::store::StoreError;
use crate::vault::{Identity, KeyId, MasterKeys, OpenError, sealed_by};

/// Rows that are read at once.
const PAGE_ROWS_MAX: i64 = 1_000;
/// Rows that are replaced in one transaction: the appender waits for it.
const REPLACED_ROWS_MAX: usize = 100;
/// So many rows that do not open are named.
const NAMED_MAX: usize = 5;

/// What the master key seals, in the order in which it is sealed anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SealedKind {
    /// The subjects' keys.
    Subjects,
    /// The secrets that connections share.
    ConnectionSecrets,
    /// The secrets that sign webhooks' messages.
    WebhookSecrets,
    /// The keys that Proctor made for its own purposes.
    PurposeKeys,
}

/// Rows of one kind in the database: a page after some key, and the replacement of one row.
struct Table {
    page: &'static str,
    replace: &'static str,
}

impl SealedKind {
    /// All of them, in order.
    pub const ALL: [Self; 4] =
        [Self::Subjects, Self::ConnectionSecrets, Self::WebhookSecrets, Self::PurposeKeys];

    /// The table's name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Subjects => "subjects",
            Self::ConnectionSecrets => "connection_secrets",
            Self::WebhookSecrets => "webhook_secrets",
            Self::PurposeKeys => "purpose_keys",
        }
    }

    fn table(self) -> Table {
        let (page, replace) = match self {
            Self::Subjects => (
                "SELECT subject, wrapped_key FROM subjects WHERE subject > $1 ORDER BY subject LIMIT $2",
                "UPDATE subjects SET wrapped_key = $1 WHERE subject = $2 AND wrapped_key = $3",
            ),
            Self::ConnectionSecrets => (
                "SELECT connection, generation, sealed FROM connection_secrets
                 WHERE (connection, generation) > ($1, $2) ORDER BY connection, generation LIMIT $3",
                "UPDATE connection_secrets SET sealed = $1
                 WHERE connection = $2 AND generation = $3 AND sealed = $4",
            ),
            Self::WebhookSecrets => (
                "SELECT webhook, generation, sealed FROM webhook_secrets
                 WHERE (webhook, generation) > ($1, $2) ORDER BY webhook, generation LIMIT $3",
                "UPDATE webhook_secrets SET sealed = $1
                 WHERE webhook = $2 AND generation = $3 AND sealed = $4",
            ),
            Self::PurposeKeys => (
                "SELECT purpose, kid, sealed FROM purpose_keys
                 WHERE (purpose, kid) > ($1, $2) ORDER BY purpose, kid LIMIT $3",
                "UPDATE purpose_keys SET sealed = $1 WHERE purpose = $2 AND kid = $3 AND sealed = $4",
            ),
        };
        Table { page, replace }
    }

    /// A key that is less than every row's.
    fn before_all(self) -> Cells {
        let text = || Cell::from("");
        match self {
            Self::Subjects => vec![text()],
            Self::ConnectionSecrets | Self::WebhookSecrets => vec![text(), Cell::Integer(i64::MIN)],
            Self::PurposeKeys => vec![text(), text()],
        }
    }

    /// Which record a row is, by its key.
    fn identity(self, key: &[Cell]) -> Option<Identity<'_>> {
        Some(match (self, key) {
            (Self::Subjects, [Cell::Text(subject)]) => Identity::SubjectKey { subject },
            (Self::ConnectionSecrets, [Cell::Text(connection), Cell::Integer(generation)]) => {
                Identity::ConnectionSecret { connection, generation: u64::try_from(*generation).ok()? }
            }
            (Self::WebhookSecrets, [Cell::Text(webhook), Cell::Integer(generation)]) => {
                Identity::WebhookSecret { webhook, generation: u32::try_from(*generation).ok()? }
            }
            (Self::PurposeKeys, [Cell::Text(purpose), Cell::Text(kid)]) => {
                Identity::PurposeKey { purpose, kid }
            }
            _ => return None,
        })
    }
}

/// One row: its key, and what is sealed.
struct SealedRow {
    key: Cells,
    sealed: Vec<u8>,
}

/// How many rows each master key seals.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Survey {
    /// By kind and master key; no key where the bytes have a form that is not known.
    pub rows: BTreeMap<(SealedKind, Option<KeyId>), u64>,
}

impl Survey {
    /// All rows.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.rows.values().sum()
    }

    /// The rows that another key seals.
    #[must_use]
    pub fn not_under(&self, key: KeyId) -> u64 {
        self.rows.iter().filter(|((_, by), _)| *by != Some(key)).map(|(_, rows)| rows).sum()
    }
}

/// What a pass over all rows did.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Resealed {
    /// Rows that the new key seals now.
    pub rows: u64,
    /// Rows that did not open.
    pub closed: u64,
    /// Why, for the first of them.
    pub because: Vec<OpenError>,
}

/// The rows that the master key seals.
pub struct SealedRows(Arc<dyn Rows>);

impl SealedRows {
    /// Those in this database.
    #[must_use]
    pub fn new(rows: Arc<dyn Rows>) -> Self {
        Self(rows)
    }

    /// Looks at all rows.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn survey(&self) -> Result<Survey, StoreError> {
        let mut survey = Survey::default();
        for kind in SealedKind::ALL {
            let mut after = kind.before_all();
            loop {
                let page = self.page(kind, after).await?;
                for row in &page {
                    *survey.rows.entry((kind, sealed_by(&row.sealed))).or_default() += 1;
                }
                let Some(last) = page.into_iter().last() else { break };
                after = last.key;
            }
        }
        Ok(survey)
    }

    /// Seals under the first of `keys` whatever another one sealed. `show` hears how many rows are done.
    /// Interrupted, it leaves rows under either key, and the next pass goes on.
    ///
    /// # Errors
    /// When the store cannot be read or written, which leaves the rows so far.
    pub async fn reseal(&self, keys: &MasterKeys, show: &mut dyn FnMut(u64)) -> Result<Resealed, StoreError> {
        let mut done = Resealed::default();
        for kind in SealedKind::ALL {
            // Without what did not open nothing is complete, so the last kind stays as it is.
            if kind == SealedKind::PurposeKeys && done.closed > 0 {
                break;
            }
            let mut after = kind.before_all();
            loop {
                let mut page = self.page(kind, after).await?;
                let Some(last) = page.last() else { break };
                after = last.key.clone();
                page.retain(|row| sealed_by(&row.sealed) != Some(keys.id()));
                for rows in page.chunks(REPLACED_ROWS_MAX) {
                    self.replace(kind, keys, rows, &mut done).await?;
                    show(done.rows);
                }
            }
        }
        Ok(done)
    }

    async fn page(&self, kind: SealedKind, mut after: Cells) -> Result<Vec<SealedRow>, StoreError> {
        after.push(Cell::Integer(PAGE_ROWS_MAX));
        let statement = Statement { sql: kind.table().page, parameters: after };
        let rows = self.0.read("read what the master key seals", statement).await?;
        Ok(rows.into_iter().filter_map(row).collect())
    }

    async fn replace(
        &self,
        kind: SealedKind,
        keys: &MasterKeys,
        rows: &[SealedRow],
        done: &mut Resealed,
    ) -> Result<(), StoreError> {
        let mut statements = Vec::with_capacity(rows.len());
        for row in rows {
            let Some(identity) = kind.identity(&row.key) else { continue };
            match keys.reseal(identity, &row.sealed) {
                Ok(Some(resealed)) => {
                    let mut parameters = vec![Cell::Bytes(resealed)];
                    parameters.extend(row.key.iter().cloned());
                    parameters.push(Cell::Bytes(row.sealed.clone()));
                    statements.push(Statement { sql: kind.table().replace, parameters });
                }
                Ok(None) => {}
                Err(error) => {
                    done.closed += 1;
                    if done.because.len() < NAMED_MAX {
                        done.because.push(error);
                    }
                }
            }
        }
        if !statements.is_empty() {
            let replaced = self.0.write("seal anew what the master key seals", statements).await?;
            done.rows += replaced.iter().sum::<u64>();
        }
        Ok(())
    }
}

fn row(mut cells: Cells) -> Option<SealedRow> {
    match cells.pop()? {
        Cell::Bytes(sealed) => Some(SealedRow { key: cells, sealed }),
        Cell::Integer(_) | Cell::Text(_) => None,
    }
}
