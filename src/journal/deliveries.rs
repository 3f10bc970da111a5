//! What is to be sent to webhooks and how that stands: the tables of the outbox.
//!
//! **Invariants.** Deliveries are enqueued in the transaction that moves the cursor over their
//! events, so that none is left out. How an attempt ended is written only where the delivery still
//! stands as it did when the attempt began.

use std::collections::BTreeMap;
use std::sync::Arc;

use proctor_domain::{Micros, Position, ReplicaId};

use super::copying::{Cell, Cells};
use super::rows::{Rows, Statement};
use super::store::StoreError;

/// Rows that are removed at once.
const PRUNED_ROWS_MAX: i64 = 1_000;

macro_rules! columns {
    ($before:literal, $after:literal) => {
        concat!(
            $before,
            " webhook, position, id, topic, state, attempts, since, due_at, attempted_at, ended_at, status, failure ",
            $after
        )
    };
}

/// Webhooks whose next messages are read by one question.
pub const NEXT_OF_MAX: usize = 16;

macro_rules! next_of {
    (@ $webhook:literal $most:literal) => {
        concat!(
            columns!("SELECT * FROM (SELECT", "FROM webhook_deliveries WHERE webhook = "),
            $webhook,
            " AND state = 'pending' ORDER BY due_at, position LIMIT ",
            $most,
            ") AS next"
        )
    };
    ($first:literal $most:literal, $($webhook:literal $more:literal),+) => {
        concat!(next_of!(@ $first $most), $(" UNION ALL ", next_of!(@ $webhook $more)),+)
    };
}

/// Each with the index by which due ones are found.
#[rustfmt::skip]
const NEXT_OF: &str = next_of!(
    "$1" "$2", "$3" "$4", "$5" "$6", "$7" "$8", "$9" "$10", "$11" "$12", "$13" "$14", "$15" "$16",
    "$17" "$18", "$19" "$20", "$21" "$22", "$23" "$24", "$25" "$26", "$27" "$28", "$29" "$30", "$31" "$32"
);

/// How a delivery stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeliveryState {
    /// It is sent when it is due.
    Pending,
    /// The receiver has taken it.
    Delivered,
    /// It was given up.
    Dead,
}

impl DeliveryState {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Pending, Self::Delivered, Self::Dead];

    /// The state as it is stored and shown.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Delivered => "delivered",
            Self::Dead => "dead",
        }
    }
}

/// One message for one webhook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// The webhook.
    pub webhook: String,
    /// Where the event stands that it tells of.
    pub position: Position,
    /// The message's identifier, the same however often it is sent.
    pub id: String,
    /// What it tells of.
    pub topic: String,
    /// How it stands.
    pub state: DeliveryState,
    /// How often it was sent, since it was enqueued or last asked for by hand.
    pub attempts: i64,
    /// When that was.
    pub since: Micros,
    /// When it is sent next, while it is pending.
    pub due_at: Micros,
    /// When it was last sent.
    pub attempted_at: Option<Micros>,
    /// When it was delivered or given up.
    pub ended_at: Option<Micros>,
    /// What the receiver last answered.
    pub status: Option<u16>,
    /// Why the last attempt failed, or why it was given up, as a stable code.
    pub failure: Option<String>,
}

/// How an attempt ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// When.
    pub at: Micros,
    /// How the delivery stands now.
    pub state: DeliveryState,
    /// When it is sent next, while it is pending.
    pub due_at: Micros,
    /// What the receiver answered.
    pub status: Option<u16>,
    /// Why it failed.
    pub failure: Option<&'static str>,
}

/// What follows from an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// A message is to be sent.
    Enqueue {
        /// To this webhook.
        webhook: Arc<str>,
        /// Of the event here.
        position: Position,
        /// Under this identifier.
        id: String,
        /// As this.
        topic: &'static str,
        /// Why it is given up at once, where it is.
        failure: Option<&'static str>,
    },
    /// A message is to be sent again from the start.
    Again {
        /// The webhook.
        webhook: Arc<str>,
        /// The message.
        id: String,
    },
    /// Whatever waits for this webhook is given up.
    GiveUp {
        /// The webhook.
        webhook: Arc<str>,
        /// Why.
        failure: &'static str,
    },
    /// Everything up to here is done.
    Reach {
        /// For this webhook.
        webhook: Arc<str>,
        /// The position.
        position: Position,
    },
}

