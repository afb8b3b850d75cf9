package bulk

import (
	"math/rand/v2"
	"time"
)

// claimTimeout bounds one statement that looks for work.
const claimTimeout = 30 * time.Second

// poll works on the runs that nobody started: those whose process died, those that
// waited after a failure, and those whose River job was lost.
func (r *Runner) poll(l *life) {
	began := time.Now()
	var beat time.Time // the last
	for {
		r.fill(l)
		if time.Since(beat) >= r.beatEvery() {
			beat = time.Now()
			r.tendOrphans(l, began)
		}
		// Processes that started together must not ask together for ever.
		next := time.NewTimer(r.cfg.Poll - rand.N(r.cfg.Poll/5+1))
		select {
		case <-l.stopping:
			next.Stop()
			return
		case <-next.C:
		}
	}
}

// fill begins to work in the slots that are free, as long as there is something to do.
func (r *Runner) fill(l *life) {
	for {
		select {
		case r.slots <- struct{}{}:
		default:
			return
		}
		rec := r.pick(l)
		if rec == nil {
			<-r.slots
			return
		}
		l.working.Go(func() { r.work(l, rec) })
	}
}

// work works in a slot that was taken, on rec first if there is one, until there is nothing
// left to do.
func (r *Runner) work(l *life, rec *record) {
	defer func() { <-r.slots }()
	if rec == nil {
		rec = r.pick(l)
	}
	for ; rec != nil; rec = r.pick(l) {
		r.process(l, rec)
	}
}
