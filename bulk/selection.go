package bulk

import (
	"bytes"
	"context"
	"slices"
	"strings"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/stratakit/strata/tenancy"
)

// Selection says which rows of the domain a request is for: those with IDs, those that match
// Filter and Search, or All.
type Selection struct {
	IDs    []uuid.UUID
	Filter string
	Search string
	All    bool
}

// Source finds the rows of a Selection.
type Source interface {
	// Select returns a SELECT of one column: the ids of those rows of the domain of ctx's
	// tenant that are of sel, deleted ones or those that are not. It is run in the same
	// domain as tenancy.RoleQuery, which sees every tenant's rows so that filters use the
	// indexes: its first condition must be the domain. An error is the request's.
	Select(ctx context.Context, sel Selection, deleted bool) (sql string, args []any, err error)
}

// check says what is wrong with a selection, in the words of a request.
func (s Selection) check(v *tenancy.ValidationError) {
	ways := 0
	for _, given := range []bool{s.IDs != nil, strings.TrimSpace(s.Filter+s.Search) != "", s.All} {
		if given {
			ways++
		}
	}
	switch {
	case ways == 0:
		v.Add("filter", "required", `say which rows: give "ids", a "filter" or a "search", or "all": true`)
	case ways > 1:
		v.Add("filter", "ambiguous", `give one of "ids", "filter" with "search", and "all"`)
	case s.IDs != nil && len(s.IDs) == 0:
		v.Add("ids", "required", "must not be empty")
	}
}

func compareUUIDs(a, b uuid.UUID) int { return bytes.Compare(a[:], b[:]) }

// distinct returns the ids that were given, each once and sorted.
func (s Selection) distinct() []uuid.UUID {
	ids := slices.Clone(s.IDs)
	slices.SortFunc(ids, compareUUIDs)
	return slices.Compact(ids)
}

// find returns the ids of a selection, each once and sorted: rows that are worked on in the
// order of their ids are locked in one order by all. What is given by its id need not be
// there; everything else is what is there now.
func (o *Operations) find(ctx context.Context, tx *tenancy.Tx, p *prepared) (ids []uuid.UUID, err error) {
	if p.sel.IDs != nil {
		return p.sel.distinct(), nil
	}
	return o.present(ctx, tx, p)
}

// present returns the ids of the rows of a selection that are there, sorted.
func (o *Operations) present(ctx context.Context, tx *tenancy.Tx, p *prepared) (ids []uuid.UUID, err error) {
	limited, cancel := context.WithTimeoutCause(ctx, o.cfg.SelectTimeout, ErrSelectTimeout)
	defer cancel()
	err = tx.ReadTrusted(limited, p.selectSQL, p.selectArgs, func(rows pgx.Rows) (err error) {
		var id pgtype.UUID
		_, err = pgx.ForEachRow(rows, []any{&id}, func() error {
			ids = append(ids, id.Bytes)
			return nil
		})
		return err
	})
	if err != nil && context.Cause(limited) == ErrSelectTimeout { //nolint:errorlint // it is that very one
		return nil, ErrSelectTimeout
	}
	slices.SortFunc(ids, compareUUIDs)
	return ids, err
}
