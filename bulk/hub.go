package bulk

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/stratakit/strata/tenancy"
)

const (
	// lookEvery is how often the hub looks for news that nobody told it of.
	lookEvery = 500 * time.Millisecond
	// lookPause is the least time between two looks: many who begin to watch at once are
	// answered by a few.
	lookPause = 20 * time.Millisecond
	// tellPause is the least time between two states of a run that its watches are told, but
	// for the last.
	tellPause = 200 * time.Millisecond
)

// hub tells all watches of a process what is new, while there are any. It hears of it at
// once from the work of this process and from Redis, and looks for what it did not hear of.
type hub struct {
	runner *Runner
	wake   chan struct{} // a look is wanted now

	mu      sync.Mutex
	stopped bool               // a new watch ends at once
	cancel  context.CancelFunc // of the loop; nil while there is none
	count   int                // of watches
	runs    map[subject]*known
	rooms   map[tenancy.DomainID]*room

	looking sync.Mutex // two loops overlap when one begins as another ends
}

// subject is a run that is watched, or with a zero id all runs of a domain.
type subject struct {
	domain tenancy.DomainID
	run    RunID
}

// audience is who is told of a subject.
type audience struct {
	waiting []*watch // for their first answer
	watches map[*watch]bool
}

// known is what the hub knows of a run that is watched, alone or with its domain.
type known struct {
	audience

	level  tenancy.Level
	newest Progress
	since  time.Time // when that was new or was confirmed by PostgreSQL
	told   time.Time
	timer  *time.Timer // will tell; nil: there is nothing to tell
}

// room is a domain that is watched as a whole.
type room struct {
	audience

	active map[RunID]*known
}

func newHub(r *Runner) *hub {
	return &hub{runner: r, wake: make(chan struct{}, 1), runs: map[subject]*known{}, rooms: map[tenancy.DomainID]*room{}}
}

// begin delivers to w, and returns when the first state is known.
func (h *hub) begin(w *watch) (<-chan Progress, error) {
	if !h.add(w) { // the runner is stopped
		w.cancel()
		close(w.out)
		return w.out, nil
	}
	select {
	case err := <-w.first:
		if err != nil {
			w.cancel()
			h.remove(w)
			return nil, err
		}
	case <-w.ctx.Done(): // by the caller, or by Stop
	}
	go func() {
		w.deliver()
		h.remove(w)
	}()
	return w.out, nil
}

// add makes a look answer w, unless the hub is stopped.
func (h *hub) add(w *watch) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.stopped {
		return false
	}
	a := h.audience(w.subject)
	a.waiting = append(a.waiting, w)
	if h.count++; h.cancel == nil {
		var ctx context.Context
		ctx, h.cancel = context.WithCancel(context.Background())
		go h.loop(ctx)
	}
	h.wakeUp()
	return true
}

// audience returns that of a subject. The caller holds mu.
func (h *hub) audience(s subject) *audience {
	if !s.run.IsZero() {
		return &h.know(s).audience
	}
	d := h.rooms[s.domain]
	if d == nil {
		d = &room{audience: audience{watches: map[*watch]bool{}}, active: map[RunID]*known{}}
		h.rooms[s.domain] = d
	}
	return &d.audience
}

// know returns what is known of a run. The caller holds mu.
func (h *hub) know(s subject) *known {
	k := h.runs[s]
	if k == nil {
		k = &known{audience: audience{watches: map[*watch]bool{}}}
		h.runs[s] = k
	}
	return k
}

func (h *hub) remove(w *watch) {
	h.mu.Lock()
	defer h.mu.Unlock()
	w.gone = true
	a := h.audience(w.subject)
	delete(a.watches, w)
	a.waiting = slices.DeleteFunc(a.waiting, func(other *watch) bool { return other == w })
	h.forget(w.subject)
	if h.count--; h.count == 0 {
		h.cancel()
		h.cancel = nil
	}
}

// forget drops what is known of a subject that nobody watches any more. The caller holds mu.
func (h *hub) forget(s subject) {
	d := h.rooms[s.domain]
	if d != nil && len(d.waiting)+len(d.watches) == 0 {
		delete(h.rooms, s.domain)
		for id := range d.active {
			h.forget(subject{s.domain, id})
		}
		d = nil
	}
	if k := h.runs[s]; k != nil && len(k.waiting)+len(k.watches) == 0 && (d == nil || d.active[s.run] == nil) {
		delete(h.runs, s)
	}
}

// stop ends all watches, also those that begin before the next start.
func (h *hub) stop() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.stopped = true
	for _, k := range h.runs {
		k.stop()
	}
	for _, d := range h.rooms {
		d.stop()
	}
}

func (h *hub) start() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.stopped = false
}

func (a *audience) stop() {
	for _, w := range a.waiting {
		w.cancel()
	}
	for w := range a.watches {
		w.cancel()
	}
}

func (a *audience) end() {
	for w := range a.watches {
		w.end()
	}
}

// keep ends the watches of those who cannot see what is at p.
func (a *audience) keep(p place) {
	for w := range a.watches {
		if !w.sees(p) {
			w.end()
		}
	}
}

func (a *audience) offer(p Progress) {
	for w := range a.watches {
		w.offer(p)
	}
}

// heard takes what somebody says of a run. That it has ended, or has begun, PostgreSQL is
// asked: what is said may be late, and does not say who may see the run.
func (h *hub) heard(c cached) {
	h.mu.Lock()
	defer h.mu.Unlock()
	k := h.runs[subject{c.Domain, c.JobID}]
	switch {
	case k == nil:
		if h.rooms[c.Domain] != nil {
			h.wakeUp()
		}
	case c.Version <= k.newest.Version:
	case c.Status.Final():
		k.since = time.Time{}
		h.wakeUp()
	default:
		h.news(c.Domain, k, c.Progress)
	}
}

// news tells the watches of a run that has not ended, now or when tellPause is over. The
// caller holds mu.
func (h *hub) news(domain tenancy.DomainID, k *known, p Progress) {
	k.newest, k.since = p, time.Now()
	if k.timer != nil {
		return
	}
	tell := func() {
		k.told = time.Now()
		k.offer(k.newest)
		if d := h.rooms[domain]; d != nil && d.active[p.JobID] == k {
			d.offer(k.newest)
		}
	}
	wait := tellPause - time.Since(k.told)
	if wait <= 0 {
		tell()
		return
	}
	k.timer = time.AfterFunc(wait, func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		k.timer = nil
		tell()
	})
}

func (h *hub) wakeUp() {
	select {
	case h.wake <- struct{}{}:
	default:
	}
}

func (h *hub) loop(ctx context.Context) {
	var listening sync.WaitGroup
	listening.Go(func() { h.runner.cache.listen(ctx) })
	defer listening.Wait()
	defer h.wakeUp() // what woke it may have been for the loop after it
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	pause := time.NewTimer(0)
	defer pause.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-pause.C:
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-h.wake:
		}
		pause.Reset(lookPause)
		h.look(ctx)
	}
}
