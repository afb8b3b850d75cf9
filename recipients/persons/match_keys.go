package persons

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/stratakit/strata/recipients"
	"github.com/stratakit/strata/tenancy"
)

// keyBatch brings the keys of the next recipients up to date. The first one of a run counts
// them all.
func (w *matchWork) keyBatch(ctx context.Context, tx *tenancy.Tx, next *matchCursor) (did progress, err error) {
	if next.Domain.IsZero() {
		if did.total, err = w.count(ctx, tx); err != nil {
			return did, err
		}
	}
	var in tenancy.Tenant
	err = tx.QueryRow(ctx, tx.SQL(`SELECT company_id, workspace_id, id FROM strata.domains WHERE company_id = $1 AND ($2::uuid IS NULL OR workspace_id = $2)
		AND ($3::uuid IS NULL OR id >= $3) AND deleted_at IS NULL ORDER BY id LIMIT 1`), w.scope.CompanyID, w.scope.WorkspaceID, next.Domain).
		Scan(&in.CompanyID, &in.WorkspaceID, &in.DomainID)
	if errors.Is(err, pgx.ErrNoRows) {
		*next = matchCursor{Phase: next.Phase + 1}
		return did, nil
	}
	if err != nil {
		return did, fmt.Errorf("persons: look for the next domain: %w", err)
	}
	var after recipients.ID
	if in.DomainID == next.Domain && next.After != "" {
		if after, err = tenancy.ParseID[recipients.Recipient](next.After); err != nil {
			return did, err
		}
	}
	var last recipients.ID
	var more bool
	err = tx.Savepoint(ctx, func(tx *tenancy.Tx) error {
		return tx.As(ctx, in, func(ctx context.Context, tx *tenancy.Tx) error {
			last, more, err = w.keysOfDomain(ctx, tx, in, after, &did)
			return err
		})
	})
	switch {
	case errors.Is(err, tenancy.ErrMoving), errors.Is(err, tenancy.ErrNotFound): // the next run finds it
		did.Skipped++
	case err != nil:
		return did, err
	case more:
		next.Domain, next.After = in.DomainID, last.String()
		return did, nil
	}
	next.Domain, next.After = behind(in.DomainID), ""
	return did, nil
}

// behind is the least id behind id.
func behind(id tenancy.DomainID) tenancy.DomainID {
	for i := len(id) - 1; i >= 0; i-- {
		if id[i]++; id[i] != 0 {
			break
		}
	}
	return id
}

