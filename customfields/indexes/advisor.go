package indexes

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/stratakit/strata/customfields"
	"github.com/stratakit/strata/tenancy"
)

// Config configures an Advisor. The zero value is legal.
type Config struct {
	// Owner is a pool of the login that owns the tables, which is the one that runs
	// strata.Migrate, straight to PostgreSQL. Default: the pool of the DB.
	Owner *pgxpool.Pool
	// Tables are a product's own, beside recipients.
	Tables []Table
	// Manual leaves it to Create and Drop to make indexes and to take them away.
	Manual bool
	// MinUses is how often a day a field has to be used in a range, a prefix or an order
	// before it gets an index. Default 100.
	MinUses int64
	// Slow is what one use in twenty has to take, or longer, before that. Default 50 ms.
	Slow time.Duration
	// MinRows is how many rows a table has to have. Default 50,000.
	MinRows int64
	// MaxPerTable bounds the indexes over fields of one table. Each makes writes of rows that
	// have the field dearer. Default 8.
	MaxPerTable int
	// Idle is how long an index that was built by itself may be unused. Default 30 days; a
	// day when no workspace has a field like that any more.
	Idle time.Duration
	// LockTimeout bounds the wait for a lock of a build, which waits for every transaction that
	// began before it. Readers and writers wait for none of it. Default 1 minute.
	LockTimeout time.Duration
	// Refresh is how old a process's knowledge of the indexes may be, and for how long it
	// keeps what filters did in memory. Default 30 s.
	Refresh time.Duration
	// Poll is how often Run calls Step. Default 5 minutes.
	Poll time.Duration
	// Log receives what goes wrong in the background. Default slog.Default().
	Log *slog.Logger
}

func (c *Config) setDefaults() {
	set := func(d *time.Duration, to time.Duration) {
		if *d <= 0 {
			*d = to
		}
	}
	set(&c.Slow, 50*time.Millisecond)
	set(&c.Idle, 30*24*time.Hour)
	set(&c.LockTimeout, time.Minute)
	set(&c.Refresh, 30*time.Second)
	set(&c.Poll, 5*time.Minute)
	if c.MinUses <= 0 {
		c.MinUses = 100
	}
	if c.MinRows <= 0 {
		c.MinRows = 50_000
	}
	if c.MaxPerTable <= 0 {
		c.MaxPerTable = 8
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
}

// Advisor looks after the indexes over single fields. It is safe for concurrent use, and so
// are Advisors of several processes.
type Advisor struct {
	db     *tenancy.DB
	owner  *pgxpool.Pool
	cfg    Config
	tables []Table

	usage usage

	refreshing sync.Mutex
	known      atomic.Pointer[snapshot]
}

// snapshot is which indexes are ready, as they were at a time.
type snapshot struct {
	ready map[key]bool
	at    time.Time
}

// New returns an Advisor. It does not connect.
func New(db *tenancy.DB, cfg *Config) (*Advisor, error) {
	if db == nil {
		return nil, errors.New("indexes: New needs a DB")
	}
	a := &Advisor{db: db, owner: db.Pool()}
	if cfg != nil {
		a.cfg = *cfg
	}
	a.cfg.setDefaults()
	if a.cfg.Owner != nil {
		a.owner = a.cfg.Owner
	}
	a.tables = []Table{{Schema: db.Schema(), Name: "recipients", ID: "id"}}
	for _, t := range a.cfg.Tables {
		if t.Schema == "" || t.Name == "" {
			return nil, fmt.Errorf("indexes: Config.Tables: table %q needs a schema and a name", t)
		}
		if t.ID == "" {
			t.ID = "id"
		}
		if slices.ContainsFunc(a.tables, func(o Table) bool { return o.String() == t.String() }) {
			return nil, fmt.Errorf("indexes: Config.Tables: table %s is there twice", t)
		}
		a.tables = append(a.tables, t)
	}
	a.usage.slow = a.cfg.Slow
	a.known.Store(&snapshot{})
	return a, nil
}

// Recipients returns what lists of recipients use.
func (a *Advisor) Recipients() *TableIndexes { return &TableIndexes{a, a.tables[0]} }

// Of returns what lists of a table of Config.Tables use. Errors: ErrUnknownTable.
func (a *Advisor) Of(schema, name string) (*TableIndexes, error) {
	t, err := a.table(schema, name)
	return &TableIndexes{a, t}, err
}

func (a *Advisor) table(schema, name string) (Table, error) {
	i := slices.IndexFunc(a.tables, func(t Table) bool { return t.Schema == schema && t.Name == name })
	if i < 0 {
		return Table{}, fmt.Errorf("table %s.%s: %w", schema, name, ErrUnknownTable)
	}
	return a.tables[i], nil
}

// TableIndexes is the advisor of one table. A nil TableIndexes is legal: it knows no index
// and takes no notice.
type TableIndexes struct {
	advisor *Advisor
	table   Table
}

// Ready returns a function that says whether an index over the values of a field is ready: of
// the slot under which they are stored, for its type. The answer is up to Config.Refresh
// old, and costs a look-up in memory; the call that finds it older asks PostgreSQL first, and
// notes there what filters did.
func (t *TableIndexes) Ready(ctx context.Context) func(slot string, fieldType customfields.Type) bool {
	if t == nil {
		return func(string, customfields.Type) bool { return false }
	}
	s := t.advisor.fresh(ctx)
	return func(slot string, fieldType customfields.Type) bool {
		form, ok := FormOf(fieldType)
		return ok && s.ready[key{t.table.Schema, t.table.Name, slot, form}]
	}
}

// fresh returns a snapshot that is not too old, or the old one when another call is getting
// one or none can be had: an index is a matter of speed only.
func (a *Advisor) fresh(ctx context.Context) *snapshot {
	s := a.known.Load()
	if time.Since(s.at) < a.cfg.Refresh || !a.refreshing.TryLock() {
		return s
	}
	defer a.refreshing.Unlock()
	if err := a.refresh(ctx); err != nil {
		if ctx.Err() == nil {
			a.cfg.Log.WarnContext(ctx, "indexes over fields cannot be looked up, trying again later", "error", err)
		}
		a.known.Store(&snapshot{s.ready, time.Now()})
	}
	return a.known.Load()
}

// refresh writes down what filters did and asks which indexes are ready.
func (a *Advisor) refresh(ctx context.Context) error {
	if err := a.flush(ctx); err != nil {
		return err
	}
	all, err := a.list(ctx)
	if err != nil {
		return err
	}
	ready := map[key]bool{}
	for _, x := range all {
		if x.State == Ready && x.valid {
			ready[x.key()] = true
		}
	}
	a.known.Store(&snapshot{ready, time.Now()})
	return nil
}
