-- What people brought by a link, sealed with each user's key, until the product's backend has
-- confirmed who they are. Only the newest is kept.
CREATE TABLE pending_credentials (
    subject    TEXT NOT NULL,
    connection TEXT NOT NULL,
    link       TEXT NOT NULL,
    sealed     BLOB NOT NULL,
    PRIMARY KEY (subject, connection)
) STRICT, WITHOUT ROWID;
