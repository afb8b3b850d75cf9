package tenancy

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
)

// roles is what there is to know of the roles and the login.
type roles struct {
	Version                     int
	Login                       string
	App, Query                  bool // exist
	AppUnbound, QuerySuperuser  bool
	CanBecome, Inherits         bool // the login, RoleApp
	CanQuery                    bool // RoleApp can become RoleQuery
	AppInheritsQuery            bool
	AppUnboundBy, QueryMemberOf []string
}

// rolesSQL asks for the right to SET ROLE: since PostgreSQL 16 a member may lack it.
const rolesSQL = `
WITH v AS (SELECT current_setting('server_version_num')::int AS version),
	m AS (SELECT CASE WHEN version >= 160000 THEN 'SET' ELSE 'MEMBER' END AS become FROM v),
	login AS (SELECT oid, rolname FROM pg_roles WHERE rolname = session_user),
	app AS (SELECT oid, rolsuper, rolsuper OR rolbypassrls AS unbound FROM pg_roles WHERE rolname = $1),
	query AS (SELECT oid, rolsuper FROM pg_roles WHERE rolname = $2)
SELECT v.version, login.rolname::text, app.oid IS NOT NULL, query.oid IS NOT NULL, coalesce(app.unbound, false), coalesce(query.rolsuper, false),
	coalesce(pg_has_role(login.oid, app.oid, m.become), false), coalesce(pg_has_role(login.oid, app.oid, 'USAGE'), false),
	coalesce(pg_has_role(app.oid, query.oid, m.become), false), coalesce(pg_has_role(app.oid, query.oid, 'USAGE') AND NOT app.rolsuper, false),
	ARRAY(SELECT r.rolname::text FROM pg_roles r WHERE NOT app.rolsuper AND (r.rolsuper OR r.rolbypassrls) AND r.oid NOT IN (app.oid, query.oid)
		AND pg_has_role(app.oid, r.oid, 'MEMBER') AND NOT pg_has_role(query.oid, r.oid, 'MEMBER')),
	ARRAY(SELECT r.rolname::text FROM pg_roles r WHERE NOT query.rolsuper AND (r.rolsuper OR r.rolbypassrls) AND r.oid <> query.oid AND pg_has_role(query.oid, r.oid, 'MEMBER'))
FROM v, m, login LEFT JOIN app ON true LEFT JOIN query ON true`

func readRoles(ctx context.Context, tx pgx.Tx) (r roles, err error) {
	err = tx.QueryRow(ctx, rolesSQL, RoleApp, RoleQuery).Scan(&r.Version, &r.Login, &r.App, &r.Query, &r.AppUnbound, &r.QuerySuperuser,
		&r.CanBecome, &r.Inherits, &r.CanQuery, &r.AppInheritsQuery, &r.AppUnboundBy, &r.QueryMemberOf)
	return r, err
}

// problems judges the roles. What the login itself may see is its own affair: in a scope it is
// RoleApp, also when it is a superuser.
func (r roles) problems(schema string) []Problem {
	var all []Problem
	add := func(when bool, s Severity, subject, message, want string) {
		if when {
			all = append(all, Problem{Severity: s, Subject: subject, Message: message, Want: want})
		}
	}
	app, query, login := "role "+RoleApp, "role "+RoleQuery, "login "+r.Login
	migrate := fmt.Sprintf("strata.Migrate (schema %s), or as an administrator CREATE ROLE", schema)
	add(!r.App, Refuse, app, "it does not exist", migrate)
	add(!r.Query, Refuse, query, "it does not exist", migrate)
	add(r.AppUnbound, Refuse, app, "no policy binds it", "ALTER ROLE "+RoleApp+" NOSUPERUSER NOBYPASSRLS")
	add(r.QuerySuperuser, Refuse, query, "it is a superuser", "ALTER ROLE "+RoleQuery+" NOSUPERUSER")
	add(r.App && r.Query && !r.CanQuery, Refuse, app, "it cannot become "+RoleQuery, "GRANT "+RoleQuery+" TO "+RoleApp)
	add(r.AppInheritsQuery, Refuse, app, "it inherits the rights of "+RoleQuery+", which sees every row",
		fmt.Sprintf("ALTER ROLE %s NOINHERIT, and since PostgreSQL 16 GRANT %s TO %s WITH INHERIT FALSE", RoleApp, RoleQuery, RoleApp))
	for _, role := range r.AppUnboundBy {
		add(true, Refuse, app, "it is a member of "+role+", which no policy binds", fmt.Sprintf("REVOKE %q FROM %s", role, RoleApp))
	}
	for _, role := range r.QueryMemberOf {
		add(true, Refuse, query, "it is a member of "+role+", which no policy binds: it can do more than read", fmt.Sprintf("REVOKE %q FROM %s", role, RoleQuery))
	}
	add(r.App && !r.CanBecome, Refuse, login, "it cannot become "+RoleApp, fmt.Sprintf("GRANT %s TO %q", RoleApp, r.Login))
	add(r.App && r.CanBecome && !r.Inherits, Refuse, login, "it does not inherit what "+RoleApp+" may do, so its statements cannot be prepared",
		fmt.Sprintf("ALTER ROLE %q INHERIT, and since PostgreSQL 16 GRANT %s TO %q WITH INHERIT TRUE", r.Login, RoleApp, r.Login))
	return all
}

// minimum is the first PostgreSQL with views that are security_invoker.
const minimum = 15

// holes are those of row-level security, with the minor release of each major one that
// closed them. Source: the table at https://www.postgresql.org/support/security/ and the
// notes of the releases.
var holes = []struct {
	cve, what string
	fixed     map[int]int
}{
	{"CVE-2023-2455", "policies of another role after a function was inlined", map[int]int{15: 3}},
	{"CVE-2023-39418", "MERGE passes over policies", map[int]int{15: 4}},
	{"CVE-2024-10976", "plans of another role below subqueries and security_invoker views", map[int]int{15: 9, 16: 5, 17: 1}},
	{"CVE-2025-8713", "statistics tell of hidden rows", map[int]int{15: 14, 16: 10, 17: 6}},
}

// serverProblems judges PostgreSQL by its server_version_num, such as 150014 for 15.14.
func serverProblems(version int) []Problem {
	major, minor := version/10000, version%10000
	subject := fmt.Sprintf("PostgreSQL %d.%d", major, minor)
	if major < minimum {
		return []Problem{{Severity: Refuse, Subject: subject, Message: "it has no security_invoker views", Want: fmt.Sprintf("PostgreSQL %d or later", minimum)}}
	}
	var open []string
	upgrade := 0
	for _, h := range holes {
		if minor < h.fixed[major] {
			open = append(open, h.cve+" ("+h.what+")")
			upgrade = max(upgrade, h.fixed[major])
		}
	}
	if len(open) == 0 {
		return nil
	}
	return []Problem{{
		Severity: Warn, Subject: subject, Message: "its row-level security has known holes: " + strings.Join(open, ", "),
		Want: fmt.Sprintf("PostgreSQL %d.%d or later", major, upgrade),
	}}
}
