package recipients

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/stratakit/strata/customfields"
	"github.com/stratakit/strata/tenancy"
)

// Stream calls fn with every recipient that a Query is about, on all of its pages, in the order
// of their ids, from one statement: all of them as they were at one moment, whatever is
// written meanwhile. Of the Query it takes Deleted, Filter, Search and With. It holds one
// recipient at a time, which is fn's to keep, and a connection until fn has had the last: fn
// must not wait for another one. There is no time limit but that of ctx, and that of
// PostgreSQL's statement_timeout. Errors: tenancy.ErrNotFound, *filter.Error, *tenancy.ValidationError, ErrTimeout,
// what fn returned, at which it ends.
func (s *Store) Stream(ctx context.Context, q Query, fn func(Recipient) error) error {
	w, err := s.where(ctx, q)
	if err != nil {
		return err
	}
	if w.with, err = s.with(ctx, q.With); err != nil {
		return err
	}
	if w.fields, err = s.fields.Set(ctx); err != nil {
		return err
	}
	t, err := tenancy.DomainFrom(ctx)
	if err != nil {
		return err
	}
	var workspace *tenancy.WorkspaceID // nil: it is not known
	if !t.WorkspaceID.IsZero() {
		workspace = &t.WorkspaceID
	}
	// Whether the domain is where ctx has it is asked in the statement itself: what fn was given
	// cannot be taken back.
	there := fmt.Sprintf(`EXISTS (SELECT FROM strata.domains WHERE id = $1 AND company_id = $%d AND coalesce(workspace_id = $%d, true))`, len(w.args)+1, len(w.args)+2)
	w.args = append(w.args, t.CompanyID, workspace)
	// A filter may join an extension that With names too: each has its own scope.
	err = s.db.ReadTrusted(ctx, `SELECT `+recipientColumns+w.with.columns()+`
		FROM (SELECT r.* FROM strata.recipients r`+w.joins+` WHERE `+w.sql+`) r`+w.with.joins()+` WHERE `+there+` ORDER BY r.id`, w.args, func(rows pgx.Rows) error {
		for rows.Next() {
			joined, put := w.with.scan()
			r, err := scanRecipient(w.fields, rows, joined...)
			if err != nil {
				return err
			}
			if err := put(&r); err != nil {
				return err
			}
			if err := fn(r); err != nil {
				return err
			}
		}
		return nil
	})
	var pg *pgconn.PgError
	if errors.As(err, &pg) && pg.Code == "57014" && ctx.Err() == nil {
		return ErrTimeout
	}
	return err
}

// ExtensionColumns returns what the row of an extension has in JSON beside its version and
// times (Row.Values), in the order of its table, for whichever product's it is. Errors: a
// *tenancy.ValidationError with the field "with" for one that is not there.
func (s *Store) ExtensionColumns(ctx context.Context, name string) ([]string, error) {
	found, err := s.with(ctx, []string{name})
	if err != nil {
		return nil, err
	}
	var names []string
	for _, c := range found[0].columns {
		if c.JSON != "" {
			names = append(names, c.JSON)
		}
	}
	return names, nil
}

// Fields returns the custom fields by which the recipients of ctx's tenant are read.
func (s *Store) Fields(ctx context.Context) (*customfields.Set, error) { return s.fields.Set(ctx) }
