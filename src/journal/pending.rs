//! What people brought by links and nobody has confirmed: the rows, without what is sealed in them.

use std::sync::Arc;

use super::copying::Cell;
use super::rows::{Rows, Statement};
use super::store::StoreError;

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

    /// What comes next, as many rows at most, in the order of users and connections.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn next(&self, after: Option<&Brought>, rows_max: usize) -> Result<Vec<Brought>, StoreError> {
        let sql = "SELECT subject, connection, link FROM pending_credentials
                   WHERE (subject, connection) > ($1, $2) ORDER BY subject, connection LIMIT $3";
        let doing = "read what links brought";
        let (subject, connection) = after.map_or(("", ""), |last| (&*last.subject, &*last.connection));
        let rows_max = i64::try_from(rows_max).unwrap_or(i64::MAX);
        let parameters = vec![subject.into(), connection.into(), rows_max.into()];
        let brought = |row| match <[Cell; 3]>::try_from(row) {
            Ok([Cell::Text(subject), Cell::Text(connection), Cell::Text(link)]) => {
                Ok(Brought { subject, connection, link })
            }
            _ => Err(StoreError::Database { doing, reason: "a row has other columns".into() }),
        };
        self.0.read(doing, Statement { sql, parameters }).await?.into_iter().map(brought).collect()
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
