#!/bin/sh
# Starts one of the two database nodes of compose.yaml. A node without a cluster copies the other
# node's and follows it, or founds a new one where it may (FOUNDS=yes).
#
# So a node that was lost, or was the primary before a failover, comes back as a standby when its
# volume is removed and it is started again.
set -eu

# Taken by libpq from here; it stands in no command line.
export PGPASSWORD="$REPLICATOR_PASSWORD"
peer="host=$PEER user=replicator connect_timeout=2"

peer_is_primary() {
    answer="$(psql --no-psqlrc --tuples-only --no-align --dbname "$peer dbname=postgres" \
        --command 'SELECT pg_is_in_recovery()' 2>/dev/null)" && [ "$answer" = f ]
}

follow() {
    # Not under the node's name: a copy that is being made must not count as the synchronous standby.
    until pg_basebackup --dbname "$peer" --pgdata "$PGDATA" \
        --write-recovery-conf --wal-method=stream --checkpoint=fast; do
        sleep 1
    done
    chmod 0700 "$PGDATA"
}

if [ ! -s "$PGDATA/PG_VERSION" ]; then
    tries=5
    until peer_is_primary; do
        if [ "$FOUNDS" = yes ]; then
            tries=$((tries - 1))
            [ "$tries" -gt 0 ] || break
        fi
        echo "$NODE: no primary at $PEER yet"
        sleep 1
    done
    if peer_is_primary; then follow; else echo "$NODE: founding a new cluster"; fi
fi

unset PGPASSWORD
# A standby is known to its primary by the cluster's name, and to synchronous_standby_names.
exec docker-entrypoint.sh "$@" -c "cluster_name=$NODE"
