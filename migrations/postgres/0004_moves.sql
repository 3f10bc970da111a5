-- Where the installation went: a row when it was moved to another store, and one without a place when
-- this store was opened again. The last row is what holds; none is ever changed.
CREATE TABLE moves (
    number   BIGINT PRIMARY KEY,
    -- Microseconds UTC.
    at       BIGINT NOT NULL,
    -- The journal's last position at that time.
    head     BIGINT NOT NULL,
    -- Without user and password.
    moved_to TEXT
);

-- The database itself refuses, whoever asks: also a process that slept through the move, and one of a
-- version that has not heard of it.
CREATE FUNCTION nothing_is_added_after_a_move() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    place TEXT;
    since BIGINT;
BEGIN
    SELECT m.moved_to, m.at INTO place, since FROM moves AS m ORDER BY m.number DESC LIMIT 1;
    IF place IS NOT NULL THEN
        RAISE EXCEPTION 'this journal was moved to %', place
            USING ERRCODE = 'PR001', DETAIL = json_build_object('to', place, 'at', since)::text;
    END IF;
    RETURN NEW;
END;
$$;

CREATE TRIGGER events_are_not_added_after_a_move BEFORE INSERT ON events
FOR EACH STATEMENT EXECUTE FUNCTION nothing_is_added_after_a_move();

-- Without a lease nothing leaves, not even what was admitted before. To give one back is no harm.
CREATE TRIGGER leases_are_not_added_after_a_move BEFORE INSERT ON leases
FOR EACH ROW EXECUTE FUNCTION nothing_is_added_after_a_move();

CREATE TRIGGER leases_are_not_renewed_after_a_move BEFORE UPDATE OF ends_at ON leases
FOR EACH ROW WHEN (NEW.ends_at > OLD.ends_at) EXECUTE FUNCTION nothing_is_added_after_a_move();

-- Whoever inserts runs into these, also a role that was granted its rights by hand.
GRANT SELECT ON moves TO PUBLIC;

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'proctor_writer') THEN
        GRANT INSERT ON moves TO proctor_writer;
    END IF;
END;
$$;
