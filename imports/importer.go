package imports

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"path"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"
	"gocloud.dev/blob"
	"gocloud.dev/gcerrors"

	"github.com/stratakit/strata/audit"
	"github.com/stratakit/strata/billing"
	"github.com/stratakit/strata/bulk"
	"github.com/stratakit/strata/customfields"
	"github.com/stratakit/strata/tenancy"
)

// The kinds of runs an Importer works.
const (
	KindProcess = "import.process"
	KindCommit  = "import.commit"
)

// Config configures an Importer. The zero value is legal.
type Config struct {
	// MaxFileSize is the largest file, in bytes. Default 1 GiB.
	MaxFileSize int64
	// UploadExpiry is how long an upload URL works. Default 15 min.
	UploadExpiry time.Duration
	// BatchRows is how many rows one transaction reads or commits. Default 5,000.
	BatchRows int
	// Keep is how long the file and the staged rows of a finished or abandoned import
	// stay. Default 7 days.
	Keep time.Duration
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
	fields *customfields.Registry
	limits *billing.Limits
	audit  *audit.Recorder
	bucket *blob.Bucket
	cfg    Config
}

// NewImporter returns an Importer and registers its kinds with runner, which must not
// have been started. The caller keeps bucket open while the runner works.
func NewImporter(db *tenancy.DB, runner *bulk.Runner, fields *customfields.Registry, limits *billing.Limits, recorder *audit.Recorder, bucket *blob.Bucket, cfg *Config) (*Importer, error) {
	if db == nil || runner == nil || fields == nil || limits == nil || recorder == nil || bucket == nil {
		return nil, errors.New("imports: NewImporter needs a DB, a Runner, a Registry, Limits, a Recorder and a Bucket")
	}
	im := &Importer{db: db, runner: runner, fields: fields, limits: limits, audit: recorder, bucket: bucket}
	if cfg != nil {
		im.cfg = *cfg
	}
	setDefault(&im.cfg.MaxFileSize, 1<<30)
	setDefault(&im.cfg.UploadExpiry, 15*time.Minute)
	setDefault(&im.cfg.BatchRows, 5_000)
	setDefault(&im.cfg.Keep, 7*24*time.Hour)
	if im.cfg.Log == nil {
		im.cfg.Log = slog.Default()
	}
	if im.cfg.Now == nil {
		im.cfg.Now = time.Now
	}
	if err := runner.Register(KindProcess, processHandler{im}); err != nil {
		return nil, err
	}
	return im, runner.Register(KindCommit, commitHandler{im})
}

func setDefault[T comparable](v *T, to T) {
	var zero T
	if *v == zero {
		*v = to
	}
}

// MaxFileSize returns the largest file that is accepted, in bytes.
func (im *Importer) MaxFileSize() int64 { return im.cfg.MaxFileSize }

// NewUpload announces a file.
type NewUpload struct {
	FileName    string
	Size        int64  // bytes; the upload must have exactly so many
	ContentType string // default "text/csv"
}

// Upload says where to PUT the announced file, and with which headers.
type Upload struct {
	ID        ID                `json:"jobId"`
	URL       string            `json:"uploadUrl"`
	Headers   map[string]string `json:"headers"`
	ExpiresAt time.Time         `json:"expiresAt"`
}

// CreateUpload begins an import whose file a client will PUT to the returned URL.
// Errors: *tenancy.ValidationError, ErrTooLarge.
func (im *Importer) CreateUpload(ctx context.Context, in NewUpload) (Upload, error) {
	imp, objectKey, err := im.create(ctx, in)
	if err != nil {
		return Upload{}, err
	}
	expires := im.cfg.Now().Add(im.cfg.UploadExpiry)
	u, err := im.bucket.SignedURL(ctx, objectKey, &blob.SignedURLOptions{Method: http.MethodPut, Expiry: im.cfg.UploadExpiry, ContentType: contentType(in)})
	if err != nil {
		return Upload{}, fmt.Errorf("imports: sign the upload URL: %w", err)
	}
	return Upload{ID: imp.ID, URL: u, Headers: map[string]string{"Content-Type": contentType(in)}, ExpiresAt: expires.UTC().Truncate(time.Second)}, nil
}

