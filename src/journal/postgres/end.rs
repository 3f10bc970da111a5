//! A PostgreSQL database as one end of a copy.
//!
//! **Invariants.** A source is not migrated, and not changed by anything but its mark.

use std::time::Duration;

use async_trait::async_trait;
use proctor_domain::{Micros, Position};
use sqlx::Row as _;
use sqlx::postgres::{PgArguments, PgConnection, PgRow};
use sqlx::query::Query;
use tokio::time::timeout;

use super::primary::{self, Primary};
use super::{CLOCK, PostgresConfig, database, failed, last, migrate, moved, write};
use crate::journal::MovedAway;
use crate::journal::copying::{Cell, Cells, End, Kind, Table, tables};
use crate::journal::store::StoreError;

/// A copy is in no hurry: a statement of it, and above all its commit, may take long.
const ANSWER_WAIT: Duration = Duration::from_secs(600);
/// The same for the server, and how long it waits for us while the other end takes its time.
const SETTINGS: &str = "SET statement_timeout = '10min'; SET lock_timeout = '10s';
                        SET idle_in_transaction_session_timeout = '30min'";

struct PostgresEnd {
    place: String,
    connection: Option<PgConnection>,
}

/// A database to copy from.
///
/// # Errors
/// When it does not answer, or when its schema is not of this version.
pub async fn source(config: &PostgresConfig) -> Result<Box<dyn End>, StoreError> {
    let primary = Primary::new(config)?;
    let mut connection = primary.connect().await?;
    if !migrate::missing(&mut connection).await?.is_empty() {
        return Err(failed(
            "open the journal",
            "it is empty or its schema is older than this Proctor's: is it the right database? If it is, run \
             `proctor store migrate` on it",
        ));
    }
    Ok(Box::new(PostgresEnd::new(primary.place(), connection).await?))
}

/// A database to copy to, in which the schema is made when it is not there.
///
/// # Errors
/// When it does not answer, or when the schema is missing and this role may not make it.
pub async fn destination(config: &PostgresConfig) -> Result<Box<dyn End>, StoreError> {
    let primary = Primary::new(config)?;
    let mut connection = primary.connect().await?;
    migrate::up_to_date(&mut connection).await?;
    Ok(Box::new(PostgresEnd::new(primary.place(), connection).await?))
}

impl PostgresEnd {
    async fn new(place: String, mut connection: PgConnection) -> Result<Self, StoreError> {
        let set = sqlx::raw_sql(SETTINGS).execute(&mut connection).await;
        set.map_err(|error| database("prepare a connection for the copy", error))?;
        Ok(Self { place, connection: Some(connection) })
    }

    async fn run<T>(
        &mut self,
        doing: &'static str,
        run: impl AsyncFnOnce(&mut PgConnection) -> Result<T, sqlx::Error>,
    ) -> Result<T, StoreError> {
        // Without an answer it does not come back: nothing is known about it.
        let mut connection =
            self.connection.take().ok_or_else(|| failed(doing, "the connection was lost"))?;
        match timeout(ANSWER_WAIT, run(&mut connection)).await {
            Ok(answer) => {
                self.connection = Some(connection);
                answer.map_err(|error| database(doing, error))
            }
            Err(_) => Err(failed(doing, format!("no answer within {} s", ANSWER_WAIT.as_secs()))),
        }
    }

    async fn execute(&mut self, doing: &'static str, sql: &str) -> Result<(), StoreError> {
        self.run(doing, async |connection| sqlx::raw_sql(sql).execute(connection).await.map(drop)).await
    }
}

#[async_trait(?Send)]
impl End for PostgresEnd {
    fn place(&self) -> String {
        self.place.clone()
    }

    async fn identity(&mut self) -> Result<String, StoreError> {
        // A copy of a whole cluster differs in when it was started, if in nothing else.
        let sql = "SELECT pg_postmaster_start_time()::text || ' ' || oid FROM pg_database
                   WHERE datname = current_database()";
        let query = sqlx::query_scalar(sql);
        self.run("ask which database it is", async |connection| query.fetch_one(connection).await).await
    }

    async fn begin(&mut self) -> Result<(), StoreError> {
        // Nobody needs the append lock to renew a lease, with which what was admitted may still leave.
        let sql = format!(
            "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; SELECT pg_advisory_xact_lock({});
             LOCK TABLE leases IN SHARE MODE",
            write::LOCK
        );
        self.execute("take the append lock", &sql).await
    }

    async fn now(&mut self) -> Result<Micros, StoreError> {
        let sql = format!("SELECT {CLOCK}");
        let query = sqlx::query_scalar(&sql);
        let now = self.run("read the database's clock", async |connection| query.fetch_one(connection).await);
        now.await.map(Micros)
    }

    async fn head(&mut self) -> Result<Position, StoreError> {
        self.run("read the journal's head", last).await
    }

    async fn moved(&mut self) -> Result<Option<MovedAway>, StoreError> {
        self.run("read where the journal was moved to", moved).await
    }

    async fn mark(&mut self, at: Micros, to: Option<&str>) -> Result<(), StoreError> {
        let sql = "INSERT INTO moves (number, at, head, moved_to)
                   SELECT coalesce(max(number), 0) + 1, $1,
                          (SELECT coalesce(max(position), 0) FROM events), $2 FROM moves";
        let query = sqlx::query(sql).bind(at.0).bind(to);
        let doing = "mark the store as moved";
        self.run(doing, async |connection| query.execute(connection).await.map(drop)).await
    }

