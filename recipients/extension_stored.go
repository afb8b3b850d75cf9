package recipients

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"log/slog"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/stratakit/strata/internal/migrate"
	"github.com/stratakit/strata/tenancy"
)

func sum(s string) uint32 {
	h := fnv.New32a()
	_, _ = h.Write([]byte(s)) // never fails
	return h.Sum32()
}

// Migrate makes the tables of the extensions what they have to be, and stores what there is to
// know of them for the processes of all products. A generated table is created, and gets the
// columns, policies, grants and indexes that it lacks; nothing is ever dropped or written anew,
// so that an older version of the product goes on beside this one. A table that a product makes
// itself is only looked at.
//
// Call it at every start with the login that runs strata.Migrate, after the product's own
// migrations; any number of processes may at once. strata.Migrate calls it for the Registry of
// its configuration. A *ExtensionError is about the first extension that cannot be used; those
// before it are in place, and what was done of it stays: calling it again goes on.
func (r *Registry) Migrate(ctx context.Context, db *tenancy.DB) error {
	return r.MigrateLog(ctx, db, slog.Default())
}

// MigrateLog is Migrate with a log for the migrations that it applies.
func (r *Registry) MigrateLog(ctx context.Context, db *tenancy.DB, log *slog.Logger) error {
	if len(r.extensions()) == 0 {
		return nil
	}
	return migrate.Locked(ctx, db.Pool(), db.Schema(), func(ctx context.Context) error {
		for _, x := range r.extensions() {
			if err := x.placed(db).migrate(ctx, db, log); err != nil {
				return err
			}
		}
		return nil
	})
}

// Verify returns a *ExtensionError for each extension whose table is not as it has to be, or
// which Migrate has not stored, joined. strata.New calls it; it changes nothing.
func (r *Registry) Verify(ctx context.Context, db *tenancy.DB) error {
	all := r.extensions()
	if len(all) == 0 {
		return nil
	}
	stored, err := storedExtensions(ctx, db)
	if err != nil {
		return err
	}
	var wrong []error
	for _, x := range all {
		x = x.placed(db)
		if err := migrate.Check(ctx, db.Pool(), db.Schema(), x.lines()); err != nil {
			wrong = append(wrong, err)
			continue
		}
		problems := &ExtensionError{Extension: x.name, Product: x.product}
		if _, known := x.merge(stored, problems); !known {
			problems.add("it is not stored: run Registry.Migrate, or strata.Migrate with the registry")
		}
		gaps, err := x.look(ctx, db)
		if err != nil {
			return err
		}
		problems.Problems = append(problems.Problems, gaps...)
		wrong = append(wrong, problems.orNil())
	}
	return errors.Join(wrong...)
}

// look returns what the table lacks.
func (x *extension) look(ctx context.Context, db *tenancy.DB) ([]ExtensionProblem, error) {
	f, err := x.facts(ctx, db)
	if err != nil {
		return nil, err
	}
	return x.gaps(f, db), nil
}

func (x *extension) migrate(ctx context.Context, db *tenancy.DB, log *slog.Logger) error {
	stored, err := storedExtensions(ctx, db)
	if err != nil {
		return err
	}
	problems := &ExtensionError{Extension: x.name, Product: x.product}
	merged, known := x.merge(stored, problems)
	var before bool // its table was made by the library, as far as is stored
	for _, s := range stored {
		before = before || s.name == x.name && s.generated
	}
	if err := problems.orNil(); err != nil { // before anything is changed
		return err
	}
	if err := x.migrateOwn(ctx, db, log); err != nil {
		return err
	}
	f, err := x.facts(ctx, db)
	if err != nil {
		return err
	}
	gaps := x.gaps(f, db)
	problems.Problems = slices.DeleteFunc(slices.Clone(gaps), func(p ExtensionProblem) bool { return !x.own && p.SQL != "" })
	if err := problems.orNil(); err != nil {
		return err
	}
	if len(gaps) > 0 {
		if err := x.mend(ctx, db, gaps); err != nil {
			return err
		}
		if problems.Problems, err = x.look(ctx, db); err != nil {
			return err
		}
		if err := problems.orNil(); err != nil {
			return err
		}
	}
	for _, t := range append([]tenancy.Table{x.table}, x.more...) {
		if err := db.RegisterTable(ctx, t); err != nil {
			return fmt.Errorf("recipients: extension %q: %w", x.name, err)
		}
	}
	// What was there before the library made anything is the product's.
	generated := !x.own && (!f.Table || before)
	if known && before == generated {
		return nil
	}
	columns, err := json.Marshal(append([]column{}, merged...)) // no columns are a list too
	if err != nil {
		return fmt.Errorf("recipients: extension %q: %w", x.name, err)
	}
	_, err = db.Pool().Exec(ctx, db.SQL(`INSERT INTO strata.recipient_extensions AS e (name, product, schema_name, table_name, columns, generated) VALUES ($1, $2, $3, $4, $5, $6)
		ON CONFLICT (name) DO UPDATE SET columns = excluded.columns, generated = excluded.generated, version = e.version + 1, updated_at = now()`),
		x.name, x.product, x.table.Schema, x.table.Name, columns, generated)
	if err != nil {
		return fmt.Errorf("recipients: store extension %q: %w", x.name, err)
	}
	return nil
}

