package persons

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/stratakit/strata/bulk"
	"github.com/stratakit/strata/customfields/filter"
	"github.com/stratakit/strata/recipients"
	"github.com/stratakit/strata/tenancy"
)

// KindComplete is the kind of the runs of a Completer.
const KindComplete = "persons.complete"

// CompleterConfig configures a Completer. The zero value is legal.
type CompleterConfig struct {
	// BatchRows is how many recipients complete in one transaction, at most and by default
	// MaxCompletions.
	BatchRows int
}

// Completer records that many recipients of a domain have completed something: up to
// MaxCompletions at once, more as a run (package bulk). It is safe for concurrent use.
type Completer struct {
	store      *Store
	recipients *recipients.Store
	runner     *bulk.Runner
	batch      int
}

// NewCompleter returns a Completer that has the runner do its runs.
func NewCompleter(store *Store, of *recipients.Store, runner *bulk.Runner, cfg *CompleterConfig) (*Completer, error) {
	if store == nil || of == nil || runner == nil {
		return nil, errors.New("persons: NewCompleter needs a Store, a Store of recipients and a Runner")
	}
	m := &Completer{store, of, runner, MaxCompletions}
	if cfg != nil && cfg.BatchRows != 0 {
		m.batch = cfg.BatchRows
	}
	if m.batch < 1 || m.batch > MaxCompletions {
		return nil, fmt.Errorf("persons: CompleterConfig.BatchRows must be from 1 to %d", MaxCompletions)
	}
	return m, runner.Register(KindComplete, completeHandler{m})
}

// CompleteAll is what all recipients of a domain have completed, or those of a filter.
type CompleteAll struct {
	DomainID tenancy.DomainID `json:"domainId" required:"true"`
	// Filter is a CEL expression over recipients. Empty: all.
	Filter string `json:"filter"`
	Topic

	// OccurredAt and Details are those of NewCompletion.
	OccurredAt time.Time       `json:"occurredAt" required:"true"`
	Details    json.RawMessage `json:"details,omitempty"`
}

// CompletedAll is what CompleteAll did, or has a run do.
type CompletedAll struct {
	// Run does it when there is one. Its counters will be "completed", "unchanged" and
	// "differing".
	Run *bulk.Run
	// Completed recipients had not completed it before. Differing ones have completed it at
	// another time or with other details, which stay.
	Completed, Differing int
}

// CompleteAll does what Store.Complete does for all recipients that match: at once when they
// are MaxCompletions at most, else it submits a run in the domain. While that has not ended, a
// second one of the same product and key is a *bulk.AlreadyRunningError. A recipient that has
// completed it in another way is left as it is, and counted. Errors: those of Complete,
// tenancy.ErrNotFound for a domain that the scope does not reach, *filter.Error.
func (m *Completer) CompleteAll(ctx context.Context, in CompleteAll) (out CompletedAll, err error) {
	scope, err := scopeOf(ctx)
	if err != nil {
		return out, err
	}
	var v tenancy.ValidationError
	if in.DomainID.IsZero() {
		v.Add("domainId", "required", "must be set")
	}
	of := NewCompletion{Topic: in.Topic, OccurredAt: in.OccurredAt, Details: in.Details}.checked("", &v)
	if err := v.OrNil(); err != nil {
		return out, err
	}
	at, err := m.domain(ctx, scope, in.DomainID)
	if err != nil {
		return out, err
	}
	inDomain := tenancy.WithTenant(ctx, at)
	total, err := m.recipients.Count(inDomain, in.Filter)
	if err != nil {
		return out, err
	}
	if total <= MaxCompletions {
		w, err := m.work(inDomain, in.Filter, of)
		if err != nil {
			return out, err
		}
		err = m.store.inTx(ctx, func(ctx context.Context, c *change) error {
			out, w.after = CompletedAll{}, recipients.ID{}
			for { // there may be more by now
				did, err := w.next(ctx, c, at, MaxCompletions)
				out.Completed, out.Differing = out.Completed+did.changed, out.Differing+did.differing
				if err != nil || did.found < MaxCompletions {
					return err
				}
			}
		})
		return out, err
	}
	args := completeArgs{Across: scope.WorkspaceID.IsZero(), CompanyID: at.CompanyID, Filter: in.Filter, Completion: of}
	err = m.store.db.InTx(inDomain, func(tx *tenancy.Tx) error {
		run, err := m.runner.SubmitTx(inDomain, tx, bulk.Submission{Kind: KindComplete, Args: args, Total: total, DedupKey: of.Product + "/" + of.Key})
		out.Run = &run
		return err
	})
	if err != nil {
		return CompletedAll{}, err
	}
	return out, nil
}

// domain returns where a live domain of the scope is.
func (m *Completer) domain(ctx context.Context, scope tenancy.Tenant, id tenancy.DomainID) (at tenancy.Tenant, err error) {
	err = m.store.db.Read(tenancy.WithTenant(ctx, scope), `SELECT workspace_id FROM strata.domains WHERE company_id = $1 AND ($2::uuid IS NULL OR workspace_id = $2) AND id = $3 AND deleted_at IS NULL`,
		[]any{scope.CompanyID, scope.WorkspaceID, id}, func(rows pgx.Rows) (err error) {
			at.WorkspaceID, err = pgx.CollectExactlyOneRow(rows, pgx.RowTo[tenancy.WorkspaceID])
			return err
		})
	at.CompanyID, at.DomainID = scope.CompanyID, id
	if errors.Is(err, pgx.ErrNoRows) {
		return at, tenancy.ErrNotFound
	}
	if err != nil {
		return at, fmt.Errorf("persons: look for a domain: %w", err)
	}
	return at, nil
}

