-- The journal. `position` is SQLite's rowid, so that appending touches the end of one tree alone.
CREATE TABLE events (
    position       INTEGER PRIMARY KEY,
    aggregate_type TEXT    NOT NULL,
    aggregate_id   TEXT    NOT NULL,
    sequence       INTEGER NOT NULL CHECK (sequence > 0),
    event_type     TEXT    NOT NULL,
    event_version  TEXT    NOT NULL,
    payload        TEXT    NOT NULL,
    metadata       TEXT    NOT NULL,
    event_id       TEXT    NOT NULL,
    recorded_at    INTEGER NOT NULL,
    -- The position of the event before it in its stream, 0 for the first.
    previous       INTEGER NOT NULL DEFAULT 0
) STRICT;

-- Where each stream ends. Nothing but a way to find its events, and could be computed from them.
CREATE TABLE streams (
    aggregate_type TEXT    NOT NULL,
    aggregate_id   TEXT    NOT NULL,
    sequence       INTEGER NOT NULL CHECK (sequence > 0),
    position       INTEGER NOT NULL,
    PRIMARY KEY (aggregate_type, aggregate_id)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER events_are_never_changed BEFORE UPDATE ON events
BEGIN SELECT RAISE(ABORT, 'events are never changed'); END;

CREATE TRIGGER events_are_never_deleted BEFORE DELETE ON events
BEGIN SELECT RAISE(ABORT, 'events are never deleted'); END;

-- What is sealed beside an event; its SHA-256 stands in the event's metadata. May be deleted by retention.
CREATE TABLE payloads (
    position INTEGER PRIMARY KEY,
    sealed   BLOB NOT NULL
) STRICT;

-- Tool definitions, by the SHA-256 of their exact text.
CREATE TABLE definitions (
    digest TEXT PRIMARY KEY,
    json   TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- Who a subject is. Outside the journal, so that it can be erased.
CREATE TABLE subjects (
    subject     TEXT PRIMARY KEY,
    user_index  BLOB NOT NULL UNIQUE,
    user_sealed BLOB NOT NULL,
    wrapped_key BLOB NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE session_keys (
    session TEXT PRIMARY KEY,
    wrapped BLOB NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE connection_secrets (
    connection TEXT    NOT NULL,
    generation INTEGER NOT NULL,
    sealed     BLOB    NOT NULL,
    PRIMARY KEY (connection, generation)
) STRICT, WITHOUT ROWID;

CREATE TABLE purpose_keys (
    purpose    TEXT    NOT NULL,
    kid        TEXT    NOT NULL,
    sealed     BLOB    NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (purpose, kid)
) STRICT, WITHOUT ROWID;

-- Which processes are alive, and what they have seen and can read.
CREATE TABLE leases (
    replica   TEXT    PRIMARY KEY,
    ends_at   INTEGER NOT NULL,
    confirmed INTEGER NOT NULL,
    reads     INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
