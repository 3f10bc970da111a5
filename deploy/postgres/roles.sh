#!/bin/sh
# Run once, in a new cluster, before it takes connections from outside: roles, database, and last the
# synchronous standby. The schema comes from `proctor store migrate`. docs/operations.md explains the roles.
set -eu

psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 --dbname postgres <<'SQL'
\getenv replicator_password REPLICATOR_PASSWORD
\getenv proctor_password PROCTOR_PASSWORD

CREATE ROLE replicator LOGIN REPLICATION PASSWORD :'replicator_password';

CREATE ROLE proctor_owner NOLOGIN;
CREATE ROLE proctor_writer NOLOGIN;
CREATE ROLE proctor LOGIN PASSWORD :'proctor_password';
GRANT proctor_writer TO proctor;

CREATE DATABASE proctor OWNER proctor_owner;
REVOKE ALL ON DATABASE proctor FROM PUBLIC;
GRANT CONNECT ON DATABASE proctor TO proctor;
SQL

# The image lets everybody in who has a password, except for replication.
echo 'host replication replicator all scram-sha-256' >>"$PGDATA/pg_hba.conf"

# From the real start on, no commit is answered before a second node has it. Both names, so that it
# holds in either role; and last, since nobody could follow meanwhile.
psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 --dbname postgres \
    --command "ALTER SYSTEM SET synchronous_standby_names = 'ANY 1 (primary, standby)'"
