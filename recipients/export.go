package recipients

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/stratakit/strata/audit"
	"github.com/stratakit/strata/customfields"
	"github.com/stratakit/strata/tenancy"
)

// Export is everything that is known of a recipient in the tables of all products, for the
// person who asks what that is (GDPR article 15) or a copy of a domain.
type Export struct {
	Recipient

	DeletedAt *time.Time `json:"deletedAt"` // nil while it is there
	// Products are the rows of the extensions in which it is enrolled, by name: column and
	// value, whether or not this process, or any version of the product, still knows the
	// column. Numbers are json.Number.
	Products map[string]map[string]any `json:"products"`
	// Tables are the rows of further tables (Extension.Tables) that are about it, by schema.name,
	// such as its devices: those that have any.
	Tables map[string][]map[string]any `json:"tables"`
}

// maxExport is how many recipients ExportPage returns.
const maxExport = 500

// Export returns everything that is known of a recipient, a deleted one too, and notes in the
// audit trail that it was asked for. Errors: ErrNotFound.
func (s *Store) Export(ctx context.Context, id ID) (Export, error) {
	all, err := s.export(ctx, "r.id = $2 LIMIT 1", id)
	if err == nil && len(all) == 0 {
		err = ErrNotFound
	}
	if err != nil {
		return Export{}, err
	}
	return all[0], nil
}

// ExportPage returns everything that is known of the next recipients of the domain, at most
// 500 and deleted ones too, in the order of their ids: those after one, and from the zero ID
// the first. None are left when it returns none. Each page is noted in the audit trail.
func (s *Store) ExportPage(ctx context.Context, after ID) ([]Export, error) {
	return s.export(ctx, fmt.Sprintf("r.id > coalesce($2, '00000000-0000-0000-0000-000000000000'::uuid) ORDER BY r.id LIMIT %d", maxExport), after)
}

func (s *Store) export(ctx context.Context, which string, id ID) (out []Export, err error) {
	if _, err := tenancy.DomainFrom(ctx); err != nil {
		return nil, err
	}
	all, err := storedExtensions(ctx, s.db)
	if err != nil {
		return nil, err
	}
	all = slices.DeleteFunc(all, func(x stored) bool { return !x.there })
	set, err := s.fields.Set(ctx)
	if err != nil {
		return nil, err
	}
	err = s.db.InTx(ctx, func(tx *tenancy.Tx) error {
		if out, err = readExport(ctx, tx, set, all, which, id); err != nil || len(out) == 0 {
			return err
		}
		entry := audit.Entry{Action: "recipient.exported", ResourceType: "recipient", ResourceID: out[0].ID.String()}
		if len(out) > 1 {
			entry.Metadata = map[string]any{"recipients": len(out), "last": out[len(out)-1].ID.String()}
		}
		return s.audit.RecordTx(ctx, tx, entry)
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

func readExport(ctx context.Context, tx *tenancy.Tx, set *customfields.Set, all []stored, which string, id ID) (out []Export, err error) {
	columns, joins := "", ""
	var further []tenancy.Table
	for i := range all {
		columns += ", " + all[i].whole()
		joins += " " + all[i].join()
		further = append(further, all[i].more...)
	}
	for _, t := range further {
		columns += `, (SELECT jsonb_agg(to_jsonb(m.*) ORDER BY to_jsonb(m.*)) FROM ` + t.String() + ` m WHERE m.domain_id = r.domain_id AND m.recipient_id = r.id)`
	}
	q := `SELECT ` + recipientColumns + columns + ` FROM (SELECT r.* FROM strata.recipients r WHERE r.domain_id = $1 AND ` + which + `) r` + joins + ` ORDER BY r.id`
	err = tx.Read(ctx, q, []any{tx.Tenant().DomainID, id}, func(rows pgx.Rows) error {
		out, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (e Export, err error) {
			texts := make([][]byte, len(all)+len(further))
			targets := make([]any, len(texts))
			for i := range texts {
				targets[i] = &texts[i]
			}
			if e.Recipient, err = scanRecipient(set, row, targets...); err != nil {
				return e, err
			}
			e.DeletedAt = e.Recipient.DeletedAt
			e.Products = map[string]map[string]any{}
			for i, text := range texts[:len(all)] {
				values, err := columnValues(text)
				if err != nil {
					return e, err
				}
				if values != nil {
					e.Products[all[i].name] = values
				}
			}
			e.Tables = map[string][]map[string]any{}
			for i, text := range texts[len(all):] {
				if text == nil {
					continue
				}
				var rows []map[string]any
				if err := decodeNumbers(text, &rows); err != nil {
					return e, err
				}
				for _, row := range rows {
					withoutIDs(row)
				}
				e.Tables[further[i].Schema+"."+further[i].Name] = rows
			}
			return e, nil
		})
		return err
	})
	return out, err
}

// columnValues reads a row that PostgreSQL has made JSON of, without whose it is; nil is none.
func columnValues(text []byte) (map[string]any, error) {
	if text == nil {
		return nil, nil
	}
	var values map[string]any
	if err := decodeNumbers(text, &values); err != nil || values["recipient_id"] == nil {
		return nil, err
	}
	return withoutIDs(values), nil
}

// decodeNumbers reads what PostgreSQL has made JSON of. A float64 does not hold every bigint.
func decodeNumbers(text []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	if err := d.Decode(into); err != nil {
		return fmt.Errorf("recipients: rows of an extension: %w", err)
	}
	return nil
}

func withoutIDs(row map[string]any) map[string]any {
	for _, id := range baseColumns[:4] {
		delete(row, id)
	}
	return row
}
