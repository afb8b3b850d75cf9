package bulk

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/stratakit/strata/tenancy"
)

const (
	// confirmEvery is how long a run is believed to stand still without asking PostgreSQL:
	// the process that works on it may have died, or may not have reached Redis.
	confirmEvery = 2 * time.Second
	// readTimeout bounds one look at PostgreSQL.
	readTimeout = 10 * time.Second
)

// question is what one look asks PostgreSQL.
type question struct {
	runs    []subject
	domains []tenancy.DomainID
	since   map[tenancy.DomainID]time.Time // what ended since is asked for too
	joining map[subject][]*watch           // who waits for the answer
}

// look asks Redis for what is watched, PostgreSQL once for what Redis cannot be believed
// about, and tells the watches. Where PostgreSQL does not answer, the next look asks again.
func (h *hub) look(ctx context.Context) {
	h.looking.Lock()
	defer h.looking.Unlock()
	said := h.runner.cache.get(ctx, h.watched())
	for _, c := range said {
		h.heard(c)
	}
	q := h.ask(ctx, said)
	if len(q.runs)+len(q.domains) == 0 {
		return
	}
	reading, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	runs, err := h.runner.progress(reading, q)
	var places map[tenancy.DomainID]place
	if err == nil {
		places, err = h.runner.places(reading, q.domains) // after the runs: what was moved between is noticed
	}
	if err != nil {
		h.runner.cfg.Log.DebugContext(ctx, "cannot read the progress of runs", "error", err)
		for _, joining := range q.joining {
			for _, w := range joining {
				w.first <- err
			}
		}
		return
	}
	h.answer(q, runs, places)
}

// watched returns the ids of the runs that are watched.
func (h *hub) watched() []RunID {
	h.mu.Lock()
	defer h.mu.Unlock()
	ids := make([]RunID, 0, len(h.runs))
	for s := range h.runs {
		ids = append(ids, s.run)
	}
	return ids
}

// ask says what to ask PostgreSQL, given what Redis said: of runs about which Redis knows
// nothing, or nothing new for a while, or that they have ended; of those that somebody
// begins to watch; and of domains that are watched as a whole. Whoever came after the last of
// a loop's watches had left is the next loop's to answer: that one's reading would be cancelled.
func (h *hub) ask(ctx context.Context, said map[RunID]cached) question {
	h.mu.Lock()
	defer h.mu.Unlock()
	q := question{since: map[tenancy.DomainID]time.Time{}, joining: map[subject][]*watch{}}
	if ctx.Err() != nil {
		return q
	}
	for s, k := range h.runs {
		c, ok := said[s.run]
		d := h.rooms[s.domain]
		if !ok || c.Domain != s.domain || c.Status.Final() || len(k.waiting) > 0 || d != nil && d.active[s.run] != nil || time.Since(k.since) >= confirmEvery {
			q.runs = append(q.runs, s)
		}
		if len(k.waiting) > 0 {
			q.joining[s], k.waiting = k.waiting, nil
		}
	}
	for domain, d := range h.rooms {
		q.domains = append(q.domains, domain)
		for _, w := range d.waiting {
			if first, ok := q.since[domain]; !w.since.IsZero() && (!ok || w.since.Before(first)) {
				q.since[domain] = w.since
			}
		}
		if len(d.waiting) > 0 {
			q.joining[subject{domain: domain}], d.waiting = d.waiting, nil
		}
	}
	return q
}

// answer tells what PostgreSQL said.
func (h *hub) answer(q question, runs []Run, places map[tenancy.DomainID]place) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for domain, d := range h.rooms {
		if p, ok := places[domain]; ok { // else somebody has come since
			d.keep(p)
		}
	}
	found := make(map[subject]Run, len(runs))
	for _, run := range runs {
		s := subject{run.DomainID, run.ID}
		found[s] = run
		if k := h.runs[s]; k != nil {
			k.keep(run.place())
		}
		if run.State.Final() {
			h.ended(s, run.Progress())
		} else {
			h.goesOn(s, run)
		}
	}
	for _, s := range q.runs {
		run, ok := found[s]
		if k := h.runs[s]; k != nil && !ok { // it was deleted
			k.end()
		}
		for _, w := range q.joining[s] {
			if !ok || run.Level != w.tenant.Level() || !w.sees(run.place()) {
				w.first <- ErrNotFound
				continue
			}
			p := run.Progress()
			if k := h.runs[s]; k != nil && !run.State.Final() {
				p = k.newest
			}
			h.join(w, p)
		}
	}
	for _, domain := range q.domains {
		for _, w := range q.joining[subject{domain: domain}] {
			if !w.sees(places[domain]) {
				w.first <- ErrNotFound
				continue
			}
			h.join(w, h.present(domain, w.since, runs)...)
		}
	}
}

