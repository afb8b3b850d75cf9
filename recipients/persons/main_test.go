package persons_test

import (
	"context"
	"fmt"
	"os"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/customfields"
	"github.com/stratakit/strata/internal/dbtest"
	"github.com/stratakit/strata/internal/tenancytest"
	"github.com/stratakit/strata/recipients"
	"github.com/stratakit/strata/recipients/persons"
	"github.com/stratakit/strata/tenancy"
)

func TestMain(m *testing.M) {
	if os.Getenv(childVariable) != "" {
		os.Exit(child())
	}
	dbtest.Main(m)
}

type bundle struct {
	*tenancytest.Env
	fields     *customfields.Registry
	recipients *recipients.Store
	persons    *persons.Store
}

func setup(t *testing.T) *bundle {
	t.Helper()
	b := &bundle{Env: tenancytest.Open(t)}
	var err error
	b.fields, err = customfields.NewRegistry(b.DB, b.Redis, b.Limits, b.Audit, nil)
	require.NoError(t, err)
	b.recipients, err = recipients.NewStore(b.DB, b.fields, b.Limits, b.Audit, nil)
	require.NoError(t, err)
	b.persons, err = persons.NewStore(b.DB, b.Audit)
	require.NoError(t, err)
	return b
}

// workspace creates one more workspace of a company with a domain in it.
func (b *bundle) workspace(t *testing.T, c *tenancytest.Company, slug string) (workspace, domain context.Context) {
	t.Helper()
	w, err := b.Store.CreateWorkspace(c.CompanyCtx, tenancy.NewWorkspace{Name: slug, Slug: slug})
	require.NoError(t, err)
	tenant, err := tenancy.TenantFrom(c.CompanyCtx)
	require.NoError(t, err)
	tenant.WorkspaceID = w.ID
	workspace = tenancy.WithActor(tenancy.WithTenant(t.Context(), tenant), c.Actor)
	d, err := b.Store.CreateDomain(workspace, w.ID, tenancy.NewDomain{DomainName: slug + ".example"})
	require.NoError(t, err)
	tenant.DomainID = d.ID
	return workspace, tenancy.WithActor(tenancy.WithTenant(t.Context(), tenant), c.Actor)
}

// add creates a recipient.
func (b *bundle) add(ctx context.Context, t *testing.T, email, name string) persons.Ref {
	t.Helper()
	r, err := b.recipients.Create(ctx, recipients.New{Email: email, Name: name})
	require.NoError(t, err)
	d, err := tenancy.DomainFrom(ctx)
	require.NoError(t, err)
	return persons.Ref{DomainID: d.DomainID, RecipientID: r.ID}
}

// addMany creates n recipients of a domain.
func (b *bundle) addMany(ctx context.Context, t *testing.T, n int) []persons.Ref {
	t.Helper()
	out := make([]persons.Ref, n)
	for i := range out {
		out[i] = b.add(ctx, t, fmt.Sprintf("r%d@example.com", i), "")
	}
	return out
}

// of returns the refs of a person.
func of(p persons.Person) []persons.Ref {
	out := []persons.Ref{}
	for _, l := range p.Links {
		out = append(out, l.Ref)
	}
	return out
}

// look reads a column of what is there, of every tenant.
func look[T any](t *testing.T, b *bundle, q string, args ...any) (out []T) {
	t.Helper()
	require.NoError(t, b.DB.ReadTrusted(t.Context(), q, args, func(rows pgx.Rows) (err error) {
		out, err = pgx.CollectRows(rows, pgx.RowTo[T])
		return err
	}))
	return out
}

// pointer returns what recipients.person_id says, or the zero id.
func (b *bundle) pointer(t *testing.T, ref persons.Ref) persons.ID {
	t.Helper()
	return look[persons.ID](t, b, `SELECT person_id FROM strata.recipients WHERE domain_id = $1 AND id = $2`, ref.DomainID, ref.RecipientID)[0]
}

