-- What people brought by a link, sealed with each user's key, until the product's backend has
-- confirmed who they are. Only the newest is kept.
CREATE TABLE pending_credentials (
    subject    TEXT COLLATE "C" NOT NULL,
    connection TEXT COLLATE "C" NOT NULL,
    link       TEXT COLLATE "C" NOT NULL,
    sealed     BYTEA NOT NULL,
    PRIMARY KEY (subject, connection)
);

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'proctor_writer') THEN
        GRANT SELECT, INSERT, UPDATE, DELETE ON pending_credentials TO proctor_writer;
    END IF;
END;
$$;

-- The tokens that were in force before the last renewal: calls that were admitted with them are still
-- on their way.
ALTER TABLE user_credentials ADD COLUMN previous_generation BIGINT NOT NULL DEFAULT 0;
ALTER TABLE user_credentials ADD COLUMN previous_sealed BYTEA NOT NULL DEFAULT '';