/// How many deliveries there are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Waiting {
    /// Of those that are to be sent, for each webhook that has any.
    pub pending: BTreeMap<String, u64>,
    /// Of those that were given up.
    pub dead: u64,
}

/// The tables.
#[derive(Clone)]
pub struct Deliveries(Arc<dyn Rows>);

impl Deliveries {
    /// The tables in this database.
    #[must_use]
    pub fn new(rows: Arc<dyn Rows>) -> Self {
        Self(rows)
    }

    async fn write(&self, doing: &'static str, statement: Statement) -> Result<u64, StoreError> {
        Ok(self.0.write(doing, vec![statement]).await?.first().copied().unwrap_or_default())
    }

    /// Says that `replica` delivers until `ends_at`. Answers whether it may: nobody else does at `now`.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub async fn lead(&self, replica: &ReplicaId, now: Micros, ends_at: Micros) -> Result<bool, StoreError> {
        let sql = "INSERT INTO webhook_lead (name, replica, ends_at) VALUES ('webhooks', $1, $2)
                   ON CONFLICT (name) DO UPDATE SET replica = excluded.replica, ends_at = excluded.ends_at
                   WHERE webhook_lead.replica = excluded.replica OR webhook_lead.ends_at <= $3";
        let parameters = vec![replica.as_str().into(), ends_at.0.into(), now.0.into()];
        Ok(self.write("ask who delivers", Statement { sql, parameters }).await? > 0)
    }

    /// Lets another one deliver.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub async fn give_lead_back(&self, replica: &ReplicaId) -> Result<(), StoreError> {
        let sql = "DELETE FROM webhook_lead WHERE replica = $1";
        let statement = Statement { sql, parameters: vec![replica.as_str().into()] };
        self.write("let another one deliver", statement).await.map(drop)
    }

    /// How far each webhook is.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn cursors(&self) -> Result<Vec<(String, Position)>, StoreError> {
        let sql = "SELECT webhook, position FROM webhook_cursors";
        let doing = "read how far webhooks are";
        let rows = self.0.read(doing, Statement { sql, parameters: vec![] }).await?;
        rows.into_iter()
            .map(|row| {
                let mut row = Fields::new(doing, row);
                Ok((row.text()?, row.position()?))
            })
            .collect()
    }

    /// Does all steps, in order and together.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub async fn take(&self, steps: &[Step], at: Micros) -> Result<(), StoreError> {
        let statements = steps.iter().map(|step| statement(step, at)).collect();
        self.0.write("enqueue deliveries", statements).await.map(drop)
    }

    /// What is sent next to each of these webhooks, due or not, at most so many of each, in the order in
    /// which they are due. However many webhooks there are, the database is asked once for [`NEXT_OF_MAX`].
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn next_of(&self, asked: &[(&str, usize)]) -> Result<Vec<Delivery>, StoreError> {
        let mut next = Vec::new();
        for some in asked.chunks(NEXT_OF_MAX) {
            // Places that are left take nothing of nobody.
            let places = some.iter().chain(std::iter::repeat(&("", 0))).take(NEXT_OF_MAX);
            let parameters = places.flat_map(|(webhook, most)| [(*webhook).into(), bounded(*most)]).collect();
            next.extend(self.deliveries(NEXT_OF, parameters).await?);
        }
        next.sort_by_key(|next| (next.due_at, next.position));
        Ok(next)
    }

    /// Writes how an attempt at `delivery` ended. Answers whether it counts: the delivery still
    /// stands as it did, or was given up meanwhile for the very reason that the attempt found.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub async fn settle(&self, delivery: &Delivery, attempt: &Attempt) -> Result<bool, StoreError> {
        let sql = "UPDATE webhook_deliveries SET state = $1, attempts = attempts + 1, due_at = $2,
                          attempted_at = $3, ended_at = $4, status = $5, failure = $6
                   WHERE webhook = $7 AND position = $8 AND attempts = $9 AND since = $10
                     AND (state = 'pending' OR state = 'dead' AND failure = $6)";
        let ended_at = if attempt.state == DeliveryState::Pending { 0 } else { attempt.at.0 };
        let parameters = vec![
            attempt.state.code().into(),
            attempt.due_at.0.into(),
            attempt.at.0.into(),
            ended_at.into(),
            i64::from(attempt.status.unwrap_or_default()).into(),
            attempt.failure.unwrap_or_default().into(),
            (&*delivery.webhook).into(),
            delivery.position.0.cast_signed().into(),
            delivery.attempts.into(),
            delivery.since.0.into(),
        ];
        Ok(self.write("write how a delivery ended", Statement { sql, parameters }).await? > 0)
    }

    /// Removes some of what was delivered, or given up, before these times. Answers how many.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub async fn prune(&self, delivered_before: Micros, dead_before: Micros) -> Result<u64, StoreError> {
        let sql = "DELETE FROM webhook_deliveries WHERE (webhook, position) IN
                       (SELECT webhook, position FROM webhook_deliveries
                        WHERE state = $1 AND state <> 'pending' AND ended_at < $2 LIMIT $3)";
        let of = |state: DeliveryState, before: Micros| Statement {
            sql,
            parameters: vec![state.code().into(), before.0.into(), PRUNED_ROWS_MAX.into()],
        };
        let statements =
            vec![of(DeliveryState::Delivered, delivered_before), of(DeliveryState::Dead, dead_before)];
        Ok(self.0.write("remove old deliveries", statements).await?.iter().sum())
    }

    /// How many there are.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn waiting(&self) -> Result<Waiting, StoreError> {
        let doing = "count deliveries";
        let sql = "SELECT webhook, count(*) FROM webhook_deliveries WHERE state = 'pending' GROUP BY webhook";
        let mut pending = BTreeMap::new();
        for row in self.0.read(doing, Statement { sql, parameters: vec![] }).await? {
            let mut row = Fields::new(doing, row);
            pending.insert(row.text()?, row.number()?.cast_unsigned());
        }
        let sql = "SELECT count(*) FROM webhook_deliveries WHERE state <> 'pending' AND state = 'dead'";
        let rows = self.0.read(doing, Statement { sql, parameters: vec![] }).await?;
        let dead = Fields::new(doing, rows.into_iter().next().unwrap_or_default()).number()?;
        Ok(Waiting { pending, dead: dead.cast_unsigned() })
    }

    /// One delivery.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn of(&self, webhook: &str, id: &str) -> Result<Option<Delivery>, StoreError> {
        let sql = columns!("SELECT", "FROM webhook_deliveries WHERE webhook = $1 AND id = $2");
        Ok(self.deliveries(sql, vec![webhook.into(), id.into()]).await?.into_iter().next())
    }

    /// Deliveries of a webhook before a position, the newest first.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn list(
        &self,
        webhook: &str,
        state: Option<DeliveryState>,
        before: Option<Position>,
        limit: usize,
    ) -> Result<Vec<Delivery>, StoreError> {
        let before = before.map_or(i64::MAX, |position| position.0.cast_signed());
        let (sql, state) = match state {
            None => (
                columns!(
                    "SELECT",
                    "FROM webhook_deliveries WHERE webhook = $1 AND position < $2 ORDER BY position DESC LIMIT $3"
                ),
                None,
            ),
            Some(state) => (
                columns!(
                    "SELECT",
                    "FROM webhook_deliveries WHERE webhook = $1 AND state = $2 AND position < $3
                     ORDER BY position DESC LIMIT $4"
                ),
                Some(Cell::from(state.code())),
            ),
        };
        let parameters = [Some(webhook.into()), state, Some(before.into()), Some(bounded(limit))];
        self.deliveries(sql, parameters.into_iter().flatten().collect()).await
    }

    /// A webhook's sealed secret.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn secret(&self, webhook: &str, generation: u32) -> Result<Option<Vec<u8>>, StoreError> {
        let sql = "SELECT sealed FROM webhook_secrets WHERE webhook = $1 AND generation = $2";
        let doing = "read a webhook's secret";
        let parameters = vec![webhook.into(), i64::from(generation).into()];
        let rows = self.0.read(doing, Statement { sql, parameters }).await?;
        Ok(rows.into_iter().next().and_then(|row| match row.into_iter().next() {
            Some(Cell::Bytes(sealed)) => Some(sealed),
            Some(Cell::Integer(_) | Cell::Text(_)) | None => None,
        }))
    }

    async fn deliveries(
        &self,
        sql: &'static str,
        parameters: Vec<Cell>,
    ) -> Result<Vec<Delivery>, StoreError> {
        let doing = "read deliveries";
        let rows = self.0.read(doing, Statement { sql, parameters }).await?;
        rows.into_iter().map(|row| Fields::new(doing, row).delivery()).collect()
    }
}

