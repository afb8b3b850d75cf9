package imports

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/stratakit/strata/audit"
	"github.com/stratakit/strata/tenancy"
)

// MappingID identifies a SavedMapping.
type MappingID = tenancy.ID[SavedMapping]

// SavedMapping is what the columns of a file were, the last time that one with these columns was
// committed. The next such file of any domain of the workspace is taken so, unless Process is
// told otherwise.
type SavedMapping struct {
	ID      MappingID `json:"id"`
	Columns []string  `json:"columns"`
	Decided
	Used      int64     `json:"used"` // how often such a file was committed
	CreatedAt time.Time `json:"createdAt"`
	UsedAt    time.Time `json:"usedAt"`
}

// Decided is what ProcessOptions say of the columns of a file and of no other.
type Decided struct {
	Mapping map[string]*string  `json:"mapping"`
	Join    map[string][]string `json:"join,omitempty"`
	Split   map[string][]string `json:"split,omitempty"`
	Formats map[string]string   `json:"formats,omitempty"`
}

// maxMappings is how many mappings a workspace keeps: those that were used last.
const maxMappings = 500

// fingerprint is the same for all files with the same columns, whatever their order and case.
func fingerprint(header []string) []byte {
	names := make([]string, len(header))
	for i, name := range header {
		names[i] = strings.ToLower(name)
	}
	slices.Sort(names)
	raw, err := json.Marshal(names)
	if err != nil { // texts always have a JSON form
		panic(err)
	}
	sum := sha256.Sum256(raw)
	return sum[:]
}

// remember keeps what the columns of a committed file were. Constants are not kept: they are
// what one file was about. What columns are to products that this process does not have stays: it
// could not take them.
func (im *Importer) remember(ctx context.Context, tx *tenancy.Tx, p plan) error {
	if isReport(p.Format.Header) { // the columns are those of another file
		return nil
	}
	var i Import
	p.describe(&i)
	for c, rivals := range p.Rivals {
		if len(rivals) > 0 { // nothing decided
			delete(i.Formats, i.Columns[c])
		}
	}
	d := Decided{Mapping: i.Mapping, Join: i.Join, Split: i.Split, Formats: i.Formats}
	t := tx.Tenant()
	before, err := savedMapping(ctx, tx, t.WorkspaceID, p.Format.Header, ` FOR UPDATE`)
	if err != nil {
		return err
	}
	if before != nil {
		var here []string
		for _, x := range im.store.Registered() {
			here = append(here, x.Name())
		}
		d.keep(before, func(target string) bool {
			name, _, ok := cutTarget(target)
			return ok && !slices.Contains(here, name)
		})
	}
	raw, err := json.Marshal(d)
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, tx.SQL(`INSERT INTO strata.import_mappings AS m (workspace_id, id, company_id, fingerprint, columns, decided) VALUES ($1, $2, $3, $4, $5, $6)
		ON CONFLICT (workspace_id, fingerprint) DO UPDATE SET columns = excluded.columns, decided = excluded.decided, used = m.used + 1, used_at = now()`),
		t.WorkspaceID, tenancy.NewID[SavedMapping](), t.CompanyID, fingerprint(p.Format.Header), p.Format.Header, raw)
	if err != nil {
		return fmt.Errorf("remember the mapping: %w", err)
	}
	_, err = tx.Exec(ctx, tx.SQL(`DELETE FROM strata.import_mappings WHERE workspace_id = $1 AND id IN (
			SELECT id FROM strata.import_mappings WHERE workspace_id = $1 ORDER BY used_at DESC, id OFFSET $2 FOR UPDATE SKIP LOCKED)`), t.WorkspaceID, maxMappings)
	if err != nil {
		return fmt.Errorf("forget mappings that were used long ago: %w", err)
	}
	return nil
}

// remembered returns what the columns of a file were the last time, nil when there was none.
func (im *Importer) remembered(ctx context.Context, header []string) (*Decided, error) {
	t, err := tenancy.WorkspaceFrom(ctx)
	if err != nil {
		return nil, err
	}
	d, err := savedMapping(ctx, im.db, t.WorkspaceID, header, ``)
	if err != nil {
		return nil, fmt.Errorf("imports: %w", err)
	}
	return d, nil
}

// reader is tenancy.DB or tenancy.Tx.
type reader interface {
	Read(ctx context.Context, q string, args []any, scan func(pgx.Rows) error) error
}

