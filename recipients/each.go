package recipients

import (
	"context"
	"fmt"
	"slices"

	"github.com/stratakit/strata/customfields"
	"github.com/stratakit/strata/tenancy"
)

// MaxEach is how many recipients the calls named ...EachTx take.
const MaxEach = 10_000

// Each is what a call named ...EachTx did: such a call does what it can for each of the
// recipients. Those that are in none of the numbers are not there, deleted, or in another
// domain.
type Each struct {
	Changed   int
	Unchanged int // were so already: no new version, no audit entry
	Failed    []EachFailed
}

// EachFailed is a recipient that was refused, and why.
type EachFailed struct {
	ID  ID
	Err error
}

func (e *Each) fail(id ID, err error) { e.Failed = append(e.Failed, EachFailed{id, err}) }

// beginEach is what every such call begins with.
func (s *Store) beginEach(ctx context.Context, tx *tenancy.Tx, ids []ID) (*customfields.Set, error) {
	if len(ids) > MaxEach {
		return nil, fmt.Errorf("recipients: %d were given, at most %d are done at once", len(ids), MaxEach)
	}
	if _, err := tenancy.DomainFrom(ctx); err != nil {
		return nil, err
	}
	return s.fields.SetTx(ctx, tx)
}

func idsOf(rows []held) []ID {
	ids := make([]ID, len(rows))
	for i := range rows {
		ids[i] = rows[i].ID
	}
	return ids
}

// SelectIDs returns a SELECT of the ids of the recipients that a Query lists, without its page,
// Sort and With, in no order; with ids, of those among them. It is for
// [tenancy.DB.ReadTrusted]: the domain of ctx is its first condition. Errors: *filter.Error,
// tenancy.ErrNoTenant.
func (s *Store) SelectIDs(ctx context.Context, q Query, ids []ID) (sql string, args []any, err error) {
	w, err := s.where(ctx, q)
	if err != nil {
		return "", nil, err
	}
	if ids != nil {
		w.args = append(w.args, slices.Clone(ids))
		w.sql += fmt.Sprintf(" AND r.id = ANY ($%d)", len(w.args))
	}
	return `SELECT r.id FROM strata.recipients r` + w.joins + ` WHERE ` + w.sql, w.args, nil
}
