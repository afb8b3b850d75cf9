package backends

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// minPostgres is the oldest supported server_version_num.
const minPostgres = 150000

// environmentPostgres takes the server that DATABASE_URL names.
func environmentPostgres(ctx context.Context, url string) (*Postgres, error) {
	if err := pingPostgres(ctx, url); err != nil {
		return nil, fmt.Errorf("DATABASE_URL: %w (correct it, or unset it to have a server found or started)", err)
	}
	return &Postgres{URL: url, Source: "environment DATABASE_URL", Kind: Environment}, nil
}

// pingPostgres connects once. Its error is one line and tells what to do.
func pingPostgres(ctx context.Context, url string) error {
	cfg, err := pgx.ParseConfig(url)
	if err != nil {
		// pgx's error redacts the password.
		return fmt.Errorf("not a PostgreSQL URL such as postgres://user:password@host:5432/database: %s", oneLine(err))
	}
	if cfg.ConnectTimeout == 0 {
		cfg.ConnectTimeout = 10 * time.Second
	}
	conn, err := pgx.ConnectConfig(ctx, cfg)
	if err != nil {
		return connectError(cfg, err)
	}
	defer func() { _ = conn.Close(ctx) }()
	var version string
	if err := conn.QueryRow(ctx, "select current_setting('server_version_num')").Scan(&version); err != nil {
		return fmt.Errorf("cannot ask %s for its version: %w", address(cfg), err)
	}
	n, err := strconv.Atoi(version)
	if err != nil {
		return fmt.Errorf("server version %q: %w", version, err)
	}
	if n < minPostgres {
		return fmt.Errorf("the server at %s is PostgreSQL %d; 15 or newer is needed", address(cfg), n/10000)
	}
	return nil
}

func address(cfg *pgx.ConnConfig) string {
	if len(cfg.Host) > 0 && cfg.Host[0] == '/' {
		return cfg.Host
	}
	return net.JoinHostPort(cfg.Host, strconv.Itoa(int(cfg.Port)))
}

// connectError words what goes wrong most often.
func connectError(cfg *pgx.ConnConfig, err error) error {
	var pgErr *pgconn.PgError
	var dns *net.DNSError
	switch {
	case errors.As(err, &pgErr):
		switch pgErr.Code {
		case "28P01":
			return fmt.Errorf("PostgreSQL at %s refuses the password of user %q", address(cfg), cfg.User)
		case "28000":
			return fmt.Errorf("PostgreSQL at %s does not let user %q in: %s", address(cfg), cfg.User, pgErr.Message)
		case "3D000":
			return fmt.Errorf("PostgreSQL at %s has no database %q: create it with: createdb %s", address(cfg), cfg.Database, cfg.Database)
		case "53300":
			return fmt.Errorf("PostgreSQL at %s has no connection left (max_connections)", address(cfg))
		}
		return fmt.Errorf("PostgreSQL at %s: %s (SQLSTATE %s)", address(cfg), pgErr.Message, pgErr.Code)
	case errors.As(err, &dns):
		return fmt.Errorf("host %q is not known", cfg.Host)
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("nothing listens at %s: is PostgreSQL running there?", address(cfg))
	case errors.Is(err, os.ErrNotExist):
		return fmt.Errorf("there is no PostgreSQL socket in %s", cfg.Host)
	case errors.Is(err, context.DeadlineExceeded), os.IsTimeout(err):
		return fmt.Errorf("no answer from %s", address(cfg))
	}
	return fmt.Errorf("cannot connect to %s: %s", address(cfg), oneLine(err))
}
