//! Sessions as lists show them.

use proctor_domain::session::{Access, TTL_SECONDS_MAX};
use proctor_domain::{Micros, Name, Position, SessionId, SubjectId};

use super::record::{Broken, Record};
use super::select::{Bound, Condition, Label, Page, Question, Statement, first_at};
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
    /// How many calls are admitted in any 60 seconds.
    pub calls_per_minute_max: Option<u32>,
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
             t.revoked_reason, t.calls_per_minute_max, ",
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
            .page(
                filter.subjects.as_deref(),
                limit,
                |subject| filter.page(subject, before, limit),
                session,
                |row| row.position,
            )
            .await
    }

    /// One session.
    ///
    /// # Errors
    /// When the views cannot be read.
    pub async fn session(&self, id: SessionId) -> Result<Option<SessionRow>, ViewsError> {
        let sql = concat!("SELECT ", columns!(), " FROM sessions t WHERE t.id = $1").to_owned();
        let statements = vec![Statement { sql, values: vec![Bound::Text(id.as_str().to_owned())] }];
        Ok(self.pool.ask(Question { statements, row: session }).await?.pop())
    }

    /// How many sessions are open at this time: what a revocation now would end.
    ///
    /// # Errors
    /// When the views cannot be read.
    pub async fn count_open_sessions(&self, of: SessionsOf, at: Micros) -> Result<u64, ViewsError> {
        let counts = self.pool.ask(Question { statements: of.counts(at), row: |row| row.count(0) }).await?;
        Ok(counts.into_iter().sum())
    }

    /// How many sessions of everybody are open at this time.
    ///
    /// # Errors
    /// When the views cannot be read.
    pub async fn count_all_open_sessions(&self, at: Micros) -> Result<u64, ViewsError> {
        let statements = vec![count_open(None, None, at)];
        let counts = self.pool.ask(Question { statements, row: |row| row.count(0) }).await?;
        Ok(counts.into_iter().sum())
    }
}

impl SessionsOf {
    /// Statements that count the open ones, to be summed.
    pub(super) fn counts(&self, at: Micros) -> Vec<Statement> {
        match self {
            Self::Subject(subject) => vec![count_open(Some(("t.subject", subject.as_str())), None, at)],
            Self::VirtualServer(name) => {
                vec![count_open(Some(("t.virtual_server", name.as_str())), None, at)]
            }
            Self::Connection { name, virtual_servers } => virtual_servers
                .iter()
                .map(|server| {
                    count_open(Some(("t.virtual_server", server.as_str())), Some(name.as_str()), at)
                })
                .collect(),
        }
    }
}

/// Counts the open ones, those with this value in a column or all.
fn count_open(of: Option<(&str, &str)>, connection: Option<&str>, at: Micros) -> Statement {
    let mut asked = Statement::default();
    let of = of.map_or_else(String::new, |(column, id)| format!("{column} = {} AND ", asked.place_text(id)));
    // No session lives longer, so none opened before can be open.
    let earliest = asked.place(Bound::Integer(at.0 - i64::from(TTL_SECONDS_MAX) * 1_000_000));
    let from = first_at("sessions", "opened_at_us", &earliest);
    let at = asked.place(Bound::Integer(at.0));
    let mut sql = format!(
        "SELECT COUNT(*) FROM sessions t WHERE {of}t.position >= {from} \
         AND t.expires_at_us > {at} AND t.revoked_position IS NULL"
    );
    let mut not_cut = |kind: &str, id: &str| {
        sql.push_str(&format!(
            " AND NOT EXISTS (SELECT 1 FROM cuts c WHERE c.kind = '{kind}' AND c.id = {id} \
             AND c.position > t.position)"
        ));
    };
    not_cut("subject", "t.subject");
    not_cut("virtual_server", "t.virtual_server");
    if let Some(connection) = connection {
        not_cut("connection", &asked.place_text(connection));
    }
    asked.sql = sql;
    asked
}

fn session(row: &Record<'_>) -> Result<SessionRow, Broken> {
    let access = row.text(8)?;
    let access = match access.as_str() {
        "full" => Access::Full,
        "read_only" => Access::ReadOnly,
        other => {
            let unknown = format!("no access is called \"{}\"", other.escape_debug());
            return Err(unknown.into());
        }
    };
    let cut = |column: usize| {
        let at = row.maybe_integer(column + 1)?;
        let position = row.maybe_position(column)?;
        Ok::<_, Broken>(position.zip(at).map(|(position, at)| SessionCut { position, at: Micros(at) }))
    };
    let cuts = [cut(20)?, cut(22)?];
    Ok(SessionRow {
        position: row.position(0)?,
        session: row.text(1)?.into(),
        opened_at: Micros(row.integer(2)?),
        by_kind: row.text(3)?,
        by_id: row.text(4)?,
        subject: row.text(5)?.into(),
        virtual_server: row.text(6)?,
        version: row.number(7)?,
        access,
        expires_at: Micros(row.integer(9)?),
        calls_max: row.number(10)?,
        calls_per_minute_max: row.maybe_number(19)?,
        tools: row.maybe_text(11)?,
        calls_admitted: row.count(12)?,
        calls_refused: row.count(13)?,
        revoked_position: row.maybe_position(14)?,
        revoked_at: row.maybe_integer(15)?.map(Micros),
        revoked_by_kind: row.maybe_text(16)?,
        revoked_by_id: row.maybe_text(17)?,
        revoked_reason: row.maybe_text(18)?,
        cut: cuts.into_iter().flatten().min_by_key(|cut| cut.position),
    })
}
