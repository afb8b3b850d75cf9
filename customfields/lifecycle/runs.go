package lifecycle

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/stratakit/strata/customfields"
	"github.com/stratakit/strata/tenancy"
)

// Runs returns a page of the runs of the workspace, the newest first. Errors:
// *tenancy.ValidationError, tenancy.ErrInvalidCursor.
func (m *Manager) Runs(ctx context.Context, p tenancy.PageRequest) (tenancy.Page[Run], error) {
	t, err := tenancy.WorkspaceFrom(ctx)
	if err != nil {
		return tenancy.Page[Run]{}, err
	}
	if p, err = p.Normalize(); err != nil {
		return tenancy.Page[Run]{}, err
	}
	page := tenancy.Page[Run]{Page: p.Page, PageSize: p.PageSize, Total: -1}
	q, args := `SELECT `+runColumns+` FROM strata.custom_field_runs WHERE workspace_id = $1`, []any{t.WorkspaceID}
	offset := 0
	if p.Cursor == "" {
		offset = p.Offset()
		err := m.db.Read(ctx, `SELECT count(*) FROM strata.custom_field_runs WHERE workspace_id = $1`, args, func(rows pgx.Rows) (err error) {
			page.Total, err = pgx.CollectExactlyOneRow(rows, pgx.RowTo[int64])
			return err
		})
		if err != nil {
			return page, wrap("count runs", err)
		}
	} else {
		before, err := tenancy.ParseID[Run](p.Cursor)
		if err != nil {
			return page, tenancy.ErrInvalidCursor
		}
		q, args = q+` AND id < $2`, append(args, before)
	}
	err = m.db.Read(ctx, fmt.Sprintf(`%s ORDER BY id DESC LIMIT %d OFFSET %d`, q, p.PageSize+1, offset), args, func(rows pgx.Rows) (err error) {
		page.Items, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (Run, error) {
			r, err := scanRecord(row)
			return r.Run, err
		})
		return err
	})
	if err != nil {
		return page, wrap("read runs", err)
	}
	if len(page.Items) > p.PageSize {
		page.Items, page.HasMore = page.Items[:p.PageSize], true
		page.NextCursor = page.Items[p.PageSize-1].ID.String()
	}
	return page, nil
}

// begin writes down a run whose transition is in the definition, in the same transaction.
// It returns tenancy.ErrMoving while a domain of the workspace is being moved.
func (m *Manager) begin(ctx context.Context, tx *tenancy.Tx, r Run) (Run, error) {
	t := tx.Tenant()
	var moving bool
	err := tx.QueryRow(ctx, tx.SQL(`SELECT EXISTS (SELECT FROM strata.domains WHERE company_id = $1 AND workspace_id = $2 AND moving_since IS NOT NULL)`), t.CompanyID, t.WorkspaceID).Scan(&moving)
	if err != nil {
		return Run{}, wrap("look for domains that move", err)
	}
	if moving { // the run would wait for the move, and the move for the run
		return Run{}, fmt.Errorf("a domain of the workspace: %w", tenancy.ErrMoving)
	}
	rec, err := one(tx.Query(ctx, tx.SQL(`INSERT INTO strata.custom_field_runs (workspace_id, id, company_id, field_id, field_key, kind, queue, spec, total, actor)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) RETURNING `+runColumns),
		t.WorkspaceID, r.ID, t.CompanyID, r.FieldID, r.Key, string(r.Kind), m.cfg.Queue, r.Spec, r.Total, tenancy.ActorFrom(ctx)))
	if err != nil {
		return Run{}, wrap("note a run", err)
	}
	tx.AfterCommit(func(context.Context) { m.nudge() })
	return rec.Run, nil
}

// lockRun locks a run of the workspace.
func lockRun(ctx context.Context, tx *tenancy.Tx, id RunID) (record, error) {
	return one(tx.Query(ctx, tx.SQL(`SELECT `+runColumns+` FROM strata.custom_field_runs WHERE workspace_id = $1 AND id = $2 FOR NO KEY UPDATE`), tx.Tenant().WorkspaceID, id))
}

// Cancel undoes a run: a conversion before its flip, of which every trace is removed from
// the records in the background, or the removal of an option, where records that have lost
// it stay as they are. Errors: ErrRunNotFound, ErrTooLate.
func (m *Manager) Cancel(ctx context.Context, id RunID) (out Run, err error) {
	err = m.inWorkspace(ctx, func(ctx context.Context, tx *tenancy.Tx) error {
		rec, err := lockRun(ctx, tx, id)
		if err != nil {
			return err
		}
		switch {
		case rec.State == Cancelling || rec.failedIn == Cancelling && rec.State == Failed:
			out = rec.Run
			return nil
		case rec.State.Final() || rec.Kind == customfields.KindPurge || rec.Step == Drain || rec.Kind == customfields.KindConvert && rec.Step == Clean || rec.Step == End:
			return ErrTooLate
		}
		rec.State = Cancelling
		if rec.Kind == customfields.KindRemoveOption {
			rec.State = Cancelled
		}
		if _, err := m.alter(ctx, tx, rec, "cancelled", func(f *customfields.Field) error {
			if rec.State == Cancelled {
				f.Transition = nil
				return nil
			}
			// Writers clear it from now on, and the values there are nobody's.
			f.Transition = &customfields.Transition{RunID: rec.ID.String(), Kind: rec.Kind, Retired: f.Transition.Next}
			return nil
		}); err != nil {
			return err
		}
		rec.Step, rec.cursor, rec.failures = Wait, cursor{}, 0
		rec.Processed, rec.Changed, rec.Lost = 0, 0, 0
		out, err = m.update(ctx, tx, rec, 0)
		tx.AfterCommit(func(context.Context) { m.nudge() })
		return err
	})
	return out, err
}

// Retry lets a run that has failed go on. One that found too many values that would be lost
// looks at all of them again. Errors: ErrRunNotFound, ErrState.
func (m *Manager) Retry(ctx context.Context, id RunID) (out Run, err error) {
	err = m.inWorkspace(ctx, func(ctx context.Context, tx *tenancy.Tx) error {
		rec, err := lockRun(ctx, tx, id)
		if err != nil {
			return err
		}
		if rec.State != Failed {
			return ErrState
		}
		rec.State, rec.failures = rec.failedIn, 0
		if rec.Step == Flip {
			rec.Step, rec.cursor = Fill, cursor{}
			rec.Processed, rec.Changed, rec.Lost = 0, 0, 0
		}
		if out, err = m.update(ctx, tx, rec, 0); err != nil {
			return err
		}
		tx.AfterCommit(func(context.Context) { m.nudge() })
		return m.record(ctx, tx, rec, "custom_field.change_retried", nil)
	})
	return out, err
}
