package bulk

import (
	"context"

	"github.com/stratakit/strata/tenancy"
)

// Averaged is how the rate of a run goes on after a batch.
var Averaged = averaged

// NewsChannel is where Redis carries the news.
const NewsChannel = newsChannel

// Watching returns how many watches there are, with those that wait for their first answer.
func (r *Runner) Watching() int {
	r.hub.mu.Lock()
	defer r.hub.mu.Unlock()
	return r.hub.count
}

// LateLook lets a loop look that has been told to end, when somebody has just begun to watch
// ctx's domain, and returns whether it took it on itself to answer.
func (r *Runner) LateLook(ctx context.Context) (answers bool, err error) {
	t, err := tenancy.DomainFrom(ctx)
	if err != nil {
		return false, err
	}
	h := newHub(r)
	w := newWatch(ctx, subject{domain: t.DomainID}, t)
	a := h.audience(w.subject)
	a.waiting = append(a.waiting, w)
	ended, cancel := context.WithCancel(ctx)
	cancel()
	h.look(ended)
	select {
	case err = <-w.first:
	default:
	}
	return len(a.waiting) == 0, err
}