fn bounded(limit: usize) -> Cell {
    i64::try_from(limit).unwrap_or(i64::MAX).into()
}

fn statement(step: &Step, at: Micros) -> Statement {
    match step {
        Step::Enqueue { webhook, position, id, topic, failure } => Statement {
            sql: columns!(
                "INSERT INTO webhook_deliveries (",
                ") VALUES ($1, $2, $3, $4, $5, 0, $6, $6, 0, $7, 0, $8) ON CONFLICT DO NOTHING"
            ),
            parameters: vec![
                (&**webhook).into(),
                position.0.cast_signed().into(),
                (&**id).into(),
                (*topic).into(),
                failure.map_or(DeliveryState::Pending, |_| DeliveryState::Dead).code().into(),
                at.0.into(),
                failure.map_or(0, |_| at.0).into(),
                failure.unwrap_or_default().into(),
            ],
        },
        Step::Again { webhook, id } => Statement {
            sql: "UPDATE webhook_deliveries SET state = 'pending', attempts = 0, since = $1, due_at = $1, ended_at = 0
                  WHERE webhook = $2 AND id = $3",
            parameters: vec![at.0.into(), (&**webhook).into(), (&**id).into()],
        },
        Step::GiveUp { webhook, failure } => Statement {
            sql: "UPDATE webhook_deliveries SET state = 'dead', ended_at = $1, failure = $2
                  WHERE webhook = $3 AND state = 'pending'",
            parameters: vec![at.0.into(), (*failure).into(), (&**webhook).into()],
        },
        Step::Reach { webhook, position } => Statement {
            sql: "INSERT INTO webhook_cursors (webhook, position) VALUES ($1, $2)
                  ON CONFLICT (webhook) DO UPDATE SET position = excluded.position
                  WHERE webhook_cursors.position < excluded.position",
            parameters: vec![(&**webhook).into(), position.0.cast_signed().into()],
        },
    }
}