// A change of a table waits at most lockTimeout for those who use it, because others wait behind
// it, and tries lockAttempts times.
const (
	lockTimeout  = "2s"
	lockAttempts = 10
)

// mend puts right what is missing of a generated table, one statement after the other: each may
// be the last, and the next call goes on.
func (x *extension) mend(ctx context.Context, db *tenancy.DB, gaps []ExtensionProblem) error {
	conn, err := db.Pool().Acquire(ctx)
	if err != nil {
		return fmt.Errorf("recipients: migrate extension %q: %w", x.name, err)
	}
	defer conn.Release()
	for _, g := range gaps {
		if err := run(ctx, conn.Conn(), g.SQL); err != nil {
			return fmt.Errorf("recipients: migrate extension %q: %s: %s: %w", x.name, g.Message, g.SQL, err)
		}
	}
	return nil
}

func run(ctx context.Context, conn *pgx.Conn, sql string) (err error) {
	if strings.Contains(sql, " CONCURRENTLY ") { // it makes nobody wait, and runs in no transaction
		_, err = conn.Exec(ctx, sql)
		return err
	}
	for range lockAttempts {
		err = pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
			if _, err := tx.Exec(ctx, `SELECT set_config('lock_timeout', $1, true)`, lockTimeout); err != nil {
				return err
			}
			_, err := tx.Exec(ctx, sql)
			return err
		})
		var pg *pgconn.PgError
		if !errors.As(err, &pg) || pg.Code != "55P03" {
			return err
		}
	}
	return err
}

// stored is a row of the registry in the database.
type stored struct {
	extension

	version   int64
	generated bool // the library has made the table
	there     bool // and not dropped since
}

// storedSQL finds further tables by the foreign keys that their rows hang by: products of any
// version have those.
var storedSQL = `SELECT e.name, e.product, e.schema_name, e.table_name, e.columns, e.version, e.generated, c.oid IS NOT NULL,
	ARRAY(SELECT ARRAY[t.schema_name, t.table_name] FROM strata.tenant_tables t JOIN pg_namespace mn ON mn.nspname = t.schema_name
		JOIN pg_class m ON m.relnamespace = mn.oid AND m.relname = t.table_name
		WHERE EXISTS (SELECT FROM pg_constraint f WHERE ` + fmt.Sprintf(cascadeSQL, "m.oid", "c.oid", "recipient_id") + `) ORDER BY t.schema_name, t.table_name)
	FROM strata.recipient_extensions e
	LEFT JOIN pg_namespace n ON n.nspname = e.schema_name
	LEFT JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = e.table_name AND c.relkind IN ('r', 'p') ORDER BY e.name`

func storedExtensions(ctx context.Context, db *tenancy.DB) (out []stored, err error) {
	err = db.ReadTrusted(ctx, storedSQL, nil, func(rows pgx.Rows) error {
		out, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (s stored, err error) {
			var further [][]string
			err = row.Scan(&s.name, &s.product, &s.table.Schema, &s.table.Name, &s.columns, &s.version, &s.generated, &s.there, &further)
			s.table.Product = s.product
			for _, t := range further {
				s.more = append(s.more, tenancy.Table{Schema: t[0], Name: t[1], Product: s.product})
			}
			return s, err
		})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("recipients: read the stored extensions: %w", err)
	}
	return out, nil
}

// merge returns the columns that are to be stored: those of the extension, and those that only
// the stored one has, which are of a newer version. known says that they are stored so already.
// What another product has by that name or table, and a column of another type, is a problem.
func (x *extension) merge(all []stored, problems *ExtensionError) (columns []column, known bool) {
	columns = slices.Clone(x.columns)
	for _, s := range all {
		same := s.table.Schema == x.table.Schema && s.table.Name == x.table.Name
		switch {
		case s.name == x.name && (s.product != x.product || !same):
			problems.add("the name is that of table %s of %s, and this is table %s of %s", s.table, s.product, x.table, x.product)
		case s.name != x.name && same:
			problems.add("table %s is that of extension %q of %s", x.table, s.name, s.product)
		case s.name == x.name:
			known = true
			for i := range columns {
				mine, theirs := &columns[i], s.column(columns[i].Name)
				if theirs == nil {
					known = false
					continue
				}
				if !fits(theirs.Type, mine.Type) {
					problems.add("column %s was registered as %s (version %d of %s), and is %s now", mine.Name, theirs.Type, s.version, s.product, mine.Type)
				}
				mine.widen(theirs)
				known = known && mine.Filter == theirs.Filter && (mine.JSON == "") == (theirs.JSON == "") && slices.Equal(mine.Options, theirs.Options)
			}
			for _, theirs := range s.columns {
				if x.column(theirs.Name) == nil {
					columns = append(columns, theirs)
				}
			}
		}
	}
	return columns, known
}

// widen makes of two versions of a column what both can live with, whichever came first.
func (c *column) widen(stored *column) {
	if c.Filter == "" {
		c.Filter = stored.Filter
	}
	if stored.JSON == "" {
		c.JSON = "" // whoever wants to hide it does
	}
	if c.Options == nil || stored.Options == nil {
		c.Options = nil
		return
	}
	options := slices.Clone(stored.Options)
	for _, o := range c.Options {
		if !slices.Contains(options, o) {
			options = append(options, o)
		}
	}
	c.Options = options
}
