package imports

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/stratakit/strata/tenancy"
)

// keepChecksum reads the file once more, from its beginning to its end, for its SHA-256: the rows
// are read by several processes, from different places.
func (w *processWork) keepChecksum(ctx context.Context, tx *tenancy.Tx) error {
	reading, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	var sum []byte
	var err error
	go func() {
		defer close(done)
		sum, err = w.im.sum(reading, w.checked.objectKey)
	}()
	_, waited := await(ctx, done, stillHere(ctx, tx))
	cancel()
	<-done
	if err = errors.Join(waited, err); err != nil {
		return fmt.Errorf("make the checksum of the file: %w", err)
	}
	_, err = tx.Exec(ctx, tx.SQL(`UPDATE strata.imports SET sha256 = $3 WHERE domain_id = $1 AND id = $2`), tx.Tenant().DomainID, w.id, sum)
	return err
}

func (im *Importer) sum(ctx context.Context, objectKey string) ([]byte, error) {
	r, err := im.bucket.NewReader(ctx, objectKey, nil)
	if err != nil {
		return nil, err
	}
	h := sha256.New()
	_, err = io.Copy(h, r)
	return h.Sum(nil), errors.Join(err, r.Close())
}

// warnOfSameFile looks for the last import of the domain that has committed the same file and was
// not undone.
func (im *Importer) warnOfSameFile(ctx context.Context, i Import) ([]Warning, error) {
	if i.Status != Previewed || i.Round > 0 { // its own commit is not before it
		return nil, nil
	}
	t, err := tenancy.DomainFrom(ctx)
	if err != nil {
		return nil, err
	}
	var warnings []Warning
	err = im.db.Read(ctx, `SELECT id, file_name, created_at FROM strata.imports
		WHERE domain_id = $1 AND sha256 = decode($2, 'hex') AND id <> $3 AND status = 'done' ORDER BY created_at DESC LIMIT 1`, []any{t.DomainID, i.SHA256, i.ID}, func(rows pgx.Rows) error {
		var id ID
		var name string
		var at time.Time
		_, err := pgx.ForEachRow(rows, []any{&id, &name, &at}, func() error {
			warnings = append(warnings, Warning{Code: "same_file", Message: fmt.Sprintf("this exact file was imported before, as %q on %s (import %s)", name, at.UTC().Format("2006-01-02 at 15:04 UTC"), id)})
			return nil
		})
		return err
	})
	return warnings, err
}
