package audit

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/stratakit/strata/internal/arrays"
	"github.com/stratakit/strata/tenancy"
)

// Config configures a Recorder. The zero value is legal.
type Config struct {
	// Now is the clock. Default time.Now.
	Now func() time.Time
}

// Recorder writes and reads the audit trail. It is safe for concurrent use.
type Recorder struct {
	db  *tenancy.DB
	now func() time.Time
}

var _ tenancy.Auditor = (*Recorder)(nil)

// NewRecorder returns a Recorder over db.
func NewRecorder(db *tenancy.DB, cfg *Config) (*Recorder, error) {
	if db == nil {
		return nil, errors.New("audit: NewRecorder needs a DB")
	}
	r := &Recorder{db: db, now: time.Now}
	if cfg != nil && cfg.Now != nil {
		r.now = cfg.Now
	}
	return r, nil
}

const insertColumns = `INSERT INTO strata.audit_entries (company_id, workspace_id, domain_id, occurred_at,
	actor_id, actor_type, actor_email, ip, user_agent, request_id,
	id, action, resource_type, resource_id, status, error_message, metadata) `

// One entry, the common case, is a plain row; several come as arrays, those but for the ids
// with one element for all where it is the same: both texts are constant, so that each
// connection prepares them once.
const (
	insertOne  = insertColumns + `VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)`
	insertMany = insertColumns + `SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, e.id, coalesce(e.action, ($12::text[])[1]), coalesce(e.type, ($13::text[])[1]),
			coalesce(e.resource, ($14::text[])[1]), coalesce(e.status, ($15::text[])[1]), coalesce(e.message, ($16::text[])[1]), coalesce(e.metadata, ($17::jsonb[])[1])
		FROM unnest($11::uuid[], $12::text[], $13::text[], $14::text[], $15::text[], $16::text[], $17::jsonb[]) AS e (id, action, type, resource, status, message, metadata)`
)

// RecordTx writes entries in the transaction of the change they tell of: they commit
// or roll back with it, so that there is neither a change without its entry nor an
// entry without its change. The tenant is that of ctx, the actor too; what an entry has
// in those fields is overwritten. Several entries, however many, go out as one statement.
//
// It returns ErrNoAction, ErrStatus, ErrOtherTenant, tenancy.ErrNoTenant, an error for
// metadata that is no JSON, or what PostgreSQL said: let it roll the transaction back.
func (r *Recorder) RecordTx(ctx context.Context, tx *tenancy.Tx, entries ...Entry) error {
	p, err := Prepare(entries...)
	if err != nil {
		return err
	}
	return r.RecordPreparedTx(ctx, tx, p)
}

// Prepared are entries that are checked and encoded.
type Prepared struct {
	ids                                                               []ID
	actions, resourceTypes, resourceIDs, statuses, messages, metadata []string
}

// Prepare does what RecordTx does before it writes, so that many entries cost their transaction
// less. Errors: ErrNoAction, ErrStatus, one for metadata that is no JSON.
func Prepare(entries ...Entry) (Prepared, error) {
	n := len(entries)
	p := Prepared{
		ids: make([]ID, n), actions: make([]string, n), resourceTypes: make([]string, n), resourceIDs: make([]string, n),
		statuses: make([]string, n), messages: make([]string, n), metadata: make([]string, n),
	}
	for i, e := range entries {
		e, err := e.checked()
		if err != nil {
			return Prepared{}, err
		}
		p.ids[i], p.actions[i], p.resourceTypes[i], p.resourceIDs[i] = tenancy.NewID[Entry](), e.Action, e.ResourceType, e.ResourceID
		p.statuses[i], p.messages[i] = string(e.Status), e.ErrorMessage
		if p.metadata[i], err = encode(e.Metadata); err != nil {
			return Prepared{}, fmt.Errorf("audit %s: metadata: %w", e.Action, err)
		}
	}
	return p, nil
}

// RecordPreparedTx is RecordTx of entries that are prepared. They are written once: their ids are
// theirs already.
func (r *Recorder) RecordPreparedTx(ctx context.Context, tx *tenancy.Tx, p Prepared) error {
	n := len(p.ids)
	if n == 0 {
		return nil
	}
	t, err := tenancy.TenantFrom(ctx)
	if err != nil {
		return err
	}
	if t.CompanyID != tx.Tenant().CompanyID {
		return ErrOtherTenant
	}
	a := tenancy.ActorFrom(ctx)
	args := []any{
		t.CompanyID, t.WorkspaceID, t.DomainID, r.now().UTC().Truncate(time.Microsecond),
		clean(a.ID, maxText), clean(string(a.Type), maxText), clean(a.Email, maxText),
		clean(a.IP, maxText), clean(a.UserAgent, maxText), clean(a.RequestID, maxText),
	}
	statement := insertOne
	if n == 1 {
		args = append(args, p.ids[0], p.actions[0], p.resourceTypes[0], p.resourceIDs[0], p.statuses[0], p.messages[0], p.metadata[0])
	} else {
		statement = insertMany
		args = append(args, p.ids)
		for _, texts := range [][]string{p.actions, p.resourceTypes, p.resourceIDs, p.statuses, p.messages, p.metadata} {
			args = append(args, arrays.Once(texts))
		}
	}
	if _, err := tx.Exec(ctx, tx.SQL(statement), args...); err != nil {
		return fmt.Errorf("audit: %w", err)
	}
	return nil
}

// RecordChange is RecordTx for the packages below this one.
func (r *Recorder) RecordChange(ctx context.Context, tx *tenancy.Tx, c tenancy.Change) error {
	return r.RecordTx(ctx, tx, Entry{Action: c.Action, ResourceType: c.ResourceType, ResourceID: c.ResourceID, Metadata: c.Metadata})
}

// Record writes one entry in a transaction of its own, for what has none: a request
// that was refused or failed, whose own transaction is gone. Set Status and ErrorMessage
// then. Errors are those of RecordTx.
func (r *Recorder) Record(ctx context.Context, e Entry) error {
	t, err := tenancy.TenantFrom(ctx)
	if err != nil {
		return err
	}
	// The trail is the company's: that a domain takes no writes must not keep it from being told.
	company := tenancy.WithTenant(ctx, tenancy.Tenant{CompanyID: t.CompanyID})
	return r.db.InTx(company, func(tx *tenancy.Tx) error { return r.RecordTx(ctx, tx, e) })
}
