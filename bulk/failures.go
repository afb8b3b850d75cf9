package bulk

import (
	"context"
	"encoding/base64"
	"fmt"
	"strconv"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/stratakit/strata/internal/fault"
	"github.com/stratakit/strata/tenancy"
)

// Failure is a row that an operation could not do, and why, for everybody to read.
type Failure struct {
	ID      uuid.UUID `json:"id"`
	Code    string    `json:"code"`
	Message string    `json:"message"`
}

func failureOf(f Failed) Failure {
	text, code := fault.Kept(f.Err)
	return Failure{ID: f.ID, Code: code, Message: fault.Public(text, code)}
}

// Failures returns the rows that a run of ctx's domain could not do, in the order in which it
// came to them. A run that goes on may come to more. Errors: ErrNotFound,
// tenancy.ErrNoTenant, tenancy.ErrInvalidCursor, *tenancy.ValidationError.
func (r *Runner) Failures(ctx context.Context, id RunID, q tenancy.PageRequest) (page tenancy.Page[Failure], err error) {
	q, err = q.Normalize()
	if err != nil {
		return page, err
	}
	run, err := r.Get(ctx, id)
	if err != nil {
		return page, err
	}
	page = tenancy.Page[Failure]{Page: q.Page, PageSize: q.PageSize, Total: run.Counters["failed"]}
	after, offset := int64(0), q.Offset()
	if q.Cursor != "" {
		if after, err = parsePlace(q.Cursor); err != nil {
			return page, err
		}
		page.Page, offset = 1, 0
	}
	last := after
	err = r.db.Read(ctx, `SELECT seq, target_id, code, message FROM strata.run_failures
		WHERE domain_id = $1 AND run_id = $2 AND seq > $3 ORDER BY seq LIMIT $4 OFFSET $5`,
		[]any{run.DomainID, run.ID, after, q.PageSize + 1, offset}, func(rows pgx.Rows) error {
			var seq int64
			var f Failure
			_, err := pgx.ForEachRow(rows, []any{&seq, &f.ID, &f.Code, &f.Message}, func() error {
				if len(page.Items) == q.PageSize {
					page.HasMore, page.NextCursor = true, placeCursor(last)
					return nil
				}
				page.Items, last = append(page.Items, f), seq
				return nil
			})
			return err
		})
	if err != nil {
		return page, fmt.Errorf("bulk: list what failed: %w", err)
	}
	return page, nil
}

// A cursor is the place of the last failure of a page.
func placeCursor(seq int64) string {
	return base64.RawURLEncoding.EncodeToString(strconv.AppendInt(nil, seq, 10))
}

func parsePlace(s string) (int64, error) {
	raw, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil {
		return 0, tenancy.ErrInvalidCursor
	}
	seq, err := strconv.ParseInt(string(raw), 10, 64)
	if err != nil || seq < 1 {
		return 0, tenancy.ErrInvalidCursor
	}
	return seq, nil
}
