package imports

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/jackc/pgx/v5"
	"gocloud.dev/blob"
	"gocloud.dev/gcerrors"

	"github.com/stratakit/strata/tenancy"
)

// sweptAtOnce is how many imports one call of Sweep cleans at most.
const sweptAtOnce = 100

// expiredSQL is the condition that what an import changed is kept no longer; $1 is the time its
// commit must have ended before.
const expiredSQL = `committed_at < $1 AND status NOT IN ('validating', 'preview', 'processing', 'undoing')`

// dueSQL is the condition that an import is to be swept; $1 is the time it must have
// stood still since.
const dueSQL = `object_key <> '' AND updated_at < $1 AND status NOT IN ('validating', 'processing', 'undoing')`

// Sweep deletes the files and staged rows of imports that were finished or abandoned
// longer ago than Config.Keep, and what those changed that were committed longer ago than
// Config.UndoFor, in every domain, and returns how many it cleaned. An
// abandoned import is cancelled; one that waits for the commit of a correction is Done again. One that cannot be cleaned does not keep the others: the
// errors come joined, and the next call tries it again. Run it once an hour or so; any
// number of processes may.
func (im *Importer) Sweep(ctx context.Context) (int, error) {
	staged, err := im.sweepAll(ctx, dueSQL, im.sweptBefore(), im.sweep)
	changes, expiredErr := im.sweepAll(ctx, expiredSQL, im.expiredBefore(), im.expire)
	return staged + changes, errors.Join(err, expiredErr)
}

// sweepAll sweeps imports that a condition holds for.
func (im *Importer) sweepAll(ctx context.Context, condition string, before time.Time, sweep func(context.Context, ID) (bool, error)) (int, error) {
	type old struct {
		tenant tenancy.Tenant
		id     ID
	}
	var due []old
	err := im.db.ReadTrusted(ctx, `SELECT company_id, workspace_id, domain_id, id FROM strata.imports
		WHERE `+condition+` ORDER BY updated_at LIMIT $2`, []any{before, sweptAtOnce}, func(rows pgx.Rows) (err error) {
		due, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (o old, err error) {
			err = row.Scan(&o.tenant.CompanyID, &o.tenant.WorkspaceID, &o.tenant.DomainID, &o.id)
			return o, err
		})
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("imports: find old imports: %w", err)
	}
	return tenancy.Chore(ctx, due, func(ctx context.Context, o old) (bool, error) {
		done, err := sweep(tenancy.WithDeleted(tenancy.WithTenant(ctx, o.tenant)), o.id)
		if err != nil {
			err = fmt.Errorf("imports: sweep %s: %w", o.id, err)
		}
		return done, err
	})
}

func (im *Importer) sweptBefore() time.Time { return im.cfg.Now().Add(-im.cfg.Keep) }

func (im *Importer) expiredBefore() time.Time { return im.cfg.Now().Add(-im.cfg.UndoFor) }

// expire deletes what an import changed, unless somebody was faster or it is being undone.
func (im *Importer) expire(ctx context.Context, id ID) (done bool, err error) {
	err = im.db.InTx(ctx, func(tx *tenancy.Tx) error {
		tag, err := tx.Exec(ctx, tx.SQL(`UPDATE strata.imports SET committed_at = NULL WHERE domain_id = $2 AND id = $3 AND `+expiredSQL), im.expiredBefore(), tx.Tenant().DomainID, id)
		if err != nil || tag.RowsAffected() == 0 {
			return err
		}
		if err := clearChanges(ctx, tx, id); err != nil {
			return err
		}
		done = true
		return im.record(ctx, tx, "import.undo_expired", id, nil)
	})
	return done && err == nil, err
}

// sweep deletes what is kept of an import, unless somebody was faster or it is in use
// again, and forgets its file last: after a failure or a death it is found again.
func (im *Importer) sweep(ctx context.Context, id ID) (done bool, err error) {
	err = im.db.InTx(ctx, func(tx *tenancy.Tx) error {
		domain := tx.Tenant().DomainID
		var objectKey string
		err := tx.QueryRow(ctx, tx.SQL(`SELECT object_key FROM strata.imports WHERE domain_id = $2 AND id = $3 AND `+dueSQL+` FOR UPDATE`),
			im.sweptBefore(), domain, id).Scan(&objectKey)
		if errors.Is(err, pgx.ErrNoRows) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := deleteFile(ctx, im.bucket, objectKey); err != nil {
			return fmt.Errorf("delete the file: %w", err)
		}
		for more := true; more; {
			if more, err = clearRows(ctx, tx, id); err != nil {
				return err
			}
		}
		if _, err := tx.Exec(ctx, tx.SQL(endRound), domain, id); err != nil {
			return err
		}
		_, err = tx.Exec(ctx, tx.SQL(`UPDATE strata.imports SET object_key = '', status = CASE WHEN status IN ('pending', 'preview') THEN 'cancelled' ELSE status END
			WHERE domain_id = $1 AND id = $2`), domain, id)
		if err != nil {
			return err
		}
		done = true
		return im.record(ctx, tx, "import.swept", id, nil)
	})
	return done && err == nil, err
}

// deleteFile deletes an uploaded file, if it is there, with its working copies. A directory
// (fileblob) is written to under <key>.<time>.tmp first: what a process left there that died
// goes too.
func deleteFile(ctx context.Context, bucket *blob.Bucket, objectKey string) error {
	keys := []string{objectKey}
	for beside := bucket.List(&blob.ListOptions{Prefix: objectKey + "."}); ; {
		o, err := beside.Next(ctx)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		keys = append(keys, o.Key)
	}
	for _, k := range keys {
		if err := bucket.Delete(ctx, k); err != nil && gcerrors.Code(err) != gcerrors.NotFound {
			return err
		}
	}
	return nil
}
