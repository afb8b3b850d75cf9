package tenancytest

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/stratakit/strata/internal/catalog"
)

// table is what there is to know for making a row.
type table struct {
	*catalog.Table // nil when its rows are of no tenant

	OID                                        uint32
	Name                                       string // schema.table
	SQL                                        string // quoted
	CanSelect, CanInsert, CanUpdate, CanDelete bool   // strata_app, on the table or on columns
	QueryCanSelect                             bool   // strata_query
	Columns                                    []*column
	Key                                        []string // primary key
	Checks                                     []check
	Parents                                    []parent
}

func (t *table) String() string { return t.Name }

func (t *table) column(name string) *column {
	for _, c := range t.Columns {
		if c.Name == name {
			return c
		}
	}
	return nil
}

type column struct {
	Name       string
	Type       string // for a cast
	Base       string // the name of the type, below domains
	Kind       string // typtype: b, e, r, ...
	Category   string // typcategory
	Length     int    // of varchar(n), else 0
	NotNull    bool
	HasDefault bool
	Made       bool // by PostgreSQL itself: identity ALWAYS, generated
	Insertable bool
	Domain     bool
	Labels     []string // of an enum
	Checks     []string // of its domain
	Unique     bool     // part of a unique index

	candidates []candidate
	pick       int // of candidates: the one that the table took
}

type check struct {
	Name, Definition string
	Columns          []string
}

type parent struct {
	Name          string
	OID           uint32
	Columns       []string
	ParentColumns []string
}

const tableSQL = `
SELECT c.oid, n.nspname || '.' || c.relname, quote_ident(n.nspname) || '.' || quote_ident(c.relname),
	has_table_privilege($2, c.oid, 'SELECT'), has_table_privilege($2, c.oid, 'INSERT') OR has_any_column_privilege($2, c.oid, 'INSERT'),
	has_table_privilege($2, c.oid, 'UPDATE') OR has_any_column_privilege($2, c.oid, 'UPDATE'), has_table_privilege($2, c.oid, 'DELETE'),
	has_table_privilege($3, c.oid, 'SELECT'),
	ARRAY(SELECT a.attname::text FROM pg_index i, unnest(i.indkey::int2[]) WITH ORDINALITY k (attnum, n) JOIN pg_attribute a ON a.attnum = k.attnum
		WHERE i.indrelid = c.oid AND i.indisprimary AND a.attrelid = c.oid AND k.n <= i.indnkeyatts ORDER BY k.n)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = $1`

const columnsSQL = `
SELECT a.attname::text, format_type(a.atttypid, a.atttypmod), b.typname::text, b.typtype::text, b.typcategory::text,
	CASE WHEN b.typname IN ('varchar', 'bpchar') AND m.typmod > 4 THEN m.typmod - 4 ELSE 0 END,
	a.attnotnull OR t.typnotnull, a.atthasdef AND a.attgenerated = '' OR a.attidentity <> '' OR t.typdefault IS NOT NULL,
	a.attidentity = 'a' OR a.attgenerated <> '', has_column_privilege($2, a.attrelid, a.attnum, 'INSERT'), t.typtype = 'd',
	ARRAY(SELECT e.enumlabel::text FROM pg_enum e WHERE e.enumtypid = b.oid ORDER BY e.enumsortorder),
	ARRAY(SELECT pg_get_constraintdef(k.oid) FROM pg_constraint k WHERE k.contypid = t.oid AND t.typtype = 'd'),
	EXISTS (SELECT FROM pg_index i WHERE i.indrelid = a.attrelid AND (i.indisunique OR i.indisexclusion) AND a.attnum = ANY (i.indkey::int2[]))
FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
	JOIN pg_type t1 ON t1.oid = CASE WHEN t.typtype = 'd' THEN t.typbasetype ELSE t.oid END
	JOIN pg_type b ON b.oid = CASE WHEN t1.typtype = 'd' THEN t1.typbasetype ELSE t1.oid END,
	LATERAL (SELECT CASE WHEN t.typtype = 'd' THEN t.typtypmod ELSE a.atttypmod END AS typmod) m
WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum`

const constraintsSQL = `
SELECT k.conname::text, k.contype::text, pg_get_constraintdef(k.oid), k.confrelid,
	ARRAY(SELECT a.attname::text FROM unnest(k.conkey) WITH ORDINALITY x (attnum, n) JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = x.attnum ORDER BY x.n),
	ARRAY(SELECT a.attname::text FROM unnest(k.confkey) WITH ORDINALITY x (attnum, n) JOIN pg_attribute a ON a.attrelid = k.confrelid AND a.attnum = x.attnum ORDER BY x.n)
FROM pg_constraint k WHERE k.conrelid = $1 AND k.contype IN ('c', 'f') ORDER BY k.conname`

// table reads a table, once.
func (p *proof) table(ctx context.Context, oid uint32) (*table, error) {
	if t := p.facts[oid]; t != nil {
		return t, nil
	}
	t := &table{Table: p.catalog.Table(oid)}
	err := p.tx.QueryRow(ctx, tableSQL, oid, roleApp, roleQuery).Scan(&t.OID, &t.Name, &t.SQL,
		&t.CanSelect, &t.CanInsert, &t.CanUpdate, &t.CanDelete, &t.QueryCanSelect, &t.Key)
	if err != nil {
		return nil, fmt.Errorf("read the catalog: %w", err)
	}
	rows, err := p.tx.Query(ctx, columnsSQL, oid, roleApp)
	if err != nil {
		return nil, err
	}
	var c column
	if _, err = pgx.ForEachRow(rows, []any{
		&c.Name, &c.Type, &c.Base, &c.Kind, &c.Category, &c.Length, &c.NotNull, &c.HasDefault, &c.Made,
		&c.Insertable, &c.Domain, &c.Labels, &c.Checks, &c.Unique,
	}, func() error {
		read := c
		t.Columns = append(t.Columns, &read)
		return nil
	}); err != nil {
		return nil, err
	}
	if rows, err = p.tx.Query(ctx, constraintsSQL, oid); err != nil {
		return nil, err
	}
	var name, kind, definition string
	var parentOID uint32
	var columns, parentColumns []string
	if _, err = pgx.ForEachRow(rows, []any{&name, &kind, &definition, &parentOID, &columns, &parentColumns}, func() error {
		if kind == "c" {
			t.Checks = append(t.Checks, check{name, definition, columns})
		} else {
			t.Parents = append(t.Parents, parent{name, parentOID, columns, parentColumns})
		}
		return nil
	}); err != nil {
		return nil, err
	}
	for _, c := range t.Columns {
		c.candidates = p.candidatesOf(t, c)
	}
	p.facts[oid] = t
	return t, nil
}

// hook is what to write where a row cannot be made.
func (t *table) hook(columns ...string) string {
	if len(columns) == 0 {
		columns = []string{"column"}
	}
	for i, c := range columns {
		columns[i] = fmt.Sprintf("%q: ...", c)
	}
	return fmt.Sprintf("Config.Rows[%q] = func(tenant tenancy.Tenant) map[string]any { return map[string]any{%s} }", t.Name, strings.Join(columns, ", "))
}
