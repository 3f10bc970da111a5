//! What people brought by links and nobody has confirmed: the rows, without what is sealed in them.

use std::sync::Arc;

use super::copying::Cell;
use super::rows::{Rows, Statement};
use super::store::StoreError;

/// Rows that are read at once.
const PAGE_ROWS: i64 = 500;

/// What one link brought.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Brought {
    /// The user.
    pub subject: String,
    /// The connection.
    pub connection: String,
    /// The link.
    pub link: String,
}

/// The table.
#[derive(Clone)]
pub struct PendingCredentials(Arc<dyn Rows>);

impl PendingCredentials {
    /// The table in this database.
    #[must_use]
    pub fn new(rows: Arc<dyn Rows>) -> Self {
        Self(rows)
    }

    /// Everything that is there.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn all(&self) -> Result<Vec<Brought>, StoreError> {
        let sql = "SELECT subject, connection, link FROM pending_credentials
                   WHERE (subject, connection) > ($1, $2) ORDER BY subject, connection LIMIT $3";
        let doing = "read what links brought";
        let mut all: Vec<Brought> = Vec::new();
        loop {
            let after = all.last().cloned().unwrap_or_default();
            let parameters = vec![(&*after.subject).into(), (&*after.connection).into(), PAGE_ROWS.into()];
            let rows = self.0.read(doing, Statement { sql, parameters }).await?;
            let is_last = rows.len() < usize::try_from(PAGE_ROWS).unwrap_or(usize::MAX);
            for row in rows {
                let Ok([Cell::Text(subject), Cell::Text(connection), Cell::Text(link)]) =
                    <[Cell; 3]>::try_from(row)
                else {
                    return Err(StoreError::Database { doing, reason: "a row has other columns".into() });
                };
                all.push(Brought { subject, connection, link });
            }
            if is_last {
                return Ok(all);
            }
        }
    }

    /// Removes what this link brought, unless something else has taken its place.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub async fn forget(&self, brought: &Brought) -> Result<(), StoreError> {
        let Brought { subject, connection, link } = brought;
        let sql = "DELETE FROM pending_credentials WHERE subject = $1 AND connection = $2 AND link = $3";
        let parameters = vec![(&**subject).into(), (&**connection).into(), (&**link).into()];
        let doing = "forget what a link brought";
        self.0.write(doing, vec![Statement { sql, parameters }]).await.map(drop)
    }
}
