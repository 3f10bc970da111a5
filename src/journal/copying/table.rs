//! What a journal consists of, as rows of text, numbers and bytes: the same in every store.
//!
//! **Invariants.** A cell is exactly what stands in the database. Keys come in the order of their
//! bytes, whichever store is asked.

use sha2::{Digest as _, Sha256};

/// Rows that are taken at once.
const PAGE_ROWS_MAX: usize = 1_000;
/// No row joins a page that is this long already.
const PAGE_BYTES_MAX: usize = 8 * 1024 * 1024;

/// One value of a row.
#[derive(Clone, PartialEq, Eq)]
pub enum Cell {
    /// A number.
    Integer(i64),
    /// A text, JSON included.
    Text(String),
    /// Bytes, which are secret more often than not.
    Bytes(Vec<u8>),
}

/// How a column holds its values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// 64 bits, with a sign.
    Integer,
    /// UTF-8.
    Text,
    /// Text that PostgreSQL knows to be JSON; its exact bytes are kept.
    Json,
    /// Bytes.
    Bytes,
}

/// One row, its cells in the order of the table's columns.
pub type Cells = Vec<Cell>;

/// One table.
#[derive(Debug)]
pub struct Table {
    /// Its name.
    pub name: &'static str,
    /// Its columns; those of the key first.
    pub columns: &'static [(&'static str, Kind)],
    /// How many of them are the key.
    pub key_columns: usize,
    /// The column that makes a row long, where one does.
    long: Option<&'static str>,
}

/// The events, in the order in which they were recorded.
pub static EVENTS: Table = Table {
    name: "events",
    columns: &[
        ("position", Kind::Integer),
        ("recorded_at", Kind::Integer),
        ("event_id", Kind::Text),
        ("aggregate_type", Kind::Text),
        ("aggregate_id", Kind::Text),
        ("sequence", Kind::Integer),
        ("event_type", Kind::Text),
        ("event_version", Kind::Text),
        ("payload", Kind::Json),
        ("metadata", Kind::Json),
    ],
    key_columns: 1,
    long: Some("payload"),
};

/// What is sealed beside them.
pub static PAYLOADS: Table = Table {
    name: "payloads",
    columns: &[("position", Kind::Integer), ("sealed", Kind::Bytes)],
    key_columns: 1,
    long: Some("sealed"),
};

/// Everything else. The leases have all ended, and yet they are needed: they tell the sweeper whose
/// calls it has to give up. `webhook_lead` is not copied: it says for a few seconds who delivers.
pub static OTHERS: [Table; 13] = [
    Table {
        name: "definitions",
        columns: &[("digest", Kind::Text), ("json", Kind::Text)],
        key_columns: 1,
        long: Some("json"),
    },
    Table {
        name: "subjects",
        columns: &[
            ("subject", Kind::Text),
            ("user_index", Kind::Bytes),
            ("user_sealed", Kind::Bytes),
            ("wrapped_key", Kind::Bytes),
        ],
        key_columns: 1,
        long: None,
    },
    Table {
        name: "session_keys",
        columns: &[("session", Kind::Text), ("wrapped", Kind::Bytes)],
        key_columns: 1,
        long: None,
    },
    Table {
        name: "user_credentials",
        columns: &[
            ("subject", Kind::Text),
            ("connection", Kind::Text),
            ("generation", Kind::Integer),
            ("sealed", Kind::Bytes),
            ("previous_generation", Kind::Integer),
            ("previous_sealed", Kind::Bytes),
        ],
        key_columns: 2,
        long: None,
    },
    Table {
        name: "pending_credentials",
        columns: &[
            ("subject", Kind::Text),
            ("connection", Kind::Text),
            ("link", Kind::Text),
            ("sealed", Kind::Bytes),
        ],
        key_columns: 2,
        long: None,
    },
    Table {
        name: "connection_secrets",
        columns: &[("connection", Kind::Text), ("generation", Kind::Integer), ("sealed", Kind::Bytes)],
        key_columns: 2,
        long: None,
    },
    Table {
        name: "webhook_secrets",
        columns: &[("webhook", Kind::Text), ("generation", Kind::Integer), ("sealed", Kind::Bytes)],
        key_columns: 2,
        long: None,
    },
    Table {
        name: "webhook_cursors",
        columns: &[("webhook", Kind::Text), ("position", Kind::Integer)],
        key_columns: 1,
        long: None,
    },
    Table {
        name: "webhook_deliveries",
        columns: &[
            ("webhook", Kind::Text),
            ("position", Kind::Integer),
            ("id", Kind::Text),
            ("topic", Kind::Text),
            ("state", Kind::Text),
            ("attempts", Kind::Integer),
            ("since", Kind::Integer),
            ("due_at", Kind::Integer),
            ("attempted_at", Kind::Integer),
            ("ended_at", Kind::Integer),
            ("status", Kind::Integer),
            ("failure", Kind::Text),
        ],
        key_columns: 2,
        long: None,
    },
    Table {
        name: "purpose_keys",
        columns: &[
            ("purpose", Kind::Text),
            ("kid", Kind::Text),
            ("sealed", Kind::Bytes),
            ("created_at", Kind::Integer),
            ("active_at", Kind::Integer),
        ],
        key_columns: 2,
        long: None,
    },
    Table {
        name: "api_key_uses",
        columns: &[("key", Kind::Text), ("used_at", Kind::Integer)],
        key_columns: 1,
        long: None,
    },
    Table {
        name: "idempotent_requests",
        columns: &[
            ("request", Kind::Text),
            ("replica", Kind::Text),
            ("began_at", Kind::Integer),
            ("sealed", Kind::Bytes),
        ],
        key_columns: 1,
        long: Some("sealed"),
    },
    Table {
        name: "leases",
        columns: &[
            ("replica", Kind::Text),
            ("ends_at", Kind::Integer),
            ("confirmed", Kind::Integer),
            ("reads", Kind::Integer),
        ],
        key_columns: 1,
        long: None,
    },
];

