//! The schema of the views: its name, its tables, and which schemas nobody needs any more.

use std::sync::LazyLock;

use sqlx::Row as _;

use super::line::Line;
use crate::views::error::ViewsError;
use crate::views::record::Broken;
use crate::views::shape::shape;

/// The tables. When this text changes, they are made and filled anew in another schema.
pub(super) const TABLES: &str = include_str!("../../../migrations/postgres/views/0001_views.sql");
/// Where the views stand, and when somebody last wrote them. Its form never changes: a newer program
/// must understand an older one's.
const CHECKPOINTS: &str = "CREATE TABLE checkpoints (
    name     TEXT        NOT NULL PRIMARY KEY,
    position BIGINT      NOT NULL,
    event_id TEXT        NOT NULL,
    alive_at TIMESTAMPTZ NOT NULL
)";
/// What all names begin with.
const PREFIX: &str = "proctor_views_";
/// Digits of the shape in a name.
const DIGITS: usize = 16;
/// How long the views of another version are kept after they were last written: an upgrade that is
/// taken back within this time finds them as they were.
const KEPT: &str = "1 day";

/// A schema by its name, which is safe to stand in SQL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::views) struct Schema {
    pub(in crate::views) name: String,
    /// The advisory lock of whoever writes it.
    pub(super) lock: i64,
}

static OWN: LazyLock<String> = LazyLock::new(|| format!("{PREFIX}{}", &shape(TABLES)[..DIGITS]));

impl Schema {
    /// The one that this program uses.
    pub(in crate::views) fn own() -> Self {
        let name = OWN.clone();
        let lock = lock(&name).unwrap_or_default();
        Self { name, lock }
    }

    fn named(name: String) -> Option<Self> {
        let lock = lock(&name)?;
        Some(Self { name, lock })
    }

    /// Makes it where it is missing. Only whoever holds its lock may.
    pub(super) fn make(&self, line: &mut Line) -> Result<(), ViewsError> {
        let failed = ViewsError::doing(
            "make the schema of the audit views, for which the role needs CREATE on the database",
        );
        let name = &self.name;
        let found = line
            .rows(sqlx::query("SELECT to_regclass($1) IS NOT NULL").bind(format!("{name}.checkpoints")))
            .map_err(&failed)?;
        if first::<bool>(&found).map_err(&failed)? != Some(true) {
            line.execute(&format!(
                "BEGIN; CREATE SCHEMA IF NOT EXISTS {name}; {CHECKPOINTS}; {TABLES};
                 INSERT INTO checkpoints VALUES ('views', 0, '', now()); COMMIT"
            ))
            .map_err(&failed)?;
        }
        Ok(())
    }
}

/// The lock that goes with a schema's name, if it is one of ours.
fn lock(name: &str) -> Option<i64> {
    let digits = name.strip_prefix(PREFIX).filter(|digits| digits.len() == DIGITS)?;
    if digits.bytes().any(|digit| !matches!(digit, b'0'..=b'9' | b'a'..=b'f')) {
        return None;
    }
    u64::from_str_radix(digits, 16).ok().map(u64::cast_signed)
}

/// Drops the schemas of other versions that nobody writes, nor has written for [`KEPT`].
pub(super) fn drop_forgotten(line: &mut Line, own: &Schema) -> Result<(), Broken> {
    let all = line.rows(
        sqlx::query("SELECT nspname::text FROM pg_namespace WHERE starts_with(nspname, $1)").bind(PREFIX),
    )?;
    for row in all {
        let Some(other) = Schema::named(row.try_get(0)?).filter(|schema| schema != own) else { continue };
        line.execute("BEGIN")?;
        let dropped = drop_if_forgotten(line, &other);
        line.execute(if dropped.is_ok() { "COMMIT" } else { "ROLLBACK" })?;
        match dropped {
            Ok(true) => tracing::info!(schema = other.name, "dropped the audit views of another version"),
            Ok(false) => {}
            Err(error) => {
                tracing::warn!(%error, schema = other.name, "failed to drop the audit views of another version")
            }
        }
    }
    Ok(())
}

fn drop_if_forgotten(line: &mut Line, schema: &Schema) -> Result<bool, Broken> {
    let free = line.rows(sqlx::query("SELECT pg_try_advisory_xact_lock($1)").bind(schema.lock))?;
    if first::<bool>(&free)? != Some(true) {
        return Ok(false);
    }
    let name = &schema.name;
    let forgotten = format!("SELECT alive_at < now() - interval '{KEPT}' FROM {name}.checkpoints");
    let forgotten = first::<bool>(&line.rows(sqlx::query(&forgotten))?)? == Some(true);
    if forgotten {
        line.execute(&format!("DROP SCHEMA {name} CASCADE"))?;
    }
    Ok(forgotten)
}

/// The only column of the first row, if there is one.
pub(super) fn first<'r, T>(rows: &'r [sqlx::postgres::PgRow]) -> Result<Option<T>, Broken>
where
    T: sqlx::Decode<'r, sqlx::Postgres> + sqlx::Type<sqlx::Postgres>,
{
    Ok(rows.first().map(|row| row.try_get(0)).transpose()?)
}
