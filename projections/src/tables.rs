//! The tables that projections fill: names and columns, key columns first.

/// What stands in a column, where it is not empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Text.
    Text,
    /// A number, a position, or microseconds.
    Integer,
}

macro_rules! tables {
    ($(
        $(#[$doc:meta])*
        $table:ident = $name:ident ($($key:ident: $key_kind:ident),+) { $($column:ident: $kind:ident),* $(,)? }
    )+) => {
        /// A table of a projection.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Table {
            $($(#[$doc])* $table),+
        }

        impl Table {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$table),+];

            /// Its name in the database.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$table => stringify!($name)),+ }
            }

            /// The columns that name a row.
            #[must_use]
            pub const fn key(self) -> &'static [&'static str] {
                match self { $(Self::$table => &[$(stringify!($key)),+]),+ }
            }

            /// All columns, those of the key first.
            #[must_use]
            pub const fn columns(self) -> &'static [&'static str] {
                match self {
                    $(Self::$table => &[$(stringify!($key),)+ $(stringify!($column)),*]),+
                }
            }

            /// What stands in each of [`Self::columns`].
            #[must_use]
            pub const fn kinds(self) -> &'static [Kind] {
                match self {
                    $(Self::$table => &[$(Kind::$key_kind,)+ $(Kind::$kind),*]),+
                }
            }
        }

        /// The index of each column in [`Table::columns`].
        pub mod column {
            $(
                #[doc = concat!("The columns of `", stringify!($name), "`.")]
                #[allow(non_camel_case_types, non_upper_case_globals, missing_docs, dead_code, reason = "as named in the database")]
                pub mod $name {
                    enum Index { $($key,)+ $($column),* }
                    $(pub const $key: usize = Index::$key as usize;)+
                    $(pub const $column: usize = Index::$column as usize;)*
                }
            )+
        }
    };
}

tables! {
    /// One row per session, at the position of its opening.
    Sessions = sessions (position: Integer) {
        id: Text, opened_at_us: Integer, by_kind: Text, by_id: Text, subject: Text,
        virtual_server: Text, version: Integer, access: Text, expires_at_us: Integer,
        calls_max: Integer, calls_per_minute_max: Integer, tools: Text, label_indexes: Text, calls_admitted: Integer,
        calls_refused: Integer, revoked_position: Integer, revoked_at_us: Integer,
        revoked_by_kind: Text, revoked_by_id: Text, revoked_reason: Text,
    }
    /// Which sessions carry a label.
    SessionLabels = session_labels (label_index: Text, position: Integer) {}
    /// One row per tool call or other request for an upstream, at the position of its admission or refusal.
    ToolCalls = tool_calls (position: Integer) {
        call_id: Text, started_at_us: Integer, ended_at_us: Integer, ended_position: Integer,
        subject: Text, session: Text, virtual_server: Text, version: Integer, connection: Text,
        tool: Text, upstream_tool: Text, definition: Text, catalog: Text, generation: Integer,
        user_generation: Integer, replica: Text, method: Text, continues: Text, outcome: Text, reason: Text, duration_us: Integer, arguments_bytes: Integer,
        result_bytes: Integer, client_name: Text, client_version: Text, protocol_version: Text,
        trace_id: Text, repeats: Integer, late: Integer,
    }
    /// Which tool calls were made in a session that carries a label.
    CallLabels = call_labels (label_index: Text, position: Integer) {}
    /// One row per recorded answer to a list.
    ManifestsServed = manifests_served (position: Integer) {
        served_at_us: Integer, session: Text, subject: Text, virtual_server: Text,
        version: Integer, list: Text, manifest: Text, tools: Integer, times: Integer, client_name: Text,
        client_version: Text, protocol_version: Text,
    }
    /// One row per administrative act.
    AdminActs = admin_acts (position: Integer) {
        recorded_at_us: Integer, by_kind: Text, by_id: Text, kind: Text, object_kind: Text,
        object_id: Text, subject: Text, reason: Text, details: Text,
    }
    /// What ended all sessions opened so far of a subject, virtual server or connection.
    Cuts = cuts (kind: Text, id: Text, position: Integer) {
        recorded_at_us: Integer, cause: Text,
    }
    /// Tool calls by the hour of their start, once they have ended or were refused.
    Usage = usage (hour: Integer, virtual_server: Text, connection: Text, tool: Text, outcome: Text) {
        calls: Integer, duration_us: Integer, arguments_bytes: Integer, result_bytes: Integer,
    }
}

impl Table {
    /// Whether a row begins with the first number that is added to it.
    #[must_use]
    pub const fn counts_only(self) -> bool {
        matches!(self, Self::Usage)
    }
}
