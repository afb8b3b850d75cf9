package persons

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/stratakit/strata/bulk"
	"github.com/stratakit/strata/customfields"
	"github.com/stratakit/strata/internal/fault"
	"github.com/stratakit/strata/tenancy"
	"github.com/stratakit/strata/tenancy/settings"
)

// KindMatch is the kind of the runs of a Matcher.
const KindMatch = "persons.match"

// MatcherConfig configures a Matcher. The zero value is legal.
type MatcherConfig struct {
	// Settings has UPNField and DepartmentField of each workspace. Default none: "upn" and
	// "department".
	Settings *settings.Store
	// RoleNames are more of RoleNames, in the language of the product's users.
	RoleNames []string
	// MaxShared is how many recipients may have the same key. What more have is shared, such as
	// a "none yet" that somebody typed, and is reported and not matched by. Default 10.
	MaxShared int
	// BatchRows is how many recipients are looked at in one transaction. Default 5,000.
	BatchRows int
	// BatchGroups is how many keys with several recipients are matched in one transaction.
	// Default 500.
	BatchGroups int
}

// Matcher finds the recipients that are one human, as a run (package bulk):
//
//  1. The same user principal name links by itself, unless there is doubt: names without a
//     word in common, two recipients of one domain, persons that have another user principal
//     name, or a pair that a user took apart. With a doubt it is a suggestion.
//  2. The same name and the same part before the @ is a suggestion.
//  3. The same name and department is a suggestion, a weaker one.
//
// Two recipients with different user principal names are never suggested. Names are compared
// without case, accents, titles, initials and the order of their words, and need two words;
// addresses that several humans read (RoleNames) are left out.
//
// A run first brings strata.person_keys up to date, looking only at recipients that changed
// since the last one, and then goes through the keys that several recipients have, in the
// order of their index: time grows with the number of recipients, memory does not. It is safe
// for concurrent use.
type Matcher struct {
	store  *Store
	fields *customfields.Registry
	runner *bulk.Runner
	cfg    MatcherConfig
	roles  map[string]bool
}

// NewMatcher returns a Matcher that has the runner do its runs.
func NewMatcher(store *Store, fields *customfields.Registry, runner *bulk.Runner, cfg *MatcherConfig) (*Matcher, error) {
	if store == nil || fields == nil || runner == nil {
		return nil, errors.New("persons: NewMatcher needs a Store, a Registry and a Runner")
	}
	m := &Matcher{store: store, fields: fields, runner: runner, roles: map[string]bool{}}
	if cfg != nil {
		m.cfg = *cfg
	}
	setDefault(&m.cfg.MaxShared, 10)
	setDefault(&m.cfg.BatchRows, 5_000)
	setDefault(&m.cfg.BatchGroups, 500)
	if m.cfg.MaxShared < 2 || m.cfg.MaxShared > MaxRecipients || m.cfg.BatchRows < 0 || m.cfg.BatchGroups < 0 {
		return nil, fmt.Errorf("persons: Config.MaxShared must be from 2 to %d, and no number negative", MaxRecipients)
	}
	for _, name := range m.cfg.RoleNames {
		m.roles[roleForm(name)] = true
	}
	return m, runner.Register(KindMatch, matchHandler{m})
}

func setDefault(v *int, to int) {
	if *v == 0 {
		*v = to
	}
}

// Matching is one run over a workspace or a company.
type Matching struct {
	ID bulk.RunID `json:"jobId"`
	// WorkspaceID is nil for one over all of a company.
	WorkspaceID *tenancy.WorkspaceID `json:"workspaceId"`
	// State is "running", also while it waits or is paused, "completed", "failed" or "cancelled".
	State string `json:"status"`
	// Total is how many recipients there were, about, and Processed how many were looked at.
	Total     int64    `json:"total"`
	Processed int64    `json:"processed"`
	Counters  Counters `json:"counters"`
	// Shared are keys of more recipients than MatcherConfig.MaxShared, at most 100.
	Shared []Shared `json:"shared"`

	// Error says why it failed. With ErrorCode "internal" it may speak of internals and is for
	// operators only; PublicError is for everybody.
	Error       string     `json:"-"`
	ErrorCode   string     `json:"-"`
	RequestedBy string     `json:"requestedBy"`
	CreatedAt   time.Time  `json:"createdAt"`
	FinishedAt  *time.Time `json:"finishedAt"`
}

