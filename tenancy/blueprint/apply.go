package blueprint

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"runtime/debug"
	"slices"
	"strconv"

	"github.com/jackc/pgx/v5"

	"github.com/stratakit/strata/internal/fault"
	"github.com/stratakit/strata/tenancy"
)

// maxChanges is how many changes of one Apply are kept.
const maxChanges = 500

// performed is what an Apply has done in a transaction that is still open.
type performed struct {
	body     json.RawMessage // the definition that was applied
	own      object          // the blueprint's own values
	changes  []Change
	counters map[string]int64
}

// applyError is an error of Spec.Apply itself.
type applyError struct{ error }

// Unwrap returns what went wrong.
func (e *applyError) Unwrap() error { return e.error }

// perform has the kind bring the workspace of tx to a version. It is all that Plan and
// Work have in common, and all that they do: the one rolls back, the other commits.
func (s *Store) perform(ctx context.Context, tx *tenancy.Tx, k *Kind, d row, version int) (performed, error) {
	// A process that is frozen or cut off holds its locks no longer than it may work.
	ms := min(max(s.cfg.ApplyTimeout.Milliseconds(), 1), math.MaxInt32) // what PostgreSQL takes; 0 is no limit
	if _, err := tx.Exec(ctx, `SELECT set_config('idle_in_transaction_session_timeout', $1, true)`, strconv.FormatInt(ms, 10)); err != nil {
		return performed{}, err
	}
	body, err := readVersion(ctx, tx, d.blueprint, version)
	if err != nil {
		return performed{}, err
	}
	p := performed{}
	if p.body, p.own, err = laidOver(body, d.overrides); err != nil {
		return p, err
	}
	o := order{
		BlueprintID: d.blueprint, DeploymentID: d.id, Version: version, Definition: p.body,
		PreviousVersion: d.applied, Overridden: slices.Sorted(maps.Keys(d.overrides)),
	}
	if d.appliedBody != nil {
		o.Previous = &d.appliedBody
	}
	limited, cancel := context.WithTimeoutCause(ctx, s.cfg.ApplyTimeout, ErrTimeout)
	defer cancel()
	result, err := safely(func() (Result, error) { return k.apply(limited, tx, o) })
	if errors.Is(context.Cause(limited), ErrTimeout) { // also when Apply made nothing of it
		err = ErrTimeout
	}
	if err != nil {
		return p, &applyError{err}
	}
	p.counters = result.Counters
	p.changes = append(keptFields(d.overrides, p.own), result.Changes[:min(len(result.Changes), maxChanges)]...)
	return p, nil
}

// readVersion returns the body of a version of the company's of tx, or ErrNotFound.
func readVersion(ctx context.Context, tx *tenancy.Tx, id ID, version int) (json.RawMessage, error) {
	return readOne(ctx, tx, `SELECT body FROM strata.blueprint_versions WHERE company_id = $1 AND blueprint_id = $2 AND version = $3`,
		pgx.RowTo[json.RawMessage], tx.Tenant().CompanyID, id, version)
}

func safely(fn func() (Result, error)) (r Result, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	return fn()
}

// Planned is what a Deploy would do in one workspace.
type Planned struct {
	WorkspaceID tenancy.WorkspaceID `json:"workspaceId"`
	Outcome     PlannedOutcome      `json:"outcome"`
	// AppliedVersion is what the workspace has now, 0 when the blueprint is not there yet.
	AppliedVersion int `json:"appliedVersion"`
	// Changes are those of Outcome.Changes of the run that Deploy would make.
	Changes []Change `json:"changes"`
	// Overrides are the fields that the workspace keeps, beside those of the version.
	Overrides []Override `json:"overrides"`
	// Error and ErrorCode say why it would fail. With ErrorCode "internal" Error may speak
	// of internals and is for operators only; PublicError is for everybody.
	Error     string `json:"error,omitempty"`
	ErrorCode string `json:"errorCode,omitempty"`
}

