package tenancy

import (
	"context"
	"errors"
)

// Chore does something for each of what is due, such as in each of several domains, and returns
// for how many it did. One that fails does not keep the others: the errors come joined. One whose
// domain is being moved, or was just now, is left for the next time (ErrMoving, ErrNotFound). When
// ctx ends it stops, with that error too.
func Chore[T any](ctx context.Context, due []T, do func(ctx context.Context, of T) (did bool, err error)) (int, error) {
	n := 0
	var errs []error
	for _, of := range due {
		if ctx.Err() != nil {
			return n, errors.Join(append(errs, ctx.Err())...)
		}
		did, err := do(ctx, of)
		if err != nil && !errors.Is(err, ErrMoving) && !errors.Is(err, ErrNotFound) {
			errs = append(errs, err)
		}
		if did {
			n++
		}
	}
	return n, errors.Join(errs...)
}
