package tenancytest

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/stratakit/strata"
)

// UntilKilled is the work of a process that a test kills: a started Strata over the database of
// url, as open makes it. It returns what went wrong, which may be that nobody killed it.
func UntilKilled(url string, open func(ctx context.Context, pool *pgxpool.Pool) (*strata.Strata, error)) error {
	ctx := context.Background()
	pool, err := pgxpool.New(ctx, url)
	if err != nil {
		return err
	}
	s, err := open(ctx, pool)
	if err != nil {
		return err
	}
	if err := s.Start(ctx); err != nil {
		return err
	}
	time.Sleep(time.Minute) // its parent kills it
	return errors.New("nobody killed it")
}
