package tenancy_test

import (
	"context"
	"errors"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"github.com/stratakit/strata/internal/tenancytest"
	"github.com/stratakit/strata/tenancy"
)

// nameWorkspace changes company A's workspace in tx, with the audit entry it needs.
func nameWorkspace(t *testing.T, e *tenancytest.Env, tx *tenancy.Tx, name string) {
	t.Helper()
	_, err := tx.Exec(e.A.Ctx, `UPDATE strata.workspaces SET name = $2 WHERE company_id = $1`, e.A.CompanyID, name)
	require.NoError(t, err)
	require.NoError(t, e.Audit.RecordChange(e.A.Ctx, tx, tenancy.Change{Action: "test"}))
}

func workspaceName(t *testing.T, e *tenancytest.Env) string {
	t.Helper()
	w, err := e.Store.Workspace(e.A.Ctx, e.A.WorkspaceID)
	require.NoError(t, err)
	return w.Name
}

// A transaction that bun began would commit the one that it is in, and end the scope.
func TestBunBeginsNoTransactionOfItsOwn(t *testing.T) {
	t.Parallel()
	e := tenancytest.Open(t)
	boom := errors.New("boom")
	err := e.DB.InTx(e.A.Ctx, func(tx *tenancy.Tx) error {
		nameWorkspace(t, e, tx, "uncommitted")
		err := tx.Bun().RunInTx(e.A.Ctx, nil, func(context.Context, bun.Tx) error { return nil })
		require.ErrorContains(t, err, "Tx.Savepoint")
		_, err = tx.Bun().BeginTx(e.A.Ctx, nil)
		require.ErrorContains(t, err, "Tx.Savepoint")
		var role string
		require.NoError(t, tx.Bun().NewRaw(`SELECT current_user::text`).Scan(e.A.Ctx, &role))
		require.Equal(t, tenancy.RoleApp, role)
		return boom
	})
	require.ErrorIs(t, err, boom)
	require.NotEqual(t, "uncommitted", workspaceName(t, e))
}

func TestSavepointUndoesOnlyItsOwn(t *testing.T) {
	t.Parallel()
	e := tenancytest.Open(t)
	boom := errors.New("boom")
	var hooks []string
	require.NoError(t, e.DB.InTx(e.A.Ctx, func(tx *tenancy.Tx) error {
		hook := func(name string) { tx.AfterCommit(func(context.Context) { hooks = append(hooks, name) }) }
		hook("before")
		err := tx.Savepoint(e.A.Ctx, func(tx *tenancy.Tx) error {
			nameWorkspace(t, e, tx, "kept")
			hook("kept")
			// Whatever goes wrong inside, what is around it stays.
			for name, fn := range map[string]func(tx *tenancy.Tx) error{
				"own error": func(*tenancy.Tx) error { return boom },
				"SQL error": func(tx *tenancy.Tx) error {
					_, err := tx.Exec(e.A.Ctx, `SELECT 1/0`)
					return err
				},
				"SQL error that is not returned": func(tx *tenancy.Tx) error {
					_, err := tx.Exec(e.A.Ctx, `SELECT 1/0`)
					require.Error(t, err)
					return nil
				},
			} {
				require.Error(t, tx.Savepoint(e.A.Ctx, func(tx *tenancy.Tx) error {
					nameWorkspace(t, e, tx, "undone")
					hook("undone")
					return fn(tx)
				}), name)
			}
			require.PanicsWithValue(t, "boom", func() {
				_ = tx.Savepoint(e.A.Ctx, func(tx *tenancy.Tx) error {
					nameWorkspace(t, e, tx, "undone")
					hook("undone")
					panic("boom")
				})
			})
			return nil
		})
		require.NoError(t, err)
		hook("after")
		return nil
	}))
	require.Equal(t, "kept", workspaceName(t, e))
	require.Equal(t, []string{"before", "kept", "after"}, hooks)
}

