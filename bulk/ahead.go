package bulk

import (
	"context"

	"github.com/google/uuid"
)

// ahead prepares the next rows of a run while PostgreSQL writes those before them: one is work
// of this process, the other that of the server. Nobody waits for it. It needs a connection of
// its own, and who would wait has one already: where the pool has no other, both would stand
// still for ever.
type ahead struct {
	ctx     context.Context //nolint:containedctx // of the work, not of one batch
	cancel  context.CancelFunc
	running chan preparedRows // nil when nothing is prepared
}

// preparedRows are targets behind a place, and what does them.
type preparedRows struct {
	after int64
	ids   []uuid.UUID
	do    applyPrepared
}

func (a *ahead) begin(ctx context.Context) { a.ctx, a.cancel = context.WithCancel(ctx) }

// lookAhead begins with the n targets behind a place, unless those before are still at it.
func (w *operating) lookAhead(after int64, n int) {
	if w.op.prepare == nil || w.ahead.running != nil || after >= w.run.Total {
		return
	}
	ctx, result := w.ahead.ctx, make(chan preparedRows, 1)
	w.ahead.running = result
	go func() {
		p := preparedRows{after: after}
		err := safely("Prepare", func() (err error) {
			if p.ids, err = nextTargets(ctx, w.runner.db.ReadTrusted, w.run, after, n); err != nil {
				return err
			}
			p.do, err = w.op.prepare(ctx, w.args, p.ids)
			return err
		})
		if err != nil { // Apply will meet it too, if it lasts
			w.cfg.Log.DebugContext(ctx, "rows could not be prepared", "operation", w.op.kind, "run", w.run.ID, "error", err)
			p = preparedRows{}
		}
		result <- p
	}()
}

// take returns the rows behind a place if they are prepared by now.
func (a *ahead) take(after int64) preparedRows {
	select {
	case p := <-a.running:
		a.running = nil
		if p.after == after {
			return p
		}
	default:
	}
	return preparedRows{}
}

// end stops what is being prepared, and waits until it has.
func (a *ahead) end() {
	a.cancel()
	if a.running != nil {
		<-a.running
	}
}
