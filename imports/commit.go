package imports

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/stratakit/strata/audit"
	"github.com/stratakit/strata/billing"
	"github.com/stratakit/strata/bulk"
	"github.com/stratakit/strata/internal/fault"
	"github.com/stratakit/strata/recipients"
	"github.com/stratakit/strata/tenancy"
)

// commitHandler writes the previewed rows. Each batch is one transaction with its
// recipients, its place in the plan, its audit entry and its cursor.
type commitHandler struct{ im *Importer }

type commitCursor struct {
	After string `json:"after"` // the last address that is committed
}

// commitArgs are the arguments of its runs; the import is the run's id.
type commitArgs struct {
	Before outcome `json:"before"` // this round
}

// outcome is what commits did.
type outcome struct {
	Inserted int64 `json:"inserted"`
	Updated  int64 `json:"updated"`
	Skipped  int64 `json:"skipped"`
}

// The counters of a commit run.
const (
	countInserted = "inserted"
	countUpdated  = "updated"
	countSkipped  = "skipped"
)

// Open reads what was decided.
func (h commitHandler) Open(ctx context.Context, run bulk.Run) (bulk.Work, error) {
	imp, s, err := h.im.read(ctx, ID(run.ID))
	if err != nil {
		return nil, err
	}
	if imp.Status != Processing && imp.Status != Failed {
		return nil, bulk.Permanent(&StateError{imp.ID, imp.Status, "committed"})
	}
	w := &commitWork{
		im: h.im, id: imp.ID, reservation: s.reservation, fieldsVersion: s.fieldsVersion,
		policy: s.plan.Conflict, round: imp.Round, sql: commitSQL(s.plan, imp.Round), failed: imp.Status == Failed, checked: s,
	}
	if err := json.Unmarshal(run.Args, &w.args); err != nil {
		return nil, bulk.Permanent(err)
	}
	if w.extensions, err = h.im.enrollers(ctx, s.plan); err != nil {
		return nil, err
	}
	if len(s.plan.Defaults) > 0 {
		if w.defaults, err = json.Marshal(s.plan.Defaults); err != nil {
			return nil, bulk.Permanent(err)
		}
	}
	if err := decodeCursor(run, &w.cursor); err != nil {
		return nil, bulk.Permanent(err)
	}
	return w, nil
}

type commitWork struct {
	im            *Importer
	id            ID
	reservation   billing.ReservationID
	fieldsVersion int64
	policy        Conflict
	round         int
	args          commitArgs
	sql           string
	defaults      []byte // JSON of the plan's, nil without any
	cursor        commitCursor
	checked       stored
	failed        bool // and tried again

	extensions []*recipients.AnyEnrollments // that the file has columns of
}

func (w *commitWork) Close() error { return nil }

