package settings_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/audit"
	"github.com/stratakit/strata/internal/tenancytest"
	"github.com/stratakit/strata/tenancy"
	"github.com/stratakit/strata/tenancy/settings"
)

// move moves a domain as far as the hierarchy and its settings go, by a transaction in
// the scope of company, and returns what the settings say of it.
func move(t *testing.T, e *tenancytest.Env, s *settings.Store, from, to tenancy.Tenant, scope tenancy.CompanyID) map[string]string {
	t.Helper()
	ctx := tenancy.WithActor(tenancy.WithTenant(t.Context(), tenancy.Tenant{CompanyID: scope}), tenancy.Actor{ID: "mover", Type: tenancy.ActorAdmin})
	preview, err := s.Preview(ctx, from, to)
	require.NoError(t, err)
	require.NoError(t, e.DB.InTx(ctx, func(tx *tenancy.Tx) error {
		exec := func(q string, args ...any) {
			t.Helper()
			_, err := tx.Exec(ctx, q, args...)
			require.NoError(t, err)
		}
		exec(`SELECT set_config('strata.company_id', $1, true)`, from.CompanyID.String())
		exec(`DELETE FROM strata.domains WHERE company_id = $1 AND id = $2`, from.CompanyID, from.DomainID)
		exec(`SELECT set_config('strata.company_id', $1, true)`, to.CompanyID.String())
		exec(`INSERT INTO strata.domains (company_id, workspace_id, id, domain_name) VALUES ($1, $2, $3, 'moved.example')`, to.CompanyID, to.WorkspaceID, to.DomainID)
		exec(`SELECT set_config('strata.company_id', $1, true)`, scope.String())
		moved, err := s.Moved(ctx, tx, from, to)
		if err != nil {
			return err
		}
		require.Equal(t, preview, moved, "the preview is what happens")
		var now string
		require.NoError(t, tx.QueryRow(ctx, `SELECT current_setting('strata.company_id')`).Scan(&now))
		require.Equal(t, scope.String(), now, "the transaction is in its own scope again")
		return nil
	}))
	out := map[string]string{}
	for _, d := range preview {
		out[d.Key] = string(d.Before) + " " + string(d.After)
		if d.Kept {
			out[d.Key] += " kept"
		}
	}
	return out
}

func place(c *tenancytest.Company, plan string) tenancy.Tenant {
	return tenancy.Tenant{CompanyID: c.CompanyID, WorkspaceID: c.WorkspaceID, DomainID: c.DomainID, Plan: plan, Access: tenancy.AccessFull}
}

