package bulk

import (
	"context"
	"sync"
	"time"

	"github.com/stratakit/strata/tenancy"
)

const (
	// watchEvery is how often the hub looks for news.
	watchEvery = 500 * time.Millisecond
	// confirmEvery is how long Redis is believed that a run stands still: the process
	// that works on it may have died, or may not have reached Redis.
	confirmEvery = 2 * time.Second
	// readTimeout bounds one look at PostgreSQL.
	readTimeout = 10 * time.Second
)

// hub looks for news for all watches of a process at once, while there are any.
type hub struct {
	runner *Runner

	mu      sync.Mutex
	watches map[*watch]bool
	stopped bool               // a new watch ends at once
	cancel  context.CancelFunc // of the loop; nil while there is none

	looking sync.Mutex // two loops overlap when one begins as another ends
	last    map[watched]confirmed
}

type watched struct {
	domain tenancy.DomainID
	id     RunID
}

// confirmed is what PostgreSQL said of a run and when.
type confirmed struct {
	version int64
	at      time.Time
}

// add delivers to w until it is over.
func (h *hub) add(w *watch) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.watches == nil {
		h.watches = map[*watch]bool{}
	}
	h.watches[w] = true
	if h.stopped {
		w.cancel()
	}
	if h.cancel == nil {
		var ctx context.Context
		ctx, h.cancel = context.WithCancel(context.Background())
		go h.loop(ctx)
	}
	go func() {
		w.deliver()
		h.remove(w)
	}()
}

func (h *hub) remove(w *watch) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.watches, w)
	if len(h.watches) == 0 && h.cancel != nil {
		h.cancel()
		h.cancel = nil
	}
}

// stop ends all watches, also those that begin before the next start.
func (h *hub) stop() {
	h.setStopped(true)
	for _, w := range h.all() {
		w.cancel()
	}
}

func (h *hub) setStopped(stopped bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.stopped = stopped
}

func (h *hub) all() []*watch {
	h.mu.Lock()
	defer h.mu.Unlock()
	all := make([]*watch, 0, len(h.watches))
	for w := range h.watches {
		all = append(all, w)
	}
	return all
}

func (h *hub) loop(ctx context.Context) {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		h.look(ctx)
	}
}

// look asks Redis for what is watched, PostgreSQL for what Redis cannot be believed
// about, and tells the watches.
func (h *hub) look(ctx context.Context) {
	h.looking.Lock()
	defer h.looking.Unlock()
	if h.last == nil {
		h.last = map[watched]confirmed{}
	}
	all := h.all()
	single := map[watched]bool{}
	var ids []RunID
	for _, w := range all {
		if key := (watched{w.domain, w.id}); !w.id.IsZero() && !single[key] {
			single[key] = true
			ids = append(ids, w.id)
		}
	}
	known := h.runner.cache.get(ctx, ids)
	for _, w := range all {
		if c, ok := known[w.id]; ok && c.Domain == w.domain && !c.Status.Final() {
			w.offer(c.Progress)
		}
	}
	ask := map[watched]bool{}
	for key := range single {
		if h.doubtful(key, known) {
			ask[key] = true
		}
	}
	h.confirm(ctx, all, ask)
	for key := range h.last {
		if !single[key] {
			delete(h.last, key)
		}
	}
}

// doubtful reports whether PostgreSQL has to be asked about a run: Redis does not know
// it, says it has ended, or has said nothing new for a while.
func (h *hub) doubtful(key watched, known map[RunID]cached) bool {
	c, ok := known[key.id]
	if !ok || c.Domain != key.domain || c.Status.Final() {
		return true
	}
	last := h.last[key]
	if c.Version > last.version {
		h.last[key] = confirmed{c.Version, time.Now()}
		return false
	}
	return time.Since(last.at) >= confirmEvery
}

// confirm asks PostgreSQL, once, for runs and for all active runs of the domains that
// are watched as a whole. Where it does not answer, the next look asks again.
func (h *hub) confirm(ctx context.Context, all []*watch, ask map[watched]bool) {
	var domains, whole []tenancy.DomainID
	var ids []RunID
	for key := range ask {
		domains, ids = append(domains, key.domain), append(ids, key.id)
	}
	for _, w := range all {
		if !w.id.IsZero() {
			continue
		}
		whole, domains = append(whole, w.domain), append(domains, w.domain)
		w.mu.Lock()
		for id := range w.active { // those that end are active no more
			ids = append(ids, id)
		}
		w.mu.Unlock()
	}
	if len(domains) == 0 {
		return
	}
	reading, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	runs, err := h.runner.progress(reading, domains, ids, whole)
	if err != nil {
		h.runner.cfg.Log.DebugContext(ctx, "cannot read the progress of runs", "error", err)
		return
	}
	found := map[watched]bool{}
	for _, run := range runs {
		key := watched{run.DomainID, run.ID}
		found[key] = true
		if ask[key] {
			h.last[key] = confirmed{run.Version, time.Now()}
		}
		for _, w := range all {
			w.see(run)
		}
	}
	for _, w := range all {
		if key := (watched{w.domain, w.id}); ask[key] && !found[key] {
			w.end() // it was deleted
		}
	}
}
