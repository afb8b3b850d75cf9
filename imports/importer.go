package imports

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"
	"gocloud.dev/blob"

	"github.com/stratakit/strata/audit"
	"github.com/stratakit/strata/billing"
	"github.com/stratakit/strata/bulk"
	"github.com/stratakit/strata/customfields"
	"github.com/stratakit/strata/recipients"
	"github.com/stratakit/strata/tenancy"
)

// The kinds of runs an Importer works.
const (
	KindProcess = "import.process"
	KindCommit  = "import.commit"
	KindUndo    = "import.undo"
)

// Config configures an Importer. The zero value is legal.
type Config struct {
	// MaxFileSize is the largest file, in bytes. Default 1 GiB.
	MaxFileSize int64
	// MaxRows is how many rows a file may have: small packed ones can have a great many. Default 10 million.
	MaxRows int
	// UploadExpiry is how long an upload URL works. Default 15 min.
	UploadExpiry time.Duration
	// SignUpload is what the object store needs: s3files.SignUpload, gcsfiles.SignUpload or
	// azurefiles.SignUpload. Default nil, for files in a local directory.
	SignUpload SignUpload
	// BatchRows is how many rows one transaction reads or commits. Default 5,000.
	BatchRows int
	// Keep is how long the file and the staged rows of a finished or abandoned import
	// stay. Default 7 days.
	Keep time.Duration
	// UndoFor is how long after its commit an import can be undone, and how long is kept
	// what it changed: of each recipient which one it is, and of one that was updated what the
	// import has replaced. Default 30 days.
	UndoFor time.Duration
	// Log receives what goes wrong in the background. Default slog.Default().
	Log *slog.Logger
	// Now is the clock. Default time.Now.
	Now func() time.Time
}

// Importer brings recipients in from files: upload, process, preview, commit. The work
// is done in runs (package bulk) and survives the death of a process at any point. Each
// call works in the domain of its context's tenant. It is safe for concurrent use.
type Importer struct {
	db     *tenancy.DB
	runner *bulk.Runner
	store  *recipients.Store
	fields *customfields.Registry
	limits *billing.Limits
	audit  *audit.Recorder
	bucket *blob.Bucket
	cfg    Config
}

// NewImporter returns an Importer and registers its kinds with runner, which must not
// have been started. The extensions of store are those whose columns a file can have. The caller
// keeps bucket open while the runner works.
func NewImporter(db *tenancy.DB, runner *bulk.Runner, store *recipients.Store, fields *customfields.Registry, limits *billing.Limits, recorder *audit.Recorder, bucket *blob.Bucket, cfg *Config) (*Importer, error) {
	if db == nil || runner == nil || store == nil || fields == nil || limits == nil || recorder == nil || bucket == nil {
		return nil, errors.New("imports: NewImporter needs a DB, a Runner, a Store, a Registry, Limits, a Recorder and a Bucket")
	}
	im := &Importer{db: db, runner: runner, store: store, fields: fields, limits: limits, audit: recorder, bucket: bucket}
	if cfg != nil {
		im.cfg = *cfg
	}
	setDefault(&im.cfg.MaxFileSize, 1<<30)
	setDefault(&im.cfg.MaxRows, 10_000_000)
	setDefault(&im.cfg.UploadExpiry, 15*time.Minute)
	setDefault(&im.cfg.BatchRows, 5_000)
	setDefault(&im.cfg.Keep, 7*24*time.Hour)
	setDefault(&im.cfg.UndoFor, 30*24*time.Hour)
	if im.cfg.MaxFileSize < 0 || min(im.cfg.MaxRows, im.cfg.BatchRows) < 0 || min(im.cfg.UploadExpiry, im.cfg.Keep, im.cfg.UndoFor) < 0 {
		return nil, errors.New("imports: a number in the Config is negative")
	}
	if im.cfg.Log == nil {
		im.cfg.Log = slog.Default()
	}
	if im.cfg.Now == nil {
		im.cfg.Now = time.Now
	}
	for kind, handler := range map[string]bulk.Handler{KindProcess: processHandler{im}, KindCommit: commitHandler{im}, KindUndo: undoHandler{im}} {
		if err := runner.Register(kind, handler); err != nil {
			return nil, err
		}
	}
	return im, nil
}

func setDefault[T comparable](v *T, to T) {
	var zero T
	if *v == zero {
		*v = to
	}
}

