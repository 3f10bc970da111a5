-- Where the installation went: a row when it was moved to another store, and one without a place when
-- this store was opened again. The last row is what holds; none is ever changed.
CREATE TABLE moves (
    number   INTEGER PRIMARY KEY,
    -- Microseconds UTC.
    at       INTEGER NOT NULL,
    -- The journal's last position at that time.
    head     INTEGER NOT NULL,
    -- Without user and password.
    moved_to TEXT
) STRICT;

-- The file itself refuses, whoever asks: also a process that slept through the move, and one of a version
-- that has not heard of it. The text is a literal for the sake of older programs that open the file.
CREATE TRIGGER events_are_not_added_after_a_move BEFORE INSERT ON events
WHEN (SELECT moved_to FROM moves ORDER BY number DESC LIMIT 1) IS NOT NULL
BEGIN SELECT RAISE(ABORT, 'this journal was moved to another store'); END;

-- Without a lease nothing leaves, not even what was admitted before. To give one back is no harm.
CREATE TRIGGER leases_are_not_added_after_a_move BEFORE INSERT ON leases
WHEN (SELECT moved_to FROM moves ORDER BY number DESC LIMIT 1) IS NOT NULL
BEGIN SELECT RAISE(ABORT, 'this journal was moved to another store'); END;

CREATE TRIGGER leases_are_not_renewed_after_a_move BEFORE UPDATE OF ends_at ON leases
WHEN NEW.ends_at > OLD.ends_at
    AND (SELECT moved_to FROM moves ORDER BY number DESC LIMIT 1) IS NOT NULL
BEGIN SELECT RAISE(ABORT, 'this journal was moved to another store'); END;
