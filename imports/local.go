package imports

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"

	"gocloud.dev/blob"
	"gocloud.dev/blob/fileblob"
	"gocloud.dev/gcerrors"

	"github.com/stratakit/strata/internal/fault"
)

// The errors of LocalStore.Receive.
var (
	// ErrUploadURL is returned for an upload URL that was not signed here, was changed, or
	// has expired.
	ErrUploadURL error = fault.New(fault.Forbidden, "upload_url_invalid", "the upload URL is not valid or has expired: ask for a new one")
	// ErrAlreadyUploaded is returned for a second upload to one URL.
	ErrAlreadyUploaded error = fault.New(fault.Conflict, "already_uploaded", "a file has already been uploaded to this URL")
)

// LocalStore keeps uploaded files in a directory and hands out signed, expiring URLs to
// PUT them to, which the same program serves (package importshttp): the same flow as
// with an object store in the cloud.
type LocalStore struct {
	// Bucket is what NewImporter needs.
	Bucket *blob.Bucket
	signer *fileblob.URLSignerHMAC
}

// OpenLocal opens dir, creating it when it is missing. uploadURL is where the program
// receives uploads, as clients reach it. secret signs the URLs: at least 32 bytes, the
// same in every process and after a restart. Close Bucket when done.
func OpenLocal(dir string, uploadURL *url.URL, secret []byte) (*LocalStore, error) {
	if len(secret) < 32 {
		return nil, errors.New("imports: the secret that signs upload URLs needs at least 32 bytes")
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("imports: the directory for uploads: %w", err)
	}
	signer := fileblob.NewURLSignerHMAC(uploadURL, secret)
	bucket, err := fileblob.OpenBucket(dir, &fileblob.Options{URLSigner: signer, NoTempDir: true, Metadata: fileblob.MetadataDontWrite})
	if err != nil {
		return nil, fmt.Errorf("imports: open the directory for uploads: %w", err)
	}
	return &LocalStore{Bucket: bucket, signer: signer}, nil
}

// Receive stores the body of a PUT to a URL that CreateUpload gave out, complete or not
// at all. Errors: ErrUploadURL, ErrAlreadyUploaded, ErrTooLarge when body has more than
// maxSize bytes.
func (s *LocalStore) Receive(ctx context.Context, u *url.URL, contentType string, body io.Reader, maxSize int64) error {
	q := u.Query()
	objectKey, err := s.signer.KeyFromURL(ctx, u)
	if err != nil || q.Get("method") != "PUT" || q.Get("contentType") != contentType {
		return ErrUploadURL
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // before Close, it discards what was written
	w, err := s.Bucket.NewWriter(ctx, objectKey, &blob.WriterOptions{ContentType: contentType, IfNotExist: true})
	if err != nil {
		return fmt.Errorf("imports: receive a file: %w", err)
	}
	n, err := io.Copy(w, io.LimitReader(body, maxSize+1))
	if err == nil && n > maxSize {
		err = fmt.Errorf("%w: at most %d bytes", ErrTooLarge, maxSize)
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
		return fmt.Errorf("imports: receive a file: %w", err)
	}
	return nil
}
