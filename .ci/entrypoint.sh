#!/bin/sh
# Entrypoint of the image that .ci/run builds from Debian packages: what internal/backends
# uses of the official images postgres and redis, in one image.
set -eu
case "${1:-}" in
postgres)
    bin=$(echo /usr/lib/postgresql/*/bin)
    PATH=$bin:$PATH
    : "${PGDATA:=/var/lib/postgresql/data}" "${POSTGRES_USER:=postgres}" "${POSTGRES_INITDB_ARGS:=}"
    mkdir -p "$PGDATA" && chown postgres:postgres "$PGDATA" && chmod 700 "$PGDATA"
    as="setpriv --reuid=postgres --regid=postgres --init-groups"
    if [ ! -s "$PGDATA/PG_VERSION" ]; then
        password=$(mktemp)
        printf %s "${POSTGRES_PASSWORD:?}" >"$password"
        chown postgres "$password"
        # shellcheck disable=SC2086 # several words
        $as initdb -D "$PGDATA" -U "$POSTGRES_USER" --pwfile="$password" \
            --auth-local=trust --auth-host=scram-sha-256 $POSTGRES_INITDB_ARGS
        rm "$password"
        echo "host all all all scram-sha-256" >>"$PGDATA/pg_hba.conf"
    fi
    export PGDATA
    exec $as "$@" -c "listen_addresses=*"
    ;;
redis-server)
    mkdir -p /data && chown redis:redis /data && cd /data
    exec setpriv --reuid=redis --regid=redis --init-groups "$@"
    ;;
esac
exec "$@"