// commitSQL is the one statement of a batch. Rows are written in the order of their
// addresses, with ids made in the same order: neighbours in both indexes. Two imports into
// a domain meet each other in that order too, so that mostly one waits for the other; a
// deadlock, as between rows with and without a status, ends one batch, which bulk tries again.
//
// A row judged new meets a recipient made since by the policy. One judged an update whose
// recipient is gone, or has another address, is left out, and so are the rows of $8.
//
// Defaults go into what is inserted, and not into what such a row changes. That it was judged
// new is seen in its version there, so that the others need no look at the batch.
//
// What it changes is kept for Undo. A recipient that is to be updated is locked first, so that
// what it was is known: with $9 also one whose row was judged new.
func commitSQL(p plan, round int) string {
	fields, version, given := `custom_fields`, `1`, `excluded.custom_fields`
	if len(p.Defaults) > 0 {
		fields = `CASE verdict WHEN 'new' THEN $10::jsonb || custom_fields ELSE custom_fields END`
		version = `CASE verdict WHEN 'new' THEN 1 ELSE 2 END`
		given = `CASE excluded.version WHEN 1 THEN (SELECT b.custom_fields FROM batch b WHERE b.email_norm = excluded.email_norm) ELSE excluded.custom_fields END`
	}
	insert := func(which, status string) string {
		m := p.Conflict.merge(`nullif(excluded.name, '')`, status, given)
		return `INSERT INTO strata.recipients AS r (domain_id, id, company_id, workspace_id, email, email_norm, name, status, custom_fields, version)
			SELECT $1, ($5::uuid[])[n], $6, $7, email, email_norm, coalesce(name, ''), coalesce(status, 'active'), ` + fields + `, ` + version + `
			FROM batch WHERE there AND ` + which + ` ORDER BY n
			ON CONFLICT (domain_id, email_norm) WHERE deleted_at IS NULL DO UPDATE SET ` + m.set() + ` WHERE NOT ` + m.same() + ` RETURNING r.id, r.version = 1 AS inserted`
	}
	// Whether the file says something about the status is not seen in the row to insert.
	written := `silent AS (` + insert(`status IS NULL`, `NULL`) + `), written AS (SELECT * FROM silent)`
	if slices.Contains(p.Targets, "status") {
		written = `silent AS (` + insert(`status IS NULL`, `NULL`) + `), given AS (` + insert(`status IS NOT NULL`, `excluded.status`) + `),
			written AS (SELECT * FROM silent UNION ALL SELECT * FROM given)`
	}
	same := p.Conflict.merge(`b.name`, `b.status`, `b.custom_fields`).same()
	return `
	WITH batch AS MATERIALIZED (
		SELECT *, row_no <> ALL ($8) AND (verdict = 'new' OR (was).id IS NOT NULL) AS there
		FROM (SELECT row_no, verdict, email, email_norm, name, status, custom_fields, row_number() OVER (ORDER BY email_norm) AS n,
				CASE WHEN row_no <> ALL ($8) AND (verdict = 'update' OR $9) THEN (
					SELECT r FROM strata.recipients r WHERE r.domain_id = $1 AND r.id = coalesce(next.recipient_id, r.id) AND ` + addressIs(`next.email_norm`) + ` FOR UPDATE) END AS was
			FROM (SELECT * FROM strata.import_rows WHERE domain_id = $1 AND import_id = $2 AND round = ` + strconv.Itoa(round) + ` AND verdict IN ('new', 'update') AND email_norm > $3
				ORDER BY email_norm LIMIT $4) next) looked
	), ` + written + `, ` + p.Conflict.keep() + `
	SELECT count(*), coalesce(max(b.email_norm), $3),
		coalesce(array_agg(row_no) FILTER (WHERE NOT there AND row_no <> ALL ($8)), '{}'),
		coalesce(array_agg(row_no) FILTER (WHERE there AND verdict = 'new' AND NOT ` + same + `), '{}'),
		coalesce(array_agg(row_no) FILTER (WHERE there AND ` + same + `), '{}'),
		count(*) FILTER (WHERE there AND r.id IS NULL), (SELECT count(*) FILTER (WHERE inserted) FROM written), (SELECT count(*) FILTER (WHERE NOT inserted) FROM written), (SELECT count(*) FROM changed)
	FROM batch b LEFT JOIN LATERAL (SELECT (b.was).*) r ON true`
}

