package imports

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
	"gocloud.dev/gcerrors"

	"github.com/stratakit/strata/tenancy"
)

// sweptAtOnce is how many imports one call of Sweep cleans at most.
const sweptAtOnce = 100

// Sweep deletes the files and staged rows of imports that were finished or abandoned
// longer ago than Config.Keep, in every domain, and returns how many it cleaned. An
// abandoned import is cancelled. Run it once an hour or so; any number of processes may.
func (im *Importer) Sweep(ctx context.Context) (int, error) {
	type old struct {
		tenant    tenancy.Tenant
		id        ID
		objectKey string
	}
	var due []old
	err := im.db.ReadTrusted(ctx, `SELECT company_id, workspace_id, domain_id, id, object_key FROM strata.imports
		WHERE object_key <> '' AND updated_at < $1 AND status NOT IN ('validating', 'processing') ORDER BY updated_at LIMIT $2`,
		[]any{im.cfg.Now().Add(-im.cfg.Keep), sweptAtOnce}, func(rows pgx.Rows) (err error) {
			due, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (o old, err error) {
				err = row.Scan(&o.tenant.CompanyID, &o.tenant.WorkspaceID, &o.tenant.DomainID, &o.id, &o.objectKey)
				return o, err
			})
			return err
		})
	if err != nil {
		return 0, fmt.Errorf("imports: find old imports: %w", err)
	}
	for i, o := range due {
		if err := im.sweep(tenancy.WithTenant(ctx, o.tenant), o.id, o.objectKey); err != nil {
			return i, fmt.Errorf("imports: sweep %s: %w", o.id, err)
		}
	}
	return len(due), nil
}

// sweep first makes sure that nobody goes on with the import, then deletes.
func (im *Importer) sweep(ctx context.Context, id ID, objectKey string) error {
	swept := false
	err := im.db.InTx(ctx, func(tx *tenancy.Tx) error {
		tag, err := tx.Exec(ctx, tx.SQL(`UPDATE strata.imports SET object_key = '', status = CASE WHEN status IN ('pending', 'preview') THEN 'cancelled' ELSE status END
			WHERE domain_id = $1 AND id = $2 AND object_key = $3 AND updated_at < $4 AND status NOT IN ('validating', 'processing')`),
			tx.Tenant().DomainID, id, objectKey, im.cfg.Now().Add(-im.cfg.Keep))
		if err != nil || tag.RowsAffected() == 0 { // somebody was faster, or it is in use again
			return err
		}
		swept = true
		return im.record(ctx, tx, "import.swept", id, nil)
	})
	if err != nil || !swept {
		return err
	}
	if err := im.bucket.Delete(ctx, objectKey); err != nil && gcerrors.Code(err) != gcerrors.NotFound {
		return fmt.Errorf("delete the file: %w", err)
	}
	for more := true; more; {
		err := im.db.InTx(ctx, func(tx *tenancy.Tx) (err error) {
			more, err = clearRows(ctx, tx, id)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}
