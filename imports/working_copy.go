package imports

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"gocloud.dev/blob"
	"gocloud.dev/gcerrors"

	"github.com/stratakit/strata/bulk"
)

// A working copy is the text of a file that is not its own text, in the bucket beside it: of
// a text records can be read from any offset on, as a run does that goes on after another. It
// is made whole or not at all, the same for the same layout by whoever makes it, made anew when
// it is missing, and deleted when the last record has been read. What is left of imports that
// came to nothing goes with their files.

// copyKey names the working copy of a file in a layout. Another file in its place has another.
func copyKey(imp Import, s stored) (string, error) {
	b, err := json.Marshal([]any{s.plan.Format.layout, s.etag, imp.Size})
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(b)
	return s.objectKey + "." + hex.EncodeToString(sum[:8]) + ".csv", nil
}

// workingCopy returns where the text of an import's file is and its size, and makes the copy
// when there is none.
func (im *Importer) workingCopy(ctx context.Context, imp Import, s stored, run bulk.Run) (key string, size int64, err error) {
	if key, err = copyKey(imp, s); err != nil {
		return "", 0, err
	}
	attrs, err := im.bucket.Attributes(ctx, key)
	if gcerrors.Code(err) == gcerrors.NotFound {
		if err := im.makeCopy(ctx, imp, s, key, run); err != nil {
			return "", 0, err
		}
		attrs, err = im.bucket.Attributes(ctx, key)
	}
	if err != nil {
		return "", 0, fmt.Errorf("imports: look at the working copy: %w", err)
	}
	return key, attrs.Size, nil
}

func (im *Importer) makeCopy(ctx context.Context, imp Import, s stored, key string, run bulk.Run) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // before Close, it discards what was written
	file := im.source(ctx, s.objectKey, imp.Size, runBlock)
	defer file.done()
	text, err := file.text(s.plan.Format.layout, im.cfg.MaxFileSize)
	if err != nil {
		return file.damage(err)
	}
	w, err := im.bucket.NewWriter(ctx, key, &blob.WriterOptions{ContentType: defaultContentType, IfNotExist: true})
	if err != nil {
		return fmt.Errorf("imports: make the working copy: %w", err)
	}
	to := &reported{w: w, report: func() { run.Report(0, 0) }}
	_, err = io.CopyBuffer(to, struct{ io.Reader }{text}, make([]byte, 256<<10))
	switch {
	case to.failed != nil:
		err = fmt.Errorf("imports: make the working copy: %w", to.failed)
	case err != nil:
		err = file.damage(err)
	default:
		err = im.checkFile(ctx, imp, s) // what was read is what was looked at
	}
	if err != nil {
		cancel()
		_ = w.Close()
		return err
	}
	if err := w.Close(); err != nil && gcerrors.Code(err) != gcerrors.FailedPrecondition { // somebody was faster
		return fmt.Errorf("imports: make the working copy: %w", err)
	}
	return nil
}

// reported says that there is progress with whatever is written.
type reported struct {
	w      io.Writer
	report func()
	failed error // of w
}

func (r *reported) Write(p []byte) (int, error) {
	r.report()
	n, err := r.w.Write(p)
	r.failed = err
	return n, err
}

// deleteCopy deletes a working copy that is not needed any more. What it cannot delete is left
// to Sweep.
func (im *Importer) deleteCopy(ctx context.Context, key string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	if err := im.bucket.Delete(ctx, key); err != nil && gcerrors.Code(err) != gcerrors.NotFound {
		im.cfg.Log.WarnContext(ctx, "cannot delete the working copy of an import", "object", key, "error", err)
	}
}
