package recipients

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/stratakit/strata/internal/catalog"
	"github.com/stratakit/strata/tenancy"
)

// tableFacts is what the catalog says of the table of an extension.
type tableFacts struct {
	Schema, Table    bool
	Columns          []columnFacts
	Key              []string // of the primary key
	ForeignKey       bool     // the one to the recipient, with its cascade
	Secured          bool
	Policies         []policyFacts
	AppSchema        bool
	QuerySchema      bool
	AppMissing       []string // privileges
	QueryMayRead     bool
	Indexes          []indexFacts
	Triggers         []string          // that count, and for this extension
	Types            map[string]string // what PostgreSQL calls the types of the model; "": there is none
	Further          map[string]bool   // of Extension.Tables, whether the rows go with those of the table
	ForeignKeyBroken bool              // it is there, and was never validated
}

type columnFacts struct {
	Name, Type       string
	NotNull, Default bool
}

type policyFacts struct {
	Name, Command string
	Permissive    bool
	App, Query    bool
	Using, Check  *string
}

type indexFacts struct {
	Name          string
	Columns       []string
	Unique, Valid bool
}

// factsSQL asks by the names in pg_class and pg_type, because a cast to regclass or regtype fails
// without a right to use the schema.
var factsSQL = `
	SELECT jsonb_build_object(
		'Schema', n.oid IS NOT NULL,
		'Table', c.oid IS NOT NULL,
		'Columns', (SELECT jsonb_agg(jsonb_build_object('Name', a.attname, 'Type', format_type(a.atttypid, NULL), 'NotNull', a.attnotnull, 'Default', a.atthasdef OR a.attidentity <> '') ORDER BY a.attnum)
			FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped),
		'Key', (SELECT jsonb_agg(a.attname ORDER BY k.n) FROM pg_index i, unnest(i.indkey) WITH ORDINALITY AS k (attnum, n), pg_attribute a
			WHERE i.indrelid = c.oid AND i.indisprimary AND a.attrelid = i.indrelid AND a.attnum = k.attnum),
		'ForeignKey', key.found,
		'ForeignKeyBroken', key.broken,
		'Secured', coalesce(c.relrowsecurity AND c.relforcerowsecurity, false),
		'Policies', (SELECT jsonb_agg(jsonb_build_object('Name', p.polname, 'Command', p.polcmd, 'Permissive', p.polpermissive,
				'App', 'strata_app'::regrole = ANY (p.polroles) OR 0 = ANY (p.polroles), 'Query', 'strata_query'::regrole = ANY (p.polroles) OR 0 = ANY (p.polroles),
				'Using', pg_get_expr(p.polqual, p.polrelid), 'Check', pg_get_expr(p.polwithcheck, p.polrelid)) ORDER BY p.polname)
			FROM pg_policy p WHERE p.polrelid = c.oid),
		'AppSchema', coalesce(has_schema_privilege('strata_app', n.oid, 'USAGE'), false),
		'QuerySchema', coalesce(has_schema_privilege('strata_query', n.oid, 'USAGE'), false),
		'AppMissing', (SELECT jsonb_agg(p) FROM unnest('{SELECT,INSERT,UPDATE,DELETE}'::text[]) p WHERE NOT has_table_privilege('strata_app', c.oid, p)),
		'QueryMayRead', coalesce(has_table_privilege('strata_query', c.oid, 'SELECT'), false),
		'Indexes', (SELECT jsonb_agg(jsonb_build_object('Name', x.relname, 'Unique', i.indisunique, 'Valid', i.indisvalid,
				'Columns', (SELECT jsonb_agg(coalesce(a.attname, '') ORDER BY k.n) FROM unnest(i.indkey) WITH ORDINALITY AS k (attnum, n)
					LEFT JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum AND k.attnum > 0)) ORDER BY x.relname)
			FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid WHERE i.indrelid = c.oid AND i.indpred IS NULL),
		'Triggers', (SELECT jsonb_agg(t.tgname) FROM pg_trigger t WHERE t.tgrelid = c.oid AND t.tgenabled IN ('O', 'A')
			AND t.tgfoid = 'strata.count_enrollments'::regproc AND split_part(encode(t.tgargs, 'escape'), '\000', 1) = $3),
		'Types', (SELECT jsonb_object_agg(t, coalesce(format_type(CASE WHEN t ~ '^[a-z0-9_]+[.][a-z0-9_]+(\[\])?$'
				THEN (SELECT CASE WHEN t LIKE '%[]' THEN ty.typarray ELSE ty.oid END FROM pg_type ty JOIN pg_namespace tn ON tn.oid = ty.typnamespace
					WHERE tn.nspname = split_part(t, '.', 1) AND ty.typname = rtrim(split_part(t, '.', 2), '[]'))
				ELSE to_regtype(t)::oid END, NULL), '')) FROM unnest($4::text[]) t),
		'Further', (SELECT jsonb_object_agg(t.name, h.hangs) FROM unnest($5::text[], $6::text[], $7::text[]) AS t (name, schema_name, table_name), LATERAL (
			SELECT coalesce(bool_or(EXISTS (SELECT FROM pg_constraint f WHERE f.convalidated AND ` + fmt.Sprintf(cascadeSQL, "m.oid", "c.oid", "recipient_id") + `)), false)
			FROM pg_class m JOIN pg_namespace mn ON mn.oid = m.relnamespace WHERE mn.nspname = t.schema_name AND m.relname = t.table_name) AS h (hangs)))
	FROM (SELECT) one
	LEFT JOIN pg_namespace n ON n.nspname = $1
	LEFT JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = $2 AND c.relkind IN ('r', 'p')
	LEFT JOIN LATERAL (SELECT coalesce(bool_or(f.convalidated), false) AS found, coalesce(bool_and(NOT f.convalidated), false) AS broken
		FROM pg_constraint f WHERE ` + fmt.Sprintf(cascadeSQL, "c.oid", "'strata.recipients'::regclass", "id") + `) key ON true`

