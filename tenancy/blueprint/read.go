package blueprint

import (
	"cmp"
	"context"
	"fmt"
	"strconv"

	"github.com/jackc/pgx/v5"

	"github.com/stratakit/strata/tenancy"
)

const (
	blueprintColumns = `id, kind, name, latest_version, created_at, updated_at`
	versionColumns   = `blueprint_id, version, body, note, created_by, created_at`
)

func scanBlueprint(row pgx.CollectableRow) (b Blueprint, err error) {
	err = row.Scan(&b.ID, &b.Kind, &b.Name, &b.LatestVersion, &b.CreatedAt, &b.UpdatedAt)
	return b, err
}

func scanVersion(row pgx.CollectableRow) (v Version, err error) {
	err = row.Scan(&v.BlueprintID, &v.Version, &v.Body, &v.Note, &v.CreatedBy, &v.CreatedAt)
	return v, err
}

// Get returns a blueprint of the company of ctx's tenant, to a workspace only one that is
// deployed there, or ErrNotFound.
func (s *Store) Get(ctx context.Context, id ID) (Blueprint, error) {
	t, err := tenancy.TenantFrom(ctx)
	if err != nil {
		return Blueprint{}, err
	}
	return readOne(ctx, s.db, `SELECT `+blueprintColumns+` FROM strata.blueprints b WHERE company_id = $1 AND id = $2 AND ($3::uuid IS NULL OR EXISTS
		(SELECT FROM strata.blueprint_deployments d WHERE d.company_id = $1 AND d.workspace_id = $3 AND d.blueprint_id = b.id))`,
		scanBlueprint, t.CompanyID, id, t.WorkspaceID)
}

// List lists the blueprints of the company of ctx's tenant, oldest first.
func (s *Store) List(ctx context.Context, p tenancy.PageRequest) (tenancy.Page[Blueprint], error) {
	c, err := company(ctx)
	if err != nil {
		return tenancy.Page[Blueprint]{}, err
	}
	return readPage(ctx, s.db, list[Blueprint]{
		sql: `SELECT ` + blueprintColumns + ` FROM strata.blueprints WHERE company_id = $1`, args: []any{c},
		key: "id", after: uuidCursor, scan: scanBlueprint, cursor: func(b Blueprint) string { return b.ID.String() },
	}, p)
}

// Version returns a version of a blueprint, 0 being the latest, or ErrNotFound.
func (s *Store) Version(ctx context.Context, id ID, version int) (Version, error) {
	c, err := company(ctx)
	if err != nil {
		return Version{}, err
	}
	return readOne(ctx, s.db, `SELECT `+versionColumns+` FROM strata.blueprint_versions v WHERE company_id = $1 AND blueprint_id = $2 AND version = `+asked, scanVersion, c, id, int64(version))
}

// asked is version $3 of blueprint $2 of company $1, where 0 stands for the latest.
const asked = `CASE WHEN $3::bigint = 0 THEN (SELECT latest_version FROM strata.blueprints WHERE company_id = $1 AND id = $2) ELSE $3::bigint END`

// Versions lists the versions of a blueprint, oldest first. Of one that is not the
// company's there are none.
func (s *Store) Versions(ctx context.Context, id ID, p tenancy.PageRequest) (tenancy.Page[Version], error) {
	c, err := company(ctx)
	if err != nil {
		return tenancy.Page[Version]{}, err
	}
	return readPage(ctx, s.db, list[Version]{
		sql: `SELECT ` + versionColumns + ` FROM strata.blueprint_versions WHERE company_id = $1 AND blueprint_id = $2`, args: []any{c, id},
		key: "version", after: func(s string) (any, error) { return strconv.ParseInt(s, 10, 32) },
		scan: scanVersion, cursor: func(v Version) string { return strconv.Itoa(v.Version) },
	}, p)
}

// reader is a tenancy.DB or a tenancy.Tx.
type reader interface {
	Read(ctx context.Context, q string, args []any, scan func(pgx.Rows) error) error
}

func readOne[T any](ctx context.Context, db reader, q string, scan pgx.RowToFunc[T], args ...any) (T, error) {
	var out T
	err := db.Read(ctx, q, args, func(rows pgx.Rows) (err error) {
		out, err = one(rows, nil, scan)
		return err
	})
	return out, err
}

// list is what readPage needs to know.
type list[T any] struct {
	sql    string // ends in its WHERE clause
	count  string // the same rows, where sql does more for each than counting needs
	args   []any
	key    string // the column whose order it is
	after  func(cursor string) (any, error)
	scan   pgx.RowToFunc[T]
	cursor func(T) string
}

func uuidCursor(s string) (any, error) { return tenancy.ParseID[Blueprint](s) }

// readPage returns one page of a list.
func readPage[T any](ctx context.Context, db reader, l list[T], p tenancy.PageRequest) (tenancy.Page[T], error) {
	p, err := p.Normalize()
	if err != nil {
		return tenancy.Page[T]{}, err
	}
	page := tenancy.Page[T]{Page: p.Page, PageSize: p.PageSize, Total: -1}
	q := l.sql
	if p.Cursor == "" {
		page.Total, err = readOne(ctx, db, `SELECT count(*) FROM (`+cmp.Or(l.count, q)+`) t`, pgx.RowTo[int64], l.args...)
		if err != nil {
			return page, err
		}
		q += fmt.Sprintf(` ORDER BY %s LIMIT %d OFFSET %d`, l.key, p.PageSize+1, p.Offset())
	} else {
		after, err := l.after(p.Cursor)
		if err != nil {
			return page, tenancy.ErrInvalidCursor
		}
		l.args = append(l.args, after)
		q += fmt.Sprintf(` AND %s > $%d ORDER BY %s LIMIT %d`, l.key, len(l.args), l.key, p.PageSize+1)
	}
	err = db.Read(ctx, q, l.args, func(rows pgx.Rows) (err error) {
		page.Items, err = pgx.CollectRows(rows, l.scan)
		return err
	})
	if err != nil {
		return page, err
	}
	if len(page.Items) > p.PageSize {
		page.Items, page.HasMore = page.Items[:p.PageSize], true
		page.NextCursor = l.cursor(page.Items[p.PageSize-1])
	}
	return page, nil
}
