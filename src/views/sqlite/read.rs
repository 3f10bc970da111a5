//! A few read-only connections, used on blocking threads.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::{Connection, params_from_iter};

use super::schema;
use crate::views::error::ViewsError;
use crate::views::read::READS_MAX;
use crate::views::record::{Broken, Record};
use crate::views::select::{Bound, Question, Statement};

/// Connections kept open between uses.
const IDLE_CONNECTIONS_MAX: usize = 4;

/// See the module.
pub(in crate::views) struct Pool {
    path: Arc<Path>,
    idle: Arc<Mutex<Vec<Connection>>>,
    turns: Arc<tokio::sync::Semaphore>,
}

impl Pool {
    pub(in crate::views) fn new(path: &Path) -> Self {
        Self {
            path: PathBuf::from(path).into(),
            idle: Arc::default(),
            turns: Arc::new(tokio::sync::Semaphore::new(READS_MAX)),
        }
    }

    /// Asks in one read transaction, so that all statements see the same rows.
    pub(in crate::views) async fn ask<T: Send + 'static>(
        &self,
        question: Question<T>,
    ) -> Result<Vec<T>, ViewsError> {
        let turn = Arc::clone(&self.turns).acquire_owned().await.map_err(|_| ViewsError::Stopped)?;
        let idle = Arc::clone(&self.idle);
        let path = Arc::clone(&self.path);
        let run = move || {
            let _turn = turn;
            let kept = idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let connection = kept.map_or_else(|| schema::open_read_only(&path), Ok)?;
            let answer = read(&connection, &question).map_err(ViewsError::doing("read the audit views"))?;
            let mut idle = idle.lock().unwrap_or_else(PoisonError::into_inner);
            if idle.len() < IDLE_CONNECTIONS_MAX {
                idle.push(connection);
            }
            Ok(answer)
        };
        tokio::task::spawn_blocking(run).await.map_err(|_| ViewsError::Stopped)?
    }
}

fn read<T>(connection: &Connection, question: &Question<T>) -> Result<Vec<T>, Broken> {
    let transaction = connection.unchecked_transaction()?;
    let mut answer = Vec::new();
    for Statement { sql, values } in &question.statements {
        let mut statement = transaction.prepare_cached(sql)?;
        let values = values.iter().map(|value| -> &dyn rusqlite::ToSql {
            match value {
                Bound::Integer(number) => number,
                Bound::Text(text) => text,
            }
        });
        let mut rows = statement.query(params_from_iter(values))?;
        while let Some(row) = rows.next()? {
            answer.push((question.row)(&Record::Sqlite(row))?);
        }
    }
    Ok(answer)
}
