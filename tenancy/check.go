package tenancy

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/stratakit/strata/internal/catalog"
	"github.com/stratakit/strata/internal/fault"
)

// Severity says what a Problem means for starting.
type Severity string

// The severities.
const (
	// Refuse is a hole through which one tenant reaches another's rows, or a wall that is
	// missing: strata.New does not start.
	Refuse Severity = "refuse"
	// Warn is what should be put right, and can be while the program runs.
	Warn Severity = "warn"
)

// Problem is one thing that is wrong with an installation.
type Problem struct {
	Severity Severity `json:"severity"`
	// Subject is the role, "schema.table", "schema.view" or other thing it is about.
	Subject string `json:"subject"`
	// Schema is the table's or view's, empty for everything else.
	Schema string `json:"schema,omitempty"`
	// Message says what is wrong, Want what would be right: where it can be, as SQL.
	Message string `json:"message"`
	Want    string `json:"want"`
}

// String is the problem on one line.
func (p Problem) String() string { return p.Subject + ": " + p.Message + ": want " + p.Want }

// CheckError is returned by DB.Check. It holds everything that is wrong, at once.
type CheckError struct{ Problems []Problem }

// Error names every problem, one a line.
func (e *CheckError) Error() string {
	lines := make([]string, len(e.Problems))
	for i, p := range e.Problems {
		lines[i] = "\n  " + p.String()
	}
	return fmt.Sprintf("tenants are not kept apart as they should be (%d problems):%s", len(e.Problems), strings.Join(lines, ""))
}

// Kind is fault.Unavailable.
func (e *CheckError) Kind() fault.Kind { return fault.Unavailable }

// Code is "isolation_check_failed".
func (e *CheckError) Code() string { return "isolation_check_failed" }

// Of returns an error with the problems of one severity, nil when there are none.
func (e *CheckError) Of(s Severity) *CheckError {
	of := &CheckError{}
	for _, p := range e.Problems {
		if p.Severity == s {
			of.Problems = append(of.Problems, p)
		}
	}
	if len(of.Problems) == 0 {
		return nil
	}
	return of
}

// Check looks at whether the database keeps tenants apart, whatever a statement says: at
// the roles and what the pool's login can become, at the release of PostgreSQL, and at every
// table with rows of tenants. Those are the tables of Strata's schema, and a product's own
// tables, in any schema, that have a uuid column company_id, workspace_id or domain_id and
// are granted to RoleApp. A table that is not granted to it is none of Strata's business.
//
// Each such table must have row-level security, enabled and forced, whose policies for
// RoleApp, or a restrictive one, compare a tenant column, or a generated one that is the
// coalesce of tenant columns, with the setting of the scope (a policy FOR SELECT may show everybody the rows
// whose tenant column is null or the platform's); foreign keys and unique
// indexes that contain a tenant column; and no grant of TRUNCATE, REFERENCES or TRIGGER.
// Views over it, or over one with a tenant column that is not granted, must be
// security_invoker, and none materialised; foreign tables must not be granted. A table without
// a tenant column that refers to such a table is one too, but for a comment that begins with
// "global:". What stands in the schema of an extension is let be. A unique index over uuid
// columns alone is let be, because random ids cannot be probed for; one whose uniqueness
// across tenants is meant needs a comment that begins with "global:" and gives the reason
// (COMMENT ON INDEX). Which tenants divide a table is said by the tenant column that its
// primary key begins with, else by the deepest that is NOT NULL.
//
// It returns nil, a *CheckError with all problems, or another error when it could not look.
// It takes about a dozen short statements, which read the catalog only.
func (db *DB) Check(ctx context.Context) error {
	tx, err := db.pool.BeginTx(ctx, pgx.TxOptions{AccessMode: pgx.ReadOnly})
	if err != nil {
		return fmt.Errorf("tenancy: check the installation: %w", err)
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }()
	problems, err := db.problems(ctx, tx)
	if err != nil {
		return fmt.Errorf("tenancy: check the installation: %w", err)
	}
	if len(problems) > 0 {
		return &CheckError{Problems: problems}
	}
	return nil
}

func (db *DB) problems(ctx context.Context, tx pgx.Tx) ([]Problem, error) {
	r, err := readRoles(ctx, tx)
	if err != nil {
		return nil, err
	}
	problems := append(serverProblems(r.Version), r.problems(db.schema)...)
	if !r.App {
		return problems, nil // without the role nothing can be granted to it
	}
	c, err := catalog.Read(ctx, tx, db.schema)
	if err != nil {
		return nil, err
	}
	for _, t := range c.Tables {
		problems = append(problems, tableProblems(t, c, db.schema)...)
	}
	problems = append(problems, viewProblems(c)...)
	problems = append(problems, openProblems(c)...)
	for _, f := range c.Functions {
		problems = append(problems, Problem{
			Severity: Warn, Subject: "function " + f.Name,
			Message: fmt.Sprintf("it runs with the rights of %s, which no policy binds, and %s may call it", f.Owner, RoleApp),
			Want:    "SECURITY INVOKER, or an owner that neither is a superuser nor has BYPASSRLS",
		})
	}
	if !r.CanBecome {
		return problems, nil
	}
	inactive, err := inactiveAsApp(ctx, tx, c)
	if err != nil {
		return nil, err
	}
	for _, t := range inactive {
		problems = append(problems, tableProblem(t, Refuse, "no policy is applied to "+RoleApp,
			"a role that neither owns the table nor bypasses row-level security (row_security_active)"))
	}
	return problems, nil
}

// inactiveAsApp asks PostgreSQL itself, as the role that statements run as.
func inactiveAsApp(ctx context.Context, tx pgx.Tx, c *catalog.Catalog) ([]*catalog.Table, error) {
	var oids []uint32
	for _, t := range c.Tables {
		if t.Enabled && !t.Foreign && (t.Forced || !t.AppMayBecomeOwner) { // otherwise it has been said already
			oids = append(oids, t.OID)
		}
	}
	if _, err := tx.Exec(ctx, `SELECT set_config('role', $1, true)`, RoleApp); err != nil {
		return nil, err
	}
	rows, err := tx.Query(ctx, `SELECT c.oid FROM pg_class c WHERE c.oid = ANY ($1::oid[]) AND NOT row_security_active(c.oid)`, oids)
	if err != nil {
		return nil, err
	}
	inactive, err := pgx.CollectRows(rows, pgx.RowTo[uint32])
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(slices.Clone(c.Tables), func(t *catalog.Table) bool { return !slices.Contains(inactive, t.OID) }), nil
}
