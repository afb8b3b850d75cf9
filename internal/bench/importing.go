package main

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/stratakit/strata/bulk"
	"github.com/stratakit/strata/internal/sampledata"
	"github.com/stratakit/strata/tenancy"
)

// bad is how many of a thousand rows cannot be imported.
const bad = 7

// measureImport compares an import, from a file in memory to committed recipients, with
// COPY into a table of text and one INSERT ... SELECT ... ON CONFLICT into a table with the
// same indexes: once when the recipients are new, and once when the file changes each of them.
// The floor is no import: it has no preview, survives no crash, reserves and audits nothing,
// keeps nothing to undo, and knows only how this one file looks.
func measureImport(ctx context.Context, w *world, o options) ([]row, error) {
	var file bytes.Buffer
	if err := sampledata.CSV(&file, o.rows, bad); err != nil {
		return nil, err
	}
	other := []byte(strings.NewReplacer(",true,", ",false,", ",false,", ",true,").Replace(file.String()))
	var out []row
	for _, c := range []struct {
		work   string
		before [][]byte
		file   []byte
	}{
		{"import", nil, file.Bytes()},
		{"import that changes", [][]byte{file.Bytes()}, other},
	} {
		files := append(c.before, c.file)
		var process, commit []time.Duration
		s, f, err := compare(ctx, o.repeat,
			func(ctx context.Context) (time.Duration, error) {
				p, c, err := importAll(ctx, w, files, o.rows)
				process, commit = append(process, p), append(commit, c)
				return p + c, err
			},
			func(ctx context.Context) (time.Duration, error) { return importFloor(ctx, w, files, o.rows) })
		if err != nil {
			return nil, err
		}
		out = append(out, row{
			work: fmt.Sprintf("%s %d rows x 10 columns", c.work, o.rows), strata: s, floor: f, budget: "1.5 x",
			note: fmt.Sprintf("to the preview %s, commit %s, %.0f rows/s", short(median(process)), short(median(commit)), float64(o.rows)/s.Seconds()),
		})
	}
	return out, nil
}

// importAll imports files one after the other into an empty table, and returns what the last took.
func importAll(ctx context.Context, w *world, files [][]byte, rows int) (process, commit time.Duration, err error) {
	if err := w.exec(ctx, `TRUNCATE strata.recipients, strata.recipient_counts, strata.imports, strata.import_rows, strata.import_changes CASCADE`); err != nil {
		return 0, 0, err
	}
	ctx, _, err = w.company(ctx)
	if err != nil {
		return 0, 0, err
	}
	for _, file := range files {
		if err := w.exec(ctx, `CHECKPOINT`); err != nil {
			return 0, 0, err
		}
		if process, commit, err = importRows(ctx, w, bytes.NewReader(file), rows); err != nil {
			return 0, 0, err
		}
	}
	return process, commit, nil
}

// await waits until a run has completed.
func (w *world) await(ctx context.Context, id bulk.RunID) error {
	_, err := w.ended(ctx, id)
	return err
}

// ended waits until a run has completed, and returns it.
func (w *world) ended(ctx context.Context, id bulk.RunID) (bulk.Run, error) {
	progress, err := w.strata.Runner.Watch(ctx, id)
	if err != nil {
		return bulk.Run{}, err
	}
	for range progress { // closed after the final state
	}
	run, err := w.strata.Runner.Get(ctx, id)
	if err == nil && run.State != bulk.StateCompleted {
		err = fmt.Errorf("the run is %s: %s", run.State, run.PublicError())
	}
	return run, err
}

func valid(rows int) int64 { return int64(rows - (rows*bad+999)/1000) }

const floorInsert = `
	INSERT INTO floor.recipients (domain_id, id, company_id, workspace_id, email, email_norm, name, status, custom_fields)
	SELECT DISTINCT ON (norm) $1::uuid, gen_random_uuid(), $1::uuid, $1::uuid, email, norm, name, status, jsonb_build_object(
		'plan', plan, 'seats', seats::numeric, 'score', score::numeric, 'signed_up', signed_up || 'T00:00:00.000000Z',
		'newsletter', newsletter::boolean, 'tags', string_to_array(tags, ';'), 'city', city)
	FROM (SELECT *, lower(trim(email)) COLLATE "C" AS norm FROM floor.staging) s
	WHERE norm ~ '^[^@ ]+@[^@ ]+\.[^@ ]+$'
	ORDER BY norm
	ON CONFLICT (domain_id, email_norm) WHERE deleted_at IS NULL DO UPDATE
		SET name = excluded.name, custom_fields = recipients.custom_fields || excluded.custom_fields, version = recipients.version + 1, updated_at = now()`

// importFloor copies and inserts files one after the other, and returns what the last took.
func importFloor(ctx context.Context, w *world, files [][]byte, rows int) (took time.Duration, err error) {
	err = w.exec(ctx,
		`DROP SCHEMA IF EXISTS floor CASCADE`, `CREATE SCHEMA floor`,
		`CREATE TABLE floor.recipients (LIKE strata.recipients INCLUDING ALL)`,
		`CREATE UNLOGGED TABLE floor.staging (email text, name text, status text, plan text, seats text, score text, signed_up text, newsletter text, tags text, city text)`)
	if err != nil {
		return 0, err
	}
	conn, err := w.pool.Acquire(ctx)
	if err != nil {
		return 0, err
	}
	defer conn.Release()
	domain := tenancy.NewID[world]()
	for _, file := range files {
		if err := w.exec(ctx, `TRUNCATE floor.staging`, `CHECKPOINT`); err != nil {
			return 0, err
		}
		start := time.Now()
		if _, err := conn.Conn().PgConn().CopyFrom(ctx, bytes.NewReader(file), `COPY floor.staging FROM STDIN (FORMAT csv, HEADER true)`); err != nil {
			return 0, err
		}
		tag, err := conn.Exec(ctx, floorInsert, domain)
		took = time.Since(start)
		if err != nil {
			return 0, err
		}
		if tag.RowsAffected() != valid(rows) {
			return 0, fmt.Errorf("the floor wrote %d of %d rows", tag.RowsAffected(), valid(rows))
		}
	}
	return took, nil
}
