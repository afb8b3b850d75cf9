package bulk

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/jackc/pgx/v5"

	"github.com/stratakit/strata/tenancy"
)

// Watch tells how a run that Get returns goes: where it is now, then every change that
// is noticed. A slow reader gets the newest only. The channel is closed after the final
// state, when ctx ends, or by Stop. It returns ErrNotFound for a run that is not there.
func (r *Runner) Watch(ctx context.Context, id RunID) (<-chan Progress, error) {
	run, err := r.Get(ctx, id)
	if err != nil {
		return nil, err
	}
	w := newWatch(ctx, run.DomainID)
	w.id = id
	w.offer(run.Progress())
	r.hub.add(w)
	return w.out, nil
}

// WatchDomain is Watch for all runs of ctx's domain that have not ended, and for those
// that begin later; one that begins and ends within moments may go unnoticed. The
// channel is closed when ctx ends, or by Stop.
func (r *Runner) WatchDomain(ctx context.Context) (<-chan Progress, error) {
	t, err := tenancy.DomainFrom(ctx)
	if err != nil {
		return nil, err
	}
	w := newWatch(ctx, t.DomainID)
	active, err := r.progress(ctx, nil, nil, []tenancy.DomainID{t.DomainID})
	if err != nil {
		w.cancel()
		return nil, err
	}
	for _, run := range active {
		w.see(run)
	}
	r.hub.add(w)
	return w.out, nil
}

// watch is one reader.
type watch struct {
	domain tenancy.DomainID
	id     RunID // zero: every run of the domain
	out    chan Progress
	ctx    context.Context // a watch lasts as long as it
	cancel context.CancelFunc

	mu      sync.Mutex
	active  map[RunID]bool // the domain's runs whose end is yet to be told
	told    map[RunID]int64
	newest  map[RunID]Progress // not yet read
	order   []RunID            // of newest
	over    bool               // nothing comes after what is in newest
	changed chan struct{}
}

func newWatch(ctx context.Context, domain tenancy.DomainID) *watch {
	w := &watch{
		domain: domain, out: make(chan Progress), changed: make(chan struct{}, 1),
		active: map[RunID]bool{}, told: map[RunID]int64{}, newest: map[RunID]Progress{},
	}
	w.ctx, w.cancel = context.WithCancel(ctx)
	return w
}

// see takes what PostgreSQL says of a run, if it is one of those that are watched.
func (w *watch) see(run Run) {
	if run.DomainID != w.domain || !w.id.IsZero() && w.id != run.ID || w.id.IsZero() && run.Level != tenancy.LevelDomain {
		return
	}
	w.mu.Lock()
	known := w.active[run.ID]
	if run.State.Final() {
		delete(w.active, run.ID)
	} else {
		w.active[run.ID] = true
	}
	w.mu.Unlock()
	if w.id.IsZero() && run.State.Final() && !known {
		return // its end was told, or another watch asked for it
	}
	w.offer(run.Progress())
}

// offer gives the reader p in place of what is older and was not read yet.
func (w *watch) offer(p Progress) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.over || p.Version <= w.told[p.JobID] {
		return
	}
	w.told[p.JobID] = p.Version
	if _, waits := w.newest[p.JobID]; !waits {
		w.order = append(w.order, p.JobID)
	}
	w.newest[p.JobID] = p
	if p.Status.Final() {
		if w.id.IsZero() {
			delete(w.told, p.JobID) // it is not looked for any more
		} else {
			w.over = true
		}
	}
	w.wake()
}

// end closes the channel once what waits is read.
func (w *watch) end() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.over = true
	w.wake()
}

func (w *watch) wake() {
	select {
	case w.changed <- struct{}{}:
	default:
	}
}

// deliver hands what waits to the reader until it is over.
func (w *watch) deliver() {
	defer close(w.out)
	defer w.cancel()
	for {
		w.mu.Lock()
		var p Progress
		var out chan<- Progress // nil: nothing to send
		if len(w.order) > 0 {
			p, out = w.newest[w.order[0]], w.out
		} else if w.over {
			w.mu.Unlock()
			return
		}
		w.mu.Unlock()
		select {
		case out <- p:
			w.sent(p)
		case <-w.changed:
		case <-w.ctx.Done():
			return
		}
	}
}

// sent takes p off what waits, unless something newer took its place meanwhile.
func (w *watch) sent(p Progress) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.newest[p.JobID].Version == p.Version {
		delete(w.newest, p.JobID)
		w.order = slices.DeleteFunc(w.order, func(id RunID) bool { return id == p.JobID })
	}
}

const progressColumns = `id, kind, level, company_id, workspace_id, domain_id, state, total, processed, opened, rate, version`

// progress reads, for watches that have each been checked against a tenant, the runs
// with ids in domains, and all active runs of whole.
func (r *Runner) progress(ctx context.Context, domains []tenancy.DomainID, ids []RunID, whole []tenancy.DomainID) ([]Run, error) {
	var runs []Run
	err := r.db.ReadTrusted(ctx, `SELECT `+progressColumns+` FROM strata.runs WHERE domain_id = ANY($1) AND id = ANY($2)
		UNION ALL SELECT `+progressColumns+` FROM strata.runs WHERE domain_id = ANY($3) AND level = 'domain' AND state IN ('queued', 'processing', 'paused')`,
		[]any{domains, ids, whole}, func(rows pgx.Rows) (err error) {
			runs, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (r Run, err error) {
				err = row.Scan(&r.ID, &r.Kind, (*levelText)(&r.Level), &r.CompanyID, &r.WorkspaceID, &r.DomainID, &r.State, &r.Total, &r.Processed, &r.Opened, &r.Rate, &r.Version)
				return r, err
			})
			return err
		})
	if err != nil {
		return nil, fmt.Errorf("bulk: read progress: %w", err)
	}
	return runs, nil
}
