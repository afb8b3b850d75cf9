package backends

import (
	"context"
	"errors"
)

func downloadedPostgres(context.Context, Options) (*Postgres, error) {
	return nil, errors.New("no download")
}