// requireSound holds the pointers of all recipients to the links, and the persons to their
// form: the top of the merges is what links and recipients say, no person has one link, and
// one inside a workspace has none of another.
func (b *bundle) requireSound(t *testing.T) {
	t.Helper()
	require.Empty(t, look[string](t, b, `
		SELECT 'pointer of ' || r.id FROM strata.recipients r
			LEFT JOIN strata.person_links l ON l.domain_id = r.domain_id AND l.recipient_id = r.id AND l.state = 'linked'
			WHERE r.person_id IS DISTINCT FROM l.alias_id OR l.company_id <> r.company_id OR l.workspace_id <> r.workspace_id
		UNION ALL
		SELECT 'alias of ' || l.id FROM strata.person_links l WHERE l.state = 'linked' AND l.alias_id IS DISTINCT FROM (
			WITH RECURSIVE up AS (SELECT id, merged_into FROM strata.persons p WHERE p.company_id = l.company_id AND p.id = l.person_id
				UNION ALL SELECT p.id, p.merged_into FROM up JOIN strata.persons p ON p.company_id = l.company_id AND p.id = up.merged_into)
			SELECT id FROM up WHERE merged_into IS NULL)
		UNION ALL
		SELECT 'lonely ' || l.alias_id FROM strata.person_links l WHERE l.state = 'linked' GROUP BY l.alias_id HAVING count(*) < 2
		UNION ALL
		SELECT 'scope of ' || l.id FROM strata.person_links l JOIN strata.persons p ON p.company_id = l.company_id AND p.id = l.person_id
			WHERE l.state = 'linked' AND p.workspace_id <> l.workspace_id
		UNION ALL
		SELECT 'scope of ' || c.id FROM strata.persons c JOIN strata.persons p ON p.company_id = c.company_id AND p.id = c.merged_into
			WHERE p.workspace_id IS NOT NULL AND p.workspace_id IS DISTINCT FROM c.workspace_id
		UNION ALL
		SELECT 'dissolved ' || p.id FROM strata.persons p JOIN strata.person_links l ON l.company_id = p.company_id AND p.id IN (l.person_id, l.alias_id)
			WHERE p.dissolved_at IS NOT NULL AND l.state = 'linked'`))
	b.requireSoundCredits(t)
}

// requireSoundCredits holds the credits to links and completions: one for whatever another
// recipient of the person has completed within reach and the recipient has not, and no other.
func (b *bundle) requireSoundCredits(t *testing.T) {
	t.Helper()
	require.Empty(t, look[string](t, b, `
		WITH reached AS (
			SELECT t.domain_id, t.recipient_id, c.product, c.key, c.id
			FROM strata.person_completions c
				JOIN strata.person_links s ON s.company_id = c.company_id AND s.domain_id = c.domain_id AND s.recipient_id = c.recipient_id AND s.state = 'linked'
				JOIN strata.person_links t ON t.company_id = s.company_id AND t.alias_id = s.alias_id AND t.state = 'linked' AND t.id <> s.id
			WHERE c.withdrawn_at IS NULL AND (c.across OR c.workspace_id = t.workspace_id)),
		own AS (SELECT domain_id, recipient_id, product, key FROM strata.person_completions WHERE withdrawn_at IS NULL),
		credited AS (SELECT domain_id, recipient_id, product, key FROM strata.person_credits WHERE revoked_at IS NULL)
		SELECT 'without a credit: ' || m::text FROM (SELECT domain_id, recipient_id, product, key FROM reached EXCEPT SELECT * FROM own EXCEPT SELECT * FROM credited) m
		UNION ALL
		SELECT 'credit beside its own: ' || m::text FROM (SELECT * FROM credited INTERSECT SELECT * FROM own) m
		UNION ALL
		SELECT 'credit for nothing: ' || g.id FROM strata.person_credits g WHERE g.revoked_at IS NULL AND EXISTS (SELECT FROM strata.person_completions c WHERE c.id = g.completion_id)
			AND NOT EXISTS (SELECT FROM reached r WHERE r.domain_id = g.domain_id AND r.recipient_id = g.recipient_id AND r.id = g.completion_id)
		UNION ALL
		SELECT 'place of ' || x.id FROM (SELECT id, domain_id, recipient_id, company_id, workspace_id FROM strata.person_credits UNION ALL SELECT id, domain_id, recipient_id, company_id, workspace_id FROM strata.person_completions) x
			JOIN strata.recipients r ON r.domain_id = x.domain_id AND r.id = x.recipient_id WHERE (r.company_id, r.workspace_id) <> (x.company_id, x.workspace_id)`))
}