    async fn count(&mut self, table: &'static Table) -> Result<u64, StoreError> {
        let sql = format!("SELECT count(*) FROM {}", table.name);
        let query = sqlx::query_scalar::<_, i64>(&sql);
        let count = self.run("count rows", async |connection| query.fetch_one(connection).await);
        count.await.map(i64::cast_unsigned)
    }

    async fn rows(
        &mut self,
        table: &'static Table,
        after: Option<&[Cell]>,
    ) -> Result<Vec<Cells>, StoreError> {
        let sql = table.page(after.is_none(), read, |number| format!("${number}"));
        let mut query = sqlx::query(&sql);
        for cell in after.unwrap_or_default() {
            query = match cell {
                Cell::Integer(number) => query.bind(number),
                Cell::Text(text) => query.bind(text),
                Cell::Bytes(bytes) => query.bind(bytes),
            };
        }
        let doing = "read rows to copy";
        let rows = self.run(doing, async |connection| query.fetch_all(connection).await).await?;
        rows.iter()
            .map(|row| cells(table, row))
            .collect::<Result<_, _>>()
            .map_err(|error| failed(doing, error))
    }

    async fn insert(&mut self, table: &'static Table, rows: &[Cells]) -> Result<(), StoreError> {
        let columns = table.columns.iter().enumerate();
        let written: Vec<_> = columns.clone().map(|(_, (name, kind))| written(name, *kind)).collect();
        let lists: Vec<_> = columns.clone().map(|(index, (_, kind))| list(index + 1, *kind)).collect();
        let names = table.names();
        let sql = format!(
            "INSERT INTO {} ({names}) SELECT {} FROM unnest({}) AS new ({names})",
            table.name,
            written.join(", "),
            lists.join(", ")
        );
        let mut query = sqlx::query(&sql);
        for (index, (_, kind)) in columns {
            query = bind_column(query, *kind, rows, index);
        }
        self.run("copy rows", async |connection| query.execute(connection).await.map(drop)).await
    }

    async fn settle(&mut self) -> Result<(), StoreError> {
        // Whoever does not own the tables is warned and goes on.
        let names: Vec<_> = tables().map(|table| table.name).collect();
        self.execute("count what was copied", &format!("ANALYZE {}", names.join(", "))).await
    }

    async fn commit(&mut self) -> Result<(), StoreError> {
        self.execute("commit the copy", "COMMIT").await
    }

    async fn rollback(&mut self) {
        // Outside of a transaction it changes nothing. Should it fail, the server rolls back when the
        // connection ends.
        if self.execute("roll back", "ROLLBACK").await.is_err() {
            self.connection = None;
        }
    }

    async fn close(&mut self) {
        self.rollback().await;
        if let Some(connection) = self.connection.take() {
            primary::close(connection).await;
        }
    }
}

fn read(name: &str, kind: Kind) -> String {
    match kind {
        Kind::Json => format!("{name}::text AS {name}"),
        Kind::Integer | Kind::Text | Kind::Bytes => name.to_owned(),
    }
}

fn written(name: &str, kind: Kind) -> String {
    match kind {
        Kind::Json => format!("{name}::json"),
        Kind::Integer | Kind::Text | Kind::Bytes => name.to_owned(),
    }
}

fn list(number: usize, kind: Kind) -> String {
    let of = match kind {
        Kind::Integer => "bigint",
        Kind::Text | Kind::Json => "text",
        Kind::Bytes => "bytea",
    };
    format!("${number}::{of}[]")
}

type Asked<'q> = Query<'q, sqlx::Postgres, PgArguments>;

fn bind_column<'q>(query: Asked<'q>, kind: Kind, rows: &'q [Cells], index: usize) -> Asked<'q> {
    let column = rows.iter().map(|row| &row[index]);
    // A row that lacks a cell of its kind makes a list too short, which `unnest` fills with NULL, and
    // that is refused by the table.
    match kind {
        Kind::Integer => query.bind(
            column
                .filter_map(|cell| if let Cell::Integer(number) = cell { Some(*number) } else { None })
                .collect::<Vec<_>>(),
        ),
        Kind::Text | Kind::Json => query.bind(
            column
                .filter_map(|cell| if let Cell::Text(text) = cell { Some(text.as_str()) } else { None })
                .collect::<Vec<_>>(),
        ),
        Kind::Bytes => query.bind(
            column
                .filter_map(|cell| if let Cell::Bytes(bytes) = cell { Some(bytes.as_slice()) } else { None })
                .collect::<Vec<_>>(),
        ),
    }
}

fn cells(table: &Table, row: &PgRow) -> Result<Cells, sqlx::Error> {
    let cell = |(index, (_, kind)): (usize, &(&str, Kind))| match kind {
        Kind::Integer => row.try_get(index).map(Cell::Integer),
        Kind::Text | Kind::Json => row.try_get(index).map(Cell::Text),
        Kind::Bytes => row.try_get(index).map(Cell::Bytes),
    };
    table.columns.iter().enumerate().map(cell).collect()
}
