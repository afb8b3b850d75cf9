package exports

import (
	"cmp"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"gocloud.dev/blob"

	"github.com/stratakit/strata/audit"
	"github.com/stratakit/strata/bulk"
	"github.com/stratakit/strata/recipients"
	"github.com/stratakit/strata/tenancy"
)

// Kind is the kind of the runs of an Exporter.
const Kind = "recipients.export"

// Config configures an Exporter. The zero value is legal.
type Config struct {
	// InlineLimit is how many recipients are answered at once. Default 1,000.
	InlineLimit int
	// Keep is how long a file stays. Default 7 days.
	Keep time.Duration
	// URLExpiry is how long a URL to fetch a file works. Default 5 min.
	URLExpiry time.Duration
	// Timeout bounds the one statement that reads the recipients of a file, which goes on for
	// as long as the bucket takes what it reads. Default 1 h.
	Timeout time.Duration
	// TempDir is where XLSX files are put together. What is in it is the Exporter's: Sweep
	// deletes what has been there for longer than Timeout and a day. Default strata-exports
	// in os.TempDir.
	TempDir string
	// Log receives what goes wrong in the background. Default slog.Default().
	Log *slog.Logger
	// Now is the clock. Default time.Now.
	Now func() time.Time
}

// Exporter writes recipients into files. Each call works in the domain of its context's
// tenant. It is safe for concurrent use.
type Exporter struct {
	db     *tenancy.DB
	runner *bulk.Runner
	store  *recipients.Store
	audit  *audit.Recorder
	bucket *blob.Bucket // nil: nothing but what is answered at once
	cfg    Config
}

// NewExporter returns an Exporter and registers its kind with runner, which must not have been
// started. The caller keeps bucket open while the runner works. A nil bucket is legal: what is
// too large to be answered at once is refused then.
func NewExporter(db *tenancy.DB, runner *bulk.Runner, store *recipients.Store, recorder *audit.Recorder, bucket *blob.Bucket, cfg *Config) (*Exporter, error) {
	if db == nil || runner == nil || store == nil || recorder == nil {
		return nil, errors.New("exports: NewExporter needs a DB, a Runner, a Store and a Recorder")
	}
	e := &Exporter{db: db, runner: runner, store: store, audit: recorder, bucket: bucket}
	if cfg != nil {
		e.cfg = *cfg
	}
	e.cfg.InlineLimit = cmp.Or(e.cfg.InlineLimit, 1000)
	e.cfg.Keep = cmp.Or(e.cfg.Keep, 7*24*time.Hour)
	e.cfg.URLExpiry = cmp.Or(e.cfg.URLExpiry, 5*time.Minute)
	e.cfg.Timeout = cmp.Or(e.cfg.Timeout, time.Hour)
	e.cfg.TempDir = cmp.Or(e.cfg.TempDir, filepath.Join(os.TempDir(), "strata-exports"))
	e.cfg.Log = cmp.Or(e.cfg.Log, slog.Default())
	if e.cfg.InlineLimit < 0 || min(e.cfg.Keep, e.cfg.URLExpiry, e.cfg.Timeout) < 0 {
		return nil, errors.New("exports: a number in the Config is negative")
	}
	if e.cfg.Now == nil {
		e.cfg.Now = time.Now
	}
	if bucket == nil {
		return e, nil
	}
	return e, runner.Register(Kind, handler{e})
}

// KeepsFiles reports whether there is a bucket.
func (e *Exporter) KeepsFiles() bool { return e.bucket != nil }
