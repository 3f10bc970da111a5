-- The views: rows that follow from the journal alone. This file may change: when its text does, another
-- schema is made and filled. The tables and columns are those of ../../sqlite/views/0001_views.sql, and a
-- test says so.
--
-- Pages run newest first. Every index on a column holds the positions of one value in order, and a page
-- is one seek and a walk. Times need no index: they never go backwards along positions, so a time is
-- found by halving the range of positions.
--
-- Texts are compared byte by byte: how a language orders them changes with the system's libraries, and an
-- index would be wrong then.

CREATE TABLE tool_calls (
    position         BIGINT PRIMARY KEY,
    call_id          TEXT COLLATE "C" NOT NULL,
    started_at_us    BIGINT NOT NULL,
    ended_at_us      BIGINT,
    ended_position   BIGINT,
    subject          TEXT COLLATE "C" NOT NULL,
    session          TEXT COLLATE "C" NOT NULL,
    virtual_server   TEXT COLLATE "C" NOT NULL,
    version          BIGINT,
    connection       TEXT COLLATE "C",
    tool             TEXT COLLATE "C" NOT NULL,
    upstream_tool    TEXT COLLATE "C",
    definition       TEXT COLLATE "C",
    catalog          TEXT COLLATE "C",
    generation       BIGINT,
    user_generation  BIGINT,
    replica          TEXT COLLATE "C",
    method           TEXT COLLATE "C" NOT NULL,
    continues        TEXT COLLATE "C",
    outcome          TEXT COLLATE "C" NOT NULL,
    reason           TEXT COLLATE "C",
    duration_us      BIGINT,
    arguments_bytes  BIGINT NOT NULL,
    result_bytes     BIGINT,
    client_name      TEXT COLLATE "C" NOT NULL,
    client_version   TEXT COLLATE "C" NOT NULL,
    protocol_version TEXT COLLATE "C" NOT NULL,
    trace_id         TEXT COLLATE "C",
    repeats          BIGINT NOT NULL,
    late             BIGINT NOT NULL
);

-- One call by its identifier: shown alone, and ended long after its admission. Identifiers grow with
-- time, so this one is written at its end.
CREATE UNIQUE INDEX tool_calls_by_call ON tool_calls (call_id);
-- What one agent run did.
CREATE INDEX tool_calls_by_session ON tool_calls (session, position);
-- What was done for one user: the auditor's first question.
CREATE INDEX tool_calls_by_subject ON tool_calls (subject, position);
-- What went through one virtual server, connection or tool, also where those are rare among many
-- others. Few distinct values: each entry goes to the end of its value's run.
CREATE INDEX tool_calls_by_virtual_server ON tool_calls (virtual_server, position);
CREATE INDEX tool_calls_by_connection ON tool_calls (connection, position);
CREATE INDEX tool_calls_by_tool ON tool_calls (tool, position);
-- Refused, failed, cancelled, abandoned and running calls are the few among the many that succeed,
-- which are found by walking backwards. A call that ends within its batch never enters it.
CREATE INDEX tool_calls_by_outcome ON tool_calls (outcome, position) WHERE outcome <> 'succeeded';
-- Most are calls of tools, which no page is asked for by this alone.
CREATE INDEX tool_calls_by_method ON tool_calls (method, position) WHERE method <> 'tools/call';

-- The calls of all sessions with one label in order; through the sessions they would have to be sorted.
CREATE TABLE call_labels (
    label_index TEXT COLLATE "C" NOT NULL,
    position    BIGINT NOT NULL,
    PRIMARY KEY (label_index, position)
);