// What a savepoint undoes is undone also when its context has ended, which keeps
// statements from being sent.
func TestSavepointUndoesWhenItsContextHasEnded(t *testing.T) {
	t.Parallel()
	e := tenancytest.Open(t)
	boom := errors.New("boom")
	require.NoError(t, e.DB.InTx(e.A.Ctx, func(tx *tenancy.Tx) error {
		ctx, cancel := context.WithCancel(e.A.Ctx)
		err := tx.Savepoint(ctx, func(tx *tenancy.Tx) error {
			nameWorkspace(t, e, tx, "undone")
			cancel()
			return boom
		})
		require.Equal(t, boom, err, "the error as it is")
		ctx, cancel = context.WithCancel(e.A.Ctx)
		require.NoError(t, tx.Savepoint(ctx, func(tx *tenancy.Tx) error {
			_, err := tx.Exec(e.A.Ctx, `UPDATE strata.domains SET domain_name = 'kept.example' WHERE company_id = $1`, e.A.CompanyID)
			cancel()
			return err
		}), "what was done is done")
		return e.Audit.RecordChange(e.A.Ctx, tx, tenancy.Change{Action: "test"})
	}))
	require.NotEqual(t, "undone", workspaceName(t, e))
	d, err := e.Store.Domain(e.A.Ctx, e.A.DomainID)
	require.NoError(t, err)
	require.Equal(t, "kept.example", d.DomainName)

	// Where it cannot be undone the error says so, and nothing is committed.
	err = e.DB.InTx(e.A.Ctx, func(tx *tenancy.Tx) error {
		err := tx.Savepoint(e.A.Ctx, func(tx *tenancy.Tx) error {
			nameWorkspace(t, e, tx, "undone")
			require.NoError(t, tx.Conn().Close(e.A.Ctx))
			return boom
		})
		require.ErrorIs(t, err, boom)
		require.ErrorContains(t, err, "closed")
		return nil
	})
	require.Error(t, err)
	require.NotEqual(t, "undone", workspaceName(t, e))
}

// SQL that goes to another tenant in a savepoint is not there any more when it is undone.
func TestSavepointUndoesAChangeOfScope(t *testing.T) {
	t.Parallel()
	e := tenancytest.Open(t)
	require.NoError(t, e.DB.InTx(e.A.Ctx, func(tx *tenancy.Tx) error {
		company := func() (id string) {
			require.NoError(t, tx.QueryRow(e.A.Ctx, `SELECT id::text FROM strata.companies`).Scan(&id))
			return id
		}
		require.Error(t, tx.Savepoint(e.A.Ctx, func(tx *tenancy.Tx) error {
			_, err := tx.Exec(e.A.Ctx, `SELECT set_config('strata.company_id', $1, true)`, e.B.CompanyID.String())
			require.NoError(t, err)
			require.Equal(t, e.B.CompanyID.String(), company(), "row-level security stops mistakes, not SQL that is not ours")
			return errors.New("undo")
		}))
		require.Equal(t, e.A.CompanyID.String(), company())
		return nil
	}))
}

// Inside a transaction a trusted statement sees every tenant, and what follows only its own.
func TestTxReadTrusted(t *testing.T) {
	t.Parallel()
	e := tenancytest.Open(t)
	count := func(read func(context.Context, string, []any, func(pgx.Rows) error) error) (n int) {
		require.NoError(t, read(t.Context(), `SELECT count(*) FROM strata.companies`, nil, func(rows pgx.Rows) (err error) {
			n, err = pgx.CollectExactlyOneRow(rows, pgx.RowTo[int])
			return err
		}))
		return n
	}
	require.NoError(t, e.DB.InTx(e.A.Ctx, func(tx *tenancy.Tx) error {
		require.Equal(t, 1, count(tx.Read))
		require.Equal(t, 2, count(tx.ReadTrusted))
		require.Equal(t, 1, count(tx.Read))
		err := tx.Savepoint(e.A.Ctx, func(tx *tenancy.Tx) error {
			return tx.ReadTrusted(e.A.Ctx, `DELETE FROM strata.companies RETURNING 1`, nil, func(rows pgx.Rows) error {
				for rows.Next() {
				}
				return rows.Err()
			})
		})
		require.ErrorContains(t, err, "permission denied", "it only reads")
		require.Equal(t, 1, count(tx.Read))
		return nil
	}))
}
