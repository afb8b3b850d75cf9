package bulk

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/google/uuid"

	"github.com/stratakit/strata/internal/suggest"
	"github.com/stratakit/strata/tenancy"
)

// Request asks for an operation on rows of the domain of the context.
type Request struct {
	Selection

	// Op is the name of an Operation, Args what it is told: a value of its type, or what is
	// read as one by way of JSON. Nil is {}.
	Op   string
	Args any
	// DryRun counts the rows and changes nothing.
	DryRun bool
	// DedupKey keeps a second request of the same operation and key from being done while the
	// run of one goes on. Default: a digest of operation, arguments and selection.
	DedupKey string
}

// Result is what became of a Request.
type Result struct {
	// Status is StateCompleted of what was done at once, StateQueued of what a run does, and
	// empty of a dry run.
	Status State
	// RunID is that run.
	RunID RunID
	// Rows is how many the request is for: of a run, how many it has to do. A dry run counts
	// those that are there.
	Rows int64

	// Of what was done at once. Missing are ids that were given and are not there; of a dry
	// run too.
	Changed, Unchanged, Missing int64
	Failures                    []Failure

	// Sample are the ids of a few of the rows of a dry run.
	Sample []uuid.UUID
}

// sampled is how many ids a dry run shows.
const sampled = 10

// prepared is a checked Request.
type prepared struct {
	op         *operation
	args       any
	canonical  []byte
	sel        Selection
	dryRun     bool
	key        string
	selectSQL  string
	selectArgs []any
}

// runArgs is what a run keeps of its request; the ids are its targets.
type runArgs struct {
	Args   json.RawMessage `json:"args"`
	Filter string          `json:"filter,omitempty"`
	Search string          `json:"search,omitempty"`
	IDs    int             `json:"ids,omitempty"` // how many were given
	All    bool            `json:"all,omitempty"`
}

// Submit does what is asked. Up to OperationsConfig.InlineLimit rows are changed before it
// returns, all in one transaction; for more, the ids are stored with a run that goes through
// them, in one transaction too: it does those and no others, whatever matches later. Rows that
// an operation cannot do are told of and do not keep it from the others. Errors: of the
// request, *tenancy.ValidationError and what the Source and the operation refuse;
// *AlreadyRunningError while the run of the same request goes on; ErrSelectTimeout.
func (o *Operations) Submit(ctx context.Context, req Request) (res Result, err error) {
	p, err := o.prepare(ctx, req)
	if err != nil {
		return Result{}, err
	}
	err = o.runner.db.InTxRetry(ctx, func(tx *tenancy.Tx) error {
		res, err = o.submit(ctx, tx, p)
		return err
	})
	if err != nil {
		return Result{}, err
	}
	return res, nil
}

// SubmitTx is Submit in the caller's transaction; what is queued starts when tx commits. After
// an *AlreadyRunningError tx goes on unharmed; let other errors roll it back.
func (o *Operations) SubmitTx(ctx context.Context, tx *tenancy.Tx, req Request) (Result, error) {
	p, err := o.prepare(ctx, req)
	if err != nil {
		return Result{}, err
	}
	return o.submit(ctx, tx, p)
}

// prepare checks a request and everything that can be said of it before a transaction.
func (o *Operations) prepare(ctx context.Context, req Request) (*prepared, error) {
	if _, err := tenancy.DomainFrom(ctx); err != nil {
		return nil, err
	}
	var v tenancy.ValidationError
	op := o.known[req.Op]
	if op == nil {
		v.Fields = append(v.Fields, tenancy.FieldError{
			Field: "op", Code: "unknown_operation", Message: "must be one of " + suggest.Quoted(o.Names()), Suggestion: suggest.Closest(req.Op, o.Names()),
		})
	}
	req.Selection.check(&v)
	p := &prepared{op: op, sel: req.Selection, dryRun: req.DryRun}
	if op != nil {
		err := p.readArgs(ctx, req.Args)
		var wrong *tenancy.ValidationError
		if errors.As(err, &wrong) {
			v.Fields = append(v.Fields, wrong.Fields...)
		} else if err != nil {
			return nil, err
		}
	}
	if err := v.OrNil(); err != nil {
		return nil, err
	}
	var err error
	if p.selectSQL, p.selectArgs, err = o.source.Select(ctx, p.sel, op.deleted); err != nil {
		return nil, err
	}
	if p.key = req.DedupKey; p.key == "" {
		p.key, err = p.digest()
	}
	return p, err
}

func (p *prepared) readArgs(ctx context.Context, given any) (err error) {
	if given == nil {
		given = struct{}{}
	}
	raw, ok := given.(json.RawMessage)
	if !ok {
		if raw, err = json.Marshal(given); err != nil {
			return fmt.Errorf("bulk: arguments of %s: %w", p.op.name, err)
		}
	}
	if p.args, p.canonical, err = p.op.read(raw); err != nil {
		return err
	}
	return p.op.check(ctx, p.args)
}

// digest is the same for requests that ask for the same.
func (p *prepared) digest() (string, error) {
	b, err := json.Marshal([]any{p.op.name, json.RawMessage(p.canonical), p.sel.distinct(), p.sel.Filter, p.sel.Search, p.sel.All})
	if err != nil {
		return "", fmt.Errorf("bulk: arguments of %s: %w", p.op.name, err)
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:]), nil
}

func (o *Operations) submit(ctx context.Context, tx *tenancy.Tx, p *prepared) (Result, error) {
	if p.dryRun {
		return o.preview(ctx, tx, p)
	}
	ids, err := o.find(ctx, tx, p)
	if err != nil {
		return Result{}, err
	}
	if len(ids) > o.cfg.InlineLimit {
		return o.queue(ctx, tx, p, ids)
	}
	if err := running(ctx, tx, RunID{}, p.op.kind, p.key); err != nil {
		return Result{}, err
	}
	did, err := o.apply(ctx, tx, p.op, p.args, ids, nil)
	if err != nil {
		return Result{}, err
	}
	return Result{
		Status: StateCompleted, Rows: int64(len(ids)),
		Changed: did.changed, Unchanged: did.unchanged, Missing: did.missing, Failures: did.failures,
	}, nil
}

func (o *Operations) preview(ctx context.Context, tx *tenancy.Tx, p *prepared) (Result, error) {
	ids, err := o.present(ctx, tx, p)
	if err != nil {
		return Result{}, err
	}
	res := Result{Rows: int64(len(ids)), Sample: ids[:min(len(ids), sampled)]}
	if p.sel.IDs != nil {
		res.Missing = int64(len(p.sel.distinct()) - len(ids))
	}
	return res, nil
}

// queue makes a run of the request, and the ids its targets.
func (o *Operations) queue(ctx context.Context, tx *tenancy.Tx, p *prepared, ids []uuid.UUID) (Result, error) {
	run, err := o.runner.SubmitTx(ctx, tx, Submission{
		Kind: p.op.kind, Total: int64(len(ids)), DedupKey: p.key,
		Args: runArgs{Args: p.canonical, Filter: p.sel.Filter, Search: p.sel.Search, IDs: len(p.sel.IDs), All: p.sel.All},
	})
	if err != nil {
		return Result{}, err
	}
	if err := storeTargets(ctx, tx, run, ids); err != nil {
		return Result{}, err
	}
	return Result{Status: StateQueued, RunID: run.ID, Rows: run.Total}, nil
}
