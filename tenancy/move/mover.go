package move

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/stratakit/strata/internal/fault"
	"github.com/stratakit/strata/internal/fence"
	"github.com/stratakit/strata/tenancy"
)

// DefaultQueue is the queue of moves unless Config.Queue says otherwise.
const DefaultQueue = "strata_moves"

// Config configures a Mover. The zero value is legal.
type Config struct {
	// Participants have a say in every move, in this order: that of the names of the
	// counters they touch, see package billing.
	Participants []Participant
	// Queue separates moves that share a database: a Mover works on those that were started
	// with its own queue. So products, and processes, that do not have the same Participants
	// and settings need queues of their own. Default DefaultQueue; strata.New gives it that of
	// the runner.
	Queue string
	// BatchRows is how many rows one transaction rewrites. Default 5,000.
	BatchRows int
	// Lease is after how long without a sign of life another process takes a move over.
	// Default 30 s.
	Lease time.Duration
	// Poll is how often Run looks for moves that nobody works on. Default 5 s.
	Poll time.Duration
	// WriterWait is for how long the wait for a domain's last writers lets no other lock of
	// theirs through at a time; it waits again until they are gone. Default 2 s.
	WriterWait time.Duration
	// Log receives what goes wrong in the background. Default slog.Default().
	Log *slog.Logger
}

// Mover moves domains to other workspaces. It is safe for concurrent use.
type Mover struct {
	db       *tenancy.DB
	resolver *tenancy.Resolver
	audit    tenancy.Auditor
	cfg      Config
	wake     chan struct{}
}

// NewMover returns a Mover. Moves that it starts are worked on where Run runs.
func NewMover(db *tenancy.DB, resolver *tenancy.Resolver, audit tenancy.Auditor, cfg *Config) (*Mover, error) {
	if db == nil || resolver == nil || audit == nil {
		return nil, errors.New("move: NewMover needs a DB, a Resolver and an Auditor")
	}
	m := &Mover{db: db, resolver: resolver, audit: audit, wake: make(chan struct{}, 1)}
	if cfg != nil {
		m.cfg = *cfg
	}
	setDefault(&m.cfg.Queue, DefaultQueue)
	setDefault(&m.cfg.BatchRows, 5_000)
	setDefault(&m.cfg.Lease, 30*time.Second)
	setDefault(&m.cfg.Poll, 5*time.Second)
	setDefault(&m.cfg.WriterWait, 2*time.Second)
	setDefault(&m.cfg.Log, slog.Default())
	if m.cfg.BatchRows < 0 || min(m.cfg.Lease, m.cfg.Poll, m.cfg.WriterWait) < time.Millisecond {
		return nil, errors.New("move: a number in the Config is negative, or a time shorter than 1 ms")
	}
	return m, nil
}

func setDefault[T comparable](v *T, to T) {
	var zero T
	if *v == zero {
		*v = to
	}
}

// Get returns the latest move of the domain of ctx's tenant. A move belongs to the company
// that the domain came from: to any other it is not there, and ErrNotFound, unless the
// platform asks. Nobody else is told to which other company a domain goes. A tenant from
// before the move will do: whoever waits for the end of it has no other.
func (m *Mover) Get(ctx context.Context) (Move, error) {
	rec, err := m.latest(ctx)
	if err != nil {
		return Move{}, err
	}
	return seenBy(tenancy.ActorFrom(ctx), rec.Move), nil
}

// seenBy leaves out what is another company's: where the domain goes, and what was found
// there, limits and fields among it.
func seenBy(actor tenancy.Actor, mv Move) Move {
	if mv.CrossCompany() && !actor.Platform() {
		mv.To, mv.Findings = Place{}, []Finding{}
		if mv.Error != "" {
			mv.Error, mv.ErrorCode = "", string(fault.Internal)
		}
	}
	return mv
}

