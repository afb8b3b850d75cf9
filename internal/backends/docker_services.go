package backends

import (
	"context"
	"fmt"
	"strconv"
)

// dockerPostgres starts PostgreSQL in a container.
func dockerPostgres(ctx context.Context, opts Options) (*Postgres, error) {
	s, shared, err := runContainer(ctx, opts, service{
		name: "postgres", image: imageOf("STRATA_POSTGRES_IMAGE", "postgres:17"),
		port: "5432/tcp", volume: "/strata",
		env: func(password string) map[string]string {
			return map[string]string{
				"POSTGRES_USER": "postgres", "POSTGRES_PASSWORD": password,
				// The default place differs between versions of the image.
				"PGDATA":               "/strata/data",
				"POSTGRES_INITDB_ARGS": "--locale=C.UTF-8 --encoding=UTF8",
			}
		},
		command: func(string) []string {
			return append([]string{"postgres"}, postgresSettings(opts.Durable)...)
		},
		ready: func(ctx context.Context, st state) error {
			return pingPostgres(ctx, postgresURL(st))
		},
	})
	if err != nil {
		return nil, err
	}
	if shared != nil {
		return &Postgres{URL: postgresURL(*shared), Source: shared.Source, Kind: Docker}, nil
	}
	if err := setMadeBy(opts, "postgres", Docker); err != nil {
		_ = s.close()
		return nil, err
	}
	return &Postgres{
		URL:    postgresURL(s.st),
		Source: s.st.Source, Kind: Docker, server: s,
	}, nil
}

// dockerRedis starts Redis in a container.
func dockerRedis(ctx context.Context, opts Options) (*Redis, error) {
	appendOnly := "no"
	if opts.DataDir != "" {
		appendOnly = "yes"
	}
	s, shared, err := runContainer(ctx, opts, service{
		name: "redis", image: imageOf("STRATA_REDIS_IMAGE", "redis:7"),
		port: "6379/tcp", volume: "/data",
		env: func(string) map[string]string { return nil },
		command: func(password string) []string {
			return []string{
				"redis-server", "--requirepass", password, "--databases", strconv.Itoa(ownDatabases),
				"--save", "", "--appendonly", appendOnly,
			}
		},
		ready: func(ctx context.Context, st state) error {
			_, err := pingRedis(ctx, redisURL(st))
			return err
		},
	})
	if err != nil {
		return nil, err
	}
	if shared != nil {
		return &Redis{
			URL: redisURL(*shared), Source: shared.Source,
			Kind: Docker, Databases: ownDatabases,
		}, nil
	}
	if err := setMadeBy(opts, "redis", Docker); err != nil {
		_ = s.close()
		return nil, fmt.Errorf("data directory: %w", err)
	}
	return &Redis{
		URL: redisURL(s.st), Source: s.st.Source,
		Kind: Docker, Databases: ownDatabases, server: s,
	}, nil
}
