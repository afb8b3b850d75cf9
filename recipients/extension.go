package recipients

import (
	"context"
	"fmt"
	"io/fs"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/stratakit/strata/customfields"
	"github.com/stratakit/strata/customfields/filter"
	"github.com/stratakit/strata/tenancy"
)

// Enrollment is what every row of an extension begins with: whose it is. A model embeds it:
//
//	type SMS struct {
//		bun.BaseModel `bun:"table:app.sms"`
//		recipients.Enrollment
//
//		Phone   string `bun:"phone"    strata:"filterable,index"`
//		OptedIn bool   `bun:"opted_in" strata:"filterable"`
//	}
//
// The store alone sets it; what a caller writes into it counts for nothing, but for the
// RecipientID of EnrollMany.
type Enrollment struct {
	DomainID    tenancy.DomainID    `bun:"domain_id,pk,type:uuid"             json:"-"`
	RecipientID ID                  `bun:"recipient_id,pk,type:uuid"          json:"-"`
	CompanyID   tenancy.CompanyID   `bun:"company_id,type:uuid"               json:"-"`
	WorkspaceID tenancy.WorkspaceID `bun:"workspace_id,type:uuid"             json:"-"`
	Version     int64               `bun:"version"                            json:"version"` // grows with every change
	CreatedAt   time.Time           `bun:"created_at,nullzero,default:now()"  json:"createdAt"`
	UpdatedAt   time.Time           `bun:"updated_at,nullzero,default:now()"  json:"updatedAt"`
}

func (e *Enrollment) enrollment() *Enrollment { return e }

// Extension says what a product adds to recipients: a table with at most one row for each,
// T, whose being there means that the recipient is enrolled in the product.
//
// T is a bun model (https://bun.uptrace.dev) that embeds Enrollment; bun's tags give table
// and columns. A column's tag strata takes, separated by commas:
//
//	filterable        filters may use it, as <name>.<column>
//	email             with filterable: compared in the form of NormalizeEmail
//	options:a|b|c     the only values of a text
//	index, unique     an index of a generated table, over the domain and the column
//	readonly          shown over HTTP, and set by the product's own code only
//
// Columns are named in JSON by their json tag, otherwise by their name in camelCase; "-" keeps
// one out of HTTP.
type Extension[T any] struct {
	// Name is how filters, lists and routes call it, such as "sms": lower-case letters, digits
	// and underscores, at most 40. It is one name for all products that share a database.
	Name string
	// Product says whose it is, for messages. Default Name.
	Product string
	// OwnTable says that the product makes the table by its own migrations, and
	// Registry.Migrate only looks whether it is as it must be. Otherwise it is generated.
	OwnTable bool
	// Migrations are what makes the table, where generating it is not enough: Registry.Migrate
	// applies those that are missing, in order. They are files migrations/001_name.up.sql and
	// migrations/001_name.down.sql, numbered from 001 without a gap and written against the schema
	// strata, whatever it is called. The table is then verified as with OwnTable. Default none.
	Migrations fs.FS
	// Tables are further tables whose rows hang on those of T, as schema.name, with a foreign key
	// (domain_id, recipient_id) to it with ON DELETE CASCADE, by which they are withdrawn, purged
	// and exported. Registry.Migrate registers them (tenancy.DB.RegisterTable), so that a move of
	// a domain takes them along. Default none.
	Tables []string
	// Check brings a row into its normal form and says what is wrong with it, as a
	// *tenancy.ValidationError by the names of JSON, before it is written. It must not keep the row,
	// and is safe for concurrent use: mostly it runs inside the transaction, but for
	// AnyEnrollments.Normalize, which has none. Default none.
	Check func(ctx context.Context, row *T) error
	// CheckOver comes before Check for a row that AnyEnrollments.PutEachTx, as an import, makes of the
	// one that is stored: values for many are those of an old file, and what is stored may be newer,
	// as when somebody has opted out since. It says what is wrong as Check does, or sets in row what
	// stays as it is stored. It must keep neither of the two, nor change stored. Default none.
	CheckOver func(ctx context.Context, stored, row *T) error
}

// ExtensionError says everything that is wrong with an extension, or with its table.
type ExtensionError struct {
	Extension, Product string
	Problems           []ExtensionProblem
}

// ExtensionProblem is one thing that is wrong.
type ExtensionProblem struct {
	Message string
	// SQL would put it right; empty where that is for a person to decide.
	SQL string
}

