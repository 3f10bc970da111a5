-- What requests that must not be carried out twice were answered; each row is kept for a day.
CREATE TABLE idempotent_requests (
    -- SHA-256 over the API key's id and the Idempotency-Key, in hexadecimal.
    request  TEXT COLLATE "C" PRIMARY KEY,
    -- Who carries it out.
    replica  TEXT   NOT NULL,
    -- Microseconds UTC.
    began_at BIGINT NOT NULL,
    -- What was asked, and what was answered once it was.
    sealed   BYTEA  NOT NULL
);

CREATE INDEX idempotent_requests_by_age ON idempotent_requests (began_at);

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'proctor_writer') THEN
        GRANT SELECT, INSERT, UPDATE, DELETE ON idempotent_requests TO proctor_writer;
    END IF;
END;
$$;
