// Package catalog reads from PostgreSQL's catalog which tables hold rows of tenants, and
// what guards them.
package catalog

import (
	"context"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"
)

// tenantColumns are the columns that say whose a row is, shallowest level first. The
// settings of a scope have the same names.
var tenantColumns = []string{"company_id", "workspace_id", "domain_id"}

// Querier is a connection or a transaction.
type Querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

// Table is a table with rows of tenants: one in Strata's schema, or one that strata_app
// may use, with a uuid column of tenantColumns.
type Table struct {
	OID          uint32
	Schema, Name string
	Owner        string
	// AppMayBecomeOwner: strata_app owns the table or is a member of the role that does.
	AppMayBecomeOwner bool
	// Enabled and Forced are row-level security's.
	Enabled, Forced bool
	// Foreign: the rows are elsewhere, and no policy can be applied here.
	Foreign bool
	// Level is that of the tenants it is divided by: 1 company, 2 workspace, 3 domain.
	Level int
	// Column is the one that Level is about. It is the level's of tenantColumns, but the
	// companies themselves have "id".
	Column string
	// Columns are its columns of tenantColumns, shallowest first.
	Columns []string
	// Excess are grants that undo the walls, such as "TRUNCATE to strata_app".
	Excess []string

	Policies    []Policy
	Indexes     []Index
	ForeignKeys []ForeignKey

	derived map[string][]string // generated columns, and the tenant columns they are made of
}

// String is schema and name as a person writes them.
func (t *Table) String() string { return t.Schema + "." + t.Name }

// SQL is schema and name for a statement that a person may read.
func (t *Table) SQL() string { return readable(t.Schema) + "." + readable(t.Name) }

// Root is the level that the table's own rows are the tenants of, in Strata's schema: 1 for
// companies, 2 for workspaces, 3 for domains, 0 for every other table.
func (t *Table) Root(schema string) int {
	if t.Schema != schema {
		return 0
	}
	return slices.Index([]string{"companies", "workspaces", "domains"}, t.Name) + 1
}

// Setting is the setting of the scope that the policy compares Column with.
func (t *Table) Setting() string { return "strata." + tenantColumns[t.Level-1] }

// LevelOf returns the level of a tenant column, 0 for every other.
func LevelOf(column string) int { return slices.Index(tenantColumns, column) + 1 }

// Index is a unique index.
type Index struct {
	Name    string
	Columns []string // "" for an expression
	UUID    bool     // every column is a uuid
	Comment string
	Where   string // of a partial index
}

// ForeignKey leads from one table with rows of tenants to another.
type ForeignKey struct {
	Name          string
	Parent        uint32
	ParentTable   string
	Columns       []string
	ParentColumns []string
	OnDelete      string // "a" none, "r" restrict, "c" cascade, "n" set null, "d" set default
	Deferrable    bool
}

// View is a view or materialised view that strata_app may use, over a table with rows of
// tenants.
type View struct {
	OID          uint32
	Schema, Name string
	Materialized bool
	Table        string // "schema.name" below it
	TableOID     uint32
	// Definer is the view on the way that reads with the rights of its owner, "" for none.
	Definer string
}

// Open is a table without a tenant column and without row-level security, whose rows belong
// to those of a table with rows of tenants.
type Open struct {
	Schema, Name string
	ForeignKey   string // to Table; "" when Table inherits from it
	Table        string // "schema.name"
}

// Function is one with the rights of an owner that row-level security does not bind.
type Function struct{ Name, Owner string }

// Catalog is what was read.
type Catalog struct {
	Tables    []*Table
	Views     []View
	Open      []Open
	Functions []Function

	byOID map[uint32]*Table
}

// Table returns the one with that oid, or nil.
func (c *Catalog) Table(oid uint32) *Table { return c.byOID[oid] }

