-- What requests that must not be carried out twice were answered; each row is kept for a day.
CREATE TABLE idempotent_requests (
    -- SHA-256 over the API key's id and the Idempotency-Key, in hexadecimal.
    request  TEXT    PRIMARY KEY,
    -- Who carries it out.
    replica  TEXT    NOT NULL,
    -- Microseconds UTC.
    began_at INTEGER NOT NULL,
    -- What was asked, and what was answered once it was.
    sealed   BLOB    NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX idempotent_requests_by_age ON idempotent_requests (began_at);
