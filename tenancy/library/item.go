package library

import (
	"encoding/json"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"
	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"

	"github.com/stratakit/strata/tenancy"
)

// ID identifies an item of any type.
type ID = tenancy.ID[Envelope]

// Level is who owns an item.
type Level string

// The levels.
const (
	Global    Level = "global"    // the platform, for every company
	Company   Level = "company"   // a company, for all of its workspaces
	Workspace Level = "workspace" // one workspace
)

// Owner is who owns an item. CompanyID is zero at level Global, WorkspaceID but at level
// Workspace.
type Owner struct {
	Level       Level               `json:"level"`
	CompanyID   tenancy.CompanyID   `json:"companyId,omitzero"`
	WorkspaceID tenancy.WorkspaceID `json:"workspaceId,omitzero"`
}

// Source is what an item was cloned from: which item, and at which version of that its
// body was last taken over.
type Source struct {
	ID      ID    `json:"id"`
	Version int64 `json:"version"`
}

// Envelope is what every item has, whatever its type.
type Envelope struct {
	ID    ID     `json:"id"`
	Owner Owner  `json:"owner"`
	Name  string `json:"name"`
	// Version counts the changes of the item, from 1.
	Version int64 `json:"version"`
	// Source is nil for an item that is no clone.
	Source *Source `json:"source,omitempty"`
	// CreatedBy is the ID of the tenancy.Actor who created the item.
	CreatedBy string    `json:"createdBy,omitempty"`
	CreatedAt time.Time `json:"createdAt"`
	UpdatedAt time.Time `json:"updatedAt"`
}

// Item is one item of a type whose bodies are Ts.
type Item[T any] struct {
	Envelope
	Body T `json:"body"`

	// Invalid is what decoding or Spec.Validate says of Body, nil when it is fine. Only a
	// body that another version of the program has written can be invalid: such an item is
	// read and listed like any other, so that it can be corrected.
	Invalid error `json:"-"`
	// Raw is the body as it is stored.
	Raw json.RawMessage `json:"-"`
}

// row is an item as it is stored. In its owner the platform is still a company.
type row struct {
	Envelope
	nameNorm    string
	body        json.RawMessage
	bodyVersion int64
}

const columns = `i.id, i.company_id, i.workspace_id, i.name, i.name_norm, i.body, i.version, i.body_version, i.source_id, i.source_version, i.created_by, i.created_at, i.updated_at`

func scanRow(from pgx.CollectableRow) (r row, err error) {
	var source ID
	var sourceVersion *int64
	err = from.Scan(&r.ID, &r.Owner.CompanyID, &r.Owner.WorkspaceID, &r.Name, &r.nameNorm, &r.body, &r.Version, &r.bodyVersion,
		&source, &sourceVersion, &r.CreatedBy, &r.CreatedAt, &r.UpdatedAt)
	switch {
	case r.Owner.CompanyID == platform():
		r.Owner.Level = Global
	case r.Owner.WorkspaceID.IsZero():
		r.Owner.Level = Company
	default:
		r.Owner.Level = Workspace
	}
	if sourceVersion != nil {
		r.Source = &Source{ID: source, Version: *sourceVersion}
	}
	return r, err
}

// ownedBy reports whether work in the scope of t may change the item, which t can see.
func (r row) ownedBy(t tenancy.Tenant) bool {
	return r.Owner.CompanyID == t.CompanyID && (t.WorkspaceID.IsZero() || r.Owner.WorkspaceID == t.WorkspaceID)
}

const maxName = 200

// checkName returns a name as it is kept and as it is compared, and notes in v what is
// wrong with it.
func checkName(v *tenancy.ValidationError, name string) (string, string) {
	name = strings.TrimSpace(name)
	switch {
	case name == "":
		v.Add("name", "required", "must not be empty")
	case !utf8.ValidString(name):
		v.Add("name", "invalid_text", "must be valid UTF-8")
	case utf8.RuneCountInString(name) > maxName:
		v.Add("name", "too_long", "must have at most 200 characters")
	case strings.ContainsFunc(name, unicode.IsControl):
		v.Add("name", "invalid_text", "must not contain control characters")
	default:
		return name, normalize(name)
	}
	return name, ""
}

// normalize makes equal what people take for the same name: letters' case, the width and
// composition of characters (Unicode Standard Annex 15, form NFKC) and spaces aside.
func normalize(name string) string {
	return norm.NFKC.String(cases.Fold().String(norm.NFKC.String(strings.Join(strings.Fields(name), " "))))
}
