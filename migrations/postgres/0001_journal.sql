-- The journal. Keys compare by their bytes: identifiers have no language.
CREATE TABLE events (
    position       BIGINT NOT NULL UNIQUE,
    aggregate_type TEXT   COLLATE "C" NOT NULL,
    aggregate_id   TEXT   COLLATE "C" NOT NULL,
    sequence       BIGINT NOT NULL CHECK (sequence > 0),
    event_type     TEXT   NOT NULL,
    event_version  TEXT   NOT NULL,
    -- json, not jsonb: it keeps the exact text, which the leaf hashes are made of.
    payload        JSON   NOT NULL,
    metadata       JSON   NOT NULL,
    event_id       TEXT   NOT NULL,
    recorded_at    BIGINT NOT NULL,
    PRIMARY KEY (aggregate_type, aggregate_id, sequence)
);

CREATE FUNCTION events_are_never_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'events are never changed, deleted or truncated';
END;
$$;

CREATE TRIGGER events_are_never_changed BEFORE UPDATE OR DELETE OR TRUNCATE ON events
FOR EACH STATEMENT EXECUTE FUNCTION events_are_never_changed();

-- Also for who claims to be replication.
ALTER TABLE events ENABLE ALWAYS TRIGGER events_are_never_changed;

-- What is sealed beside an event; its SHA-256 stands in the event's metadata. May be deleted by retention.
CREATE TABLE payloads (
    position BIGINT PRIMARY KEY,
    sealed   BYTEA NOT NULL
);

-- Tool definitions, by the SHA-256 of their exact text.
CREATE TABLE definitions (
    digest TEXT COLLATE "C" PRIMARY KEY,
    json   TEXT NOT NULL
);

-- Who a subject is. Outside the journal, so that it can be erased.
CREATE TABLE subjects (
    subject     TEXT COLLATE "C" PRIMARY KEY,
    user_index  BYTEA NOT NULL UNIQUE,
    user_sealed BYTEA NOT NULL,
    wrapped_key BYTEA NOT NULL
);

CREATE TABLE session_keys (
    session TEXT COLLATE "C" PRIMARY KEY,
    wrapped BYTEA NOT NULL
);

CREATE TABLE connection_secrets (
    connection TEXT COLLATE "C" NOT NULL,
    generation BIGINT NOT NULL,
    sealed     BYTEA  NOT NULL,
    PRIMARY KEY (connection, generation)
);

CREATE TABLE purpose_keys (
    purpose    TEXT COLLATE "C" NOT NULL,
    kid        TEXT COLLATE "C" NOT NULL,
    sealed     BYTEA  NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (purpose, kid)
);

-- Which processes are alive, and what they have seen and can read.
CREATE TABLE leases (
    replica   TEXT COLLATE "C" PRIMARY KEY,
    ends_at   BIGINT NOT NULL,
    confirmed BIGINT NOT NULL,
    reads     BIGINT NOT NULL
);

-- Whoever is a member of proctor_writer can run Proctor, and cannot change what has happened. Roles
-- belong to the whole cluster: another database may have brought this one, at this very moment too.
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'proctor_writer') THEN
        BEGIN
            CREATE ROLE proctor_writer NOLOGIN;
        EXCEPTION
            WHEN duplicate_object OR unique_violation THEN NULL;
            WHEN insufficient_privilege THEN
                RAISE NOTICE 'the role proctor_writer was not made: that takes CREATEROLE';
        END;
    END IF;
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'proctor_writer') THEN
        EXECUTE format('GRANT USAGE ON SCHEMA %I TO proctor_writer', current_schema());
        GRANT SELECT ON proctor_migrations TO proctor_writer;
        GRANT SELECT, INSERT ON
            events, payloads, definitions, subjects, session_keys, connection_secrets, purpose_keys
            TO proctor_writer;
        GRANT SELECT, INSERT, UPDATE, DELETE ON leases TO proctor_writer;
        -- The audit views stand in schemas of their own, which Proctor makes, fills and drops.
        BEGIN
            EXECUTE format('GRANT CREATE ON DATABASE %I TO proctor_writer', current_database());
        EXCEPTION
            WHEN insufficient_privilege THEN
                RAISE NOTICE 'proctor_writer was not granted CREATE on the database: that takes its owner';
        END;
    END IF;
END;
$$;
