-- The views: rows that follow from the journal alone. This file may change: when its text does, the
-- tables are dropped and filled anew.
--
-- Pages run newest first. A position is the row's number in the file, so every index on a column holds
-- the positions of one value in order, and a page is one seek and a walk. Times need no index: they
-- never go backwards along positions, so a time is found by halving the range of positions.

CREATE TABLE tool_calls (
    position         INTEGER PRIMARY KEY,
    call_id          TEXT    NOT NULL,
    started_at_us    INTEGER NOT NULL,
    ended_at_us      INTEGER,
    ended_position   INTEGER,
    subject          TEXT    NOT NULL,
    session          TEXT    NOT NULL,
    virtual_server   TEXT    NOT NULL,
    version          INTEGER,
    connection       TEXT,
    tool             TEXT    NOT NULL,
    upstream_tool    TEXT,
    definition       TEXT,
    catalog          TEXT,
    generation       INTEGER,
    user_generation  INTEGER,
    replica          TEXT,
    method           TEXT    NOT NULL,
    continues        TEXT,
    outcome          TEXT    NOT NULL,
    reason           TEXT,
    duration_us      INTEGER,
    arguments_bytes  INTEGER NOT NULL,
    result_bytes     INTEGER,
    client_name      TEXT    NOT NULL,
    client_version   TEXT    NOT NULL,
    protocol_version TEXT    NOT NULL,
    trace_id         TEXT,
    repeats          INTEGER NOT NULL,
    late             INTEGER NOT NULL
);

-- One call by its identifier: shown alone, and ended long after its admission. Identifiers grow with
-- time, so this one is written at its end.
CREATE UNIQUE INDEX tool_calls_by_call ON tool_calls (call_id);
-- What one agent run did.
CREATE INDEX tool_calls_by_session ON tool_calls (session);
-- What was done for one user: the auditor's first question.
CREATE INDEX tool_calls_by_subject ON tool_calls (subject);
-- What went through one virtual server, connection or tool, also where those are rare among many
-- others. Few distinct values: each entry goes to the end of its value's run.
CREATE INDEX tool_calls_by_virtual_server ON tool_calls (virtual_server);
CREATE INDEX tool_calls_by_connection ON tool_calls (connection);
CREATE INDEX tool_calls_by_tool ON tool_calls (tool);
-- Refused, failed, cancelled, abandoned and running calls are the few among the many that succeed,
-- which are found by walking backwards. A call that ends within its batch never enters it.
CREATE INDEX tool_calls_by_outcome ON tool_calls (outcome) WHERE outcome <> 'succeeded';
-- Most are calls of tools, which no page is asked for by this alone.
CREATE INDEX tool_calls_by_method ON tool_calls (method) WHERE method <> 'tools/call';

-- The calls of all sessions with one label in order; through the sessions they would have to be sorted.
CREATE TABLE call_labels (
    label_index TEXT    NOT NULL,
    position    INTEGER NOT NULL,
    PRIMARY KEY (label_index, position)
) WITHOUT ROWID;

CREATE TABLE sessions (
    position         INTEGER PRIMARY KEY,
    id               TEXT    NOT NULL,
    opened_at_us     INTEGER NOT NULL,
    by_kind          TEXT    NOT NULL,
    by_id            TEXT    NOT NULL,
    subject          TEXT    NOT NULL,
    virtual_server   TEXT    NOT NULL,
    version          INTEGER NOT NULL,
    access           TEXT    NOT NULL,
    expires_at_us    INTEGER NOT NULL,
    calls_max        INTEGER NOT NULL,
    calls_per_minute_max INTEGER,
    tools            TEXT,
    label_indexes    TEXT    NOT NULL,
    calls_admitted   INTEGER NOT NULL,
    calls_refused    INTEGER NOT NULL,
    revoked_position INTEGER,
    revoked_at_us    INTEGER,
    revoked_by_kind  TEXT,
    revoked_by_id    TEXT,
    revoked_reason   TEXT
);

-- One session by its identifier.
CREATE UNIQUE INDEX sessions_by_id ON sessions (id);
-- The sessions of one user, and how many of them a revocation ends.
CREATE INDEX sessions_by_subject ON sessions (subject);
-- The same for a virtual server.
CREATE INDEX sessions_by_virtual_server ON sessions (virtual_server);

CREATE TABLE session_labels (
    label_index TEXT    NOT NULL,
    position    INTEGER NOT NULL,
    PRIMARY KEY (label_index, position)
) WITHOUT ROWID;

CREATE TABLE manifests_served (
    position         INTEGER PRIMARY KEY,
    served_at_us     INTEGER NOT NULL,
    session          TEXT    NOT NULL,
    subject          TEXT    NOT NULL,
    virtual_server   TEXT    NOT NULL,
    version          INTEGER NOT NULL,
    list             TEXT    NOT NULL,
    manifest         TEXT    NOT NULL,
    tools            INTEGER NOT NULL,
    times            INTEGER NOT NULL,
    client_name      TEXT    NOT NULL,
    client_version   TEXT    NOT NULL,
    protocol_version TEXT    NOT NULL
);

-- What one agent run was shown.
CREATE INDEX manifests_served_by_session ON manifests_served (session);
-- What was shown on behalf of one user.
CREATE INDEX manifests_served_by_subject ON manifests_served (subject);

CREATE TABLE admin_acts (
    position       INTEGER PRIMARY KEY,
    recorded_at_us INTEGER NOT NULL,
    by_kind        TEXT,
    by_id          TEXT,
    kind           TEXT    NOT NULL,
    object_kind    TEXT    NOT NULL,
    object_id      TEXT    NOT NULL,
    subject        TEXT,
    reason         TEXT,
    details        TEXT    NOT NULL
);

-- What one key did.
CREATE INDEX admin_acts_by_actor ON admin_acts (by_id);
-- Every act of one kind: mints far outnumber all others.
CREATE INDEX admin_acts_by_kind ON admin_acts (kind);
-- What was done to one thing.
CREATE INDEX admin_acts_by_object ON admin_acts (object_id);
-- What was done about one user; most acts are about none.
CREATE INDEX admin_acts_by_subject ON admin_acts (subject) WHERE subject IS NOT NULL;

CREATE TABLE cuts (
    kind           TEXT    NOT NULL,
    id             TEXT    NOT NULL,
    position       INTEGER NOT NULL,
    recorded_at_us INTEGER NOT NULL,
    cause          TEXT    NOT NULL,
    PRIMARY KEY (kind, id, position)
) WITHOUT ROWID;

CREATE TABLE usage (
    hour            INTEGER NOT NULL,
    virtual_server  TEXT    NOT NULL,
    connection      TEXT    NOT NULL,
    tool            TEXT    NOT NULL,
    outcome         TEXT    NOT NULL,
    calls           INTEGER NOT NULL,
    duration_us     INTEGER NOT NULL,
    arguments_bytes INTEGER NOT NULL,
    result_bytes    INTEGER NOT NULL,
    PRIMARY KEY (hour, virtual_server, connection, tool, outcome)
) WITHOUT ROWID;