// MaxFileSize returns the largest file that is accepted, in bytes.
func (im *Importer) MaxFileSize() int64 { return im.cfg.MaxFileSize }

const importColumns = `id, status, file_name, size, plan, total, new, changed, unchanged, duplicate, invalid, inserted, updated, skipped, reverted, kept, error, created_at, updated_at, corrects, round, coalesce(encode(sha256, 'hex'), ''),
	processed, committed_at, object_key, etag, fields_version, reservation_id`

// stored is what else the row of an import holds.
type stored struct {
	objectKey     string
	etag          string
	plan          plan
	fieldsVersion int64
	reservation   billing.ReservationID
	processed     *int64     // nil while it is worked on
	committedAt   *time.Time // nil unless what was changed is kept
}

func one(rows pgx.Rows, err error) (Import, stored, error) {
	if err != nil {
		return Import{}, stored{}, err
	}
	var s stored
	imp, err := pgx.CollectExactlyOneRow(rows, func(row pgx.CollectableRow) (i Import, err error) {
		var rawPlan []byte
		if err := row.Scan(&i.ID, &i.Status, &i.FileName, &i.Size, &rawPlan, &i.TotalRows, &i.New, &i.Changed, &i.Unchanged, &i.Duplicate, &i.Invalid,
			&i.Inserted, &i.Updated, &i.Skipped, &i.Reverted, &i.Kept, &i.Error, &i.CreatedAt, &i.UpdatedAt, &i.Corrects, &i.Round, &i.SHA256,
			&s.processed, &s.committedAt, &s.objectKey, &s.etag, &s.fieldsVersion, &s.reservation); err != nil {
			return i, err
		}
		if err := json.Unmarshal(rawPlan, &s.plan); err != nil {
			return i, err
		}
		if len(s.plan.Targets) > 0 {
			i.Format = s.plan.Format.public()
			s.plan.describe(&i)
		}
		return i, nil
	})
	if errors.Is(err, pgx.ErrNoRows) {
		return imp, s, ErrNotFound
	}
	return imp, s, err
}

// Get returns an import with its progress, or ErrNotFound.
func (im *Importer) Get(ctx context.Context, id ID) (Import, error) {
	imp, s, err := im.read(ctx, id)
	if err != nil {
		return imp, err
	}
	if hasCommitted(imp) && im.mayUndo(s) {
		until := s.committedAt.Add(im.cfg.UndoFor).UTC()
		imp.UndoUntil = &until
	}
	switch imp.Status {
	case Previewed, Done, Merged:
		imp.ProcessedRows = imp.TotalRows
	case Validating, Processing, Failed, Cancelled, Undoing, Undone:
		if s.processed != nil {
			imp.ProcessedRows = *s.processed
			return imp, nil
		}
		run, err := im.runner.Get(ctx, bulk.RunID(id))
		if errors.Is(err, bulk.ErrNotFound) { // cancelled before it was processed
			return imp, nil
		}
		if err != nil {
			return imp, err
		}
		imp.ProcessedRows = run.Processed
		if imp.Status == Processing {
			imp.ProcessedRows += imp.Inserted + imp.Updated + imp.Skipped // of earlier rounds
		}
	case Pending:
	}
	return imp, nil
}

func (im *Importer) read(ctx context.Context, id ID) (imp Import, s stored, err error) {
	t, err := tenancy.DomainFrom(ctx)
	if err != nil {
		return imp, s, err
	}
	err = im.db.Read(ctx, `SELECT `+importColumns+` FROM strata.imports WHERE domain_id = $1 AND id = $2`, []any{t.DomainID, id}, func(rows pgx.Rows) (err error) {
		imp, s, err = one(rows, nil)
		return err
	})
	return imp, s, err
}

// lock reads an import for a change and holds it.
func lock(ctx context.Context, tx *tenancy.Tx, id ID) (Import, stored, error) {
	rows, err := tx.Query(ctx, tx.SQL(`SELECT `+importColumns+` FROM strata.imports WHERE domain_id = $1 AND id = $2 FOR UPDATE`), tx.Tenant().DomainID, id)
	return one(rows, err)
}

func (im *Importer) record(ctx context.Context, tx *tenancy.Tx, action string, id ID, metadata map[string]any) error {
	return im.audit.RecordTx(ctx, tx, audit.Entry{Action: action, ResourceType: "import", ResourceID: id.String(), Metadata: metadata})
}
