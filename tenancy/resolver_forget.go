package tenancy

import (
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/redis/go-redis/v9"
)

// The sweep asks PostgreSQL what changed lately. It is the backstop for a process that
// died between its commit and its message, and for a Redis that is not there: with the
// subscription standing it may be slow, without it it is the only news.
const (
	sweepSubscribed = 30 * time.Second
	sweepAlone      = 2 * time.Second
	sweepOverlap    = 5 * time.Minute // longer than any transaction on the hierarchy takes
	resubscribe     = time.Second
)

// Forget makes every process forget a company with all its workspaces and domains.
// Call it after the change has committed, as Tx.AfterCommit does. It never fails: what
// it cannot reach now, the sweep of Run reaches later.
func (r *Resolver) Forget(ctx context.Context, company CompanyID) {
	r.forgetHere(company)
	r.forgetRedis(ctx, company)
	r.redis.publish(ctx, company)
}

// forgetHere drops the company's entries, and every "not found": one of them may be
// about what was just created.
func (r *Resolver) forgetHere(company CompanyID) {
	r.generation.Add(1)
	for key, e := range r.fresh.All() {
		if !e.found || e.tenant.CompanyID == company {
			r.fresh.Invalidate(key)
		}
	}
	for key, e := range r.known.All() {
		if e.tenant.CompanyID == company {
			r.known.Invalidate(key)
		}
	}
}

func (r *Resolver) forgetAllHere() {
	r.generation.Add(1)
	r.fresh.InvalidateAll()
}

func (r *Resolver) forgetRedis(ctx context.Context, company CompanyID) {
	if !r.redis.up() {
		return
	}
	var version int64
	keys := []scopeKey{{LevelCompany, uuid.UUID(company)}}
	err := r.db.ReadTrusted(ctx, `SELECT $2::int, id, version FROM strata.companies WHERE id = $1
		UNION ALL SELECT $3, id, version FROM strata.workspaces WHERE company_id = $1
		UNION ALL SELECT $4, id, version FROM strata.domains WHERE company_id = $1`,
		[]any{company, int(LevelCompany), int(LevelWorkspace), int(LevelDomain)}, func(rows pgx.Rows) error {
			for rows.Next() {
				var k scopeKey
				var level int
				var v int64
				if err := rows.Scan(&level, &k.id, &v); err != nil {
					return err
				}
				k.level = Level(level)
				keys, version = append(keys, k), max(version, v)
			}
			return nil
		})
	if err != nil {
		r.cfg.Log.WarnContext(ctx, "a changed company stays in Redis until the sweep", "company", company, "error", err)
		return
	}
	for _, k := range keys {
		r.redis.forget(ctx, k, version)
	}
}

// Run listens for changes made by other processes until ctx ends, and sweeps. Start it
// once per process; without it a change made elsewhere is noticed after
// ResolverConfig.Lifetime. It returns ctx's error.
func (r *Resolver) Run(ctx context.Context) error {
	swept := r.cfg.Now()
	messages := make(chan CompanyID)
	if r.redis != nil {
		go r.subscribe(ctx, messages)
	}
	for {
		pause := sweepAlone
		if r.subscribed.Load() {
			pause = sweepSubscribed
		}
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		case company := <-messages:
			timer.Stop()
			r.forgetHere(company)
		case <-timer.C:
			start := r.cfg.Now()
			if err := r.sweep(ctx, swept.Add(-sweepOverlap)); err != nil {
				r.cfg.Log.WarnContext(ctx, "tenant sweep failed, trying again", "error", err)
				continue
			}
			swept = start
		}
	}
}

// sweep forgets every company of which a row changed since then. updated_at is
// PostgreSQL's clock, since ours: the overlap covers their difference too.
func (r *Resolver) sweep(ctx context.Context, since time.Time) error {
	var changed []CompanyID
	err := r.db.ReadTrusted(ctx, `SELECT id FROM strata.companies WHERE updated_at >= $1
		UNION SELECT company_id FROM strata.workspaces WHERE updated_at >= $1
		UNION SELECT company_id FROM strata.domains WHERE updated_at >= $1`, []any{since}, func(rows pgx.Rows) (err error) {
		changed, err = pgx.CollectRows(rows, pgx.RowTo[CompanyID])
		return err
	})
	for _, company := range changed {
		r.forgetHere(company)
		r.forgetRedis(ctx, company)
	}
	return err
}

// subscribe passes messages on and flushes this process's memory whenever the
// subscription broke: what was published meanwhile is lost.
func (r *Resolver) subscribe(ctx context.Context, messages chan<- CompanyID) {
	sub := r.redis.client.Subscribe(ctx, changesChannel)
	defer func() { _ = sub.Close() }()
	stop := context.AfterFunc(ctx, func() { _ = sub.Close() }) // Receive does not watch ctx
	defer stop()
	for ctx.Err() == nil {
		m, err := sub.Receive(ctx)
		if err != nil {
			r.subscribed.Store(false)
			select {
			case <-ctx.Done():
			case <-time.After(resubscribe):
			}
			continue
		}
		switch m := m.(type) {
		case *redis.Subscription:
			r.forgetAllHere()
			r.subscribed.Store(true)
		case *redis.Message:
			company, err := ParseID[Company](m.Payload)
			if err != nil {
				continue
			}
			select {
			case messages <- company:
			case <-ctx.Done():
			}
		}
	}
}
