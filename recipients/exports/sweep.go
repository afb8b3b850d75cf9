package exports

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/stratakit/strata/tenancy"
)

// sweptAtOnce is how many exports one call of Sweep cleans at most.
const sweptAtOnce = 100

// overSQL is the condition that the time of an export x is over; $1 is now.
const overSQL = `(x.expires_at <= $1 OR NOT EXISTS (
	SELECT FROM strata.domains d JOIN strata.workspaces w ON w.id = d.workspace_id JOIN strata.companies c ON c.id = d.company_id
	WHERE d.id = x.domain_id AND d.deleted_at IS NULL AND w.deleted_at IS NULL AND c.deleted_at IS NULL))`

// dueSQL is the condition that there is something to delete of an export x. What a run works
// on is left alone.
const dueSQL = `x.deleted_at IS NULL AND (` + overSQL + ` OR x.object_key <> '' AND NOT x.tidied)
	AND NOT EXISTS (SELECT FROM strata.runs r WHERE r.domain_id = x.domain_id AND r.id = x.id AND r.state IN ('queued', 'processing', 'paused'))`

// Sweep deletes the files of exports whose time is over, or whose domain is deleted, in every
// domain, and what processes have left that died over one. It returns how many exports it
// cleaned. One that cannot be cleaned does not keep the others: the errors come joined, and the
// next call tries it again. Run it every few minutes; any number of processes may. A bucket in
// the cloud keeps the parts of uploads that were never finished, which nobody can read: have it
// drop them after a day (AbortIncompleteMultipartUpload of S3, and its like).
func (e *Exporter) Sweep(ctx context.Context) (int, error) {
	left := e.sweepTemp()
	if e.bucket == nil {
		return 0, left
	}
	type old struct {
		tenant tenancy.Tenant
		id     ID
	}
	var due []old
	err := e.db.ReadTrusted(ctx, `SELECT company_id, workspace_id, domain_id, id FROM strata.recipient_exports x WHERE `+dueSQL+` ORDER BY expires_at LIMIT $2`,
		[]any{e.cfg.Now(), sweptAtOnce}, func(rows pgx.Rows) (err error) {
			due, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (o old, err error) {
				err = row.Scan(&o.tenant.CompanyID, &o.tenant.WorkspaceID, &o.tenant.DomainID, &o.id)
				return o, err
			})
			return err
		})
	if err != nil {
		return 0, errors.Join(left, fmt.Errorf("exports: find old exports: %w", err))
	}
	swept, err := tenancy.Chore(ctx, due, func(ctx context.Context, o old) (bool, error) {
		done, err := e.sweep(tenancy.WithDeleted(tenancy.WithTenant(ctx, o.tenant)), o.id)
		if err != nil {
			err = fmt.Errorf("exports: sweep %s: %w", o.id, err)
		}
		return done, err
	})
	return swept, errors.Join(left, err)
}

// sweep deletes what is to be deleted of an export, unless somebody was faster or its run goes
// on again, and says so last: after a failure or a death it is found again. The run is locked,
// so that it does not begin anew meanwhile.
func (e *Exporter) sweep(ctx context.Context, id ID) (done bool, err error) {
	err = e.db.InTx(ctx, func(tx *tenancy.Tx) error {
		domain := tx.Tenant().DomainID
		if _, err := tx.Exec(ctx, tx.SQL(`SELECT FROM strata.runs WHERE domain_id = $1 AND id = $2 FOR NO KEY UPDATE`), domain, id); err != nil {
			return err
		}
		now := e.cfg.Now()
		var prefix, keep string
		var over bool
		err := tx.QueryRow(ctx, tx.SQL(`SELECT object_prefix, object_key, `+overSQL+` FROM strata.recipient_exports x
			WHERE domain_id = $2 AND id = $3 AND `+dueSQL+` FOR NO KEY UPDATE OF x`), now, domain, id).Scan(&prefix, &keep, &over)
		if errors.Is(err, pgx.ErrNoRows) {
			return nil
		}
		if err != nil {
			return err
		}
		done = true
		set, action := `tidied = true`, "recipients.export.tidied"
		if over {
			keep, set, action = "", `object_key = '', deleted_at = now()`, "recipients.export.expired"
		}
		if err := e.deleteObjects(ctx, prefix, keep); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, tx.SQL(`UPDATE strata.recipient_exports SET `+set+` WHERE domain_id = $1 AND id = $2`), domain, id); err != nil {
			return err
		}
		return e.record(ctx, tx, action, id, nil)
	})
	return done && err == nil, err
}

// sweepTemp deletes what processes have left in the directory for temporary files that died
// over it.
func (e *Exporter) sweepTemp() error {
	entries, err := os.ReadDir(e.cfg.TempDir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("exports: look for temporary files: %w", err)
	}
	before := time.Now().Add(-e.cfg.Timeout - 24*time.Hour)
	var errs []error
	for _, entry := range entries {
		info, err := entry.Info()
		if err == nil && info.Mode().IsRegular() && info.ModTime().Before(before) {
			err = os.Remove(filepath.Join(e.cfg.TempDir, entry.Name()))
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, fmt.Errorf("exports: delete a temporary file: %w", err))
		}
	}
	return errors.Join(errs...)
}
