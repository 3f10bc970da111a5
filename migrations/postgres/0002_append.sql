-- Counted on by a replica that has lost a connection: what it sent there and nobody has seen since is
-- not executed any more, should it arrive late.
ALTER TABLE leases ADD COLUMN fence BIGINT NOT NULL DEFAULT 0;

-- Appends a whole batch in one journey: under the append lock, all of it or nothing.
--
-- `known` is the last position that the caller has seen, and every `expected` stream ended with this
-- sequence there. The batch is written when these streams still end so, the caller's fence is this
-- one and the database's time is before `valid_until`; places are counted on from whatever the last
-- position is by now.
--
-- The first row says what became of it: whether it was `appended`, after which `position`, and the
-- time that its events have. Then come the events that others have appended since `known`, of which
-- the caller reads the rest itself when there are more than `foreign_max`: nothing is appended then.
--
-- The lock is taken by a statement of its own: what later statements read is not fixed before.
CREATE FUNCTION proctor_append(
    append_lock BIGINT, from_replica TEXT, known_fence BIGINT,
    known BIGINT, foreign_max BIGINT, valid_until BIGINT,
    expected_types TEXT[], expected_ids TEXT[], expected_sequences BIGINT[],
    new_event_ids TEXT[], new_types TEXT[], new_ids TEXT[], new_sequences BIGINT[],
    new_event_types TEXT[], new_event_versions TEXT[], new_payloads TEXT[], new_metadata TEXT[],
    sealed_places BIGINT[], new_sealed BYTEA[], new_sessions TEXT[], new_session_keys BYTEA[]
) RETURNS TABLE (
    appended BOOLEAN, "position" BIGINT, recorded_at BIGINT, event_id TEXT, aggregate_type TEXT,
    aggregate_id TEXT, sequence BIGINT, event_type TEXT, event_version TEXT, payload TEXT, metadata TEXT
) LANGUAGE plpgsql VOLATILE AS $$
#variable_conflict use_column
DECLARE
    last_position BIGINT;
    now_us BIGINT;
    may_append BOOLEAN;
BEGIN
    PERFORM pg_advisory_xact_lock(append_lock);
    now_us := (extract(epoch FROM clock_timestamp()) * 1000000)::bigint;
    SELECT e.position, greatest(e.recorded_at, now_us) INTO last_position, now_us
        FROM (SELECT) AS one
        LEFT JOIN (SELECT position, recorded_at FROM events ORDER BY position DESC LIMIT 1) AS e ON true;
    last_position := coalesce(last_position, 0);
    may_append := (valid_until IS NULL OR now_us < valid_until)
        AND last_position >= known AND last_position - known <= foreign_max
        AND EXISTS (SELECT FROM leases WHERE replica = from_replica AND fence = known_fence);
    IF may_append AND last_position > known THEN
        may_append := NOT EXISTS (
            SELECT FROM unnest(expected_types, expected_ids, expected_sequences) AS expected (type, id, ends_with)
            WHERE expected.ends_with <> coalesce(
                (SELECT e.sequence FROM events AS e
                 WHERE e.aggregate_type = expected.type AND e.aggregate_id = expected.id
                 ORDER BY e.sequence DESC LIMIT 1), 0)
        );
    END IF;
    RETURN QUERY SELECT may_append, last_position, now_us,
        NULL::text, NULL::text, NULL::text, NULL::bigint, NULL::text, NULL::text, NULL::text, NULL::text;
    IF last_position > known THEN
        RETURN QUERY
            SELECT NULL::boolean, e.position, e.recorded_at, e.event_id, e.aggregate_type, e.aggregate_id,
                   e.sequence, e.event_type, e.event_version, e.payload::text, e.metadata::text
            FROM events AS e WHERE e.position > known ORDER BY e.position LIMIT foreign_max;
    END IF;
    IF NOT may_append THEN
        RETURN;
    END IF;
    INSERT INTO events (position, recorded_at, event_id, aggregate_type, aggregate_id, sequence,
                        event_type, event_version, payload, metadata)
        SELECT last_position + n, now_us, id, type, stream, seq, event, version, body::json, meta::json
        FROM unnest(new_event_ids, new_types, new_ids, new_sequences, new_event_types, new_event_versions,
                    new_payloads, new_metadata)
             WITH ORDINALITY AS new (id, type, stream, seq, event, version, body, meta, n);
    IF cardinality(sealed_places) > 0 THEN
        INSERT INTO payloads (position, sealed)
            SELECT last_position + place, bytes FROM unnest(sealed_places, new_sealed) AS new (place, bytes);
    END IF;
    IF cardinality(new_sessions) > 0 THEN
        INSERT INTO session_keys (session, wrapped) SELECT * FROM unnest(new_sessions, new_session_keys);
    END IF;
END;
$$;

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'proctor_writer') THEN
        GRANT EXECUTE ON FUNCTION proctor_append TO proctor_writer;
    END IF;
END;
$$;