// CreateFromReader begins an import with a file that the program has itself.
func (im *Importer) CreateFromReader(ctx context.Context, fileName string, r io.Reader) (Import, error) {
	imp, objectKey, err := im.create(ctx, NewUpload{FileName: fileName, Size: -1})
	if err != nil {
		return Import{}, err
	}
	w, err := im.bucket.NewWriter(ctx, objectKey, &blob.WriterOptions{ContentType: "text/csv"})
	if err != nil {
		return Import{}, fmt.Errorf("imports: store the file: %w", err)
	}
	n, err := io.Copy(w, io.LimitReader(r, im.cfg.MaxFileSize+1))
	if err := errors.Join(err, w.Close()); err != nil {
		return Import{}, fmt.Errorf("imports: store the file: %w", err)
	}
	if n > im.cfg.MaxFileSize {
		return Import{}, fmt.Errorf("%w: at most %d bytes", ErrTooLarge, im.cfg.MaxFileSize)
	}
	return imp, nil
}

func contentType(in NewUpload) string {
	if in.ContentType == "" {
		return "text/csv"
	}
	return in.ContentType
}

// create makes the row of an import. A Size of -1 is not known yet.
func (im *Importer) create(ctx context.Context, in NewUpload) (Import, string, error) {
	t, err := tenancy.DomainFrom(ctx)
	if err != nil {
		return Import{}, "", err
	}
	in.FileName = strings.TrimSpace(path.Base(strings.ReplaceAll(in.FileName, `\`, "/")))
	var v tenancy.ValidationError
	if in.FileName == "" || in.FileName == "." || in.FileName == "/" || utf8.RuneCountInString(in.FileName) > 255 || !utf8.ValidString(in.FileName) || strings.ContainsRune(in.FileName, 0) {
		v.Add("fileName", "invalid_text", "must be the name of a file, at most 255 characters")
	}
	if in.Size == 0 || in.Size < -1 {
		v.Add("size", "out_of_range", "must be the size of the file in bytes, at least 1")
	}
	if len(in.ContentType) > 100 || strings.ContainsAny(in.ContentType, "\r\n\x00") {
		v.Add("contentType", "invalid_text", "must be a media type such as text/csv")
	}
	if err := v.OrNil(); err != nil {
		return Import{}, "", err
	}
	if in.Size > im.cfg.MaxFileSize {
		return Import{}, "", fmt.Errorf("%w: %d bytes, at most %d", ErrTooLarge, in.Size, im.cfg.MaxFileSize)
	}
	id := tenancy.NewID[Import]()
	// The key names its owner and cannot be guessed.
	objectKey := fmt.Sprintf("imports/%s/%s/%s-%s", t.CompanyID, t.DomainID, id, randomText())
	var imp Import
	err = im.db.InTx(ctx, func(tx *tenancy.Tx) error {
		rows, err := tx.Query(ctx, tx.SQL(`INSERT INTO strata.imports (domain_id, id, company_id, workspace_id, file_name, object_key, content_type, size, created_by)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) RETURNING `+importColumns),
			t.DomainID, id, t.CompanyID, t.WorkspaceID, in.FileName, objectKey, contentType(in), in.Size, tenancy.ActorFrom(ctx).ID)
		if imp, _, err = one(rows, err); err != nil {
			return err
		}
		return im.record(ctx, tx, "import.created", id, map[string]any{"size": in.Size})
	})
	return imp, objectKey, err
}

const importColumns = `id, status, file_name, size, plan, total, new, changed, unchanged, duplicate, invalid, inserted, updated, skipped, error, created_at, updated_at,
	object_key, etag, fields_version, reservation_id`

// stored is what else the row of an import holds.
type stored struct {
	objectKey     string
	etag          string
	plan          plan
	fieldsVersion int64
	reservation   billing.ReservationID
}

func one(rows pgx.Rows, err error) (Import, stored, error) {
	if err != nil {
		return Import{}, stored{}, err
	}
	var s stored
	imp, err := pgx.CollectExactlyOneRow(rows, func(row pgx.CollectableRow) (i Import, err error) {
		var rawPlan []byte
		if err := row.Scan(&i.ID, &i.Status, &i.FileName, &i.Size, &rawPlan, &i.TotalRows, &i.New, &i.Changed, &i.Unchanged, &i.Duplicate, &i.Invalid,
			&i.Inserted, &i.Updated, &i.Skipped, &i.Error, &i.CreatedAt, &i.UpdatedAt, &s.objectKey, &s.etag, &s.fieldsVersion, &s.reservation); err != nil {
			return i, err
		}
		if err := json.Unmarshal(rawPlan, &s.plan); err != nil {
			return i, err
		}
		if len(s.plan.Targets) > 0 {
			i.Columns, i.Mapping, i.Conflict = s.plan.Format.Header, s.plan.mapping(), s.plan.Conflict
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
	imp, _, err := im.read(ctx, id)
	if err != nil {
		return imp, err
	}
	switch imp.Status {
	case Validating, Processing:
		run, err := im.runner.Get(ctx, bulk.RunID(id))
		if err != nil {
			return imp, err
		}
		imp.ProcessedRows = run.Processed
	case Previewed, Done:
		imp.ProcessedRows = imp.TotalRows
	case Pending, Failed, Cancelled:
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

// ProcessOptions say how to read a file. The zero value finds out by itself.
type ProcessOptions struct {
	// Mapping says what each column is: "email", "name", "status", "fields.<key>", or nil
	// to ignore it. Without a Mapping the columns are recognised by their names.
	Mapping map[string]*string
	// Delimiter is one of , ; | and tab. Empty: found by looking.
	Delimiter string
	// Conflict is what happens to a recipient that is already there. Default Update.
	Conflict Conflict
}

// Process reads and checks the uploaded file in a run, up to the preview. What is wrong
// with the file as a whole is returned at once as a *FileError or a
// *tenancy.ValidationError; what is wrong with a row is part of the preview. It may be
// called again, with other options, until Commit. Errors also: ErrNotFound,
// ErrNotUploaded, ErrFileChanged, ErrTooLarge, *StateError.
func (im *Importer) Process(ctx context.Context, id ID, o ProcessOptions) (Import, error) {
	imp, s, err := im.read(ctx, id)
	if err != nil {
		return imp, err
	}
	if !mayProcess(imp.Status) {
		return imp, &StateError{id, imp.Status, "processed"}
	}
	attrs, err := im.bucket.Attributes(ctx, s.objectKey)
	if gcerrors.Code(err) == gcerrors.NotFound {
		return imp, ErrNotUploaded
	}
	if err != nil {
		return imp, fmt.Errorf("imports: look at the file: %w", err)
	}
	if imp.Size > 0 && attrs.Size != imp.Size {
		return imp, fmt.Errorf("%w: %d bytes were announced, %d were uploaded", ErrFileChanged, imp.Size, attrs.Size)
	}
	if attrs.Size > im.cfg.MaxFileSize {
		return imp, fmt.Errorf("%w: %d bytes, at most %d", ErrTooLarge, attrs.Size, im.cfg.MaxFileSize)
	}
	set, err := im.fields.Set(ctx)
	if err != nil {
		return imp, err
	}
	p, err := im.plan(ctx, s.objectKey, o, set)
	if err != nil {
		return imp, err
	}
	rawPlan, err := json.Marshal(p)
	if err != nil {
		return imp, err
	}
	err = im.db.InTx(ctx, func(tx *tenancy.Tx) error {
		now, _, err := lock(ctx, tx, id)
		if err != nil {
			return err
		}
		if !mayProcess(now.Status) {
			return &StateError{id, now.Status, "processed"}
		}
		if _, err := tx.Exec(ctx, tx.SQL(`DELETE FROM strata.import_rows WHERE domain_id = $1 AND import_id = $2`), tx.Tenant().DomainID, id); err != nil {
			return err
		}
		rows, err := tx.Query(ctx, tx.SQL(`UPDATE strata.imports SET status = 'validating', plan = $3, fields_version = $4, etag = $5, size = $6, error = '', updated_at = now(),
				total = 0, new = 0, changed = 0, unchanged = 0, duplicate = 0, invalid = 0, inserted = 0, updated = 0, skipped = 0
			WHERE domain_id = $1 AND id = $2 RETURNING `+importColumns), tx.Tenant().DomainID, id, rawPlan, set.Version, attrs.ETag, attrs.Size)
		if imp, _, err = one(rows, err); err != nil {
			return err
		}
		if _, err := im.runner.SubmitTx(ctx, tx, bulk.Submission{Kind: KindProcess, ID: bulk.RunID(id), Args: runArgs{}}); err != nil {
			return err
		}
		return im.record(ctx, tx, "import.processed", id, map[string]any{"conflict": p.Conflict, "bytes": attrs.Size})
	})
	return imp, err
}

func mayProcess(s Status) bool { return s == Pending || s == Previewed }

// runArgs are the arguments of both kinds of runs: the import is the run's id.
type runArgs struct{}

// plan looks at the beginning of the file and decides how it will be read.
func (im *Importer) plan(ctx context.Context, objectKey string, o ProcessOptions, set *customfields.Set) (plan, error) {
	switch o.Conflict {
	case "":
		o.Conflict = Update
	case Update, Skip, FillEmpty:
	default:
		v := &tenancy.ValidationError{}
		v.Add("options.conflict", "unknown_policy", "must be update, skip or fill_empty")
		return plan{}, v
	}
	r, err := im.bucket.NewRangeReader(ctx, objectKey, 0, sniffBytes, nil)
	if err != nil {
		return plan{}, fmt.Errorf("imports: read the file: %w", err)
	}
	beginning, err := io.ReadAll(r)
	if err := errors.Join(err, r.Close()); err != nil {
		return plan{}, fmt.Errorf("imports: read the file: %w", err)
	}
	f, err := sniff(beginning, o.Delimiter)
	if err != nil {
		return plan{}, err
	}
	var targets []string
	if o.Mapping != nil {
		targets, err = parseMapping(f.Header, o.Mapping, set)
	} else {
		targets, err = suggestTargets(f.Header, set)
	}
	if err != nil {
		return plan{}, err
	}
	return plan{Format: f, Targets: targets, Conflict: o.Conflict}, checkRequired(targets, set)
}

// Commit writes the previewed rows in a run. New recipients are reserved from the plan
// first: one that does not fit is a *billing.LimitError and leaves nothing behind.
// Errors also: ErrNotFound, ErrFieldsChanged, *StateError (a second commit among them).
func (im *Importer) Commit(ctx context.Context, id ID) (Import, error) {
	if _, err := tenancy.DomainFrom(ctx); err != nil {
		return Import{}, err
	}
	var imp Import
	err := im.db.InTx(ctx, func(tx *tenancy.Tx) error {
		now, s, err := lock(ctx, tx, id)
		if err != nil {
			return err
		}
		if now.Status != Previewed {
			return &StateError{id, now.Status, "committed"}
		}
		version, err := im.fields.VersionTx(ctx, tx)
		if err != nil {
			return err
		}
		if version != s.fieldsVersion {
			return ErrFieldsChanged
		}
		if _, err := im.runner.SubmitTx(ctx, tx, bulk.Submission{Kind: KindCommit, ID: bulk.RunID(id), Args: runArgs{}, Total: now.New + now.Changed}); err != nil {
			return err
		}
		if err := im.record(ctx, tx, "import.committed", id, map[string]any{"new": now.New, "update": now.Changed}); err != nil {
			return err
		}
		reservation, err := im.limits.Reserve(ctx, tx, billing.ResourceRecipients, now.New, 24*time.Hour)
		if err != nil {
			return err
		}
		rows, err := tx.Query(ctx, tx.SQL(`UPDATE strata.imports SET status = 'processing', reservation_id = $3, updated_at = now()
			WHERE domain_id = $1 AND id = $2 RETURNING `+importColumns), tx.Tenant().DomainID, id, reservation.ID)
		imp, _, err = one(rows, err)
		return err
	})
	return imp, err
}

// Cancel stops an import that is not finished. What a commit has written stays, and the
// counters say how much it was. Errors: ErrNotFound, *StateError.
func (im *Importer) Cancel(ctx context.Context, id ID) (Import, error) {
	if _, err := tenancy.DomainFrom(ctx); err != nil {
		return Import{}, err
	}
	running := false
	err := im.db.InTx(ctx, func(tx *tenancy.Tx) error {
		now, _, err := lock(ctx, tx, id)
		if err != nil {
			return err
		}
		switch now.Status {
		case Pending, Previewed:
			if err := im.setFinal(ctx, tx, id, Cancelled, ""); err != nil {
				return err
			}
			return im.record(ctx, tx, "import.cancelled", id, nil)
		case Validating, Processing:
			running = true
			return nil
		case Done, Failed, Cancelled:
		}
		return &StateError{id, now.Status, "cancelled"}
	})
	if err != nil {
		return Import{}, err
	}
	if running {
		if _, err := im.runner.Cancel(ctx, bulk.RunID(id)); err != nil {
			return Import{}, err
		}
	}
	return im.Get(ctx, id)
}

func (im *Importer) setFinal(ctx context.Context, tx *tenancy.Tx, id ID, status Status, message string) error {
	_, err := tx.Exec(ctx, tx.SQL(`UPDATE strata.imports SET status = $3, error = $4, updated_at = now() WHERE domain_id = $1 AND id = $2`),
		tx.Tenant().DomainID, id, string(status), message)
	return err
}

func (im *Importer) record(ctx context.Context, tx *tenancy.Tx, action string, id ID, metadata map[string]any) error {
	return im.audit.RecordTx(ctx, tx, audit.Entry{Action: action, ResourceType: "import", ResourceID: id.String(), Metadata: metadata})
}
