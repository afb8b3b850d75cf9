package audit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/stratakit/strata/internal/fault"
	"github.com/stratakit/strata/tenancy"
)

// ErrNoAction is returned for an Entry that does not say what happened.
var ErrNoAction error = fault.New(fault.Internal, "audit_no_action", "an audit entry needs an action")

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

// RecordTx writes entries in the transaction of the change they tell of: they commit
// or roll back with it, so that there is neither a change without its entry nor an
// entry without its change. The tenant is that of ctx, the actor too. Several entries
// go out as one statement.
func (r *Recorder) RecordTx(ctx context.Context, tx *tenancy.Tx, entries ...Entry) error {
	if len(entries) == 0 {
		return nil
	}
	t, err := tenancy.TenantFrom(ctx)
	if err != nil {
		return err
	}
	const columns = 17
	var q strings.Builder
	q.WriteString(insertEntries)
	args := make([]any, 0, columns*len(entries))
	now := r.now()
	for i, e := range entries {
		if e.Action == "" {
			return ErrNoAction
		}
		e = e.complete(ctx, t, now)
		metadata, err := encode(e.Metadata)
		if err != nil {
			return fmt.Errorf("audit %s: metadata: %w", e.Action, err)
		}
		if i > 0 {
			q.WriteByte(',')
		}
		for c := range columns {
			if c == 0 {
				q.WriteByte('(')
			} else {
				q.WriteByte(',')
			}
			fmt.Fprintf(&q, "$%d", i*columns+c+1)
		}
		q.WriteByte(')')
		args = append(args, e.CompanyID, e.ID, e.WorkspaceID, e.DomainID, e.OccurredAt, e.ActorID, string(e.ActorType), e.ActorEmail,
			e.Action, e.ResourceType, e.ResourceID, string(e.Status), e.ErrorMessage, e.IP, e.UserAgent, e.RequestID, metadata)
	}
	if _, err := tx.Exec(ctx, tx.SQL(q.String()), args...); err != nil {
		return fmt.Errorf("audit: %w", err)
	}
	return nil
}

const insertEntries = `INSERT INTO strata.audit_entries (company_id, id, workspace_id, domain_id, occurred_at, actor_id, actor_type, actor_email,
	action, resource_type, resource_id, status, error_message, ip, user_agent, request_id, metadata) VALUES `

// RecordChange is RecordTx for the packages below this one.
func (r *Recorder) RecordChange(ctx context.Context, tx *tenancy.Tx, c tenancy.Change) error {
	return r.RecordTx(ctx, tx, Entry{Action: c.Action, ResourceType: c.ResourceType, ResourceID: c.ResourceID, Metadata: c.Metadata})
}

// Record writes one entry in a transaction of its own, for what has none: a request
// that was refused or failed.
func (r *Recorder) Record(ctx context.Context, e Entry) error {
	return r.db.InTx(ctx, func(tx *tenancy.Tx) error { return r.RecordTx(ctx, tx, e) })
}

// encode writes metadata as JSON that PostgreSQL accepts: jsonb holds no NUL.
func encode(m map[string]any) (string, error) {
	if len(m) == 0 {
		return "{}", nil
	}
	b, err := json.Marshal(m)
	if err != nil {
		return "", err
	}
	return strings.ReplaceAll(string(b), `\u0000`, `\ufffd`), nil
}
