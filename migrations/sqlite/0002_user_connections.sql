-- Users' own credentials, sealed with each user's key. Only the one in force is kept.
CREATE TABLE user_credentials (
    subject    TEXT    NOT NULL,
    connection TEXT    NOT NULL,
    generation INTEGER NOT NULL,
    sealed     BLOB    NOT NULL,
    PRIMARY KEY (subject, connection)
) STRICT, WITHOUT ROWID;
