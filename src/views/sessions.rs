//! Sessions as lists show them.

use proctor_domain::session::{Access, TTL_SECONDS_MAX};
use proctor_domain::{Micros, Name, Position, SessionId, SubjectId};
use rusqlite::types::{Type, Value};
use rusqlite::{Connection, OptionalExtension as _, Row, params_from_iter};

use super::select::{Condition, Label, Page, count, first_at, maybe_position, per_subject, position};
use super::{Views, ViewsError};

/// Which sessions. What is not set does not matter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SessionFilter {
    /// Of one of these users; an empty list finds nothing.
    pub subjects: Option<Vec<SubjectId>>,
    /// That carry this label, by its blind index.
    pub label_index: Option<String>,
    /// On this virtual server.
    pub virtual_server: Option<String>,
    /// Opened at this time or later.
    pub from_us: Option<Micros>,
    /// Opened before this time.
    pub to_us: Option<Micros>,
}

/// What ended a session together with all others opened before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionCut {
    /// Where it stands in the journal; the act there says who did it and why.
    pub position: Position,
    /// When it was recorded.
    pub at: Micros,
}

/// How a session stands. For showing only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionState {
    /// It may be used.
    Open,
    /// Its time is over.
    Expired,
    /// It, or all sessions of its user or virtual server, was ended before its time.
    Revoked,
}

impl SessionState {
    /// The stable code, as shown.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
        }
    }
}

/// One session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionRow {
    /// Where its opening stands in the journal. Labels are sealed beside it.
    pub position: Position,
    /// The session.
    pub session: SessionId,
    /// When it was opened.
    pub opened_at: Micros,
    /// `key` or `replica`.
    pub by_kind: String,
    /// The key's or the process's identifier.
    pub by_id: String,
    /// The user.
    pub subject: SubjectId,
    /// The virtual server.
    pub virtual_server: String,
    /// Its version then.
    pub version: u32,
    /// How much of it may be used.
    pub access: Access,
    /// When it ends by itself.
    pub expires_at: Micros,
    /// After how many admitted calls it ends.
    pub calls_max: u32,
    /// Only these of its tools, as a JSON list; all when absent.
    pub tools: Option<String>,
    /// Calls admitted so far.
    pub calls_admitted: u64,
    /// Calls refused so far.
    pub calls_refused: u64,
    /// Where its own revocation stands in the journal.
    pub revoked_position: Option<Position>,
    /// When it was revoked.
    pub revoked_at: Option<Micros>,
    /// `key` or `replica`.
    pub revoked_by_kind: Option<String>,
    /// The key's or the process's identifier.
    pub revoked_by_id: Option<String>,
    /// Why it was revoked.
    pub revoked_reason: Option<String>,
    /// The first cut of its user or virtual server after its opening.
    pub cut: Option<SessionCut>,
}

impl SessionRow {
    /// How it stands at this time.
    #[must_use]
    pub fn state(&self, at: Micros) -> SessionState {
        // A cut of everything says nothing about a session that was over by then.
        let cut_short = self.cut.is_some_and(|cut| cut.at < self.expires_at);
        if self.revoked_position.is_some() || cut_short {
            SessionState::Revoked
        } else if at >= self.expires_at {
            SessionState::Expired
        } else {
            SessionState::Open
        }
    }
}

macro_rules! first_cut {
    ($what:literal, $kind:literal, $id:literal) => {
        concat!(
            "(SELECT c.",
            $what,
            " FROM cuts c WHERE c.kind = '",
            $kind,
            "' AND c.id = ",
            $id,
            " AND c.position > t.position ORDER BY c.position LIMIT 1)"
        )
    };
}

macro_rules! columns {
    () => {
        concat!(
            "t.position, t.id, t.opened_at_us, t.by_kind, t.by_id, t.subject, t.virtual_server, \
             t.version, t.access, t.expires_at_us, t.calls_max, t.tools, t.calls_admitted, \
             t.calls_refused, t.revoked_position, t.revoked_at_us, t.revoked_by_kind, t.revoked_by_id, \
             t.revoked_reason, ",
            first_cut!("position", "subject", "t.subject"),
            ", ",
            first_cut!("recorded_at_us", "subject", "t.subject"),
            ", ",
            first_cut!("position", "virtual_server", "t.virtual_server"),
            ", ",
            first_cut!("recorded_at_us", "virtual_server", "t.virtual_server")
        )
    };
}

impl SessionFilter {
    pub(super) fn page(&self, subject: Option<&str>, before: Option<Position>, limit: usize) -> Page {
        Page {
            columns: columns!(),
            table: "sessions",
            time: "opened_at_us",
            label: self.label_index.clone().map(|index| Label {
                table: "session_labels",
                index,
                leads: true,
            }),
            conditions: vec![
                Condition::new("t.subject", subject),
                Condition::new("t.virtual_server", self.virtual_server.as_deref()),
            ],
            from: self.from_us,
            to: self.to_us,
            before,
            limit,
        }
    }
}

/// Whose sessions a revocation would end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SessionsOf {
    /// Of a user.
    Subject(SubjectId),
    /// On a virtual server.
    VirtualServer(Name),
    /// That may use a connection.
    Connection {
        /// The connection.
        name: Name,
        /// The virtual servers that expose it.
        virtual_servers: Vec<Name>,
    },
}

