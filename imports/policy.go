package imports

import "github.com/stratakit/strata/recipients"

// Conflict says what happens to a recipient that is already there.
type Conflict string

// The policies. Custom fields that the file does not mention always stay, and so does
// what a row has no value for.
const (
	Update    Conflict = "update"     // the file wins, but for a status that is stricter (recipients.Status)
	Skip      Conflict = "skip"       // the recipient stays as it is: its row is unchanged
	FillEmpty Conflict = "fill_empty" // the file fills in what is not set
)

// merge is what a policy makes of a recipient r and a row of a file, as SQL. Preview and
// commit use the same, so that the one says what the other does.
type merge struct{ name, status, fields string }

// merge returns it for a row of which name, status and fields are the SQL; name and
// status are NULL where the file says nothing. A status that is stricter than the file's stays
// (recipients.Status).
func (c Conflict) merge(name, status, fields string) merge {
	switch c {
	case Skip:
		return merge{name: `r.name`, status: `r.status`, fields: `r.custom_fields`}
	case FillEmpty:
		return merge{
			name:   `CASE WHEN r.name = '' THEN coalesce(` + name + `, '') ELSE r.name END`,
			status: `r.status`,
			fields: `(` + fields + `) || r.custom_fields`,
		}
	case Update:
	}
	return merge{
		name:   `coalesce(` + name + `, r.name)`,
		status: recipients.StatusSQL(`r.status`, status),
		fields: `r.custom_fields || (` + fields + `)`,
	}
}

// same is the condition that the row changes nothing.
func (m merge) same() string {
	return `(` + m.fields + ` = r.custom_fields AND ` + m.name + ` = r.name AND ` + m.status + ` = r.status)`
}

// set is the SET clause that applies the row.
func (m merge) set() string {
	return `name = ` + m.name + `, status = ` + m.status + `, status_reason = CASE WHEN ` + m.status + ` = r.status THEN r.status_reason ELSE 'import' END,
		status_changed_at = CASE WHEN ` + m.status + ` = r.status THEN r.status_changed_at ELSE now() END, custom_fields = ` + m.fields + `, version = r.version + 1, updated_at = now()`
}
