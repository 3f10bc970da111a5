//! The tables that projections fill: names and columns, key columns first.

macro_rules! tables {
    ($(
        $(#[$doc:meta])*
        $table:ident = $name:ident ($($key:ident),+) { $($column:ident),* $(,)? }
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
    Sessions = sessions (position) {
        id, opened_at_us, by_kind, by_id, subject, virtual_server, version, access, expires_at_us,
        calls_max, tools, label_indexes, calls_admitted, calls_refused, revoked_position,
        revoked_at_us, revoked_by_kind, revoked_by_id, revoked_reason,
    }
    /// Which sessions carry a label.
    SessionLabels = session_labels (label_index, position) {}
    /// One row per tool call, at the position of its admission or refusal.
    ToolCalls = tool_calls (position) {
        call_id, started_at_us, ended_at_us, ended_position, subject, session, virtual_server,
        version, connection, tool, upstream_tool, definition, catalog, generation, replica, outcome,
        reason, duration_us, arguments_bytes, result_bytes, client_name, client_version,
        protocol_version, trace_id, repeats, late,
    }
    /// Which tool calls were made in a session that carries a label.
    CallLabels = call_labels (label_index, position) {}
    /// One row per recorded answer to `tools/list`.
    ManifestsServed = manifests_served (position) {
        served_at_us, session, subject, virtual_server, version, manifest, tools, times, client_name,
        client_version, protocol_version,
    }
    /// One row per administrative act.
    AdminActs = admin_acts (position) {
        recorded_at_us, by_kind, by_id, kind, object_kind, object_id, subject, reason, details,
    }
    /// What ended all sessions opened so far of a subject, virtual server or connection.
    Cuts = cuts (kind, id, position) { recorded_at_us, cause }
    /// Tool calls by the hour of their start, once they have ended or were refused.
    Usage = usage (hour, virtual_server, connection, tool, outcome) {
        calls, duration_us, arguments_bytes, result_bytes,
    }
}

impl Table {
    /// Whether a row begins with the first number that is added to it.
    #[must_use]
    pub const fn counts_only(self) -> bool {
        matches!(self, Self::Usage)
    }
}