func (m *Mover) latest(ctx context.Context) (*record, error) {
	t, err := tenancy.DomainFrom(ctx)
	if err != nil {
		return nil, err
	}
	company := []tenancy.CompanyID{t.CompanyID}
	read := m.db.Read
	if tenancy.ActorFrom(ctx).Platform() {
		company, read = nil, m.db.ReadTrusted
	}
	var rec *record
	err = read(fence.Pass(ctx), `SELECT `+moveColumns+` FROM strata.moves WHERE domain_id = $1 AND ($2::uuid[] IS NULL OR company_id = ANY ($2))
		ORDER BY state IN ('done', 'cancelled'), id DESC LIMIT 1`, []any{t.DomainID, company}, func(rows pgx.Rows) (err error) {
		rec, err = one(rows, nil)
		return err
	})
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, ErrNotFound
	}
	return rec, wrap("read a move", err)
}

// Start begins to move the domain of ctx's tenant to another workspace: from the moment it
// returns the domain takes no writes (tenancy.ErrMoving), until the move is done or
// cancelled. To a workspace of another company only the platform moves a domain; to anybody
// else that workspace is not there. Errors: tenancy.ErrNotFound, *AlreadyMovingError,
// *BlockedError, *tenancy.ValidationError, and billing's *LimitError when that alone is in
// the way.
func (m *Mover) Start(ctx context.Context, to tenancy.WorkspaceID) (Move, error) {
	mv, err := m.plan(ctx, to)
	if err != nil {
		return Move{}, err
	}
	if rec, err := m.latest(ctx); err == nil && !rec.State.Final() {
		return Move{}, &AlreadyMovingError{rec.ID}
	}
	p, err := m.preview(ctx, mv)
	if err != nil {
		return Move{}, err
	}
	if err := p.blocked(); err != nil {
		return Move{}, err
	}
	var rec *record
	err = m.db.InTx(tenancy.WithTenant(ctx, mv.company()), func(tx *tenancy.Tx) error {
		rec, err = one(tx.Query(ctx, tx.SQL(`INSERT INTO strata.moves (company_id, id, domain_id, workspace_id, to_company_id, to_workspace_id, tables, findings, actor, queue)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
			ON CONFLICT (domain_id) WHERE state NOT IN ('done', 'cancelled') DO NOTHING RETURNING `+moveColumns),
			mv.From.CompanyID, tenancy.NewID[Move](), mv.DomainID, mv.From.WorkspaceID, mv.To.CompanyID, mv.To.WorkspaceID,
			p.progress(), p.Findings, tenancy.ActorFrom(ctx), m.cfg.Queue))
		if errors.Is(err, pgx.ErrNoRows) {
			return m.alreadyMoving(ctx, tx, mv)
		}
		if err != nil {
			return wrap("start", err)
		}
		if _, err := lockCompanies(ctx, tx, mv.From.CompanyID); err != nil {
			return err
		}
		if err := fenceOff(ctx, tx, mv); err != nil {
			return err
		}
		tx.AfterCommit(func(ctx context.Context) {
			m.resolver.Forget(ctx, mv.From.CompanyID)
			m.wakeUp()
		})
		return m.record(ctx, tx, rec.Move, "domain.move_started", nil)
	})
	if err != nil {
		return Move{}, err
	}
	return rec.Move, nil
}

func (m *Mover) alreadyMoving(ctx context.Context, tx *tenancy.Tx, mv Move) error {
	var active ID
	err := tx.QueryRow(ctx, tx.SQL(`SELECT id FROM strata.moves WHERE company_id = $1 AND domain_id = $2 AND state NOT IN ('done', 'cancelled')`),
		mv.From.CompanyID, mv.DomainID).Scan(&active)
	if err != nil {
		return ErrAlreadyMoving // it has ended just now, or is another company's
	}
	return &AlreadyMovingError{active}
}

