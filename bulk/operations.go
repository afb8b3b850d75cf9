package bulk

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/stratakit/strata/tenancy"
)

// OperationsConfig configures Operations. The zero value is legal.
type OperationsConfig struct {
	// Prefix begins the kind of their runs: with "recipients" the operation "set" is the
	// kind "recipients.set". Default "rows".
	Prefix string
	// InlineLimit is how many rows are done at once, in the transaction of Submit. More are
	// work for a run. Default 1,000.
	InlineLimit int
	// SelectTimeout bounds finding the rows. Default 60 s.
	SelectTimeout time.Duration
	// BatchTime is how long the batches of runs are meant to take: their size follows it.
	// Default 500 ms.
	BatchTime time.Duration
	// Log receives what went wrong with single rows and is nobody's business outside.
	// Default slog.Default().
	Log *slog.Logger
}

// Operations are what can be done to many rows of a domain at once, by name. A few rows are
// done inline, many by a run that goes through a snapshot of their ids. Register all of them
// before the Runner starts, the same ones in every process of its queue. It is then safe for
// concurrent use.
type Operations struct {
	runner *Runner
	source Source
	cfg    OperationsConfig
	known  map[string]*operation
}

// Operation is one thing that can be done to rows. A is what it is told beside the rows:
// a struct that is read from JSON, in which unknown members are refused by name.
type Operation[A any] struct {
	// Name is what requests call it: a lower-case letter, then letters, digits and
	// underscores.
	Name string
	// OfDeleted makes it one for rows that are deleted, such as restoring them.
	OfDeleted bool
	// MaxBatch is how many rows Apply takes at once. Default, and at most, 10,000.
	MaxBatch int
	// Check refuses arguments before anything is stored, in the context of the request. Nil:
	// all are taken. A *tenancy.ValidationError names the members.
	Check func(ctx context.Context, args A) error
	// Apply does it to the rows with the ids, in order and each once, in tx and with nothing
	// that a rollback would not undo. Rows that are not there, or another domain's, it passes
	// over: what it does not tell of counts as missing. What is wrong with a row it tells in
	// Outcome.Failed, or returns: then what it did is undone, and it is called again with
	// fewer rows, until the one that is wrong is found. An error that is no row's, such as a
	// deadlock, a connection that is gone, or one made by Permanent, ends the batch.
	Apply func(ctx context.Context, tx *tenancy.Tx, args A, ids []uuid.UUID) (Outcome, error)
	// Prepare may do what Apply does before it writes, outside of any transaction: a run calls it
	// for the next rows while it writes those before, and then what it returns in place of
	// Apply, unless that took too long. What it returns has to find out what has changed since.
	// Nil: there is nothing to prepare.
	Prepare func(ctx context.Context, args A, ids []uuid.UUID) (func(ctx context.Context, tx *tenancy.Tx) (Outcome, error), error)
}

// Outcome is what Apply did.
type Outcome struct {
	Changed   int
	Unchanged int // were so already
	Failed    []Failed
}

// Failed is a row that an operation could not do.
type Failed struct {
	ID  uuid.UUID
	Err error
}

const (
	defaultInline = 1_000
	firstBatch    = 500
	maxBatch      = 10_000
)

// NewOperations returns Operations without any, whose rows source finds.
func NewOperations(runner *Runner, source Source, cfg *OperationsConfig) (*Operations, error) {
	if runner == nil || source == nil {
		return nil, errors.New("bulk: NewOperations needs a Runner and a Source")
	}
	o := &Operations{runner: runner, source: source, known: map[string]*operation{}}
	if cfg != nil {
		o.cfg = *cfg
	}
	setDefault(&o.cfg.Prefix, "rows")
	setDefault(&o.cfg.InlineLimit, defaultInline)
	setDefault(&o.cfg.SelectTimeout, time.Minute)
	setDefault(&o.cfg.BatchTime, 500*time.Millisecond)
	setDefault(&o.cfg.Log, slog.Default())
	if o.cfg.InlineLimit < 0 || min(o.cfg.SelectTimeout, o.cfg.BatchTime) < 0 {
		return nil, errors.New("bulk: a number in the OperationsConfig is negative")
	}
	return o, nil
}