CREATE TABLE sessions (
    position         BIGINT PRIMARY KEY,
    id               TEXT COLLATE "C" NOT NULL,
    opened_at_us     BIGINT NOT NULL,
    by_kind          TEXT COLLATE "C" NOT NULL,
    by_id            TEXT COLLATE "C" NOT NULL,
    subject          TEXT COLLATE "C" NOT NULL,
    virtual_server   TEXT COLLATE "C" NOT NULL,
    version          BIGINT NOT NULL,
    access           TEXT COLLATE "C" NOT NULL,
    expires_at_us    BIGINT NOT NULL,
    calls_max        BIGINT NOT NULL,
    calls_per_minute_max BIGINT,
    tools            TEXT COLLATE "C",
    label_indexes    TEXT COLLATE "C" NOT NULL,
    calls_admitted   BIGINT NOT NULL,
    calls_refused    BIGINT NOT NULL,
    revoked_position BIGINT,
    revoked_at_us    BIGINT,
    revoked_by_kind  TEXT COLLATE "C",
    revoked_by_id    TEXT COLLATE "C",
    revoked_reason   TEXT COLLATE "C"
);

-- One session by its identifier.
CREATE UNIQUE INDEX sessions_by_id ON sessions (id);
-- The sessions of one user, and how many of them a revocation ends.
CREATE INDEX sessions_by_subject ON sessions (subject, position);
-- The same for a virtual server.
CREATE INDEX sessions_by_virtual_server ON sessions (virtual_server, position);

CREATE TABLE session_labels (
    label_index TEXT COLLATE "C" NOT NULL,
    position    BIGINT NOT NULL,
    PRIMARY KEY (label_index, position)
);

CREATE TABLE manifests_served (
    position         BIGINT PRIMARY KEY,
    served_at_us     BIGINT NOT NULL,
    session          TEXT COLLATE "C" NOT NULL,
    subject          TEXT COLLATE "C" NOT NULL,
    virtual_server   TEXT COLLATE "C" NOT NULL,
    version          BIGINT NOT NULL,
    list             TEXT COLLATE "C" NOT NULL,
    manifest         TEXT COLLATE "C" NOT NULL,
    tools            BIGINT NOT NULL,
    times            BIGINT NOT NULL,
    client_name      TEXT COLLATE "C" NOT NULL,
    client_version   TEXT COLLATE "C" NOT NULL,
    protocol_version TEXT COLLATE "C" NOT NULL
);

-- What one agent run was shown.
CREATE INDEX manifests_served_by_session ON manifests_served (session, position);
-- What was shown on behalf of one user.
CREATE INDEX manifests_served_by_subject ON manifests_served (subject, position);

CREATE TABLE admin_acts (
    position       BIGINT PRIMARY KEY,
    recorded_at_us BIGINT NOT NULL,
    by_kind        TEXT COLLATE "C",
    by_id          TEXT COLLATE "C",
    kind           TEXT COLLATE "C" NOT NULL,
    object_kind    TEXT COLLATE "C" NOT NULL,
    object_id      TEXT COLLATE "C" NOT NULL,
    subject        TEXT COLLATE "C",
    reason         TEXT COLLATE "C",
    details        TEXT COLLATE "C" NOT NULL
);

-- What one key did.
CREATE INDEX admin_acts_by_actor ON admin_acts (by_id, position);
-- Every act of one kind: mints far outnumber all others.
CREATE INDEX admin_acts_by_kind ON admin_acts (kind, position);
-- What was done to one thing.
CREATE INDEX admin_acts_by_object ON admin_acts (object_id, position);
-- What was done about one user; most acts are about none.
CREATE INDEX admin_acts_by_subject ON admin_acts (subject, position) WHERE subject IS NOT NULL;

CREATE TABLE cuts (
    kind           TEXT COLLATE "C" NOT NULL,
    id             TEXT COLLATE "C" NOT NULL,
    position       BIGINT NOT NULL,
    recorded_at_us BIGINT NOT NULL,
    cause          TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (kind, id, position)
);

CREATE TABLE usage (
    hour            BIGINT NOT NULL,
    virtual_server  TEXT COLLATE "C" NOT NULL,
    connection      TEXT COLLATE "C" NOT NULL,
    tool            TEXT COLLATE "C" NOT NULL,
    outcome         TEXT COLLATE "C" NOT NULL,
    calls           BIGINT NOT NULL,
    duration_us     BIGINT NOT NULL,
    arguments_bytes BIGINT NOT NULL,
    result_bytes    BIGINT NOT NULL,
    PRIMARY KEY (hour, virtual_server, connection, tool, outcome)
);
