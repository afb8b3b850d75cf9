package bulk

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/stratakit/strata/tenancy"
)

// Watch tells how a run that Get returns goes: where it is now, then every change that
// is noticed, at most five in a second. A slow reader gets the newest only. The channel is
// closed after the final state, when ctx ends, by Stop, and when the domain is moved to
// another workspace. It returns ErrNotFound for a run that is not there.
//
// Processed never goes back, but for two: the end is exact, also of a run that failed while
// Open worked; and a run whose id is submitted again starts over. Of the watches of that,
// those that were not told yet how it ended go on with it.
func (r *Runner) Watch(ctx context.Context, id RunID) (<-chan Progress, error) {
	t, err := tenancy.TenantFrom(ctx)
	if err != nil {
		return nil, err
	}
	if id.IsZero() {
		return nil, ErrNotFound
	}
	s := subject{t.DomainID, id}
	if t.Level() != tenancy.LevelDomain { // the domain that the row is in is not known yet
		run, err := r.Get(ctx, id)
		if err != nil {
			return nil, err
		}
		s.domain = run.DomainID
	}
	return r.hub.begin(newWatch(ctx, s, t))
}

// WatchDomain is Watch for all runs of ctx's domain that have not ended, for those that
// ended since then, unless since is zero, and for those that begin later; one that begins
// and ends within moments may go unnoticed. The channel is closed when ctx ends, by Stop, and
// when the domain is moved to another workspace; of one that was, it returns ErrNotFound.
func (r *Runner) WatchDomain(ctx context.Context, since time.Time) (<-chan Progress, error) {
	t, err := tenancy.DomainFrom(ctx)
	if err != nil {
		return nil, err
	}
	w := newWatch(ctx, subject{domain: t.DomainID}, t)
	w.since = since
	return r.hub.begin(w)
}

// watch is one reader.
type watch struct {
	subject subject
	tenant  tenancy.Tenant // who may be told of what is there
	since   time.Time      // what ended since then is told too, unless it is zero
	out     chan Progress
	first   chan error      // gets one value when the first state is there, or is not to be had
	ctx     context.Context // a watch lasts as long as it
	cancel  context.CancelFunc
	gone    bool // guarded by the hub's mu

	mu      sync.Mutex
	told    map[RunID]Progress // the newest of each
	newest  map[RunID]Progress // not yet read
	order   []RunID            // of newest
	over    bool               // nothing comes after what is in newest
	changed chan struct{}
}

func newWatch(ctx context.Context, s subject, t tenancy.Tenant) *watch {
	w := &watch{
		subject: s, tenant: t, out: make(chan Progress), first: make(chan error, 1), changed: make(chan struct{}, 1),
		told: map[RunID]Progress{}, newest: map[RunID]Progress{},
	}
	w.ctx, w.cancel = context.WithCancel(ctx)
	return w
}

// place is where a domain is.
type place struct {
	company   tenancy.CompanyID
	workspace tenancy.WorkspaceID
}

// sees reports whether the reader's tenant is of where something is now. A reader that came
// before its domain was moved stays for as long as its connection.
func (w *watch) sees(p place) bool {
	return w.tenant.CompanyID == p.company && (w.tenant.WorkspaceID.IsZero() || w.tenant.WorkspaceID == p.workspace)
}

// offer gives the reader p in place of what is older and was not read yet. A final state
// comes from PostgreSQL and is the last word, whatever Redis said before.
func (w *watch) offer(p Progress) {
	w.mu.Lock()
	defer w.mu.Unlock()
	last := w.told[p.JobID]
	if w.over || p.Version <= last.Version && !p.Status.Final() {
		return
	}
	if p.started == last.started && !p.Status.Final() { // Open may have begun again
		p.Processed, p.Percentage = max(p.Processed, last.Processed), max(p.Percentage, last.Percentage)
	}
	w.told[p.JobID] = p
	if _, waits := w.newest[p.JobID]; !waits {
		w.order = append(w.order, p.JobID)
	}
	w.newest[p.JobID] = p
	if p.Status.Final() {
		if w.subject.run.IsZero() {
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
