package tenancy

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/redis/go-redis/v9"
)

// pace is how often Run does what. The sweep asks PostgreSQL what changed lately. It is
// the backstop for a process that died between its commit and its message, and for a
// Redis that is not there: with the subscription standing it may be slow, without it it
// is the only news.
type pace struct {
	sweepSubscribed time.Duration
	sweepAlone      time.Duration
	resubscribe     time.Duration
}

func defaultPace() pace {
	return pace{sweepSubscribed: 30 * time.Second, sweepAlone: 2 * time.Second, resubscribe: time.Second}
}

// sweepOverlap is longer than any transaction on the hierarchy takes.
const sweepOverlap = 5 * time.Minute

// Run listens for changes made by other processes until ctx ends, and sweeps. Start it
// once per process; without it a change made elsewhere is noticed after
// ResolverConfig.Lifetime. It returns ctx's error.
func (r *Resolver) Run(ctx context.Context) error {
	broke := make(chan struct{}, 1)
	if r.redis != nil {
		var listening sync.WaitGroup
		listening.Go(func() { r.subscribe(ctx, broke) })
		defer listening.Wait()
	}
	done := r.notSwept()
	timer := time.NewTimer(r.pause())
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-broke: // the timer may be a slow one
		case <-timer.C:
			if err := r.sweep(ctx, done); err != nil && ctx.Err() == nil {
				r.cfg.Log.WarnContext(ctx, "tenant sweep failed, trying again", "error", err)
			}
		}
		timer.Reset(r.pause())
	}
}

func (r *Resolver) pause() time.Duration {
	if r.subscribed.Load() {
		return r.pace.sweepSubscribed
	}
	return r.pace.sweepAlone
}

// swept is what sweeps have done so far.
type swept struct {
	until time.Time // every change before has been told
	// The version at which memory and Redis were told of a company that changed since.
	here, redis map[CompanyID]int64
}

// notSwept is where a process begins: Redis may still hold what was true an entry's
// lifetime ago.
func (r *Resolver) notSwept() *swept { return &swept{until: r.cfg.Now().Add(-redisLifetime)} }

// sweep forgets every company of which a row changed since the last sweep that reached
// everything. With an error the next one does what is left.
func (r *Resolver) sweep(ctx context.Context, done *swept) error {
	start := r.cfg.Now()
	since := done.until
	if oldest := start.Add(-redisLifetime); since.Before(oldest) {
		since = oldest
	}
	changed, err := r.changedSince(ctx, since.Add(-sweepOverlap))
	if err != nil {
		return err
	}
	forget := untold(changed, done.here)
	if r.redis != nil {
		late := untold(changed, done.redis)
		if err = r.sweepRedis(ctx, late); err == nil {
			forget, done.redis = late, changed // Redis may have handed out what was late
		}
	}
	r.forgetHere(forget...)
	done.here = changed
	if err == nil {
		done.until = start
	}
	return err
}

var errRedisDown = errors.New("tenancy: Redis did not answer lately")

func (r *Resolver) sweepRedis(ctx context.Context, companies []CompanyID) error {
	if len(companies) > 0 && !r.redis.up() {
		return errRedisDown
	}
	return r.forgetRedis(ctx, companies)
}

// changedSince returns the newest version of what changed of a company since then, which
// grows with every change. updated_at is PostgreSQL's clock, since ours: the overlap
// covers their difference too.
func (r *Resolver) changedSince(ctx context.Context, since time.Time) (map[CompanyID]int64, error) {
	changed := map[CompanyID]int64{}
	err := r.db.ReadTrusted(ctx, `SELECT company_id, max(version) FROM (
			SELECT id AS company_id, version FROM strata.companies WHERE updated_at >= $1
			UNION ALL SELECT company_id, version FROM strata.workspaces WHERE updated_at >= $1
			UNION ALL SELECT company_id, version FROM strata.domains WHERE updated_at >= $1
		) changed GROUP BY company_id`, []any{since}, func(rows pgx.Rows) error {
		var company CompanyID
		var version int64
		_, err := pgx.ForEachRow(rows, []any{&company, &version}, func() error {
			changed[company] = version
			return nil
		})
		return err
	})
	return changed, err
}

// untold returns the companies that changed to a version that told does not have.
func untold(changed, told map[CompanyID]int64) []CompanyID {
	var out []CompanyID
	for company, version := range changed {
		if told[company] != version {
			out = append(out, company)
		}
	}
	return out
}

// subscribe forgets what other processes changed, and flushes this process's memory
// whenever the subscription was broken: what was published meanwhile is lost.
func (r *Resolver) subscribe(ctx context.Context, broke chan<- struct{}) {
	sub := r.redis.guard.Client.Subscribe(ctx, changesChannel)
	defer func() { _ = sub.Close() }()
	stop := context.AfterFunc(ctx, func() { _ = sub.Close() }) // Receive does not watch ctx
	defer stop()
	defer r.subscribed.Store(false)
	for ctx.Err() == nil {
		m, err := sub.Receive(ctx)
		if err != nil {
			if r.subscribed.Swap(false) {
				select {
				case broke <- struct{}{}:
				default: // Run has not got to the last time yet
				}
			}
			select {
			case <-ctx.Done():
			case <-time.After(r.pace.resubscribe):
			}
			continue
		}
		switch m := m.(type) {
		case *redis.Subscription:
			r.forgetAllHere()
			r.subscribed.Store(true)
		case *redis.Message:
			if company, err := ParseID[Company](m.Payload); err == nil {
				r.forgetHere(company)
			}
		}
	}
}
