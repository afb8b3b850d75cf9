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

// keep are parts of the statement of a commit, in which batch has the rows and written what
// was done: they write down what it changes. A recipient that an import changes twice, as one
// does that a corrected report goes on with, is kept as it was first; where somebody else changed
// it in between, its version says that it was edited.
func (c Conflict) keep() string {
	m := c.merge(`b.name`, `b.status`, `b.custom_fields`)
	return `made AS (
		INSERT INTO strata.import_changes (domain_id, import_id, recipient_id, company_id, workspace_id, was, version)
		SELECT $1, $2, id, $6, $7, 0, 1 FROM written WHERE inserted
	), changed AS (
		INSERT INTO strata.import_changes AS c (domain_id, import_id, recipient_id, company_id, workspace_id, was, version, name, status, status_reason, status_changed_at, custom_fields)
		SELECT $1, $2, r.id, $6, $7, r.version, r.version + 1, CASE WHEN ` + m.name + ` <> r.name THEN r.name END,
			CASE WHEN ` + m.status + ` <> r.status THEN r.status END, CASE WHEN ` + m.status + ` <> r.status THEN r.status_reason END, CASE WHEN ` + m.status + ` <> r.status THEN r.status_changed_at END,
			CASE WHEN ` + m.fields + ` <> r.custom_fields THEN r.custom_fields END
		FROM batch b, LATERAL (SELECT (b.was).*) r
		WHERE b.there AND r.id IS NOT NULL AND NOT ` + m.same() + `
		ON CONFLICT (domain_id, import_id, recipient_id) DO UPDATE SET rows = c.rows + 1, version = CASE c.version WHEN excluded.was THEN excluded.version ELSE c.version END,
			name = coalesce(c.name, excluded.name), custom_fields = coalesce(c.custom_fields, excluded.custom_fields), status = coalesce(c.status, excluded.status),
			status_reason = CASE WHEN c.status IS NULL THEN excluded.status_reason ELSE c.status_reason END,
			status_changed_at = CASE WHEN c.status IS NULL THEN excluded.status_changed_at ELSE c.status_changed_at END
		RETURNING 1
	)`
}
