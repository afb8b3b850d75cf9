package indexes

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/stratakit/strata/customfields/filter"
)

// maxNoted is how many fields and ways of using them a process keeps in mind between two
// flushes; what comes on top is not counted.
const maxNoted = 10_000

// usage is what filters did since the last flush.
type usage struct {
	slow time.Duration

	mu    sync.Mutex
	noted map[usageKey]*counts
}

type usageKey struct {
	key
	purpose filter.UseForm
}

type counts struct{ uses, slow int64 }

// Ran notes in memory that statements with these uses of fields took so long. Once in
// Config.Refresh it writes down what was noted. What a process has not written down when it
// ends is lost, which only delays an index.
func (t *TableIndexes) Ran(ctx context.Context, uses []filter.Use, took time.Duration) {
	if t == nil || len(uses) == 0 {
		return
	}
	t.advisor.usage.note(t.table, uses, took)
	t.advisor.fresh(ctx)
}

func (u *usage) note(t Table, uses []filter.Use, took time.Duration) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, use := range uses {
		form, ok := FormOf(use.Type)
		if !ok || use.Form == filter.UseOther {
			continue
		}
		k := usageKey{key{t.Schema, t.Name, use.Slot, form}, use.Form}
		c := u.noted[k]
		if c == nil {
			if len(u.noted) >= maxNoted {
				continue
			}
			if u.noted == nil {
				u.noted = map[usageKey]*counts{}
			}
			c = &counts{}
			u.noted[k] = c
		}
		c.uses++
		if took >= u.slow {
			c.slow++
		}
	}
}

// take returns what was noted and forgets it.
func (u *usage) take() map[usageKey]*counts {
	u.mu.Lock()
	defer u.mu.Unlock()
	noted := u.noted
	u.noted = nil
	return noted
}

// flush writes down what was noted. What cannot be written is lost.
func (a *Advisor) flush(ctx context.Context) error {
	noted := a.usage.take()
	if len(noted) == 0 {
		return nil
	}
	var schemas, tables, slots, forms, purposes []string
	var uses, slow []int64
	for k, c := range noted {
		schemas, tables, slots = append(schemas, k.schema), append(tables, k.table), append(slots, k.slot)
		forms, purposes = append(forms, string(k.form)), append(purposes, string(k.purpose))
		uses, slow = append(uses, c.uses), append(slow, c.slow)
	}
	_, err := a.db.Pool().Exec(ctx, a.db.SQL(`INSERT INTO strata.field_uses (table_schema, table_name, slot, form, purpose, uses, slow)
		SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::bigint[], $7::bigint[])`),
		schemas, tables, slots, forms, purposes, uses, slow)
	if err != nil {
		return fmt.Errorf("indexes: note what filters did: %w", err)
	}
	return nil
}

// prune forgets what filters did before yesterday.
func (a *Advisor) prune(ctx context.Context) error {
	if _, err := a.db.Pool().Exec(ctx, a.db.SQL(`DELETE FROM strata.field_uses WHERE noted_at < now() - interval '2 days'`)); err != nil {
		return fmt.Errorf("indexes: forget old uses: %w", err)
	}
	return nil
}