// PublicError is Error without what is nobody's business outside.
func (m Matching) PublicError() string { return fault.Public(m.Error, m.ErrorCode) }

// Counters are what a Matching did.
type Counters struct {
	Keyed         int64 `json:"keyed"`         // recipients that had changed since the last one
	RoleAddresses int64 `json:"roleAddresses"` // of those, left out
	Linked        int64 `json:"linked"`        // recipients that were linked
	Suggested     int64 `json:"suggested"`     // pairs that were not known
	Shared        int64 `json:"shared"`        // keys of too many
	Doubted       int64 `json:"doubted"`       // user principal names that were suggested and not linked
	Skipped       int64 `json:"skipped"`       // domains that were being moved
}

func (c *Counters) add(o Counters) {
	c.Keyed, c.RoleAddresses, c.Linked, c.Suggested = c.Keyed+o.Keyed, c.RoleAddresses+o.RoleAddresses, c.Linked+o.Linked, c.Suggested+o.Suggested
	c.Shared, c.Doubted, c.Skipped = c.Shared+o.Shared, c.Doubted+o.Doubted, c.Skipped+o.Skipped
}

// Shared is a key that too many recipients have.
type Shared struct {
	Method     Method `json:"method"`
	Recipients int    `json:"recipients"`
	Example    Ref    `json:"example"` // one that has it
}

// matchArgs are what a run was asked for.
type matchArgs struct {
	WorkspaceID tenancy.WorkspaceID `json:"workspaceId,omitzero"`
}

// Match submits a run over the workspace of ctx's tenant, or over its company. A second one
// while the first has not ended is a *bulk.AlreadyRunningError. The run is worked on in the
// first domain, as every run has one, and is not there for its users (bulk.Submission.Level):
// how it goes is asked with Matching, and Cancel ends it. Errors: ErrNoDomain.
func (m *Matcher) Match(ctx context.Context) (Matching, error) {
	scope, err := scopeOf(ctx)
	if err != nil {
		return Matching{}, err
	}
	anchor := scope
	err = m.store.db.Read(ctx, `SELECT workspace_id, id FROM strata.domains WHERE company_id = $1 AND ($2::uuid IS NULL OR workspace_id = $2)
		AND deleted_at IS NULL ORDER BY moving_since IS NOT NULL, id LIMIT 1`, []any{scope.CompanyID, scope.WorkspaceID}, func(rows pgx.Rows) error {
		found, err := pgx.CollectExactlyOneRow(rows, func(row pgx.CollectableRow) (t tenancy.Tenant, err error) {
			err = row.Scan(&t.WorkspaceID, &t.DomainID)
			return t, err
		})
		anchor.WorkspaceID, anchor.DomainID = found.WorkspaceID, found.DomainID
		return err
	})
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return Matching{}, ErrNoDomain
	case err != nil:
		return Matching{}, fmt.Errorf("persons: look for a domain: %w", err)
	}
	var out Matching
	ctx = tenancy.WithTenant(ctx, anchor)
	err = m.store.db.InTx(ctx, func(tx *tenancy.Tx) error {
		out, err = m.submit(ctx, tx, scope)
		return err
	})
	return out, err
}