// Cancel ends the latest move of the domain of ctx's tenant before the domain goes over: the
// rows that were rewritten are rewritten back, then the domain takes writes again.
// Cancelling twice does nothing. Errors: ErrNotFound, ErrState when it is done, ErrPlatform.
func (m *Mover) Cancel(ctx context.Context) (Move, error) {
	return m.change(ctx, "domain.move_cancel_requested", func(rec *record) bool { return rec.State == Cancelling || rec.State == Cancelled },
		func(*record) State { return Cancelling }, Preparing, Copying, Flipping, Failed)
}

// Retry lets a failed move go on. Errors: ErrNotFound, ErrState when it has not failed,
// ErrPlatform.
func (m *Mover) Retry(ctx context.Context) (Move, error) {
	return m.change(ctx, "domain.move_retried", func(*record) bool { return false }, func(rec *record) State {
		if rec.failedIn == Preparing {
			return Preparing
		}
		return Copying // the rows again: it costs little where they are rewritten already
	}, Failed)
}

// change puts the latest move into another state, out of one of those given.
func (m *Mover) change(ctx context.Context, action string, same func(*record) bool, to func(*record) State, from ...State) (Move, error) {
	rec, err := m.latest(ctx)
	if err != nil {
		return Move{}, err
	}
	if rec.CrossCompany() && !tenancy.ActorFrom(ctx).Platform() {
		return Move{}, ErrPlatform
	}
	err = m.db.InTx(tenancy.WithTenant(ctx, rec.company()), func(tx *tenancy.Tx) error {
		now, err := one(tx.Query(ctx, tx.SQL(`SELECT `+moveColumns+` FROM strata.moves WHERE company_id = $1 AND id = $2 FOR NO KEY UPDATE`), rec.From.CompanyID, rec.ID))
		if err != nil {
			return wrap("lock a move", err)
		}
		if same(now) {
			rec = now
			return nil
		}
		if !slices.Contains(from, now.State) {
			return fmt.Errorf("the move is %s: %w", now.State, ErrState)
		}
		// Whoever works on it begins at the first row again, and to count where it turns back.
		next := to(now)
		for i := range now.progress {
			now.progress[i].Cursor, now.progress[i].Done = nil, false
			if next == Cancelling {
				now.progress[i].Rewritten = 0
			}
		}
		rec, err = one(tx.Query(ctx, tx.SQL(`UPDATE strata.moves SET state = $3, tables = $4, error = '', error_code = '', failures = 0, next_attempt_at = now(), updated_at = now()
			WHERE company_id = $1 AND id = $2 RETURNING `+moveColumns), now.From.CompanyID, now.ID, string(next), now.progress))
		if err != nil {
			return wrap("change a move", err)
		}
		tx.AfterCommit(func(context.Context) { m.wakeUp() })
		return m.record(ctx, tx, rec.Move, action, nil)
	})
	if err != nil {
		return Move{}, err
	}
	return rec.Move, nil
}

func (m *Mover) wakeUp() {
	select {
	case m.wake <- struct{}{}:
	default:
	}
}

// record audits what happened to a move where the domain comes from.
func (m *Mover) record(ctx context.Context, tx *tenancy.Tx, mv Move, action string, more map[string]any) error {
	return m.recordAt(ctx, tx, mv, mv.Source(), action, more)
}

func (m *Mover) recordAt(ctx context.Context, tx *tenancy.Tx, mv Move, at tenancy.Tenant, action string, more map[string]any) error {
	metadata := map[string]any{"moveId": mv.ID.String()}
	if !mv.CrossCompany() {
		metadata["fromWorkspaceId"], metadata["toWorkspaceId"] = mv.From.WorkspaceID.String(), mv.To.WorkspaceID.String()
	}
	for k, v := range more {
		metadata[k] = v
	}
	return m.audit.RecordChange(tenancy.WithTenant(ctx, at), tx, tenancy.Change{
		Action: action, ResourceType: "domain", ResourceID: mv.DomainID.String(), Metadata: metadata,
	})
}
