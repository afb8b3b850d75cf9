package backends

import (
	"context"
	"errors"
)

var errNoDocker = errors.New("no Docker daemon answers")

func dockerPostgres(context.Context, Options) (*Postgres, error) { return nil, errNoDocker }
func dockerRedis(context.Context, Options) (*Redis, error)       { return nil, errNoDocker }
func downloadedPostgres(context.Context, Options) (*Postgres, error) {
	return nil, errors.New("no download")
}
