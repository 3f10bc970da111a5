//! When API keys were last used: a table beside the journal, which may be lost.

use std::collections::BTreeMap;
use std::sync::Arc;

use proctor_domain::{KeyId, Micros};

use super::copying::Cell;
use super::rows::{Rows, Statement};
use super::store::StoreError;

/// The table.
#[derive(Clone)]
pub struct KeyUses(Arc<dyn Rows>);

impl KeyUses {
    /// The one in this database.
    #[must_use]
    pub fn new(rows: Arc<dyn Rows>) -> Self {
        Self(rows)
    }

    /// Writes when keys were used. What another process has seen later stands.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub async fn write(&self, uses: &BTreeMap<KeyId, Micros>) -> Result<(), StoreError> {
        let sql = "INSERT INTO api_key_uses (key, used_at) VALUES ($1, $2)
                   ON CONFLICT (key) DO UPDATE SET used_at = excluded.used_at
                   WHERE excluded.used_at > api_key_uses.used_at";
        let statement = |(key, at): (&KeyId, &Micros)| Statement {
            sql,
            parameters: vec![key.as_str().into(), at.0.into()],
        };
        let statements: Vec<_> = uses.iter().map(statement).collect();
        if statements.is_empty() {
            return Ok(());
        }
        self.0.write("write when API keys were used", statements).await.map(drop)
    }

    /// When each key was last used, as far as that was written down.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn read(&self) -> Result<BTreeMap<KeyId, Micros>, StoreError> {
        let doing = "read when API keys were used";
        let sql = "SELECT key, used_at FROM api_key_uses";
        let rows = self.0.read(doing, Statement { sql, parameters: Vec::new() }).await?;
        rows.into_iter()
            .map(|row| match &row[..] {
                [Cell::Text(key), Cell::Integer(at)] => Ok((key.as_str().into(), Micros(*at))),
                _ => Err(StoreError::Database { doing, reason: "a row has other columns".into() }),
            })
            .collect()
    }
}