func (m *Matcher) submit(ctx context.Context, tx *tenancy.Tx, scope tenancy.Tenant) (out Matching, err error) {
	anchor := tx.Tenant().DomainID
	id := tenancy.NewID[bulk.Run]()
	err = tx.As(ctx, scope, func(ctx context.Context, tx *tenancy.Tx) error {
		// Nobody ends a run that was paused when its domain was deleted.
		_, err := tx.Exec(ctx, tx.SQL(`UPDATE strata.person_matches m SET state = 'cancelled', finished_at = now()
			WHERE m.company_id = $1 AND m.workspace_id IS NOT DISTINCT FROM $2 AND m.state = 'running'
				AND NOT EXISTS (SELECT FROM strata.domains d WHERE d.company_id = $1 AND d.id = m.anchor_id AND d.deleted_at IS NULL)`), scope.CompanyID, scope.WorkspaceID)
		if err != nil {
			return err
		}
		rows, err := tx.Query(ctx, tx.SQL(`INSERT INTO strata.person_matches (company_id, id, workspace_id, anchor_id, requested_by) VALUES ($1, $2, $3, $4, $5)
			ON CONFLICT (company_id, coalesce(workspace_id, company_id)) WHERE state = 'running' DO NOTHING RETURNING `+matchingColumns),
			scope.CompanyID, id, scope.WorkspaceID, anchor, tenancy.ActorFrom(ctx).ID)
		if err != nil {
			return err
		}
		out, err = pgx.CollectExactlyOneRow(rows, scanMatching)
		if !errors.Is(err, pgx.ErrNoRows) {
			return err
		}
		var active bulk.RunID
		err = tx.QueryRow(ctx, tx.SQL(`SELECT id FROM strata.person_matches WHERE company_id = $1 AND workspace_id IS NOT DISTINCT FROM $2 AND state = 'running'`),
			scope.CompanyID, scope.WorkspaceID).Scan(&active)
		if err != nil && !errors.Is(err, pgx.ErrNoRows) {
			return err
		}
		return &bulk.AlreadyRunningError{RunID: active}
	})
	if err != nil {
		return out, fmt.Errorf("persons: %w", err)
	}
	_, err = m.runner.SubmitTx(ctx, tx, bulk.Submission{ID: id, Kind: KindMatch, Args: matchArgs{scope.WorkspaceID}, Level: scope.Level()})
	return out, err
}

const matchingColumns = `id, workspace_id, state, total, processed, counters, shared, error, error_code, requested_by, created_at, finished_at`

func scanMatching(row pgx.CollectableRow) (m Matching, err error) {
	err = row.Scan(&m.ID, &m.WorkspaceID, &m.State, &m.Total, &m.Processed, &m.Counters, &m.Shared, &m.Error, &m.ErrorCode, &m.RequestedBy, &m.CreatedAt, &m.FinishedAt)
	m.CreatedAt = m.CreatedAt.UTC()
	if m.FinishedAt != nil {
		at := m.FinishedAt.UTC()
		m.FinishedAt = &at
	}
	return m, err
}

// Matching returns how a run goes that was submitted for the workspace or company of ctx's
// tenant; the company has those of its workspaces too. Errors: ErrNotFound.
func (m *Matcher) Matching(ctx context.Context, id bulk.RunID) (out Matching, err error) {
	scope, err := scopeOf(ctx)
	if err != nil {
		return out, err
	}
	err = m.store.db.Read(tenancy.WithTenant(ctx, scope), `SELECT `+matchingColumns+` FROM strata.person_matches
		WHERE company_id = $1 AND ($2::uuid IS NULL OR workspace_id = $2) AND id = $3`, []any{scope.CompanyID, scope.WorkspaceID, id}, func(rows pgx.Rows) (err error) {
		out, err = pgx.CollectExactlyOneRow(rows, scanMatching)
		return err
	})
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return out, ErrNotFound
	case err != nil:
		return out, fmt.Errorf("persons: read a matching: %w", err)
	}
	return out, nil
}

// Cancel ends a run that Matching returns, after the batch that is being done; what it has
// linked and suggested stays. Cancelling twice does nothing. Errors: ErrNotFound,
// bulk.ErrState when it ended otherwise, bulk.ErrBusy.
func (m *Matcher) Cancel(ctx context.Context, id bulk.RunID) (Matching, error) {
	of, err := m.Matching(ctx, id)
	if err != nil {
		return Matching{}, err
	}
	if of.State == string(bulk.StateCancelled) {
		return of, nil
	}
	scope, err := scopeOf(ctx)
	if err != nil {
		return Matching{}, err
	}
	if of.WorkspaceID != nil { // the company may end that of a workspace
		scope.WorkspaceID = *of.WorkspaceID
	}
	switch _, err := m.runner.Cancel(tenancy.WithTenant(ctx, scope), id); {
	case errors.Is(err, bulk.ErrNotFound) && of.State != "running": // it was forgotten since, as its domain moved
		return Matching{}, bulk.ErrState
	case err != nil:
		return Matching{}, err
	}
	return m.Matching(ctx, id)
}
