package imports

import (
	"context"
	"encoding/csv"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/stratakit/strata/internal/formula"
	"github.com/stratakit/strata/tenancy"
)

// The columns of an error report after those of the file. A file that has them is taken
// for a corrected report.
const (
	reportRow         = "__row"
	reportErrors      = "__errors"
	reportSuggestions = "__suggestion"
	reportImport      = "__import"
)

// WriteErrorReport writes the rows that were not imported because of an error, and after a
// commit also those that came out otherwise than the preview said, with the reason, as CSV:
// the file's own columns, so that they can be corrected and uploaded again, and after
// them __row, __errors, __suggestion and __import, which says of what they are rows. A cell that a
// spreadsheet would take for a formula is written with a leading apostrophe (OWASP, CSV injection),
// which reading a file takes away again, and the file begins with a byte order mark, without which
// Excel takes it for text in the code page of its computer. A character that could not be decoded is U+FFFD, a formula
// without its result is =?, and what is too long ends with an ellipsis. It streams, and holds no
// connection to the database while w is slow. Errors: ErrNotFound, ErrSwept, *StateError before the
// file was read, and of a report that corrects another import (Correct), what w says.
func (im *Importer) WriteErrorReport(ctx context.Context, id ID, w io.Writer) error {
	imp, s, err := im.read(ctx, id)
	switch {
	case err != nil:
		return err
	case s.objectKey == "":
		return ErrSwept
	case imp.Status == Pending || imp.Status == Validating || !imp.Corrects.IsZero():
		return &StateError{id, imp.Status, "reported on"}
	}
	t, err := tenancy.DomainFrom(ctx)
	if err != nil {
		return err
	}
	if _, err := io.WriteString(w, "\uFEFF"); err != nil {
		return err
	}
	out := csv.NewWriter(w)
	own := ownColumns(s.plan.Format.Header)
	line := func(cells []string, about ...string) error {
		record := make([]string, 0, len(own)+len(about))
		for _, i := range own {
			cell := ""
			if i < len(cells) {
				cell = cells[i]
			}
			record = append(record, formula.Escape(cell))
		}
		for _, cell := range about {
			record = append(record, formula.Escape(cell))
		}
		return out.Write(record)
	}
	if err := line(s.plan.Format.Header, reportRow, reportErrors, reportSuggestions, reportImport); err != nil {
		return err
	}
	for after, limit := 0, firstPage; ; {
		rows, whole, err := im.reported(ctx, t.DomainID, id, s.plan, after, limit)
		if err != nil {
			return err
		}
		for _, r := range rows {
			problems, suggestions := r.text()
			problems += leftOver(r.cells, len(s.plan.Format.Header))
			if err := line(r.cells, strconv.Itoa(r.row), problems, suggestions, s.plan.reading(id)); err != nil {
				return err
			}
			after = r.row
		}
		if out.Flush(); out.Error() != nil || len(rows) == 0 {
			return out.Error()
		}
		limit = len(rows)
		if whole {
			limit = min(2*limit, maxPage)
		}
	}
}

// reading names what the numbers of rows count: the rows of an import's file, or of a sheet of it.
func (p plan) reading(id ID) string {
	if p.Format.Sheet == "" {
		return id.String()
	}
	return id.String() + ": " + p.Format.Sheet
}

// maxLeftOver is how many bytes of the cells that no column is for are reported.
const maxLeftOver = 4 << 10

// leftOver names the cells of a row that has more than the header.
func leftOver(cells []string, columns int) string {
	if len(cells) <= columns {
		return ""
	}
	var s strings.Builder
	for i, cell := range cells[columns:] {
		if s.Len() >= maxLeftOver {
			fmt.Fprintf(&s, " and %d more", len(cells)-columns-i)
			break
		}
		if i > 0 {
			s.WriteString(", ")
		}
		if room := maxLeftOver - s.Len(); len(cell) > room {
			cell = strings.ToValidUTF8(cell[:room], "") + "…"
		}
		s.WriteString(`"` + cell + `"`)
	}
	return "; the cells left over are " + s.String()
}

// isReport reports whether a file with this header is an error report.
func isReport(header []string) bool { return slices.ContainsFunc(header, isReportColumn) }

func isReportColumn(name string) bool {
	return slices.Contains([]string{reportRow, reportErrors, reportSuggestions, reportImport}, name)
}

// ownColumns are the columns of a file that are not those of a report.
func ownColumns(header []string) []int {
	own := make([]int, 0, len(header))
	for i, name := range header {
		if !isReportColumn(name) {
			own = append(own, i)
		}
	}
	return own
}

// How many rows of a report are read at once: as many as pageBytes hold, and one. What
// PostgreSQL sends beyond that is thrown away, so that few are asked for until they are
// known to be short.
const (
	firstPage = 10
	maxPage   = 500
	pageBytes = 1 << 20
)

type reportedRow struct {
	row      int
	cells    []string
	problems []tenancy.FieldError
}

// reported returns the rows after one, and whether they are all that were asked for.
func (im *Importer) reported(ctx context.Context, domain tenancy.DomainID, id ID, p plan, after, limit int) (out []reportedRow, whole bool, err error) {
	err = im.db.Read(ctx, `SELECT row_no, raw, errors, email, name, status, custom_fields, enrollments FROM strata.import_rows
		WHERE domain_id = $1 AND import_id = $2 AND row_no > $3 AND errors IS NOT NULL ORDER BY row_no LIMIT $4`,
		[]any{domain, id, after, limit}, func(rows pgx.Rows) error {
			for held := 0; held < pageBytes && rows.Next(); {
				var r reportedRow
				var email, name, status *string
				var fields map[string]any
				var products enrollments
				if err := rows.Scan(&r.row, &r.cells, &r.problems, &email, &name, &status, &fields, &products); err != nil {
					return err
				}
				if r.cells == nil { // valid when it was read
					r.cells = p.cells(email, name, status, fields, products)
				}
				out = append(out, r)
				held += rowBytes([]any{r.cells})
			}
			return nil
		})
	return out, len(out) == limit, err
}

// cellText is a normalised value as Field.Text reads it.
func cellText(value any) string {
	switch v := value.(type) {
	case nil:
		return ""
	case string:
		return v
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	case []any:
		parts := make([]string, len(v))
		for i := range v {
			parts[i] = cellText(v[i])
		}
		return strings.Join(parts, ";")
	}
	return fmt.Sprint(value)
}

func (r reportedRow) text() (problems, suggestions string) {
	var messages, hints []string
	for _, p := range r.problems {
		messages = append(messages, p.Field+": "+p.Message)
		if p.Suggestion != "" {
			hints = append(hints, p.Field+": "+p.Suggestion)
		}
	}
	return strings.Join(messages, "; "), strings.Join(hints, "; ")
}
