package exports

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/jackc/pgx/v5"
	"gocloud.dev/blob"

	"github.com/stratakit/strata/bulk"
	"github.com/stratakit/strata/tenancy"
)

// Export is an export that is the work of a run, and how it stands.
type Export struct {
	ID         ID         `json:"jobId"`
	Status     bulk.State `json:"status" enum:"queued,processing,paused,completed,failed,cancelled"`
	Format     Format     `json:"format" enum:"csv,xlsx,jsonl"`
	FileName   string     `json:"fileName"`
	Processed  int64      `json:"processed"`
	Total      int64      `json:"total"`
	Percentage float64    `json:"percentage"`
	Error      string     `json:"error"`
	CreatedAt  time.Time  `json:"createdAt"`

	// Download is there once the export is completed.
	Download *Download `json:"download"`
}

// Download is the file of an export, and where it is.
type Download struct {
	// URL is where to GET it, without any other permission, until URLExpiresAt. Later there is
	// another URL, until the file is deleted at ExpiresAt.
	URL          string    `json:"url"`
	URLExpiresAt time.Time `json:"urlExpiresAt"`
	ExpiresAt    time.Time `json:"expiresAt"`

	Rows        int64  `json:"rows"`
	Size        int64  `json:"size"`   // bytes
	SHA256      string `json:"sha256"` // hexadecimal
	ContentType string `json:"contentType"`
}

// row is a row of strata.recipient_exports.
type row struct {
	id        ID
	format    Format
	fileName  string
	prefix    string
	key       string
	size      int64
	rows      int64
	sha256    string
	createdAt time.Time
	expiresAt time.Time
	deletedAt *time.Time
}

const rowColumns = `id, format, file_name, object_prefix, object_key, size, rows, sha256, created_at, expires_at, deleted_at`

func one(rows pgx.Rows) (r row, err error) {
	r, err = pgx.CollectExactlyOneRow(rows, func(c pgx.CollectableRow) (r row, err error) {
		err = c.Scan(&r.id, &r.format, &r.fileName, &r.prefix, &r.key, &r.size, &r.rows, &r.sha256, &r.createdAt, &r.expiresAt, &r.deletedAt)
		return r, err
	})
	if errors.Is(err, pgx.ErrNoRows) {
		err = ErrNotFound
	}
	return r, err
}

func (e *Exporter) read(ctx context.Context, id ID) (r row, err error) {
	t, err := tenancy.DomainFrom(ctx)
	if err != nil {
		return r, err
	}
	err = e.db.Read(ctx, `SELECT `+rowColumns+` FROM strata.recipient_exports WHERE domain_id = $1 AND id = $2`, []any{t.DomainID, id}, func(rows pgx.Rows) (err error) {
		r, err = one(rows)
		return err
	})
	return r, err
}

// Get returns an export that is the work of a run, with a new URL once it is completed.
// Errors: ErrNotFound, ErrExpired.
func (e *Exporter) Get(ctx context.Context, id ID) (Export, error) {
	run, runErr := e.runner.Get(ctx, bulk.RunID(id)) // first: with a run that has completed there is a file
	if runErr != nil && !errors.Is(runErr, bulk.ErrNotFound) {
		return Export{}, runErr
	}
	r, err := e.read(ctx, id)
	if err != nil {
		return Export{}, err
	}
	out := Export{ID: r.id, Status: bulk.StateCompleted, Format: r.format, FileName: r.fileName, CreatedAt: r.createdAt.UTC()}
	left := r.expiresAt.Sub(e.cfg.Now())
	switch {
	case r.key != "" && left > 0:
		out.Processed, out.Total, out.Percentage = r.rows, r.rows, 100
		out.Download, err = e.download(ctx, r, min(left, e.cfg.URLExpiry))
		return out, err
	case r.key != "", runErr != nil, run.State == bulk.StateCompleted:
		return Export{}, ErrExpired
	}
	out.Status, out.Processed, out.Total, out.Percentage, out.Error = run.State, run.Processed, run.Total, run.Progress().Percentage, run.PublicError()
	return out, nil
}

func (e *Exporter) download(ctx context.Context, r row, expiry time.Duration) (*Download, error) {
	if e.bucket == nil { // of a process that had one
		return nil, ErrNoBucket
	}
	expiry = max(expiry.Truncate(time.Second), time.Second)
	expires := e.cfg.Now().Add(expiry)
	u, err := e.bucket.SignedURL(ctx, r.key, &blob.SignedURLOptions{Method: http.MethodGet, Expiry: expiry})
	if err != nil {
		return nil, fmt.Errorf("exports: sign the URL of a file: %w", err)
	}
	return &Download{
		URL: u, URLExpiresAt: expires.UTC().Truncate(time.Second), ExpiresAt: r.expiresAt.UTC(),
		Rows: r.rows, Size: r.size, SHA256: r.sha256, ContentType: r.format.contentType(),
	}, nil
}

// Opened is a file of the bucket that is read. Close it.
type Opened struct {
	*blob.Reader

	Name, ContentType, SHA256 string
}

// Open opens the file that a URL was signed for, for programs that keep files in a directory
// and serve them themselves. The signature is all the permission it needs: ctx has no tenant.
// The error is ErrURL where the file is no export, or is gone.
func (e *Exporter) Open(ctx context.Context, key string) (*Opened, error) {
	domain, id, ok := parseKey(key)
	if !ok || e.bucket == nil {
		return nil, ErrURL
	}
	var r row
	err := e.db.ReadTrusted(ctx, `SELECT `+rowColumns+` FROM strata.recipient_exports x WHERE domain_id = $1 AND id = $2 AND object_key = $3 AND expires_at > $4
			AND EXISTS (SELECT FROM strata.domains d JOIN strata.workspaces w ON w.id = d.workspace_id JOIN strata.companies c ON c.id = d.company_id
				WHERE d.id = x.domain_id AND d.deleted_at IS NULL AND w.deleted_at IS NULL AND c.deleted_at IS NULL)`,
		[]any{domain, id, key, e.cfg.Now()}, func(rows pgx.Rows) (err error) {
			r, err = one(rows)
			return err
		})
	if errors.Is(err, ErrNotFound) {
		return nil, ErrURL
	}
	if err != nil {
		return nil, fmt.Errorf("exports: find a file: %w", err)
	}
	file, err := e.bucket.NewReader(ctx, r.key, nil)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrStore, err)
	}
	return &Opened{Reader: file, Name: r.fileName, ContentType: r.format.contentType(), SHA256: r.sha256}, nil
}