// Read reads the catalog. The role strata_app has to exist. schema is Strata's.
func Read(ctx context.Context, q Querier, schema string) (*Catalog, error) {
	byOID := map[uint32]*Table{}
	c := &Catalog{byOID: byOID}
	var t Table
	var oid uint32
	var keyColumn *string
	var notNull []string
	err := each(ctx, q, tablesSQL, []any{schema, tenantColumns}, []any{
		&t.OID, &t.Schema, &t.Name, &t.Owner, &t.AppMayBecomeOwner, &t.Enabled, &t.Forced, &t.Foreign, &t.Columns, &notNull, &keyColumn, &t.Excess,
	}, func() {
		table := t
		table.setLevel(schema, keyColumn, notNull)
		c.Tables = append(c.Tables, &table)
		byOID[table.OID] = &table
	})
	if err != nil {
		return nil, err
	}
	var column, expression string
	oids := make([]uint32, len(c.Tables))
	for i, t := range c.Tables {
		oids[i] = t.OID
	}
	if err = each(ctx, q, generatedSQL, []any{oids}, []any{&oid, &column, &expression}, func() {
		byOID[oid].derive(column, expression)
	}); err != nil {
		return nil, err
	}
	var p Policy
	if err = each(ctx, q, policiesSQL, []any{oids}, []any{&oid, &p.Name, &p.Public, &p.Permissive, &p.Command, &p.Using, &p.Check}, func() {
		byOID[oid].Policies = append(byOID[oid].Policies, p)
	}); err != nil {
		return nil, err
	}
	var x Index
	if err = each(ctx, q, indexesSQL, []any{oids}, []any{&oid, &x.Name, &x.Columns, &x.UUID, &x.Comment, &x.Where}, func() {
		byOID[oid].Indexes = append(byOID[oid].Indexes, x)
	}); err != nil {
		return nil, err
	}
	var f ForeignKey
	if err = each(ctx, q, foreignKeysSQL, []any{oids}, []any{&oid, &f.Name, &f.Parent, &f.ParentTable, &f.Columns, &f.ParentColumns, &f.OnDelete, &f.Deferrable}, func() {
		byOID[oid].ForeignKeys = append(byOID[oid].ForeignKeys, f)
	}); err != nil {
		return nil, err
	}
	var v View
	if err = each(ctx, q, viewsSQL, []any{oids, tenantColumns}, []any{&v.OID, &v.Schema, &v.Name, &v.Materialized, &v.TableOID, &v.Table, &v.Definer}, func() {
		c.Views = append(c.Views, v)
	}); err != nil {
		return nil, err
	}
	var o Open
	if err = each(ctx, q, openSQL, []any{oids, tenantColumns}, []any{&o.Schema, &o.Name, &o.ForeignKey, &o.Table}, func() {
		c.Open = append(c.Open, o)
	}); err != nil {
		return nil, err
	}
	var fn Function
	err = each(ctx, q, functionsSQL, []any{oids}, []any{&fn.Name, &fn.Owner}, func() { c.Functions = append(c.Functions, fn) })
	return c, err
}

// setLevel decides which tenants a table is divided by: those of the tenant column that its
// primary key begins with, else those of the deepest that is never null.
func (t *Table) setLevel(schema string, keyColumn *string, notNull []string) {
	switch {
	case t.Root(schema) == 1:
		t.Level, t.Column = 1, "id"
		return
	case keyColumn != nil && LevelOf(*keyColumn) > 0 && slices.Contains(t.Columns, *keyColumn):
		t.Level = LevelOf(*keyColumn)
	case len(notNull) > 0:
		t.Level = LevelOf(notNull[len(notNull)-1])
	default:
		t.Level = LevelOf(t.Columns[0])
	}
	t.Column = tenantColumns[t.Level-1]
}

// each runs a query and calls fn for each row, which has been scanned into dest.
func each(ctx context.Context, q Querier, sql string, args, dest []any, fn func()) error {
	rows, err := q.Query(ctx, sql, args...)
	if err == nil {
		_, err = pgx.ForEachRow(rows, dest, func() error { fn(); return nil })
	}
	if err != nil {
		return fmt.Errorf("read the catalog: %w", err)
	}
	return nil
}
