// Package dbtest gives each test a PostgreSQL database and a Redis of its own on
// real servers.
//
//	func TestMain(m *testing.M) { dbtest.Main(m) }
//
//	func TestX(t *testing.T) {
//		t.Parallel()
//		pool := dbtest.Database(t, dbtest.Template{Name: "x", Setup: migrate})
//		rdb := dbtest.Redis(t)
//	}
//
// The servers come from internal/backends: the environment, Docker, local
// binaries, a download. The test binaries of a run share them, and they end a few
// seconds after the last binary.
//
// # PostgreSQL
//
// Setup of a template runs once in a test binary, or once in a run when it has a
// key, into a template database; each test then gets a copy. Names are unique
// across processes, so packages tested at the same time share one server.
//
// When the server lets us (it does unless DATABASE_URL names a login that is not
// a superuser) the databases belong to the role strata_test, and pools log in as
// it: it may create roles and databases, is no superuser and does not bypass
// row-level security. So the tests see the privileges that a product has. Setup
// runs as that role too.
//
// Roles belong to the whole server. Setups never run at the same time on one
// server, in whatever process, so that they may create roles without a race.
//
// # Redis
//
// Each test gets an empty logical database of one server. Channels of
// publish/subscribe are not part of a logical database: two tests that use the
// same channel hear each other. Put an id of the test into the channel's name,
// use RedisServer for a server of one's own, or be indifferent to foreign
// messages.
package dbtest
