package indexes

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/stratakit/strata/customfields"
	"github.com/stratakit/strata/customfields/filter"
)

// Table is a table whose rows have domain_id uuid, custom_fields jsonb and an id that is
// unique within the domain.
type Table struct {
	Schema, Name string
	// ID is the column after domain_id in the primary key, in which lists end their order.
	// Default "id".
	ID string
}

// String returns schema.name.
func (t Table) String() string { return t.Schema + "." + t.Name }

func (t Table) sql() string { return pgx.Identifier{t.Schema, t.Name}.Sanitize() }

// Form is how the values of a field are compared, and so which expression of them an index
// is over.
type Form string

// The forms.
const (
	FormNumber Form = "number" // numbers, as jsonb
	FormText   Form = "text"   // texts and what is stored as text, by code point
)

// FormOf returns the form of a type; ok is false for a multi_select and a boolean, which the
// index over all fields serves alone.
func FormOf(t customfields.Type) (form Form, ok bool) {
	switch t {
	case customfields.Number:
		return FormNumber, true
	case customfields.Text, customfields.Date, customfields.Select, customfields.URL, customfields.Email:
		return FormText, true
	case customfields.Boolean, customfields.MultiSelect:
	}
	return "", false
}

func (f Form) expression(slot string) string {
	if f == FormNumber {
		return filter.IndexExpression(slot, customfields.Number)
	}
	return filter.IndexExpression(slot, customfields.Text)
}

// has is the condition that a row has a value of the form: what filters and orders ask implies
// it (filter.OrderBy).
func (f Form) has(expression string) string {
	if f == FormNumber {
		return expression + ` >= '-1e400' AND ` + expression + ` < 'false'`
	}
	return expression + ` IS NOT NULL`
}

// State is where an index stands. One that is in none of the states is not there.
type State string

// The states.
const (
	Building State = "building" // it is being built, or whoever did has died
	Ready    State = "ready"    // it is built, has statistics, and is used
	Failed   State = "failed"   // it could not be built; RetryAt says when it is tried again
	Dropping State = "dropping" // it is being dropped
)

// key names an index by what it is over.
type key struct {
	schema, table, slot string
	form                Form
}

// Index is an index over one field of a table.
type Index struct {
	Schema string `json:"schema"`
	Table  string `json:"table"`
	// Slot is the JSON key under which the field's values are stored.
	Slot  string `json:"slot"`
	Form  Form   `json:"form"`
	Name  string `json:"name"`
	State State  `json:"state"`
	// Automatic is whether the advisor built it, and may drop it.
	Automatic bool   `json:"automatic"`
	Reason    string `json:"reason,omitempty"`
	// Attempts counts how often in a row building it has failed.
	Attempts int        `json:"attempts"`
	Error    string     `json:"error,omitempty"`
	RetryAt  *time.Time `json:"retryAt,omitempty"`
	// Scans is how often PostgreSQL has used it, by its own count.
	Scans     int64     `json:"scans"`
	SizeBytes int64     `json:"sizeBytes"`
	UsedAt    time.Time `json:"usedAt"`
	CreatedAt time.Time `json:"createdAt"`
	ChangedAt time.Time `json:"changedAt"`

	there, valid bool // in the catalog
}

func (x Index) key() key { return key{x.Schema, x.Table, x.Slot, x.Form} }

// newIndex is an index over a slot that has not been built.
func newIndex(t Table, slot string, form Form) Index {
	sum := sha256.Sum256([]byte(t.String() + "\x00" + slot + "\x00" + string(form)))
	name := fmt.Sprintf("%.24s_cf_%.20s_%s", t.Name, slot, hex.EncodeToString(sum[:4]))
	return Index{Schema: t.Schema, Table: t.Name, Slot: slot, Form: form, Name: name}
}

// createSQL builds the index without keeping writers out. It has only the rows that have a
// value, so that tenants without such a field do not pay for it; one over numbers has no texts
// of a tenant whose field is one, which may be longer than PostgreSQL indexes: to write them
// would fail. It ends with the id, as the order of lists does.
func (x Index) createSQL(t Table) string {
	expression := x.Form.expression(x.Slot)
	return fmt.Sprintf(`CREATE INDEX CONCURRENTLY IF NOT EXISTS %s ON %s (domain_id, %s, %s) WHERE %s`,
		pgx.Identifier{x.Name}.Sanitize(), t.sql(), expression, pgx.Identifier{t.ID}.Sanitize(), x.Form.has(expression))
}

// statisticsSQL has PostgreSQL gather statistics of the expression: it takes none from an
// index that has only some of the rows.
func (x Index) statisticsSQL(t Table) string {
	expression := x.Form.expression(x.Slot)
	return fmt.Sprintf(`CREATE STATISTICS IF NOT EXISTS %s ON %s FROM %s`, x.sql(), expression, t.sql())
}

func (x Index) dropSQL() string { return `DROP INDEX CONCURRENTLY IF EXISTS ` + x.sql() }

func (x Index) dropStatisticsSQL() string { return `DROP STATISTICS IF EXISTS ` + x.sql() }

// sql is the name of the index, and of its statistics.
func (x Index) sql() string { return pgx.Identifier{x.Schema, x.Name}.Sanitize() }
