-- Which master keys a replica opens with, the one that it seals with first, separated by commas: a
-- rotation must not seal anything under a key that one of them lacks. Empty: it did not say.
ALTER TABLE leases ADD COLUMN master_keys TEXT NOT NULL DEFAULT '';
