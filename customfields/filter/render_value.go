package filter

import (
	"fmt"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/stratakit/strata/customfields"
)

// value is a value as SQL of its kind: text in the order of code points, float8, boolean,
// timestamptz, or a bigint of microseconds. NULL is null, or an error where the value is
// computed. It can never raise, whatever is stored.
func (r *renderer) value(v value) string {
	switch v.kind() {
	case textKind:
		return r.text(v)
	case numberKind:
		return r.float(v)
	case dateKind:
		return r.date(v)
	case durationKind:
		return r.duration(v)
	case booleanKind:
		return r.boolean(v)
	case listKind:
	}
	panic("filter: a value without SQL") // the builder lets no list get here
}

// codePoints orders text as CEL does.
const codePoints = ` COLLATE "C"`

func (r *renderer) text(v value) string {
	switch v := v.(type) {
	case operand:
		if v.column != nil {
			return v.column.SQL + codePoints
		}
		return "(" + textExpression("r.", v.field) + ")" + codePoints
	case literal:
		return r.bind(v.value, "text") + codePoints
	case element:
		return alias(v) + ".v" + codePoints
	case ascii:
		upper, lower := "'ABCDEFGHIJKLMNOPQRSTUVWXYZ'", "'abcdefghijklmnopqrstuvwxyz'"
		if v.upper {
			upper, lower = lower, upper
		}
		return "translate(" + r.text(v.of) + ", " + upper + ", " + lower + ")"
	case concat:
		return "(" + r.text(v.a) + " || " + r.text(v.b) + ")"
	}
	panic("filter: a text without SQL")
}

// textExpression is the text of a custom field, which an index can be on. prefix names the
// table.
func textExpression(prefix string, f *customfields.Field) string {
	key := quoteKey(slot(f))
	return "CASE WHEN jsonb_typeof(" + prefix + "custom_fields->" + key + ") = 'string' THEN " + prefix + "custom_fields->>" + key + " END"
}

// IndexExpression is the expression over the columns of a table that an index on a custom
// field is made of: what filters compare, and lists are ordered by. It is "" for a type that
// the index on all custom fields serves alone.
func IndexExpression(slot string, t customfields.Type) string {
	switch t {
	case customfields.Number:
		return "(custom_fields->" + quoteKey(slot) + ")"
	case customfields.Boolean, customfields.MultiSelect:
		return ""
	case customfields.Text, customfields.Date, customfields.Select, customfields.URL, customfields.Email:
	}
	return "(" + beginning("(CASE WHEN jsonb_typeof(custom_fields->"+quoteKey(slot)+") = 'string' THEN custom_fields->>"+quoteKey(slot)+" END)"+codePoints) + ")"
}

// indexedLength is how many characters of a text an index has: an entry has room for some
// 2,700 bytes, and an index is over the texts of all tenants. Everything but long texts and
// addresses is shorter.
const indexedLength = 255

// beginning is what an index has of a text.
func beginning(text string) string { return "left(" + text + ", " + strconv.Itoa(indexedLength) + ")" }

// decides reports whether a text is compared with the beginning of another one as with all of
// it: it ends before.
func decides(s string) bool { return utf8.RuneCountInString(s) < indexedLength }

// beginningOf is beginning in Go.
func beginningOf(s string) string {
	n := 0
	for i := range s {
		if n == indexedLength {
			return s[:i]
		}
		n++
	}
	return s
}

func (r *renderer) float(v value) string {
	switch v := v.(type) {
	case operand:
		if v.column != nil {
			return v.column.SQL
		}
		// What float8 cannot hold, which a cast would raise on, counts as not set.
		return numberExpression(v.field, "5e-324", "1.7976931348623157e308")
	case literal:
		return r.bind(v.value, "float8")
	case arithmetic:
		return "(" + r.inArithmetic(v.a) + " " + v.op + " " + r.inArithmetic(v.b) + ")"
	case negative:
		return "(- " + r.inArithmetic(v.of) + ")"
	case size:
		if v.of.kind() == listKind {
			return "jsonb_array_length(" + r.list(v.of.(operand)) + ")::float8"
		}
		return "length(" + r.text(v.of) + ")::float8"
	case part:
		local := "(" + r.inYears(v.of) + " AT TIME ZONE " + r.zone(v.zone) + ")"
		return "(" + fmt.Sprintf(parts[v.which].sql, local) + ")::float8"
	case count:
		return r.count(v)
	}
	panic("filter: a number without SQL")
}

// inArithmetic is a number that no operation can take out of the range of a float8. NULL
// stands for one that could.
func (r *renderer) inArithmetic(v value) string {
	o, ok := v.(operand)
	if !ok {
		return r.float(v)
	}
	if o.column != nil {
		number := "(" + o.column.SQL + ")::float8" // whole numbers, too, are computed with as CEL does
		return "(CASE WHEN " + number + " = 0 OR abs(" + number + ") BETWEEN 1e-15::float8 AND 1e15::float8 THEN " + number + " END)"
	}
	return numberExpression(o.field, "1e-15", "1e15")
}