// PublicError is Error without what is nobody's business outside.
func (p Planned) PublicError() string { return fault.Public(p.Error, p.ErrorCode) }

// PlannedOutcome is what would become of a workspace.
type PlannedOutcome string

// The outcomes of a plan.
const (
	WouldChange PlannedOutcome = "change"
	// UpToDate is that of a workspace in which nothing would be created, changed or removed.
	UpToDate  PlannedOutcome = "up_to_date"
	WouldSkip PlannedOutcome = "skip" // it is paused there
	WouldFail PlannedOutcome = "fail"
)

// errPlanned rolls a plan back.
var errPlanned = errors.New("blueprint: this was only a plan")

// Plan tells what Deploy would do, workspace by workspace, by doing it: it calls
// Spec.Apply for each in a transaction that is rolled back. So a plan differs from the
// Deploy that follows only by what happens in between, and by what Apply does outside
// its transaction, which it must not. It holds Apply's locks while it looks. Errors are
// those of Deploy, and ErrUnknownKind.
func (s *Store) Plan(ctx context.Context, id ID, version int, to Targets) ([]Planned, error) {
	c, err := company(ctx)
	if err != nil {
		return nil, err
	}
	t, err := s.target(ctx, s.db, c, id, version)
	if err != nil {
		return nil, err
	}
	k, err := s.kind(t.kind)
	if err != nil {
		return nil, err
	}
	workspaces, err := to.workspaces(ctx, s.db, c, id)
	if err != nil {
		return nil, err
	}
	out := make([]Planned, 0, len(workspaces))
	for _, w := range workspaces {
		p, err := s.plan(ctx, k, t, w)
		if err != nil {
			return nil, err
		}
		out = append(out, p)
	}
	return out, nil
}

func (s *Store) plan(ctx context.Context, k *Kind, t target, w tenancy.WorkspaceID) (Planned, error) {
	tenant, err := tenancy.TenantFrom(ctx)
	if err != nil {
		return Planned{}, err
	}
	tenant.WorkspaceID = w
	// With the company's version Apply would be served what is older than the workspace.
	tenant.Version, err = readOne(ctx, s.db, `SELECT greatest(c.version, w.version) FROM strata.companies c
		JOIN strata.workspaces w ON w.company_id = c.id WHERE c.id = $1 AND w.id = $2`, pgx.RowTo[int64], tenant.CompanyID, w)
	if err != nil {
		return Planned{}, err
	}
	ctx = tenancy.WithTenant(ctx, tenant)
	out := Planned{WorkspaceID: w, Changes: []Change{}, Overrides: []Override{}}
	err = s.db.InTx(ctx, func(tx *tenancy.Tx) error {
		d, err := s.read(ctx, tx, t.id, unlocked)
		if errors.Is(err, ErrNotFound) {
			d, err = row{id: tenancy.NewID[Deployment](), blueprint: t.id}, nil
		}
		if err != nil {
			return err
		}
		out.AppliedVersion = d.applied
		if d.paused {
			out.Outcome = WouldSkip
			return errPlanned
		}
		p, err := s.perform(ctx, tx, k, d, t.version)
		out.Overrides, out.Outcome = overridden(d.overrides, p.own), UpToDate
		out.Changes = append(out.Changes, p.changes...)
		if slices.ContainsFunc(p.changes, func(c Change) bool { return c.Action != Kept }) {
			out.Outcome = WouldChange
		}
		if err == nil {
			err = errPlanned
		}
		return err
	})
	var failure *applyError
	switch {
	case ctx.Err() != nil:
		return out, ctx.Err()
	case errors.As(err, &failure):
		out.Outcome = WouldFail
		out.Error, out.ErrorCode = fault.Kept(failure.error)
	case !errors.Is(err, errPlanned):
		return out, err
	}
	return out, nil
}
