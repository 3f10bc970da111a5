-- Signing secrets of webhooks, sealed under the master key.
CREATE TABLE webhook_secrets (
    webhook    TEXT COLLATE "C" NOT NULL,
    generation BIGINT NOT NULL,
    sealed     BYTEA NOT NULL,
    PRIMARY KEY (webhook, generation)
);

-- Up to which position of the journal the deliveries of each webhook were enqueued.
CREATE TABLE webhook_cursors (
    webhook  TEXT COLLATE "C" PRIMARY KEY,
    position BIGINT NOT NULL
);

-- One message for one webhook: which event it tells of, and how its delivery stands. What it says is
-- put together when it is sent. It is pending, delivered or dead. Times are microseconds UTC; 0 and '' say that there is none yet.
CREATE TABLE webhook_deliveries (
    webhook      TEXT COLLATE "C" NOT NULL,
    position     BIGINT NOT NULL,
    id           TEXT COLLATE "C" NOT NULL,
    topic        TEXT COLLATE "C" NOT NULL,
    state        TEXT NOT NULL,
    attempts     BIGINT NOT NULL,
    -- Since when it is tried.
    since        BIGINT NOT NULL,
    -- When it is sent next, while it is pending.
    due_at       BIGINT NOT NULL,
    attempted_at BIGINT NOT NULL,
    ended_at     BIGINT NOT NULL,
    -- Of the last attempt.
    status       BIGINT NOT NULL,
    failure      TEXT NOT NULL,
    PRIMARY KEY (webhook, position)
);

CREATE UNIQUE INDEX webhook_deliveries_by_id ON webhook_deliveries (id);
CREATE INDEX webhook_deliveries_by_state ON webhook_deliveries (webhook, state, position);
CREATE INDEX webhook_deliveries_due ON webhook_deliveries (webhook, due_at) WHERE state = 'pending';
CREATE INDEX webhook_deliveries_ended ON webhook_deliveries (state, ended_at) WHERE state <> 'pending';

-- Which process delivers, and until when unless it says so again.
CREATE TABLE webhook_lead (
    name    TEXT COLLATE "C" PRIMARY KEY,
    replica TEXT COLLATE "C" NOT NULL,
    ends_at BIGINT NOT NULL
);

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'proctor_writer') THEN
        GRANT SELECT, INSERT ON webhook_secrets TO proctor_writer;
        GRANT SELECT, INSERT, UPDATE, DELETE ON webhook_cursors, webhook_deliveries, webhook_lead
            TO proctor_writer;
    END IF;
END;
$$;