// Batch commits the next rows. Where an earlier attempt failed the first batch only takes
// room again: everybody locks recipients before the counters of the plan.
func (w *commitWork) Batch(ctx context.Context, tx *tenancy.Tx) (bulk.Batch, error) {
	if w.failed {
		w.failed = false
		return bulk.Batch{}, w.resume(ctx, tx)
	}
	if err := w.im.checkLayout(ctx, tx, w.fieldsVersion); err != nil {
		return bulk.Batch{}, permanent(err)
	}
	if _, err := tx.Exec(ctx, byKey); err != nil {
		return bulk.Batch{}, err
	}
	taken, err := w.markTaken(ctx, tx)
	if err != nil {
		return bulk.Batch{}, err
	}
	// Triggers compare what the statement found with what it left.
	if _, err := tx.Exec(ctx, `SET LOCAL enable_hashjoin = on`); err != nil {
		return bulk.Batch{}, err
	}
	did, err := w.apply(ctx, tx, taken)
	if err != nil {
		return bulk.Batch{}, fmt.Errorf("write recipients: %w", err)
	}
	if err := w.markOtherwise(ctx, tx, did); err != nil {
		return bulk.Batch{}, err
	}
	rows, inserted, updated := did.rows, did.inserted, did.updated
	counters := map[string]int64{countInserted: inserted, countUpdated: updated, countSkipped: rows - inserted - updated}
	if rows > 0 {
		if err := w.im.audit.RecordTx(ctx, tx, audit.Entry{
			Action: "recipients.imported", ResourceType: "import", ResourceID: w.id.String(),
			Metadata: map[string]any{"inserted": inserted, "updated": updated, "skipped": counters[countSkipped]},
		}); err != nil {
			return bulk.Batch{}, err
		}
	}
	if inserted > 0 {
		if err := w.settle(ctx, tx, inserted); err != nil {
			return bulk.Batch{}, err
		}
	}
	w.cursor.After = did.last
	return bulk.Batch{Cursor: w.cursor, Processed: rows, Counters: counters, Done: rows < int64(w.im.cfg.BatchRows)}, nil
}

// written is what a batch did.
type written struct {
	rows, inserted, updated int64
	last                    string // address

	// Rows that came out otherwise than the preview said: whose recipient is gone, was made by
	// somebody else and is updated, or has by now what the row says.
	gone, made, same []int32
}

// errMet is that a row judged new has met a recipient that nobody had locked.
var errMet = errors.New("somebody made a recipient just now")

// write writes the next rows without those that are taken. It begins with the belief that
// nobody has made the recipients of rows judged new meanwhile, and otherwise starts again.
func (w *commitWork) write(ctx context.Context, tx *tenancy.Tx, taken []int32) (did written, err error) {
	ids := make([]recipients.ID, w.im.cfg.BatchRows)
	for i := range ids {
		ids[i] = tenancy.NewID[recipients.Recipient]()
	}
	t := tx.Tenant()
	for try := range 4 {
		args := []any{t.DomainID, w.id, w.cursor.After, w.im.cfg.BatchRows, ids, t.CompanyID, t.WorkspaceID, append([]int32{}, taken...), try > 0}
		if w.defaults != nil {
			args = append(args, w.defaults)
		}
		err = tx.Savepoint(ctx, func(tx *tenancy.Tx) error {
			var fresh, changed int64
			err := tx.QueryRow(ctx, tx.SQL(w.sql), args...).Scan(&did.rows, &did.last, &did.gone, &did.made, &did.same, &fresh, &did.inserted, &did.updated, &changed)
			if err == nil && (fresh != did.inserted || changed != did.updated) {
				err = errMet
			}
			return err
		})
		if !errors.Is(err, errMet) {
			break
		}
	}
	return did, err
}

// markOtherwise writes down, for the report, which rows came out otherwise than the preview
// said, and why.
func (w *commitWork) markOtherwise(ctx context.Context, tx *tenancy.Tx, did written) error {
	for _, otherwise := range []struct {
		rows          []int32
		code, message string
	}{
		{did.gone, "recipient_gone", "the recipient was deleted or got another address between preview and commit"},
		{did.made, "recipient_made", "somebody else made the recipient between preview and commit, so that it was not inserted but updated"},
		{did.same, "nothing_to_do", "between preview and commit the recipient became one that the row does not change"},
	} {
		if len(otherwise.rows) == 0 {
			continue
		}
		if err := w.mark(ctx, tx, otherwise.rows, []tenancy.FieldError{{Field: "row", Code: otherwise.code, Message: otherwise.message}}); err != nil {
			return err
		}
	}
	return nil
}

// mark writes down with rows why they came out otherwise.
func (w *commitWork) mark(ctx context.Context, tx *tenancy.Tx, rows []int32, why []tenancy.FieldError) error {
	reason, err := json.Marshal(why)
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, tx.SQL(explainRows(`(SELECT row_no, $4::jsonb AS errors FROM unnest($3::int[]) AS u (row_no)) w`)),
		tx.Tenant().DomainID, w.id, rows, reason)
	if err != nil {
		return fmt.Errorf("mark rows that came out otherwise: %w", err)
	}
	return nil
}