// completeArgs are what a run was asked for.
type completeArgs struct {
	Across     bool              `json:"across"`
	CompanyID  tenancy.CompanyID `json:"companyId"`
	Filter     string            `json:"filter"`
	Completion NewCompletion     `json:"completion"`
}

type completeHandler struct{ *Completer }

// Open compiles the filter and reads where the run is.
func (h completeHandler) Open(ctx context.Context, run bulk.Run) (bulk.Work, error) {
	var args completeArgs
	if err := json.Unmarshal(run.Args, &args); err != nil {
		return nil, bulk.Permanent(fmt.Errorf("persons: the arguments of a run: %w", err))
	}
	if args.CompanyID != run.CompanyID {
		return nil, bulk.Permanent(errCompletionsMoved) // who asked has nothing to say there
	}
	w, err := h.work(ctx, args.Filter, args.Completion)
	var wrong *filter.Error
	if errors.As(err, &wrong) {
		return nil, bulk.Permanent(err)
	}
	if err != nil {
		return nil, err
	}
	if w.across = args.Across; run.Cursor != nil {
		if err := json.Unmarshal(run.Cursor, &w.after); err != nil {
			return nil, bulk.Permanent(fmt.Errorf("persons: the cursor of a run: %w", err))
		}
	}
	return w, nil
}

// Finish has nothing to do: the run says how it went.
func (h completeHandler) Finish(context.Context, *tenancy.Tx, bulk.Run) error { return nil }

// completeWork goes through the recipients of a domain that match a filter.
type completeWork struct {
	*Completer

	joins, where string
	args         []any
	of           NewCompletion
	across       bool
	after        recipients.ID
}

func (m *Completer) work(ctx context.Context, expr string, of NewCompletion) (*completeWork, error) {
	w := &completeWork{Completer: m, of: of}
	if strings.TrimSpace(expr) == "" {
		return w, nil
	}
	f, err := m.recipients.Filter(ctx, expr)
	if err != nil {
		return nil, err
	}
	sql, args := f.SQL(filter.Options{First: 5})
	w.where, w.args = " AND "+sql, args
	for _, join := range f.Joins() {
		w.joins += " " + join
	}
	return w, nil
}

func (w *completeWork) Close() error { return nil }

// Batch completes for the next recipients.
func (w *completeWork) Batch(ctx context.Context, tx *tenancy.Tx) (bulk.Batch, error) {
	at := tx.Tenant()
	scope := tenancy.Tenant{CompanyID: at.CompanyID}
	if !w.across {
		scope.WorkspaceID = at.WorkspaceID
	}
	before := w.after
	var did completedPage
	err := tx.As(ctx, scope, func(ctx context.Context, tx *tenancy.Tx) error {
		return w.store.begin(ctx, tx, scope, func(ctx context.Context, c *change) (err error) {
			did, err = w.next(ctx, c, at, w.batch)
			return err
		})
	})
	if err != nil {
		w.after = before
		return bulk.Batch{}, err
	}
	return bulk.Batch{
		Cursor: w.after, Done: did.found < w.batch, Processed: int64(did.found),
		Counters: map[string]int64{"completed": int64(did.changed), "differing": int64(did.differing), "unchanged": int64(did.found - did.changed - did.differing)},
	}, nil
}

// completedPage is what became of the recipients of a page.
type completedPage struct{ found, changed, differing int }

// next completes for the next recipients of the domain at, n at most. Those that are deleted
// meanwhile are passed over.
func (w *completeWork) next(ctx context.Context, c *change, at tenancy.Tenant, n int) (did completedPage, err error) {
	var ids []recipients.ID
	err = c.tx.ReadTrusted(ctx, `SELECT r.id FROM strata.recipients r`+w.joins+` WHERE r.domain_id = $1 AND r.company_id = $2 AND ($3::uuid IS NULL OR r.id > $3) AND r.deleted_at IS NULL`+w.where+` ORDER BY r.id LIMIT $4`,
		append([]any{at.DomainID, at.CompanyID, w.after, n}, w.args...), func(rows pgx.Rows) (err error) {
			ids, err = pgx.CollectRows(rows, pgx.RowTo[recipients.ID])
			return err
		})
	if err != nil {
		return did, fmt.Errorf("persons: read recipients: %w", err)
	}
	if did.found = len(ids); did.found == 0 {
		return did, nil
	}
	w.after = ids[len(ids)-1]
	var all []NewCompletion
	err = c.tx.As(ctx, at, func(ctx context.Context, _ *tenancy.Tx) error {
		live, err := collect(ctx, c, "lock recipients", pgx.RowTo[recipients.ID],
			`SELECT id FROM strata.recipients WHERE domain_id = $1 AND id = ANY ($2) AND deleted_at IS NULL ORDER BY id FOR NO KEY UPDATE`, at.DomainID, ids)
		for _, id := range live {
			of := w.of
			of.Ref = Ref{at.DomainID, id}
			all = append(all, of)
		}
		return err
	})
	if err != nil {
		return did, err
	}
	done, err := c.complete(ctx, map[tenancy.DomainID]tenancy.WorkspaceID{at.DomainID: at.WorkspaceID}, all)
	did.changed, did.differing = done.changed, len(done.differing)
	return did, err
}
