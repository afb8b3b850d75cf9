package imports

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"path"
	"strings"
	"time"
	"unicode/utf8"

	"gocloud.dev/blob"
	"gocloud.dev/gcerrors"

	"github.com/stratakit/strata/tenancy"
)

const defaultContentType = "text/csv"

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

// SignUpload makes the URL of an upload as strict as an object store can: for a new object of
// size bytes, of the content type of o, and no other. It changes o, which has the method, the expiry
// and the content type, and returns the headers that a client has to send beside Content-Type and
// Content-Length.
type SignUpload func(o *blob.SignedURLOptions, size int64) (headers map[string]string)

// CreateUpload begins an import whose file a client will PUT to the returned URL.
// Errors: *tenancy.ValidationError, ErrTooLarge.
func (im *Importer) CreateUpload(ctx context.Context, in NewUpload) (Upload, error) {
	if in.ContentType == "" {
		in.ContentType = defaultContentType
	}
	imp, objectKey, err := im.create(ctx, in)
	if err != nil {
		return Upload{}, err
	}
	expires := im.cfg.Now().Add(im.cfg.UploadExpiry)
	headers := map[string]string{"Content-Type": in.ContentType}
	o := &blob.SignedURLOptions{Method: http.MethodPut, Expiry: im.cfg.UploadExpiry, ContentType: in.ContentType}
	if im.cfg.SignUpload != nil {
		maps.Copy(headers, im.cfg.SignUpload(o, in.Size))
	}
	u, err := im.bucket.SignedURL(ctx, objectKey, o)
	if err != nil {
		return Upload{}, fmt.Errorf("imports: sign the upload URL: %w", err)
	}
	return Upload{ID: imp.ID, URL: u, Headers: headers, ExpiresAt: expires.UTC().Truncate(time.Second)}, nil
}

// CreateFromReader begins an import with a file that the program has itself. Errors:
// *tenancy.ValidationError, ErrTooLarge, what r or the bucket says. After an error
// nothing is stored and the import is cancelled.
func (im *Importer) CreateFromReader(ctx context.Context, fileName string, r io.Reader) (Import, error) {
	imp, objectKey, err := im.create(ctx, NewUpload{FileName: fileName, Size: unknownSize, ContentType: defaultContentType})
	if err != nil {
		return Import{}, err
	}
	if err := put(ctx, im.bucket, objectKey, defaultContentType, r, unknownSize, im.cfg.MaxFileSize); err != nil {
		_, cancelErr := im.Cancel(context.WithoutCancel(ctx), imp.ID)
		return Import{}, errors.Join(err, cancelErr)
	}
	return imp, nil
}

// put stores what r has, whole or not at all, where there is nothing yet. size is how
// much that has to be, limit how much it may be when that is unknown.
func put(ctx context.Context, bucket *blob.Bucket, objectKey, contentType string, r io.Reader, size, limit int64) error {
	if size != unknownSize {
		limit = size
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // before Close, it discards what was written
	w, err := bucket.NewWriter(ctx, objectKey, &blob.WriterOptions{ContentType: contentType, IfNotExist: true})
	if err != nil {
		return fmt.Errorf("imports: store a file: %w", err)
	}
	n, err := io.Copy(w, io.LimitReader(r, limit+1))
	switch {
	case err != nil:
		err = fmt.Errorf("imports: store a file: %w", err)
	case n > limit:
		err = tooLarge(n, limit)
	case n < size:
		err = tooSmall(n, size)
	}
	if err != nil {
		cancel()
		_ = w.Close()
		return err
	}
	err = w.Close()
	if gcerrors.Code(err) == gcerrors.FailedPrecondition {
		return ErrAlreadyUploaded
	}
	if err != nil {
		return fmt.Errorf("imports: store a file: %w", err)
	}
	return nil
}

func tooSmall(size, want int64) error {
	return fmt.Errorf("%w: %d bytes were announced, these are %d", ErrFileChanged, want, size)
}

func tooLarge(size, limit int64) error {
	return fmt.Errorf("%w: %d bytes or more, at most %d", ErrTooLarge, size, limit)
}

// unknownSize is the size of a file before it is read.
const unknownSize = -1

// create makes the row of an import.
func (im *Importer) create(ctx context.Context, in NewUpload) (Import, string, error) {
	t, err := tenancy.DomainFrom(ctx)
	if err != nil {
		return Import{}, "", err
	}
	in.FileName = strings.TrimSpace(path.Base(strings.ReplaceAll(in.FileName, `\`, "/")))
	var v tenancy.ValidationError
	if in.FileName == "" || in.FileName == "." || in.FileName == "/" || utf8.RuneCountInString(in.FileName) > 255 || !storable(in.FileName) {
		v.Add("fileName", "invalid_text", "must be the name of a file, at most 255 characters")
	}
	if in.Size == 0 || in.Size < unknownSize {
		v.Add("size", "out_of_range", "must be the size of the file in bytes, at least 1")
	}
	if len(in.ContentType) > 100 || strings.ContainsFunc(in.ContentType, func(r rune) bool { return r < ' ' || r > '~' }) {
		v.Add("contentType", "invalid_text", "must be a media type such as text/csv")
	}
	if err := v.OrNil(); err != nil {
		return Import{}, "", err
	}
	if in.Size > im.cfg.MaxFileSize {
		return Import{}, "", tooLarge(in.Size, im.cfg.MaxFileSize)
	}
	id := tenancy.NewID[Import]()
	objectKey := makeKey(t, id)
	var imp Import
	err = im.db.InTx(ctx, func(tx *tenancy.Tx) error {
		rows, err := tx.Query(ctx, tx.SQL(`INSERT INTO strata.imports (domain_id, id, company_id, workspace_id, file_name, object_key, content_type, size, created_by)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) RETURNING `+importColumns),
			t.DomainID, id, t.CompanyID, t.WorkspaceID, in.FileName, objectKey, in.ContentType, in.Size, tenancy.ActorFrom(ctx).ID)
		if imp, _, err = one(rows, err); err != nil {
			return err
		}
		return im.record(ctx, tx, "import.created", id, map[string]any{"size": in.Size})
	})
	return imp, objectKey, err
}

// makeKey names an object: by its owner, and so that it cannot be guessed.
func makeKey(t tenancy.Tenant, id ID) string {
	return fmt.Sprintf("imports/%s/%s/%s-%s", t.CompanyID, t.DomainID, id, strings.ToLower(rand.Text()))
}

// parseKey returns whose an object is.
func parseKey(objectKey string) (domain tenancy.DomainID, id ID, ok bool) {
	parts := strings.Split(objectKey, "/")
	if len(parts) != 4 || len(parts[3]) < 36 {
		return domain, id, false
	}
	domain, err := tenancy.ParseID[tenancy.Domain](parts[2])
	if err != nil {
		return domain, id, false
	}
	id, err = tenancy.ParseID[Import](parts[3][:36])
	return domain, id, err == nil
}