// operation is an Operation without its type.
type operation struct {
	name    string
	kind    string
	deleted bool
	max     int

	// read makes arguments of JSON, and canonical JSON of those.
	read  func(raw []byte) (args any, canonical []byte, err error)
	check func(ctx context.Context, args any) error
	apply func(ctx context.Context, tx *tenancy.Tx, args any, ids []uuid.UUID) (Outcome, error)
	// prepare is nil without one.
	prepare func(ctx context.Context, args any, ids []uuid.UUID) (applyPrepared, error)
}

// applyPrepared is Apply of rows that are prepared.
type applyPrepared = func(ctx context.Context, tx *tenancy.Tx) (Outcome, error)

// Register adds an operation, and its runs to those that the Runner does.
func Register[A any](o *Operations, op Operation[A]) error {
	if o == nil || op.Apply == nil || !operationName(op.Name) || op.MaxBatch < 0 || op.MaxBatch > maxBatch {
		return fmt.Errorf("bulk: operation %q: want Operations, a name of lower-case letters, digits and underscores, Apply, and a MaxBatch of at most %d", op.Name, maxBatch)
	}
	setDefault(&op.MaxBatch, maxBatch)
	erased := &operation{
		name: op.Name, kind: o.cfg.Prefix + "." + op.Name, deleted: op.OfDeleted, max: op.MaxBatch,
		read: func(raw []byte) (any, []byte, error) {
			args, err := decodeArgs[A](raw)
			if err != nil {
				return nil, nil, err
			}
			canonical, err := json.Marshal(args)
			return args, canonical, err
		},
		check: func(ctx context.Context, args any) error {
			if op.Check == nil {
				return nil
			}
			return op.Check(ctx, args.(A))
		},
		apply: func(ctx context.Context, tx *tenancy.Tx, args any, ids []uuid.UUID) (Outcome, error) {
			return op.Apply(ctx, tx, args.(A), ids)
		},
	}
	if op.Prepare != nil {
		erased.prepare = func(ctx context.Context, args any, ids []uuid.UUID) (applyPrepared, error) {
			return op.Prepare(ctx, args.(A), ids)
		}
	}
	if err := o.runner.Register(erased.kind, &operator{o, erased}); err != nil {
		return err
	}
	o.known[op.Name] = erased
	return nil
}

func operationName(s string) bool {
	return s != "" && len(s) <= 60 && s[0] >= 'a' && s[0] <= 'z' && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789_") == ""
}

// Names returns the names of the operations, sorted.
func (o *Operations) Names() []string { return slices.Sorted(maps.Keys(o.known)) }

// decodeArgs reads arguments strictly. What is wrong is a *tenancy.ValidationError.
func decodeArgs[A any](raw []byte) (args A, err error) {
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.DisallowUnknownFields()
	err = dec.Decode(&args)
	if err == nil && len(bytes.TrimSpace(raw[dec.InputOffset():])) > 0 {
		err = errors.New("goes on after its JSON value")
	}
	if err == nil {
		return args, nil
	}
	v := &tenancy.ValidationError{}
	var wrong *json.UnmarshalTypeError
	switch name, unknown := strings.CutPrefix(err.Error(), "json: unknown field "); {
	case unknown:
		v.Add(strings.Trim(name, `"`), "unknown_field", "the operation takes no such member")
	case errors.As(err, &wrong) && wrong.Field != "":
		v.Add(wrong.Field, "wrong_type", "cannot be "+wrong.Value)
	default:
		v.Add("args", "malformed", "cannot be read: "+err.Error())
	}
	return args, v
}
