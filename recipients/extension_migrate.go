package recipients

import (
	"context"
	"fmt"
	"log/slog"
	"slices"

	"github.com/stratakit/strata/internal/migrate"
	"github.com/stratakit/strata/tenancy"
)

// lines are the extension's own migrations, under a name that is no package's.
func (x *extension) lines() []migrate.Line {
	if x.files == nil {
		return nil
	}
	return []migrate.Line{{Name: "x_" + x.name, Files: x.files}}
}

// migrateOwn applies the extension's own migrations.
func (x *extension) migrateOwn(ctx context.Context, db *tenancy.DB, log *slog.Logger) error {
	if x.files == nil {
		return nil
	}
	err := migrate.CheckNotTooNew(ctx, db.Pool(), db.Schema(), x.lines())
	if err == nil {
		err = migrate.Up(ctx, db.Pool(), db.Schema(), x.lines(), log)
	}
	if err != nil {
		return fmt.Errorf("recipients: extension %q: %w", x.name, err)
	}
	return nil
}

// Unmigrate undoes the migrations of the extensions that have some (Extension.Migrations), last
// one first, and with them their data. The tables of others stay. It is for tests and for
// leaving: strata.Unmigrate calls it for the Registry of its configuration.
func (r *Registry) Unmigrate(ctx context.Context, db *tenancy.DB) error {
	all := r.extensions()
	if len(all) == 0 {
		return nil
	}
	return migrate.Locked(ctx, db.Pool(), db.Schema(), func(ctx context.Context) error {
		var there bool // or all of it is undone already
		if err := db.Pool().QueryRow(ctx, `SELECT to_regclass($1) IS NOT NULL`, db.Schema()+".recipient_extensions").Scan(&there); err != nil || !there {
			return err
		}
		for _, x := range slices.Backward(all) {
			if x.files == nil {
				continue
			}
			if err := migrate.Down(ctx, db.Pool(), db.Schema(), x.lines()); err != nil {
				return fmt.Errorf("recipients: extension %q: %w", x.name, err)
			}
			x = x.placed(db)
			for _, t := range append([]tenancy.Table{x.table}, x.more...) {
				if _, err := db.Pool().Exec(ctx, db.SQL(`DELETE FROM strata.tenant_tables WHERE schema_name = $1 AND table_name = $2`), t.Schema, t.Name); err != nil {
					return fmt.Errorf("recipients: extension %q: %w", x.name, err)
				}
			}
			if _, err := db.Pool().Exec(ctx, db.SQL(`DELETE FROM strata.recipient_extensions WHERE name = $1`), x.name); err != nil {
				return fmt.Errorf("recipients: extension %q: %w", x.name, err)
			}
		}
		return nil
	})
}
