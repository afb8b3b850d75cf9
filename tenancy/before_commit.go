package tenancy

import "context"

type beforeCommit func(ctx context.Context, tx *Tx) error

// WithBeforeCommit returns a context in which fn is the last thing that every
// transaction of InTx does before it commits. What fn writes is committed with the rest,
// and an error of fn rolls everything back and is what InTx returns. fn replaces one that
// ctx had; it must be safe for concurrent use when transactions are.
func WithBeforeCommit(ctx context.Context, fn func(ctx context.Context, tx *Tx) error) context.Context {
	return context.WithValue(ctx, beforeCommitKey, beforeCommit(fn))
}

// commit runs what ctx wants done before, then commits.
func (tx *Tx) commit(ctx context.Context) error {
	if fn, ok := ctx.Value(beforeCommitKey).(beforeCommit); ok {
		if err := fn(ctx, tx); err != nil {
			return err
		}
	}
	return tx.Commit(ctx)
}
