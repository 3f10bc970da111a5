#!/bin/sh
# Brings the journal's schema up to date, for an installation whose Proctor connects as a role that
# may not. It does what Proctor does by itself when it may: the missing migrations, in order, in one
# transaction, under the same lock.
#
#   PGOPTIONS='-c role=proctor_owner' migrate.sh migrations/postgres --dbname postgres://admin@host/proctor
#
# What comes after the folder goes to psql.
set -eu
folder="$1"
shift
[ -f "$folder/0001_journal.sql" ] || { echo "migrate: $folder holds no migrations" >&2; exit 1; }

script() {
    # The lock that Proctor takes for this: the bytes of "proctorM" as a number. What a migration
    # notices is shown, such as a role that it could not make; that the table is there already is not.
    cat <<'SQL'
SET LOCAL lock_timeout = '30s';
SELECT pg_advisory_xact_lock(8102661152538849869) \g /dev/null
SET LOCAL client_min_messages = warning;
CREATE TABLE IF NOT EXISTS proctor_migrations (number INTEGER PRIMARY KEY,
    applied_at TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp());
SET LOCAL client_min_messages = notice;
SQL
    for file in "$folder"/[0-9]*.sql; do
        name="$(basename "$file" .sql)"
        number="$(printf '%s\n' "${name%%_*}" | sed 's/^0*//')"
        cat <<SQL
SELECT NOT EXISTS (SELECT FROM proctor_migrations WHERE number >= $number) AS missing \\gset
\\if :missing
\\echo applying $name
\\i '$file'
INSERT INTO proctor_migrations (number) VALUES ($number);
\\endif
SQL
    done
}

script | psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 --single-transaction --file - "$@"
