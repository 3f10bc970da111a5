//! Brings the schema up to date, by one process at a time.
//!
//! **Invariants.** A migration that was released is never changed. It adds first, and takes away
//! only what no released version uses any more: an older process that runs keeps on serving.

use sqlx::Connection as _;
use sqlx::postgres::PgConnection;

use super::{database, failed};
use crate::journal::store::StoreError;

/// One text per version of the schema, never changed once released.
const MIGRATIONS: &[&str] = &[
    include_str!("../../../migrations/postgres/0001_journal.sql"),
    include_str!("../../../migrations/postgres/0002_append.sql"),
    include_str!("../../../migrations/postgres/0003_user_connections.sql"),
    include_str!("../../../migrations/postgres/0004_moves.sql"),
    include_str!("../../../migrations/postgres/0005_pending_credentials.sql"),
    include_str!("../../../migrations/postgres/0006_webhooks.sql"),
    include_str!("../../../migrations/postgres/0007_master_keys.sql"),
    include_str!("../../../migrations/postgres/0008_keys.sql"),
    include_str!("../../../migrations/postgres/0009_idempotent_requests.sql"),
];

/// Held while the schema is brought up to date: "proctorM".
const LOCK: i64 = 0x7072_6f63_746f_724d;

const DOING: &str = "bring the journal's schema up to date";

/// Migrates what is not up to date. Where all is, it needs no right to change the schema.
pub(super) async fn up_to_date(connection: &mut PgConnection) -> Result<(), StoreError> {
    if missing(connection).await?.is_empty() {
        return Ok(());
    }
    let failed = |error| database(DOING, error);
    let mut transaction = connection.begin().await.map_err(failed)?;
    // Others may be at it, and a migration may take its time.
    sqlx::raw_sql("SET LOCAL lock_timeout = '30s'; SET LOCAL statement_timeout = 0")
        .execute(&mut *transaction)
        .await
        .map_err(failed)?;
    sqlx::query("SELECT pg_advisory_xact_lock($1)")
        .bind(LOCK)
        .execute(&mut *transaction)
        .await
        .map_err(failed)?;
    let missing = missing(&mut transaction).await?;
    let first = MIGRATIONS.len() - missing.len();
    if first == 0 {
        let table = "CREATE TABLE IF NOT EXISTS proctor_migrations (number INTEGER PRIMARY KEY,
                     applied_at TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp())";
        sqlx::raw_sql(table).execute(&mut *transaction).await.map_err(failed)?;
    }
    for (migration, number) in missing.iter().zip(first + 1..) {
        sqlx::raw_sql(migration).execute(&mut *transaction).await.map_err(failed)?;
        sqlx::query("INSERT INTO proctor_migrations (number) VALUES ($1)")
            .bind(i32::try_from(number).unwrap_or(i32::MAX))
            .execute(&mut *transaction)
            .await
            .map_err(failed)?;
    }
    transaction.commit().await.map_err(failed)
}

/// The migrations that were not applied yet.
pub(super) async fn missing(connection: &mut PgConnection) -> Result<&'static [&'static str], StoreError> {
    let doing = "read the version of the journal's schema";
    // `to_regclass` would go on believing in the middle of a transaction what it found before.
    let sql = "SELECT EXISTS (SELECT FROM pg_class
                              WHERE relname = 'proctor_migrations' AND pg_table_is_visible(oid))";
    let there: bool =
        sqlx::query_scalar(sql).fetch_one(&mut *connection).await.map_err(|error| database(doing, error))?;
    if !there {
        return Ok(MIGRATIONS);
    }
    let done: i32 = sqlx::query_scalar("SELECT coalesce(max(number), 0) FROM proctor_migrations")
        .fetch_one(connection)
        .await
        .map_err(|error| database(doing, error))?;
    usize::try_from(done).ok().and_then(|done| MIGRATIONS.get(done..)).ok_or_else(|| {
        failed("open the journal", "a newer version of Proctor has changed its schema: upgrade this one")
    })
}
