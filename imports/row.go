package imports

import (
	"encoding/json"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/stratakit/strata/customfields"
	"github.com/stratakit/strata/recipients"
	"github.com/stratakit/strata/tenancy"
)

// stagedColumns are the columns of a batch on its way into staging.
var stagedColumns = []string{"row_no", "recipient_id", "email", "email_norm", "name", "status", "custom_fields", "errors", "raw"}

// judge turns records into staged rows by a plan.
type judge struct {
	targets []target
	columns int
}

// target is what one column is for.
type target struct {
	core  string              // "email", "name" or "status"
	field *customfields.Field // or this
	json  []byte              // `"key":` of the field
}

func newJudge(p plan, set *customfields.Set) (*judge, error) {
	j := &judge{columns: len(p.Format.Header), targets: make([]target, len(p.Targets))}
	for i, t := range p.Targets {
		fieldKey, isField := strings.CutPrefix(t, fieldPrefix)
		if !isField {
			j.targets[i].core = t
			continue
		}
		f := set.Field(fieldKey)
		if f == nil {
			return nil, ErrFieldsChanged
		}
		j.targets[i].field = f
		j.targets[i].json = append(customfields.AppendValue(nil, fieldKey), ':')
	}
	return j, nil
}

// row returns the values of stagedColumns for a record. What is wrong with it is part of
// the row: nothing about one record is ever an error of the import.
func (j *judge) row(rec record) []any {
	if rec.err != nil {
		return invalid(rec, []tenancy.FieldError{{Field: "row", Code: "bad_csv", Message: reason(rec.err)}})
	}
	if len(rec.cells) != j.columns {
		code, hint := "missing_columns", "a cell or a delimiter is missing"
		if len(rec.cells) > j.columns {
			code, hint = "extra_columns", "a cell with the delimiter in it must be quoted"
		}
		return invalid(rec, []tenancy.FieldError{{
			Field: "row", Code: code, Message: fmt.Sprintf("has %d cells, the header has %d: %s", len(rec.cells), j.columns, hint),
		}})
	}
	var errs []tenancy.FieldError
	var email, norm string
	var name, status any // nil: the file says nothing, so an existing recipient keeps its own
	fields := make([]byte, 0, 256)
	fields = append(fields, '{')
	for i, t := range j.targets {
		cell := rec.cells[i]
		if t.core == "" && t.field == nil {
			continue
		}
		if !utf8.ValidString(cell) || strings.IndexByte(cell, 0) >= 0 {
			errs = append(errs, tenancy.FieldError{Field: t.name(), Code: "invalid_text", Message: "must be UTF-8 text without NUL"})
			continue
		}
		var problem *tenancy.FieldError
		switch t.core {
		case "email":
			email = strings.TrimSpace(cell)
			norm, problem = recipients.NormalizeEmail(cell)
		case "name":
			var s string
			if s, problem = recipients.NormalizeName(cell); s != "" {
				name = s
			}
		case "status":
			if strings.TrimSpace(cell) != "" {
				var s recipients.Status
				s, problem = recipients.NormalizeStatus(cell)
				status = string(s)
			}
		default:
			var value any
			if value, problem = t.field.Text(cell); problem == nil && value == nil && t.field.Required {
				problem = &tenancy.FieldError{Field: "customFields." + t.field.Key, Code: "required", Message: "must have a value"}
			}
			if value != nil {
				if len(fields) > 1 {
					fields = append(fields, ',')
				}
				fields = customfields.AppendValue(append(fields, t.json...), value)
			}
		}
		if problem != nil {
			errs = append(errs, *problem)
		}
	}
	if len(errs) > 0 {
		return invalid(rec, errs)
	}
	return []any{rec.row, newRecipientID(), email, norm, name, status, append(fields, '}'), nil, nil}
}

func (t target) name() string {
	if t.field != nil {
		return "customFields." + t.field.Key
	}
	return t.core
}

func newRecipientID() [16]byte { return uuid.UUID(tenancy.NewID[recipients.Recipient]()) }

// maxRawCell is what is kept of a cell of a row that cannot be imported.
const maxRawCell = 32 << 10

// invalid is a staged row that holds its original cells, made storable, and its errors.
func invalid(rec record, errs []tenancy.FieldError) []any {
	raw := make([]string, len(rec.cells))
	for i, c := range rec.cells {
		c = strings.ReplaceAll(strings.ToValidUTF8(c, "\uFFFD"), "\x00", "\uFFFD")
		if len(c) > maxRawCell {
			c = strings.ToValidUTF8(c[:maxRawCell], "")
		}
		raw[i] = c
	}
	data, err := json.Marshal(errs)
	if err != nil { // strings only
		data = []byte(`[]`)
	}
	return []any{rec.row, nil, nil, nil, nil, nil, nil, data, raw}
}
