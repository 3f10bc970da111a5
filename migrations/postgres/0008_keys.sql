-- From when on a key signs, seals and hashes, microseconds UTC: it is known everywhere before. 0: since
-- it was made.
ALTER TABLE purpose_keys ADD COLUMN active_at BIGINT NOT NULL DEFAULT 0;

-- When each API key was last used, about to the minute. Microseconds UTC. It may be lost.
CREATE TABLE api_key_uses (
    key     TEXT COLLATE "C" PRIMARY KEY,
    used_at BIGINT NOT NULL
);

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'proctor_writer') THEN
        GRANT SELECT, INSERT, UPDATE ON api_key_uses TO proctor_writer;
    END IF;
END;
$$;