// numberExpression is the number of a custom field as a float8, when it is zero or within
// bounds either way.
func numberExpression(f *customfields.Field, least, most string) string {
	number := "(" + raw(f) + ")::numeric"
	return "(CASE WHEN jsonb_typeof(" + raw(f) + ") = 'number' THEN CASE WHEN " + number + " = 0 OR abs(" + number + ") BETWEEN " + least + " AND " + most +
		" THEN (" + raw(f) + ")::float8 END END)"
}

func (r *renderer) count(v count) string {
	return r.events.CountSQL(r.bind(v.kindOf, "text"), r.bind(r.at.Add(-v.window), "timestamptz"))
}

func (r *renderer) boolean(v value) string {
	switch v := v.(type) {
	case operand:
		if v.column != nil {
			return v.column.SQL
		}
		return "(CASE WHEN jsonb_typeof(" + raw(v.field) + ") = 'boolean' THEN (" + raw(v.field) + ")::boolean END)"
	case literal:
		return r.bind(v.value, "boolean")
	}
	panic("filter: a boolean without SQL")
}

// A date is stored as text of fixed width. Text that is none, which only SQL written by
// hand can leave there, would make a cast raise, so the form is checked, and the days of
// the month with it. There is no year 0000, and no question mark here, which bun takes for a
// placeholder.
const dateForm = `'^(\d{4}-(0[13578]|1[02])-(0[1-9]|[12]\d|3[01])|\d{4}-(0[469]|11)-(0[1-9]|[12]\d|30)|\d{4}-02-(0[1-9]|1\d|2[0-8])|` +
	`(\d\d(0[48]|[2468][048]|[13579][26])|([02468][048]|[13579][26])00)-02-29)T([01]\d|2[0-3]):[0-5]\d:[0-5]\d\.\d{6}Z$'`

// date is a timestamptz.
func (r *renderer) date(v value) string {
	switch v := v.(type) {
	case operand:
		if v.column != nil {
			return v.column.SQL
		}
		text := "r.custom_fields->>" + quoteKey(slot(v.field))
		return "(CASE WHEN jsonb_typeof(" + raw(v.field) + ") = 'string' AND " + text + " ~ " + dateForm + " AND left(" + text + ", 4) <> '0000' THEN (" + text + ")::timestamptz END)"
	case moment:
		return r.bind(r.moment(v), "timestamptz")
	case shift:
		sum := r.inYears(v.date) + " + " + r.bind(v.by, "interval")
		return "(CASE WHEN " + sum + years + " THEN " + sum + " END)"
	}
	panic("filter: a date without SQL")
}

const years = " BETWEEN '0001-01-01T00:00:00Z'::timestamptz AND '9999-12-31T23:59:59.999999Z'::timestamptz"

// inYears is a date that can be computed with. NULL stands for a column's that is infinite or
// near the ends of a timestamptz, where PostgreSQL raises.
func (r *renderer) inYears(v value) string {
	if o, ok := v.(operand); ok && o.column != nil {
		return "(CASE WHEN " + o.column.SQL + years + " THEN " + o.column.SQL + " END)"
	}
	return r.date(v)
}

// moment is a time that is known now.
func (r *renderer) moment(m moment) time.Time {
	at := m.at
	switch m.from {
	case now:
		at = r.at
	case today:
		at = r.today
	case fixed:
	}
	return at.Add(m.offset)
}

// duration is a number of microseconds.
func (r *renderer) duration(v value) string {
	switch v := v.(type) {
	case span:
		return r.bind(v.length.Microseconds(), "bigint")
	case difference:
		micros := "(extract(epoch FROM " + r.inYears(v.a) + " - " + r.inYears(v.b) + ") * 1000000)"
		return "(CASE WHEN abs(" + micros + ") <= 9223372036854775 THEN " + micros + "::bigint END)"
	}
	panic("filter: a duration without SQL")
}

// zone is a time zone that is no literal of SQL's: an offset from UTC as an interval, whose
// sign is that of ISO 8601, or a name.
func (r *renderer) zone(at *time.Location) string {
	if offsetForm.MatchString(at.String()) {
		_, seconds := time.Time{}.In(at).Zone()
		return r.bind(time.Duration(seconds)*time.Second, "interval")
	}
	return r.bind(at.String(), "text")
}

// dateText is a timestamptz in the form of customfields.DateLayout.
const dateText = `to_char(%s AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')` + codePoints

// pair is two values of one kind in forms that PostgreSQL can compare. A date is text in a
// custom field, which an index can be on, and a timestamptz in a column: when a field meets
// a column or a moment, both are text.
func (r *renderer) pair(a, b value) (left, right string) {
	if a.kind() == dateKind && (isField(a) || isField(b)) && stored(a) && stored(b) {
		return r.dateText(a), r.dateText(b)
	}
	return r.value(a), r.value(b)
}

func isField(v value) bool { o, ok := v.(operand); return ok && o.field != nil }

// stored reports whether a date is there as it is, not computed.
func stored(v value) bool {
	switch v.(type) {
	case operand, moment:
		return true
	}
	return false
}

func (r *renderer) dateText(v value) string {
	switch v := v.(type) {
	case operand:
		if v.field != nil {
			return r.text(v)
		}
		return fmt.Sprintf(dateText, v.column.SQL)
	case moment:
		return r.bind(r.moment(v).Format(customfields.DateLayout), "text")
	}
	panic("filter: a date without text")
}