impl Views {
    /// Sessions, newest first, before a position.
    ///
    /// # Errors
    /// When the views cannot be read.
    pub async fn sessions(
        &self,
        filter: SessionFilter,
        before: Option<Position>,
        limit: usize,
    ) -> Result<Vec<SessionRow>, ViewsError> {
        self.pool
            .read(move |rows| {
                per_subject(
                    filter.subjects.as_deref(),
                    limit,
                    |row: &SessionRow| row.position,
                    |subject| filter.page(subject.map(SubjectId::as_str), before, limit).read(rows, session),
                )
            })
            .await
    }

    /// One session.
    ///
    /// # Errors
    /// When the views cannot be read.
    pub async fn session(&self, id: SessionId) -> Result<Option<SessionRow>, ViewsError> {
        self.pool
            .read(move |rows| {
                rows.prepare_cached(concat!("SELECT ", columns!(), " FROM sessions t WHERE t.id = $1"))?
                    .query_row([id.as_str()], session)
                    .optional()
            })
            .await
    }

    /// How many sessions are open at this time: what a revocation now would end.
    ///
    /// # Errors
    /// When the views cannot be read.
    pub async fn count_open_sessions(&self, of: SessionsOf, at: Micros) -> Result<u64, ViewsError> {
        self.pool
            .read(move |rows| match &of {
                SessionsOf::Subject(subject) => open(rows, COUNT_BY_SUBJECT_SQL, at, &[subject.as_str()]),
                SessionsOf::VirtualServer(name) => open(rows, COUNT_BY_SERVER_SQL, at, &[name.as_str()]),
                SessionsOf::Connection { name, virtual_servers } => {
                    virtual_servers.iter().try_fold(0, |sum, server| {
                        let values = [server.as_str(), name.as_str()];
                        Ok(sum + open(rows, COUNT_BY_CONNECTION_SQL, at, &values)?)
                    })
                }
            })
            .await
    }
}

macro_rules! count_sql {
    ($column:literal, $also:literal) => {
        concat!(
            "SELECT COUNT(*) FROM sessions t WHERE t.position >= $1 AND t.expires_at_us > $2 \
             AND t.revoked_position IS NULL AND t.",
            $column,
            " = $3 \
             AND NOT EXISTS (SELECT 1 FROM cuts c WHERE c.kind = 'subject' AND c.id = t.subject \
                             AND c.position > t.position) \
             AND NOT EXISTS (SELECT 1 FROM cuts c WHERE c.kind = 'virtual_server' \
                             AND c.id = t.virtual_server AND c.position > t.position)",
            $also
        )
    };
}

pub(super) const COUNT_BY_SUBJECT_SQL: &str = count_sql!("subject", "");
pub(super) const COUNT_BY_SERVER_SQL: &str = count_sql!("virtual_server", "");
pub(super) const COUNT_BY_CONNECTION_SQL: &str = count_sql!(
    "virtual_server",
    " AND NOT EXISTS (SELECT 1 FROM cuts c WHERE c.kind = 'connection' AND c.id = $4 \
                      AND c.position > t.position)"
);

fn open(rows: &Connection, sql: &str, at: Micros, names: &[&str]) -> rusqlite::Result<u64> {
    // No session lives longer, so none opened before can be open.
    let earliest = Micros(at.0 - i64::from(TTL_SECONDS_MAX) * 1_000_000);
    let from = first_at(rows, "sessions", "opened_at_us", earliest)?;
    let mut values = vec![Value::Integer(from), Value::Integer(at.0)];
    values.extend(names.iter().map(|name| Value::Text((*name).to_owned())));
    rows.prepare_cached(sql)?.query_row(params_from_iter(values), |row| count(row, 0))
}

fn session(row: &Row<'_>) -> rusqlite::Result<SessionRow> {
    let access: String = row.get(8)?;
    let access = match access.as_str() {
        "full" => Access::Full,
        "read_only" => Access::ReadOnly,
        other => {
            let unknown = format!("no access is called \"{}\"", other.escape_debug());
            return Err(rusqlite::Error::FromSqlConversionFailure(8, Type::Text, unknown.into()));
        }
    };
    let cut = |column: usize| {
        let at = row.get::<_, Option<i64>>(column + 1)?;
        let position = maybe_position(row, column)?;
        Ok::<_, rusqlite::Error>(
            position.zip(at).map(|(position, at)| SessionCut { position, at: Micros(at) }),
        )
    };
    let cuts = [cut(19)?, cut(21)?];
    Ok(SessionRow {
        position: position(row, 0)?,
        session: row.get::<_, String>(1)?.into(),
        opened_at: Micros(row.get(2)?),
        by_kind: row.get(3)?,
        by_id: row.get(4)?,
        subject: row.get::<_, String>(5)?.into(),
        virtual_server: row.get(6)?,
        version: row.get(7)?,
        access,
        expires_at: Micros(row.get(9)?),
        calls_max: row.get(10)?,
        tools: row.get(11)?,
        calls_admitted: count(row, 12)?,
        calls_refused: count(row, 13)?,
        revoked_position: maybe_position(row, 14)?,
        revoked_at: row.get::<_, Option<i64>>(15)?.map(Micros),
        revoked_by_kind: row.get(16)?,
        revoked_by_id: row.get(17)?,
        revoked_reason: row.get(18)?,
        cut: cuts.into_iter().flatten().min_by_key(|cut| cut.position),
    })
}