// Error lists the problems, each with the SQL that mends it.
func (e *ExtensionError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "recipients: extension %q of %s:", e.Extension, e.Product)
	for i, p := range e.Problems {
		if i > 0 {
			b.WriteByte(';')
		}
		b.WriteString(" " + p.Message)
		if p.SQL != "" {
			b.WriteString(" (" + p.SQL + ")")
		}
	}
	return b.String()
}

func (e *ExtensionError) add(format string, args ...any) {
	e.Problems = append(e.Problems, ExtensionProblem{Message: fmt.Sprintf(format, args...)})
}

func (e *ExtensionError) orNil() error {
	if len(e.Problems) == 0 {
		return nil
	}
	return e
}

// extension is one that is registered in this process, or that another's has stored.
type extension struct {
	name, product string
	table         tenancy.Table
	columns       []column // its own, beside those of Enrollment
	own           bool     // the product makes the table
	files         fs.FS    // its migrations; nil: it has none
	more          []tenancy.Table

	model reflect.Type // nil: of a product that this process does not have
	calls calls
}

// column is one that the product has added.
type column struct {
	Name    string            `json:"name"`
	Type    string            `json:"type"`           // as format_type of PostgreSQL has it
	JSON    string            `json:"json,omitempty"` // its name there; empty: it is not shown
	Filter  customfields.Type `json:"filter,omitempty"`
	Options []string          `json:"options,omitempty"`

	index    []int  // of the field of the model
	declared string // its type as the model has it, with a length
	notNull  bool
	def      string // DEFAULT, as SQL
	indexed  bool
	unique   bool
	nullzero bool
	readOnly bool
}

var (
	extensionName = regexp.MustCompile(`^[a-z][a-z0-9_]{0,39}$`)
	plainName     = regexp.MustCompile(`^[a-z_][a-z0-9_]{0,62}$`)
)

// baseColumns are those of Enrollment, in its order.
var baseColumns = []string{"domain_id", "recipient_id", "company_id", "workspace_id", "version", "created_at", "updated_at"}

// filterTypes are those that a column can have.
var filterTypes = []customfields.Type{customfields.Text, customfields.Email, customfields.Number, customfields.Boolean, customfields.Date}

// enrolledColumn is what filters ask whether there is a row.
const enrolledColumn = "enrolled"

func quoted(name string) string { return pgx.Identifier{name}.Sanitize() }

// alias is what statements call the table.
func (x *extension) alias() string { return "x_" + x.name }

func (x *extension) column(name string) *column {
	if i := slices.IndexFunc(x.columns, func(c column) bool { return c.Name == name }); i >= 0 {
		return &x.columns[i]
	}
	return nil
}

func (x *extension) sql(column string) string { return x.alias() + "." + quoted(column) }

// join joins the row of the recipient r, where there is one.
func (x *extension) join() string {
	return fmt.Sprintf("LEFT JOIN %s %s ON %[2]s.domain_id = r.domain_id AND %[2]s.recipient_id = r.id", x.table, x.alias())
}

// whole is the row as JSON. Without the star a column of another table in the statement could be
// meant, which has the alias as its name.
func (x *extension) whole() string { return "to_jsonb(" + x.alias() + ".*)" }

// enrolled is whether there is such a row.
func (x *extension) enrolled() string { return "(" + x.sql("recipient_id") + " IS NOT NULL)" }

// filterable is the extension for filters: its columns, when the row was made and changed, and
// whether there is one.
func (x *extension) filterable() filter.Extension {
	out := filter.Extension{Name: x.name, Join: x.join(), Columns: []filter.Column{
		{Name: enrolledColumn, Type: customfields.Boolean, SQL: x.enrolled()},
		{Name: "created_at", Type: customfields.Date, SQL: x.sql("created_at")},
		{Name: "updated_at", Type: customfields.Date, SQL: x.sql("updated_at")},
	}}
	for _, c := range x.columns {
		if slices.Contains(filterTypes, c.Filter) { // a newer version may have stored another
			out.Columns = append(out.Columns, filter.Column{Name: c.Name, Type: c.Filter, SQL: x.sql(c.Name), Options: c.Options})
		}
	}
	return out
}

// camel is a column's name in JSON.
func camel(name string) string {
	parts := strings.Split(name, "_")
	for i, p := range parts {
		if i > 0 && p != "" {
			parts[i] = strings.ToUpper(p[:1]) + p[1:]
		}
	}
	return strings.Join(parts, "")
}
