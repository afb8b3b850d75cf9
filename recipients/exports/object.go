package exports

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"mime"
	"strings"

	"gocloud.dev/blob"
	"gocloud.dev/gcerrors"

	"github.com/stratakit/strata/tenancy"
)

// prefix is what the names of all objects of an export begin with: whose it is, and which.
func prefix(t tenancy.Tenant, id ID) string {
	return fmt.Sprintf("exports/%s/%s/%s-", t.CompanyID, t.DomainID, id)
}

// makeKey names an object anew, so that no two processes write the same one, and so that it
// cannot be guessed.
func makeKey(prefix string) string { return prefix + strings.ToLower(rand.Text()) }

// parseKey returns whose an object is.
func parseKey(key string) (domain tenancy.DomainID, id ID, ok bool) {
	parts := strings.Split(key, "/")
	if len(parts) != 4 || parts[0] != "exports" || len(parts[3]) < 36 {
		return domain, id, false
	}
	domain, err := tenancy.ParseID[tenancy.Domain](parts[2])
	if err != nil {
		return domain, id, false
	}
	id, err = tenancy.ParseID[Export](parts[3][:36])
	return domain, id, err == nil
}

// written is a file in the bucket.
type written struct {
	key    string
	rows   int64
	size   int64
	sha256 string
}

// object counts and sums what is written to the bucket.
type object struct {
	w    *blob.Writer
	size int64
	sum  hash.Hash
	each func() error // before every write
}

func (o *object) Write(b []byte) (int, error) {
	if err := o.each(); err != nil {
		return 0, err
	}
	n, err := o.w.Write(b)
	o.size += int64(n)
	o.sum.Write(b[:n])
	if err != nil {
		err = fmt.Errorf("%w: %w", ErrStore, err)
	}
	return n, err
}

// put writes a file whole, or not at all: nobody sees an object before its Close, and what is
// written is discarded when its context ends before that. It calls report, with how many rows
// are done, before whatever it does.
func (e *Exporter) put(ctx context.Context, key, fileName string, p plan, report func(rows int64)) (f written, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	w, err := e.bucket.NewWriter(ctx, key, &blob.WriterOptions{ContentType: p.Format.contentType(), ContentDisposition: Disposition(fileName), IfNotExist: true})
	if err != nil {
		return f, fmt.Errorf("%w: %w", ErrStore, err)
	}
	f.key = key
	o := &object{w: w, sum: sha256.New(), each: func() error {
		report(f.rows)
		return ctx.Err()
	}}
	f.rows, err = e.encode(ctx, o, p, func(n int64) error {
		if f.rows = n; n%1000 == 0 {
			return o.each()
		}
		return nil
	})
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		cancel() // before Close, it discards what was written
		_ = w.Close()
		return f, err
	}
	if err := w.Close(); err != nil {
		return f, fmt.Errorf("%w: %w", ErrStore, err)
	}
	f.size, f.sha256 = o.size, hex.EncodeToString(o.sum.Sum(nil))
	return f, nil
}

// Disposition is the header Content-Disposition of a file (RFC 6266).
func Disposition(fileName string) string {
	return mime.FormatMediaType("attachment", map[string]string{"filename": fileName})
}

// deleteObjects deletes every object whose name begins with a prefix but for one. A directory
// (fileblob) has files there that are not whole too, of processes that died.
func (e *Exporter) deleteObjects(ctx context.Context, prefix, keep string) error {
	var keys []string
	for all := e.bucket.List(&blob.ListOptions{Prefix: prefix}); ; {
		o, err := all.Next(ctx)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fmt.Errorf("exports: list what is stored: %w", err)
		}
		if o.Key != keep {
			keys = append(keys, o.Key)
		}
	}
	for _, key := range keys {
		if err := e.bucket.Delete(ctx, key); err != nil && gcerrors.Code(err) != gcerrors.NotFound {
			return fmt.Errorf("exports: delete a file: %w", err)
		}
	}
	return nil
}