// count returns how many recipients there are to look at.
func (w *matchWork) count(ctx context.Context, tx *tenancy.Tx) (n int64, err error) {
	err = tx.ReadTrusted(ctx, `SELECT count(*) FROM strata.domains d JOIN strata.recipients r ON r.domain_id = d.id
		WHERE d.company_id = $1 AND ($2::uuid IS NULL OR d.workspace_id = $2) AND d.deleted_at IS NULL`, []any{w.scope.CompanyID, w.scope.WorkspaceID}, func(rows pgx.Rows) (err error) {
		n, err = pgx.CollectExactlyOneRow(rows, pgx.RowTo[int64])
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("persons: count recipients: %w", err)
	}
	return n, nil
}

// fieldsOf is how the keys of a workspace are made.
type fieldsOf struct {
	named           func(map[string]any) map[string]any
	upn, department string
	hash            uuid.UUID
}

func (w *matchWork) fieldsIn(ctx context.Context, tx *tenancy.Tx) (f fieldsOf, err error) {
	f.upn, f.department = "upn", "department"
	if w.cfg.Settings != nil {
		if f.upn, err = UPNField.GetTx(ctx, tx, w.cfg.Settings); err != nil {
			return f, err
		}
		if f.department, err = DepartmentField.GetTx(ctx, tx, w.cfg.Settings); err != nil {
			return f, err
		}
	}
	set, err := w.fields.SetTx(ctx, tx)
	if err != nil {
		return f, err
	}
	slot := func(key string) string {
		if field := set.Field(key); field != nil {
			return field.Slot
		}
		return ""
	}
	f.named = set.Named
	made := fmt.Sprintf("%d\x00%s\x00%s\x00%s\x00%s\x00%s", keysVersion, f.upn, slot(f.upn), f.department, slot(f.department), slices.Sorted(maps.Keys(w.roles)))
	sum := sha256.Sum256([]byte(made))
	f.hash, err = uuid.FromBytes(sum[:16])
	return f, err
}

// staleSQL walks the recipients of a domain. Of those whose keys are up to date only the id
// is read. OFFSET 0 has keys looked up one by one: joined, all of the domain's would be read
// for each batch.
const staleSQL = `SELECT r.id, r.version, r.deleted_at IS NOT NULL, s.stale,
		CASE WHEN s.stale THEN r.email_norm END, CASE WHEN s.stale THEN r.name END, CASE WHEN s.stale THEN r.custom_fields END
	FROM (SELECT * FROM strata.recipients WHERE domain_id = $1 AND id > $2 ORDER BY id LIMIT $3) r
	LEFT JOIN LATERAL (SELECT * FROM strata.person_keys k WHERE k.domain_id = $1 AND k.recipient_id = r.id OFFSET 0) k ON true
	CROSS JOIN LATERAL (SELECT k.version IS DISTINCT FROM r.version OR k.settings IS DISTINCT FROM $4 AS stale) s`

func (w *matchWork) keysOfDomain(ctx context.Context, tx *tenancy.Tx, in tenancy.Tenant, after recipients.ID, did *progress) (last recipients.ID, more bool, err error) {
	f, err := w.fieldsIn(ctx, tx)
	if err != nil {
		return last, false, err
	}
	var ids []recipients.ID
	var versions []int64
	var upns, emailNames, nameDepartments []uuid.NullUUID
	err = tx.Read(ctx, staleSQL, []any{in.DomainID, uuid.UUID(after), w.cfg.BatchRows, f.hash}, func(rows pgx.Rows) error {
		var id recipients.ID
		var version int64
		var deleted, stale bool
		var email, name *string
		var fields map[string]any
		_, err := pgx.ForEachRow(rows, []any{&id, &version, &deleted, &stale, &email, &name, &fields}, func() error {
			did.processed++
			if compareRefs(Ref{RecipientID: id}, Ref{RecipientID: last}) > 0 { // the join may have lost the order
				last = id
			}
			if !stale {
				return nil
			}
			var k keys
			if !deleted {
				named := f.named(fields)
				k = w.keysOf(source{email: *email, name: *name, upn: text(named[f.upn]), department: text(named[f.department])})
			}
			fields = nil // the next row's would be read into it
			did.Keyed++
			if k.role {
				did.RoleAddresses++
			}
			ids, versions = append(ids, id), append(versions, version)
			upns, emailNames, nameDepartments = append(upns, k.upn), append(emailNames, k.emailName), append(nameDepartments, k.nameDepartment)
			return nil
		})
		return err
	})
	if err != nil {
		return last, false, fmt.Errorf("persons: read recipients: %w", err)
	}
	if len(ids) > 0 {
		_, err = tx.Exec(ctx, tx.SQL(`INSERT INTO strata.person_keys AS k (domain_id, recipient_id, company_id, workspace_id, version, settings, upn, email_name, name_department)
			SELECT $1, n.id, $2, $3, n.version, $4, n.upn, n.email_name, n.name_department
			FROM unnest($5::uuid[], $6::bigint[], $7::uuid[], $8::uuid[], $9::uuid[]) AS n (id, version, upn, email_name, name_department)
			ON CONFLICT (domain_id, recipient_id) DO UPDATE SET version = excluded.version, settings = excluded.settings,
				upn = excluded.upn, email_name = excluded.email_name, name_department = excluded.name_department`),
			in.DomainID, in.CompanyID, in.WorkspaceID, f.hash, ids, versions, upns, emailNames, nameDepartments)
		if err != nil {
			return last, false, fmt.Errorf("persons: write keys: %w", err)
		}
	}
	return last, did.processed == int64(w.cfg.BatchRows), nil
}

// text is a value of a custom field as it is compared.
func text(v any) string {
	switch v := v.(type) {
	case nil, []any, map[string]any, bool:
		return ""
	case string:
		return v
	}
	return fmt.Sprint(v)
}
