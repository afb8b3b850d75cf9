package dbtest

import (
	"context"
	"testing"

	"github.com/stratakit/strata/internal/backends"
)

// PostgresServer starts a PostgreSQL that only this test uses and may stop, kill and start
// again. Its URL is a superuser's. It is never the one of DATABASE_URL.
func PostgresServer(t testing.TB) *backends.Postgres {
	t.Helper()
	pg, err := backends.StartPostgres(context.Background(), backends.Options{Private: true, Log: t.Logf})
	if err != nil {
		t.Fatalf("dbtest: %v", err)
	}
	t.Cleanup(func() {
		if err := pg.Close(); err != nil {
			t.Errorf("dbtest: closing the test's PostgreSQL: %v", err)
		}
	})
	return pg
}

// RedisServer starts a Redis that only this test uses and may stop, kill and start again.
// It is never the one of REDIS_URL. Where neither Docker nor redis-server is there, it is
// miniredis, which keeps its keys over a stop; a test that needs the real one asks for
// its Kind and skips.
func RedisServer(t testing.TB) *backends.Redis {
	t.Helper()
	rd, err := backends.StartRedis(context.Background(), backends.Options{Private: true, Log: t.Logf})
	if err != nil {
		t.Fatalf("dbtest: %v", err)
	}
	t.Cleanup(func() {
		if err := rd.Close(); err != nil {
			t.Errorf("dbtest: closing the test's Redis: %v", err)
		}
	})
	return rd
}