func TestMoveKeepsWhatWouldChange(t *testing.T) {
	t.Parallel()
	e := tenancytest.Open(t)
	s := start(t, e, nil, &settings.Config{Plans: map[string]map[string]any{"pro": {"ui.beta": true, "imports.max_rows": int64(700)}}}).store
	for name, target := range map[string]func(*tenancytest.Company) tenancy.Tenant{
		"within the company": func(a *tenancytest.Company) tenancy.Tenant { return second(t, e, a) },
		"to another company": func(*tenancytest.Company) tenancy.Tenant { return place(e.Company(t, "pro"), "pro") },
	} {
		t.Run(name, func(t *testing.T) {
			a := e.Company(t, "enterprise")
			from, to := place(a, "enterprise"), target(a)
			to.DomainID = from.DomainID
			here := tenancy.WithTenant(a.WorkspaceCtx, up(from))
			company := tenancy.WithTenant(a.CompanyCtx, tenancy.Tenant{CompanyID: to.CompanyID, Plan: to.Plan})
			there := tenancy.WithTenant(a.WorkspaceCtx, up(to))
			domain := tenancy.WithTenant(a.Ctx, to)

			require.NoError(t, s.Change(here, settings.Change{Set: map[string]any{
				"ui.greeting": "Yo", "ui.color": &[]string{"red"}[0], "mail.ratio": 0.9, "files.quota": quota{1, "TB"}, "ui.banner": "ours",
				"imports.max_rows": int64(600), "sms.countries": []string{"AT"},
			}}))
			require.NoError(t, ratio.Set(there, s, 0.9)) // the same
			require.NoError(t, maxRows.Set(there, s, 500))
			require.NoError(t, storage.Set(company, s, quota{7, "GB"}))
			require.NoError(t, s.Change(company, settings.Change{Lock: map[string]bool{"files.quota": true}}))
			if to.CompanyID != from.CompanyID {
				require.NoError(t, retention.Set(company, s, time.Hour))
			}
			want := map[string]string{
				"ui.greeting": `"Yo" "Hello" kept`, "ui.color": `"red" null kept`, "ui.banner": `"ours" ""`,
				"imports.max_rows": `600 500`, "sms.countries": `["AT"] ["AT","CH","DE"]`, "files.quota": `{"hard":1,"unit":"TB"} {"hard":7,"unit":"GB"}`,
			}
			if to.CompanyID == from.CompanyID {
				// The lock holds in the workspace that it leaves too.
				delete(want, "files.quota")
			} else {
				want["ui.beta"], want["audit.retention"] = `false true kept`, `"720h0m0s" "1h0m0s"`
			}
			require.Equal(t, want, move(t, e, s, from, to, from.CompanyID))

			again := tenancy.WithTenant(t.Context(), tenancy.Tenant{CompanyID: to.CompanyID})
			require.NoError(t, e.DB.InTx(again, func(tx *tenancy.Tx) error {
				differences, err := s.Moved(again, tx, from, to)
				for _, d := range differences {
					require.False(t, d.Kept, "what is kept does not differ any more: %s", d.Key)
				}
				return err
			}), "a move that is done again after a crash")

			require.Equal(t, "Yo", get(t, domain, s, greeting))
			require.Equal(t, "red", *get(t, domain, s, color))
			require.False(t, get(t, domain, s, beta))
			require.EqualValues(t, 500, get(t, domain, s, maxRows), "the rule of the place wins")
			require.Equal(t, quota{7, "GB"}, get(t, domain, s, storage))
			require.Equal(t, "Hello", get(t, there, s, greeting), "the workspace is as it was")
			x, err := s.Explain(domain, "ui.greeting")
			require.Equal(t, `domain "Yo"; system "Hello" overridden`, told(t, x, err))
			require.Equal(t, []string{settings.ReasonMove, "mover"}, []string{x.Reason, x.SetBy})
			require.NoError(t, greeting.Clear(domain, s), "and it can be given up")
			require.Equal(t, "Hello", get(t, domain, s, greeting))
			_, err = greeting.Get(a.Ctx, s)
			require.ErrorIs(t, err, tenancy.ErrNotFound, "the domain is there no more")

			entries, err := e.Audit.List(a.CompanyCtx, audit.Query{Action: "settings.moved"})
			require.NoError(t, err)
			require.Contains(t, entries.Items[len(entries.Items)-1].Metadata["kept"], "ui.greeting")

			require.NotContains(t, move(t, e, s, to, from, to.CompanyID), "ui.color")
			for _, name := range []string{"ui.color", "ui.beta"} {
				x, err := s.Explain(a.Ctx, name)
				require.NoError(t, err)
				require.NotEqual(t, settings.SourceDomain, x.Source, "%s was kept, and is back where it is what all have", name)
			}
			var left int
			require.NoError(t, e.DB.InTx(company, func(tx *tenancy.Tx) error {
				return tx.QueryRow(company, `SELECT count(*) FROM strata.settings WHERE company_id = $1 AND workspace_id = $2 AND domain_id IS NOT NULL`, to.CompanyID, to.WorkspaceID).Scan(&left)
			}))
			require.Zero(t, left)
		})
	}
}

// What the domain has of its own goes along, that of another product included, and keeps
// who set it.
func TestMoveTakesOwnValuesAlong(t *testing.T) {
	t.Parallel()
	e := tenancytest.Open(t)
	p := start(t, e, nil, nil)
	from, to := place(e.A, "enterprise"), second(t, e, e.A)
	third, fourth := up(to), place(e.B, "enterprise")
	third.DomainID, fourth.DomainID = from.DomainID, from.DomainID
	require.NoError(t, greeting.Set(e.A.WorkspaceCtx, p.store, "Yo"))
	move(t, e, p.store, from, third, e.A.CompanyID)

	registry, err := settings.NewRegistry(beta)
	require.NoError(t, err)
	other := startWith(t, e, nil, registry, nil).store
	require.Empty(t, move(t, e, other, third, fourth, e.B.CompanyID), "this process knows nothing of greetings")
	fresh := start(t, e, nil, nil).store
	x, err := fresh.Explain(tenancy.WithTenant(e.B.Ctx, fourth), "ui.greeting")
	require.Equal(t, `domain "Yo"; system "Hello" overridden`, told(t, x, err))
	require.Equal(t, "mover", x.SetBy)
}

func TestMoveIsOfOneDomain(t *testing.T) {
	t.Parallel()
	e := tenancytest.Open(t)
	s := start(t, e, nil, nil).store
	from, to := place(e.A, "pro"), place(e.B, "pro")
	for _, pair := range [][2]tenancy.Tenant{{from, to}, {from, from}, {up(from), up(to)}} {
		_, err := s.Preview(e.A.Ctx, pair[0], pair[1])
		require.ErrorContains(t, err, "a move is of one domain")
		require.ErrorContains(t, e.DB.InTx(e.A.CompanyCtx, func(tx *tenancy.Tx) error {
			_, err := s.Moved(e.A.CompanyCtx, tx, pair[0], pair[1])
			return err
		}), "a move is of one domain")
	}
	c := e.Company(t, "pro")
	to.DomainID = from.DomainID
	require.ErrorContains(t, e.DB.InTx(c.CompanyCtx, func(tx *tenancy.Tx) error {
		_, err := s.Moved(c.CompanyCtx, tx, from, to)
		return err
	}), "scope of neither company")
}