// resume goes on with a commit that failed and is tried again: the room that it held was
// given back when it failed.
func (w *commitWork) resume(ctx context.Context, tx *tenancy.Tx) error {
	if err := w.im.resume(ctx, tx, w.id, Processing, w.args.Before); err != nil {
		return err
	}
	if err := w.im.checkFields(ctx, tx, w.checked); err != nil {
		return permanent(err)
	}
	return w.reserveLeft(ctx, tx)
}

// settle makes usage of what is reserved. A commit that stood still for longer than
// longestCommit has lost its room and takes it again, while there is any.
func (w *commitWork) settle(ctx context.Context, tx *tenancy.Tx, inserted int64) error {
	err := w.im.limits.Settle(ctx, tx, w.reservation, inserted)
	if !errors.Is(err, billing.ErrReservation) {
		return err
	}
	if err := w.reserveLeft(ctx, tx); err != nil {
		return err
	}
	return w.im.limits.Settle(ctx, tx, w.reservation, inserted)
}

// reserveLeft takes room for what is beyond the cursor.
func (w *commitWork) reserveLeft(ctx context.Context, tx *tenancy.Tx) error {
	domain := tx.Tenant().DomainID
	var left int64
	err := tx.QueryRow(ctx, tx.SQL(`SELECT count(*) FROM strata.import_rows WHERE domain_id = $1 AND import_id = $2 AND round = $4 AND verdict = 'new' AND email_norm > $3`),
		domain, w.id, w.cursor.After, w.round).Scan(&left)
	if err != nil {
		return err
	}
	if w.reservation, err = w.im.reserve(ctx, tx, left); err != nil {
		return permanent(err)
	}
	_, err = tx.Exec(ctx, tx.SQL(`UPDATE strata.imports SET reservation_id = $3 WHERE domain_id = $1 AND id = $2`), domain, w.id, w.reservation)
	return err
}

// Finish gives back what was reserved and not used, and writes down what was done: a
// database constraint holds a finished import to its sum.
func (h commitHandler) Finish(ctx context.Context, tx *tenancy.Tx, run bulk.Run) error {
	id := ID(run.ID)
	imp, s, err := lock(ctx, tx, id)
	if err != nil {
		return err
	}
	if imp.Status != Processing && imp.Status != Failed { // a run that is tried again too late
		return nil
	}
	var args commitArgs
	if err := json.Unmarshal(run.Args, &args); err != nil {
		return err
	}
	did := args.Before
	did.Inserted, did.Updated, did.Skipped = did.Inserted+run.Counters[countInserted], did.Updated+run.Counters[countUpdated], did.Skipped+run.Counters[countSkipped]
	status := map[bulk.State]Status{bulk.StateCompleted: Done, bulk.StateFailed: Failed, bulk.StateCancelled: Cancelled}[run.State]
	if imp.Round > 0 && (status == Cancelled || run.ErrorCode == fault.CodeOf(ErrFieldsChanged)) { // nothing but this round is over
		var at commitCursor
		if err := decodeCursor(run, &at); err != nil {
			return err
		}
		left, err := notCommitted(ctx, tx, id, imp.Round, at.After)
		if err != nil {
			return err
		}
		status, did.Skipped = Done, did.Skipped+left
	}
	_, err = tx.Exec(ctx, tx.SQL(`UPDATE strata.imports SET status = $3, inserted = $4, updated = $5, skipped = $6, processed = $7, error = $8,
			committed_at = now(), updated_at = now() WHERE domain_id = $1 AND id = $2`),
		tx.Tenant().DomainID, id, string(status), did.Inserted, did.Updated, did.Skipped, did.Inserted+did.Updated+did.Skipped, run.PublicError())
	if err != nil {
		return err
	}
	if status == Done && imp.Round == 0 {
		if err := h.im.remember(ctx, tx, s.plan); err != nil {
			return err
		}
	}
	return h.im.limits.CloseReservation(ctx, tx, s.reservation)
}