/// The columns of a row, one after the other.
struct Fields {
    doing: &'static str,
    cells: std::vec::IntoIter<Cell>,
}

impl Fields {
    fn new(doing: &'static str, row: Cells) -> Self {
        Self { doing, cells: row.into_iter() }
    }

    fn wrong(&self) -> StoreError {
        StoreError::Database { doing: self.doing, reason: "a row has other columns".into() }
    }

    fn text(&mut self) -> Result<String, StoreError> {
        match self.cells.next() {
            Some(Cell::Text(text)) => Ok(text),
            Some(Cell::Integer(_) | Cell::Bytes(_)) | None => Err(self.wrong()),
        }
    }

    fn number(&mut self) -> Result<i64, StoreError> {
        match self.cells.next() {
            Some(Cell::Integer(number)) => Ok(number),
            Some(Cell::Text(_) | Cell::Bytes(_)) | None => Err(self.wrong()),
        }
    }

    fn position(&mut self) -> Result<Position, StoreError> {
        Ok(Position(self.number()?.cast_unsigned()))
    }

    fn time(&mut self) -> Result<Option<Micros>, StoreError> {
        Ok(Some(self.number()?).filter(|at| *at != 0).map(Micros))
    }

    fn delivery(mut self) -> Result<Delivery, StoreError> {
        Ok(Delivery {
            webhook: self.text()?,
            position: self.position()?,
            id: self.text()?,
            topic: self.text()?,
            state: {
                let code = self.text()?;
                let known = DeliveryState::ALL.into_iter().find(|state| state.code() == code);
                known.ok_or_else(|| self.wrong())?
            },
            attempts: self.number()?,
            since: Micros(self.number()?),
            due_at: Micros(self.number()?),
            attempted_at: self.time()?,
            ended_at: self.time()?,
            status: u16::try_from(self.number()?).ok().filter(|status| *status != 0),
            failure: Some(self.text()?).filter(|failure| !failure.is_empty()),
        })
    }
}
