-- From when on a key signs, seals and hashes, microseconds UTC: it is known everywhere before. 0: since
-- it was made.
ALTER TABLE purpose_keys ADD COLUMN active_at INTEGER NOT NULL DEFAULT 0;

-- When each API key was last used, about to the minute. Microseconds UTC. It may be lost.
CREATE TABLE api_key_uses (
    key     TEXT    PRIMARY KEY,
    used_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