/// All of them.
pub fn tables() -> impl Iterator<Item = &'static Table> {
    [&EVENTS, &PAYLOADS].into_iter().chain(&OTHERS)
}

impl Table {
    /// The names of all columns.
    #[must_use]
    pub fn names(&self) -> String {
        names(self.columns)
    }

    /// The statement that reads the rows after a key, or the first ones, in the order of their keys.
    /// `read` says how a column is selected, `place` how a parameter is written.
    #[must_use]
    pub fn page(&self, is_first: bool, read: fn(&str, Kind) -> String, place: fn(usize) -> String) -> String {
        let selected: Vec<_> = self.columns.iter().map(|(name, kind)| read(name, *kind)).collect();
        let key = names(&self.columns[..self.key_columns]);
        let places: Vec<_> = (1..=self.key_columns).map(place).collect();
        let after = if is_first { String::new() } else { format!("WHERE ({key}) > ({})", places.join(", ")) };
        let page = format!(
            "SELECT {} FROM {} {after} ORDER BY {key} LIMIT {PAGE_ROWS_MAX}",
            selected.join(", "),
            self.name
        );
        let Some(long) = self.long else { return page };
        let names = self.names();
        format!(
            "SELECT {names} FROM
                 (SELECT {names}, sum(octet_length({long})) OVER (ORDER BY {key}) - octet_length({long})
                  AS before FROM ({page}) AS page) AS measured
             WHERE before < {PAGE_BYTES_MAX} ORDER BY {key}"
        )
    }

    /// Says which row this is, without anything that is secret.
    #[must_use]
    pub fn name_of(&self, row: &[Cell]) -> String {
        let key = row.iter().take(self.key_columns).map(|cell| match cell {
            Cell::Integer(number) => number.to_string(),
            Cell::Text(text) => text.clone(),
            Cell::Bytes(bytes) => hex::encode(bytes),
        });
        format!("{} of {}", key.collect::<Vec<_>>().join("/"), self.name)
    }
}

fn names(columns: &[(&str, Kind)]) -> String {
    columns.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ")
}

/// Adds a row to a digest: each cell with its kind and length, so that no two lists of rows give the
/// same bytes.
pub(super) fn digest(hash: &mut Sha256, row: &[Cell]) {
    for cell in row {
        let number;
        let (kind, bytes) = match cell {
            Cell::Integer(value) => {
                number = value.to_be_bytes();
                (0_u8, &number[..])
            }
            Cell::Text(text) => (1, text.as_bytes()),
            Cell::Bytes(bytes) => (2, &bytes[..]),
        };
        hash.update([kind]);
        hash.update((bytes.len() as u64).to_be_bytes());
        hash.update(bytes);
    }
}
