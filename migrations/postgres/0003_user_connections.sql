-- Users' own credentials, sealed with each user's key. Only the one in force is kept.
CREATE TABLE user_credentials (
    subject    TEXT COLLATE "C" NOT NULL,
    connection TEXT COLLATE "C" NOT NULL,
    generation BIGINT NOT NULL,
    sealed     BYTEA  NOT NULL,
    PRIMARY KEY (subject, connection)
);

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'proctor_writer') THEN
        GRANT SELECT, INSERT, UPDATE, DELETE ON user_credentials TO proctor_writer;
    END IF;
END;
$$;