// cascadeSQL is the condition that f, of pg_constraint, deletes a row of %[1]s with that of
// %[2]s, whose domain_id and %[3]s are its own domain_id and recipient_id.
const cascadeSQL = `f.contype = 'f' AND f.confdeltype = 'c' AND f.conrelid = %[1]s AND f.confrelid = %[2]s
	AND (SELECT array_agg(a.attname::text ORDER BY k.n) FROM unnest(f.conkey) WITH ORDINALITY AS k (attnum, n), pg_attribute a
		WHERE a.attrelid = f.conrelid AND a.attnum = k.attnum) = '{domain_id,recipient_id}'
	AND (SELECT array_agg(a.attname::text ORDER BY k.n) FROM unnest(f.confkey) WITH ORDINALITY AS k (attnum, n), pg_attribute a
		WHERE a.attrelid = f.confrelid AND a.attnum = k.attnum) = '{domain_id,%[3]s}'`

func (x *extension) facts(ctx context.Context, db *tenancy.DB) (out tableFacts, err error) {
	types := make([]string, len(x.columns))
	for i, c := range x.columns {
		types[i] = c.declared
	}
	var further, schemas, names []string
	for _, t := range x.more {
		further, schemas, names = append(further, t.String()), append(schemas, t.Schema), append(names, t.Name)
	}
	err = db.ReadTrusted(ctx, factsSQL, []any{x.table.Schema, x.table.Name, x.name, types, further, schemas, names}, func(rows pgx.Rows) error {
		text, err := pgx.CollectExactlyOneRow(rows, pgx.RowTo[[]byte])
		if err != nil {
			return err
		}
		return json.Unmarshal(text, &out)
	})
	if err != nil {
		return out, fmt.Errorf("recipients: look at the table of extension %q: %w", x.name, err)
	}
	return out, nil
}

const domainPolicy = `(domain_id = (SELECT nullif(current_setting('strata.domain_id', true), '')::uuid))`