func savedMapping(ctx context.Context, db reader, workspace tenancy.WorkspaceID, header []string, lock string) (d *Decided, err error) {
	err = db.Read(ctx, `SELECT decided FROM strata.import_mappings WHERE workspace_id = $1 AND fingerprint = $2`+lock, []any{workspace, fingerprint(header)}, func(rows pgx.Rows) error {
		found, err := pgx.CollectExactlyOneRow(rows, pgx.RowTo[Decided])
		if errors.Is(err, pgx.ErrNoRows) {
			return nil
		}
		d = &found
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read the saved mapping: %w", err)
	}
	return d, nil
}

// keep gives columns that are nothing what they were before, where that is elsewhere.
func (d *Decided) keep(before *Decided, elsewhere func(target string) bool) {
	free := func(name string) (own string, ok bool) {
		for own, target := range d.Mapping {
			if strings.EqualFold(own, name) {
				return own, target == nil && d.Split[own] == nil
			}
		}
		return "", false
	}
	taken := func(target string) bool { // by another column now
		for own, is := range d.Mapping {
			if is != nil && *is == target || slices.Contains(d.Split[own], target) {
				return true
			}
		}
		return false
	}
	for target, names := range before.Join {
		var parts []string
		for _, name := range names {
			if own, ok := free(name); ok {
				parts = append(parts, own)
			}
		}
		if !elsewhere(target) || len(parts) < len(names) {
			continue
		}
		d.Join[target] = parts
		for _, part := range parts {
			d.Mapping[part] = &target
		}
	}
	for name, targets := range before.Split {
		if own, ok := free(name); ok && slices.ContainsFunc(targets, elsewhere) && !slices.ContainsFunc(targets, taken) {
			d.Split[own] = targets
		}
	}
	for name, target := range before.Mapping {
		own, ok := free(name)
		if !ok || target == nil || !elsewhere(*target) || before.Join[*target] != nil {
			continue
		}
		d.Mapping[own] = target
		if format := before.Formats[name]; format != "" {
			d.Formats[own] = format
		}
	}
}

// recall gives the free columns what they were the last time, where that can still be had.
func (g *guess) recall(d *Decided) {
	if d == nil {
		return
	}
	find := func(name string) int {
		return slices.IndexFunc(g.header, func(h string) bool { return strings.EqualFold(h, name) })
	}
	g.habits = map[string]string{}
	for name, format := range d.Formats {
		if i := find(name); i >= 0 {
			g.habits[g.header[i]] = format
		}
	}
	const why = "the last file with these columns had it so"
	can := func(target string) bool { return slices.Contains(g.known, target) && !g.taken[target] }
	for target, names := range d.Join {
		var parts []int
		for _, name := range names {
			if i := find(name); i >= 0 && g.free(i) {
				parts = append(parts, i)
			}
		}
		if !can(target) || !g.isText(target) || len(parts) < len(names) {
			continue
		}
		g.taken[target], g.join[target] = true, parts
		for _, i := range parts {
			g.targets[i] = target
			g.suggestions = append(g.suggestions, Suggestion{g.header[i], target, Sure, why})
		}
	}
	for name, targets := range d.Split {
		i := find(name)
		fits := func(target string) bool { return can(target) && g.isText(target) }
		if i >= 0 && g.free(i) && !slices.ContainsFunc(targets, func(t string) bool { return !fits(t) }) {
			g.split("", g.header[i], targets)
			for _, target := range targets {
				g.suggestions = append(g.suggestions, Suggestion{g.header[i], target, Sure, why})
			}
		}
	}
	for name, target := range d.Mapping {
		i := find(name)
		switch {
		case i < 0 || !g.free(i):
		case target == nil:
			g.passed[i] = true
		case can(*target):
			g.sure(i, *target, why)
		}
	}
}

// Mappings returns the mappings that the workspace has saved, those that were used last first.
func (im *Importer) Mappings(ctx context.Context) (out []SavedMapping, err error) {
	t, err := tenancy.WorkspaceFrom(ctx)
	if err != nil {
		return nil, err
	}
	err = im.db.Read(ctx, `SELECT id, columns, decided, used, created_at, used_at FROM strata.import_mappings WHERE workspace_id = $1 ORDER BY used_at DESC, id`,
		[]any{t.WorkspaceID}, func(rows pgx.Rows) (err error) {
			out, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (m SavedMapping, err error) {
				err = row.Scan(&m.ID, &m.Columns, &m.Decided, &m.Used, &m.CreatedAt, &m.UsedAt)
				m.CreatedAt, m.UsedAt = m.CreatedAt.UTC(), m.UsedAt.UTC()
				return m, err
			})
			return err
		})
	if err != nil {
		return nil, fmt.Errorf("imports: list saved mappings: %w", err)
	}
	return out, nil
}

// DeleteMapping forgets a saved mapping: columns are then guessed again. Errors:
// ErrMappingNotFound.
func (im *Importer) DeleteMapping(ctx context.Context, id MappingID) error {
	if _, err := tenancy.WorkspaceFrom(ctx); err != nil {
		return err
	}
	return im.db.InTx(ctx, func(tx *tenancy.Tx) error {
		tag, err := tx.Exec(ctx, tx.SQL(`DELETE FROM strata.import_mappings WHERE workspace_id = $1 AND id = $2`), tx.Tenant().WorkspaceID, id)
		if err != nil {
			return fmt.Errorf("imports: delete a saved mapping: %w", err)
		}
		if tag.RowsAffected() == 0 {
			return ErrMappingNotFound
		}
		return im.audit.RecordTx(ctx, tx, audit.Entry{Action: "import_mapping.deleted", ResourceType: "import_mapping", ResourceID: id.String()})
	})
}
