-- What people brought by a link, sealed with each user's key, until the product's backend has
-- confirmed who they are. Only the newest is kept.
CREATE TABLE pending_credentials (
    subject    TEXT NOT NULL,
    connection TEXT NOT NULL,
    link       TEXT NOT NULL,
    sealed     BLOB NOT NULL,
    PRIMARY KEY (subject, connection)
) STRICT, WITHOUT ROWID;

-- The tokens that were in force before the last renewal: calls that were admitted with them are still
-- on their way.
ALTER TABLE user_credentials ADD COLUMN previous_generation INTEGER NOT NULL DEFAULT 0;
ALTER TABLE user_credentials ADD COLUMN previous_sealed BLOB NOT NULL DEFAULT x'';