// gaps is what keeps the table from being one of an extension: everything that is missing, in
// the order in which it can be put right.
func (x *extension) gaps(f tableFacts, db *tenancy.DB) []ExtensionProblem {
	var all []ExtensionProblem
	need := func(ok bool, sql, format string, args ...any) {
		if !ok {
			all = append(all, ExtensionProblem{Message: fmt.Sprintf(format, args...), SQL: sql})
		}
	}
	schema := quoted(x.table.Schema)
	need(f.Schema, "CREATE SCHEMA IF NOT EXISTS "+schema, "schema %s does not exist", schema)
	need(f.AppSchema && f.QuerySchema, "GRANT USAGE ON SCHEMA "+schema+" TO strata_app, strata_query", "strata_app and strata_query may not use schema %s", schema)
	if !f.Table {
		need(false, x.createSQL(db), "table %s does not exist", x.table)
		f = tableFacts{Columns: x.createdColumns(f.Types), Types: f.Types, Further: f.Further, Key: []string{"domain_id", "recipient_id"}, ForeignKey: true, AppMissing: []string{"SELECT", "INSERT", "UPDATE", "DELETE"}}
	}
	all = append(all, x.columnGaps(f)...)
	need(slices.Equal(f.Key, []string{"domain_id", "recipient_id"}), "", "its primary key is (%s), want (domain_id, recipient_id)", strings.Join(f.Key, ", "))
	if f.ForeignKeyBroken {
		need(false, "", "its foreign key to the recipient was never validated: VALIDATE CONSTRAINT")
	} else {
		need(f.ForeignKey, "ALTER TABLE "+x.table.String()+" ADD "+x.foreignKeySQL(db),
			"it has no foreign key (domain_id, recipient_id) to the recipient with ON DELETE CASCADE")
	}
	need(f.Secured, "ALTER TABLE "+x.table.String()+" ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY", "row-level security is not enabled and forced")
	need(slices.ContainsFunc(f.Policies, isDomainPolicy), "CREATE POLICY "+f.freePolicy("tenant")+" ON "+x.table.String()+" TO strata_app USING "+domainPolicy+" WITH CHECK "+domainPolicy,
		"it has no policy for strata_app that goes by the setting strata.domain_id alone")
	need(slices.ContainsFunc(f.Policies, isTrustedPolicy), "CREATE POLICY "+f.freePolicy("trusted")+" ON "+x.table.String()+" FOR SELECT TO strata_query USING (true)",
		"it has no policy by which strata_query reads it")
	need(len(f.AppMissing) == 0, "GRANT "+strings.Join(f.AppMissing, ", ")+" ON "+x.table.String()+" TO strata_app", "strata_app may not %s", strings.Join(f.AppMissing, ", "))
	need(f.QueryMayRead, "GRANT SELECT ON "+x.table.String()+" TO strata_query", "strata_query may not SELECT")
	need(counted(f.Triggers), db.SQL(countTriggersSQL(x.table, x.name)), "it has no triggers count_inserted and count_deleted, by which those who are enrolled are counted")
	for _, t := range x.more {
		need(f.Further[t.String()], "ALTER TABLE "+t.String()+" ADD FOREIGN KEY (domain_id, recipient_id) REFERENCES "+x.table.String()+" (domain_id, recipient_id) ON DELETE CASCADE",
			"table %s has no foreign key (domain_id, recipient_id) to table %s with ON DELETE CASCADE", t, x.table)
	}
	if !x.own {
		all = append(all, x.indexGaps(f)...)
	}
	return all
}

// counted reports whether the triggers of countTriggersSQL are among these.
func counted(triggers []string) bool {
	return slices.Contains(triggers, "count_inserted") && slices.Contains(triggers, "count_deleted")
}

func isDomainPolicy(p policyFacts) bool {
	if !p.App || !p.Permissive || p.Command != "*" || p.Using == nil {
		return false
	}
	for _, e := range []*string{p.Using, p.Check} {
		if e == nil { // then Using is what is checked
			continue
		}
		if column, _, ok := catalog.Compared(*e); !ok || column != "domain_id" {
			return false
		}
	}
	return true
}

func isTrustedPolicy(p policyFacts) bool {
	return p.Query && p.Permissive && (p.Command == "*" || p.Command == "r") && p.Using != nil && *p.Using == "true"
}

func (f tableFacts) freePolicy(name string) string {
	if slices.ContainsFunc(f.Policies, func(p policyFacts) bool { return p.Name == name }) {
		return "strata_" + name
	}
	return name
}

// baseTypes are those of baseColumns.
var baseTypes = []string{
	"uuid NOT NULL", "uuid NOT NULL", "uuid NOT NULL", "uuid NOT NULL",
	"bigint NOT NULL DEFAULT 1", "timestamp with time zone NOT NULL DEFAULT now()", "timestamp with time zone NOT NULL DEFAULT now()",
}

