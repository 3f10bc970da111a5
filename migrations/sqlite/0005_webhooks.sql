-- Signing secrets of webhooks, sealed under the master key.
CREATE TABLE webhook_secrets (
    webhook    TEXT    NOT NULL,
    generation INTEGER NOT NULL,
    sealed     BLOB    NOT NULL,
    PRIMARY KEY (webhook, generation)
) STRICT, WITHOUT ROWID;

-- Up to which position of the journal the deliveries of each webhook were enqueued.
CREATE TABLE webhook_cursors (
    webhook  TEXT    PRIMARY KEY,
    position INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- One message for one webhook: which event it tells of, and how its delivery stands. What it says is
-- put together when it is sent. It is pending, delivered or dead. Times are microseconds UTC; 0 and '' say that there is none yet.
CREATE TABLE webhook_deliveries (
    webhook      TEXT    NOT NULL,
    position     INTEGER NOT NULL,
    id           TEXT    NOT NULL,
    topic        TEXT    NOT NULL,
    state        TEXT    NOT NULL,
    attempts     INTEGER NOT NULL,
    -- Since when it is tried.
    since        INTEGER NOT NULL,
    -- When it is sent next, while it is pending.
    due_at       INTEGER NOT NULL,
    attempted_at INTEGER NOT NULL,
    ended_at     INTEGER NOT NULL,
    -- Of the last attempt.
    status       INTEGER NOT NULL,
    failure      TEXT    NOT NULL,
    PRIMARY KEY (webhook, position)
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX webhook_deliveries_by_id ON webhook_deliveries (id);
CREATE INDEX webhook_deliveries_by_state ON webhook_deliveries (webhook, state, position);
CREATE INDEX webhook_deliveries_due ON webhook_deliveries (webhook, due_at) WHERE state = 'pending';
CREATE INDEX webhook_deliveries_ended ON webhook_deliveries (state, ended_at) WHERE state <> 'pending';

-- Which process delivers, and until when unless it says so again.
CREATE TABLE webhook_lead (
    name    TEXT    PRIMARY KEY,
    replica TEXT    NOT NULL,
    ends_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
