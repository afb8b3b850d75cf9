package imports

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"sync"

	"github.com/jackc/pgx/v5"
	"gocloud.dev/blob"
	"gocloud.dev/blob/fileblob"

	"github.com/stratakit/strata/internal/fault"
)

// The errors of Importer.Receive.
var (
	// ErrUploadURL is returned for an upload URL that was not signed here, was changed, has
	// expired, or whose import was cancelled.
	ErrUploadURL error = fault.New(fault.Forbidden, "upload_url_invalid", "the upload URL is not valid or has expired: ask for a new one")
	// ErrAlreadyUploaded is returned for a second upload to one URL, also while the first goes on.
	ErrAlreadyUploaded error = fault.New(fault.Conflict, "already_uploaded", "a file has already been uploaded to this URL, or is being uploaded now")
)

// FilesPath is where the URLs of a LocalStore are served, below the server's prefix.
const FilesPath = "/uploads"

// LocalStore keeps files in a directory and hands out signed, expiring URLs to PUT them to
// and to GET them from, which the same program serves (packages importshttp and exportshttp):
// the same flow as with an object store in the cloud.
type LocalStore struct {
	// Bucket is what NewImporter and exports.NewExporter need.
	Bucket *blob.Bucket

	signer *fileblob.URLSignerHMAC

	mu        sync.Mutex // guards receiving
	receiving map[string]bool
}

// OpenLocal opens dir, creating it when it is missing. uploadURL is where the program
// receives uploads and gives out files, as clients reach it. secret signs the URLs: at least 32 bytes, the
// same in every process and after a restart. Close Bucket when done.
func OpenLocal(dir string, uploadURL *url.URL, secret []byte) (*LocalStore, error) {
	if len(secret) < 32 {
		return nil, errors.New("imports: the secret that signs upload URLs needs at least 32 bytes")
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("imports: the directory for uploads: %w", err)
	}
	signer := fileblob.NewURLSignerHMAC(uploadURL, secret)
	bucket, err := fileblob.OpenBucket(dir, &fileblob.Options{URLSigner: signer, NoTempDir: true, Metadata: fileblob.MetadataDontWrite, DirFileMode: 0o700})
	if err != nil {
		return nil, fmt.Errorf("imports: open the directory for uploads: %w", err)
	}
	return &LocalStore{Bucket: bucket, signer: signer, receiving: map[string]bool{}}, nil
}

// DownloadKey returns the object that a signed URL allows to GET, and false for a URL that was
// not signed here for that, was changed or has expired.
func (s *LocalStore) DownloadKey(ctx context.Context, u *url.URL) (objectKey string, ok bool) {
	objectKey, err := s.signer.KeyFromURL(ctx, u)
	return objectKey, err == nil && u.Query().Get("method") == http.MethodGet
}

// uploadKey returns the object that a signed URL allows to PUT.
func (s *LocalStore) uploadKey(ctx context.Context, u *url.URL, contentType string) (string, error) {
	objectKey, err := s.signer.KeyFromURL(ctx, u)
	if q := u.Query(); err != nil || q.Get("method") != http.MethodPut || q.Get("contentType") != contentType {
		return "", ErrUploadURL
	}
	return objectKey, nil
}

// Receive stores the body of a PUT to a URL that CreateUpload gave out, of as many bytes
// as were announced, or nothing. The URL is all the permission it needs: ctx has no
// tenant. length is the Content-Length, or -1. Errors: ErrUploadURL, ErrAlreadyUploaded,
// ErrTooLarge and ErrFileChanged for more and for fewer bytes.
func (im *Importer) Receive(ctx context.Context, local *LocalStore, u *url.URL, contentType string, length int64, body io.Reader) error {
	objectKey, err := local.uploadKey(ctx, u, contentType)
	if err != nil {
		return err
	}
	size, err := im.announced(ctx, objectKey)
	switch {
	case err != nil:
		return err
	case length > size:
		return tooLarge(length, size)
	case length >= 0 && length < size:
		return tooSmall(length, size)
	}
	end, ok := local.begin(objectKey)
	if !ok {
		return ErrAlreadyUploaded
	}
	defer end()
	return put(ctx, local.Bucket, objectKey, contentType, body, size, size)
}

// begin keeps a second upload of an object out until end is called.
func (s *LocalStore) begin(objectKey string) (end func(), ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.receiving[objectKey] {
		return nil, false
	}
	s.receiving[objectKey] = true
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.receiving, objectKey)
	}, true
}

// announced returns the size of a file that is being waited for.
func (im *Importer) announced(ctx context.Context, objectKey string) (size int64, err error) {
	domain, id, ok := parseKey(objectKey)
	if !ok {
		return 0, ErrUploadURL
	}
	err = im.db.ReadTrusted(ctx, `SELECT size FROM strata.imports WHERE domain_id = $1 AND id = $2 AND object_key = $3 AND status = 'pending'`,
		[]any{domain, id, objectKey}, func(rows pgx.Rows) (err error) {
			size, err = pgx.CollectExactlyOneRow(rows, pgx.RowTo[int64])
			return err
		})
	if errors.Is(err, pgx.ErrNoRows) {
		return 0, ErrUploadURL
	}
	return size, err
}
