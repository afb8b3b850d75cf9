package lifecycle

import (
	"errors"
	"log/slog"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/stratakit/strata/audit"
	"github.com/stratakit/strata/customfields"
	"github.com/stratakit/strata/customfields/filter"
	"github.com/stratakit/strata/tenancy"
)

// Table is a table that holds values of custom fields: it has the columns domain_id and id,
// uuid both, which are its primary key, and custom_fields, jsonb. Its writers go through
// customfields.Set in transactions of a domain's scope.
type Table struct {
	// Schema is that of the table. Empty: Strata's.
	Schema string
	Name   string
}

// Config configures a Manager.
type Config struct {
	// Tables are all that hold values of custom fields: recipients.FieldTables(), and those
	// of products.
	Tables []Table
	// Holders keep filters. Default none.
	Holders []Holder
	// Schema is what filters may name beside the fields; its Fields are not used.
	Schema filter.Schema
	// Queue names the processes that have the same Tables and Holders: a run is worked on
	// in the queue where it was asked for. Default "default".
	Queue string
	// Settle is how long a run waits until every process has heard of a change of a
	// definition: longer than the largest customfields.Config.Lifetime of all processes.
	// Default that of the Registry and 3 s.
	Settle time.Duration
	// BatchTime is how long the transaction of a batch should last; its size goes by that.
	// Default 50 ms.
	BatchTime time.Duration
	// Poll is how often it is looked whether there is work. Default 5 s.
	Poll time.Duration
	// Log receives what goes wrong in the background. Default slog.Default().
	Log *slog.Logger
}

// Manager changes fields that have values. It is safe for concurrent use.
type Manager struct {
	db     *tenancy.DB
	fields *customfields.Registry
	audit  *audit.Recorder
	cfg    Config
	wake   chan struct{}
}

// NewManager returns a Manager. It does nothing in the background before Work is called.
func NewManager(db *tenancy.DB, fields *customfields.Registry, recorder *audit.Recorder, cfg *Config) (*Manager, error) {
	if db == nil || fields == nil || recorder == nil {
		return nil, errors.New("lifecycle: NewManager needs a DB, a Registry and a Recorder")
	}
	m := &Manager{db: db, fields: fields, audit: recorder, wake: make(chan struct{}, 1)}
	if cfg != nil {
		m.cfg = *cfg
	}
	setDefault(&m.cfg.Queue, "default")
	setDefault(&m.cfg.Settle, fields.Lifetime()+3*time.Second)
	setDefault(&m.cfg.BatchTime, 50*time.Millisecond)
	setDefault(&m.cfg.Poll, 5*time.Second)
	setDefault(&m.cfg.Log, slog.Default())
	m.cfg.Tables = slices.Clone(m.cfg.Tables)
	for i, t := range m.cfg.Tables {
		if t.Name == "" {
			return nil, errors.New("lifecycle: a Table needs a Name")
		}
		setDefault(&m.cfg.Tables[i].Schema, db.Schema())
	}
	return m, nil
}

func setDefault[T comparable](v *T, to T) {
	var zero T
	if *v == zero {
		*v = to
	}
}

// sql is the table as part of a statement. Its name is the program's own.
func (t Table) sql() string { return pgx.Identifier{t.Schema, t.Name}.Sanitize() }

// nudge has the worker of this process look for work.
func (m *Manager) nudge() {
	select {
	case m.wake <- struct{}{}:
	default:
	}
}