func (x *extension) columnGaps(f tableFacts) []ExtensionProblem {
	var all []ExtensionProblem
	find := func(name string) *columnFacts {
		if i := slices.IndexFunc(f.Columns, func(c columnFacts) bool { return c.Name == name }); i >= 0 {
			return &f.Columns[i]
		}
		return nil
	}
	for i, name := range baseColumns {
		want, _, _ := strings.Cut(baseTypes[i], " NOT NULL")
		switch c := find(name); {
		case c == nil:
			sql := ""
			if i >= 4 { // an id that nobody knows cannot be made up
				sql = "ALTER TABLE " + x.table.String() + " ADD COLUMN IF NOT EXISTS " + name + " " + baseTypes[i]
			}
			all = append(all, ExtensionProblem{Message: "it has no column " + name + " " + baseTypes[i], SQL: sql})
		case c.Type != want || !c.NotNull:
			all = append(all, ExtensionProblem{Message: fmt.Sprintf("column %s is %s, want %s", name, c.words(), baseTypes[i])})
		case !c.Default && strings.Contains(baseTypes[i], "DEFAULT"):
			_, def, _ := strings.Cut(baseTypes[i], "DEFAULT")
			all = append(all, ExtensionProblem{
				Message: "column " + name + " has no default, want DEFAULT" + def,
				SQL:     "ALTER TABLE " + x.table.String() + " ALTER COLUMN " + name + " SET DEFAULT" + def,
			})
		}
	}
	for i := range x.columns {
		c := &x.columns[i]
		want := f.Types[c.declared]
		switch have := find(c.Name); {
		case want == "":
			all = append(all, ExtensionProblem{Message: fmt.Sprintf("column %s: there is no type %s for a column", c.Name, c.declared)})
		case have == nil:
			all = append(all, ExtensionProblem{
				Message: fmt.Sprintf("it has no column %s %s", c.Name, c.Type),
				SQL:     "ALTER TABLE " + x.table.String() + " ADD COLUMN IF NOT EXISTS " + c.definition(),
			})
		case !fits(have.Type, want):
			all = append(all, ExtensionProblem{Message: fmt.Sprintf("column %s is %s, and %s to %s", c.Name, have.Type, want, x.product)})
		}
	}
	for _, c := range f.Columns {
		if c.NotNull && !c.Default && !slices.Contains(baseColumns, c.Name) && x.column(c.Name) == nil {
			all = append(all, ExtensionProblem{
				Message: "column " + c.Name + " is NOT NULL without a default, and the model does not have it: nobody can be enrolled",
				SQL:     "ALTER TABLE " + x.table.String() + " ALTER COLUMN " + quoted(c.Name) + " DROP NOT NULL",
			})
		}
	}
	return all
}

func (c *columnFacts) words() string {
	if c.NotNull {
		return c.Type + " NOT NULL"
	}
	return c.Type
}

// definition is the column in a CREATE TABLE. All of them may be left out of an INSERT, because
// an older version of the product does not know them.
func (c *column) definition() string {
	out := quoted(c.Name) + " " + c.declared
	if c.notNull {
		out += " NOT NULL"
	}
	if c.def != "" {
		out += " DEFAULT " + c.def
	}
	return out
}

func (x *extension) foreignKeySQL(db *tenancy.DB) string {
	return "FOREIGN KEY (domain_id, recipient_id) REFERENCES " + quoted(db.Schema()) + ".recipients (domain_id, id) ON DELETE CASCADE"
}

func (x *extension) createSQL(db *tenancy.DB) string {
	var b strings.Builder
	b.WriteString("CREATE TABLE IF NOT EXISTS " + x.table.String() + " (")
	for i, name := range baseColumns {
		b.WriteString(name + " " + baseTypes[i] + ", ")
	}
	for i := range x.columns {
		b.WriteString(x.columns[i].definition() + ", ")
	}
	b.WriteString("PRIMARY KEY (domain_id, recipient_id), " + x.foreignKeySQL(db) + ")")
	return b.String()
}

// createdColumns are those that createSQL makes.
func (x *extension) createdColumns(types map[string]string) []columnFacts {
	var out []columnFacts
	for i, name := range baseColumns {
		t, _, _ := strings.Cut(baseTypes[i], " NOT NULL")
		out = append(out, columnFacts{Name: name, Type: t, NotNull: true, Default: true})
	}
	for _, c := range x.columns {
		out = append(out, columnFacts{Name: c.Name, Type: types[c.declared], Default: true})
	}
	return out
}

// indexGaps are the indexes that the model asks for. One whose building was broken off is
// there, and of no use.
func (x *extension) indexGaps(f tableFacts) []ExtensionProblem {
	var all []ExtensionProblem
	for _, c := range x.columns {
		if !c.indexed {
			continue
		}
		kind := ""
		if c.unique {
			kind = "UNIQUE "
		}
		message := "it has no " + strings.ToLower(kind) + "index over domain_id and " + c.Name
		var have bool
		var broken []ExtensionProblem
		for _, i := range f.Indexes {
			switch {
			case !slices.Equal(i.Columns, []string{"domain_id", c.Name}) || c.unique && !i.Unique:
			case i.Valid:
				have = true
			default:
				drop := pgx.Identifier{x.table.Schema, i.Name}.Sanitize()
				broken = append(broken, ExtensionProblem{Message: message + " that is whole", SQL: "DROP INDEX CONCURRENTLY IF EXISTS " + drop})
			}
		}
		if have {
			continue
		}
		all = append(append(all, broken...), ExtensionProblem{
			Message: message,
			// PostgreSQL finds a name that is free and not too long.
			SQL: "CREATE " + kind + "INDEX CONCURRENTLY ON " + x.table.String() + " (domain_id, " + quoted(c.Name) + ")",
		})
	}
	return all
}