// goesOn takes that a run has not ended. The caller holds mu.
func (h *hub) goesOn(s subject, run Run) {
	k := h.runs[s]
	d := h.rooms[s.domain]
	if run.Level != tenancy.LevelDomain {
		d = nil
	}
	if k == nil && d == nil {
		return
	}
	k = h.know(s)
	if k.level != run.Level { // its id was submitted again, for another level
		k.end()
		k.level = run.Level
		if d := h.rooms[s.domain]; d != nil {
			delete(d.active, s.run)
		}
	}
	k.since = time.Now()
	if run.Version > k.newest.Version {
		h.news(s.domain, k, run.Progress())
	}
	if d != nil && d.active[s.run] == nil {
		d.active[s.run] = k
		d.offer(k.newest)
	}
}

// ended takes that a run has ended. The caller holds mu.
func (h *hub) ended(s subject, p Progress) {
	k := h.runs[s]
	if k == nil {
		return // and so it was in no room
	}
	if p.Version > k.newest.Version {
		k.newest = p
	}
	k.offer(p)
	if d := h.rooms[s.domain]; d != nil && d.active[s.run] != nil {
		delete(d.active, s.run)
		d.offer(p)
	}
	h.forget(s)
}

// present returns what whoever begins to watch a domain is told: what is active, and what
// ended since then. The caller holds mu.
func (h *hub) present(domain tenancy.DomainID, since time.Time, runs []Run) []Progress {
	var all []Progress
	for _, run := range runs {
		if run.DomainID == domain && run.Level == tenancy.LevelDomain && run.FinishedAt != nil && !since.IsZero() && !run.FinishedAt.Before(since) {
			all = append(all, run.Progress())
		}
	}
	if d := h.rooms[domain]; d != nil {
		for _, k := range d.active {
			all = append(all, k.newest)
		}
	}
	return all
}

// join begins to tell w. The caller holds mu.
func (h *hub) join(w *watch, first ...Progress) {
	if w.gone {
		return
	}
	if h.stopped {
		w.cancel()
	}
	h.audience(w.subject).watches[w] = true
	for _, p := range first {
		w.offer(p)
	}
	w.first <- nil
}

func (r Run) place() place { return place{r.CompanyID, r.WorkspaceID} }

// places returns where domains are now.
func (r *Runner) places(ctx context.Context, domains []tenancy.DomainID) (map[tenancy.DomainID]place, error) {
	if len(domains) == 0 {
		return nil, nil
	}
	places := make(map[tenancy.DomainID]place, len(domains))
	err := r.db.ReadTrusted(ctx, `SELECT id, company_id, workspace_id FROM strata.domains WHERE id = ANY($1)`, []any{domains}, func(rows pgx.Rows) error {
		var id tenancy.DomainID
		var p place
		_, err := pgx.ForEachRow(rows, []any{&id, &p.company, &p.workspace}, func() error {
			places[id] = p
			return nil
		})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("bulk: read where domains are: %w", err)
	}
	return places, nil
}

const progressColumns = `id, kind, level, company_id, workspace_id, r.domain_id, state, total, processed, opened, rate, started_at, finished_at, version`

// progress reads, for watches that have each been checked against a tenant, the runs that q
// asks for.
func (r *Runner) progress(ctx context.Context, q question) ([]Run, error) {
	var domains, left []tenancy.DomainID
	var ids []RunID
	var since []time.Time
	for _, s := range q.runs {
		domains, ids = append(domains, s.domain), append(ids, s.run)
	}
	for domain, t := range q.since {
		left, since = append(left, domain), append(since, t)
	}
	var runs []Run
	err := r.db.ReadTrusted(ctx, `SELECT `+progressColumns+` FROM strata.runs r WHERE (domain_id, id) IN (SELECT * FROM unnest($1::uuid[], $2::uuid[]))
		UNION SELECT `+progressColumns+` FROM strata.runs r WHERE domain_id = ANY($3) AND level = 'domain' AND `+active+`
		UNION SELECT `+progressColumns+` FROM strata.runs r JOIN unnest($4::uuid[], $5::timestamptz[]) AS l(domain_id, since) ON r.domain_id = l.domain_id AND r.finished_at >= l.since AND level = 'domain'`,
		[]any{domains, ids, q.domains, left, since}, func(rows pgx.Rows) (err error) {
			runs, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (r Run, err error) {
				err = row.Scan(&r.ID, &r.Kind, (*levelText)(&r.Level), &r.CompanyID, &r.WorkspaceID, &r.DomainID, &r.State, &r.Total, &r.Processed, &r.Opened, &r.Rate, &r.StartedAt, &r.FinishedAt, &r.Version)
				return r, err
			})
			return err
		})
	if err != nil {
		return nil, fmt.Errorf("bulk: read progress: %w", err)
	}
	return runs, nil
}
