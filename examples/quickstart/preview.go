package main

import (
	"cmp"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/stratakit/strata/imports"
)

// show writes a preview as tables: what would happen to the rows, with samples, what the columns
// are, what cannot be imported and why, what it costs of the plan, and what deserves a look.
func show(w io.Writer, p imports.Preview) {
	fmt.Fprintf(w, "\nPreview of %s: %d rows\n", p.FileName, p.TotalRows)
	for _, line := range []struct {
		what string
		n    int64
	}{{"new", p.New}, {"update", p.Changed}, {"unchanged", p.Unchanged}, {"duplicate", p.Duplicate}, {"invalid", p.Invalid}} {
		fmt.Fprintf(w, "  %-10s %8d\n", line.what, line.n)
	}
	var columns [][]string
	for _, name := range p.Columns {
		if target := p.Mapping[name]; target != nil {
			columns = append(columns, []string{name, *target, p.Formats[name]})
		} else if targets := p.Split[name]; len(targets) > 0 {
			columns = append(columns, []string{name, strings.Join(targets, " + "), ""})
		}
	}
	table(w, "Columns", []string{"in the file", "becomes", "written as"}, columns)

	var samples, problems [][]string
	for _, row := range p.SampleData {
		note := ""
		if row.DuplicateOf != 0 {
			note = fmt.Sprintf("row %d has the address too, and wins", row.DuplicateOf)
		}
		samples = append(samples, []string{fmt.Sprint(row.Row), row.Verdict, text(row.Data["email"]), text(row.Data["name"]), note})
	}
	table(w, "Samples", []string{"row", "verdict", "email", "name", ""}, samples)
	for _, row := range p.SampleErrors {
		for _, e := range row.Errors {
			problems = append(problems, []string{fmt.Sprint(row.Row), cmp.Or(e.Column, e.Field), e.Value, e.Message, e.Suggestion})
		}
	}
	table(w, "Cannot be imported", []string{"row", "column", "value", "why", "rather"}, problems)

	if l := p.Limit; l != nil {
		fmt.Fprintf(w, "\nPlan: %d + %d new %s", l.Existing, l.Incoming, l.Resource)
		switch {
		case l.Limit == nil:
			fmt.Fprintln(w, ", without a limit")
		case l.Over > 0:
			fmt.Fprintf(w, " of %d, which is %d too many\n", *l.Limit, l.Over)
		default:
			fmt.Fprintf(w, " of %d\n", *l.Limit)
		}
	}
	for _, warning := range p.Warnings {
		where := ""
		if warning.Column != "" {
			where = fmt.Sprintf(" column %q:", warning.Column)
		}
		fmt.Fprintf(w, "Warning:%s %s\n", where, warning.Message)
	}
	if p.EstimatedSeconds > 0 {
		fmt.Fprintf(w, "The commit will take about %d s\n", p.EstimatedSeconds)
	}
}

// widest is how many characters of a cell a table shows.
const widest = 48

func table(w io.Writer, title string, header []string, rows [][]string) {
	if len(rows) == 0 {
		return
	}
	fmt.Fprintf(w, "\n%s\n", title)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, cells := range append([][]string{header}, rows...) {
		for _, cell := range cells {
			fmt.Fprintf(t, "  %s\t", shown(cell))
		}
		fmt.Fprintln(t)
	}
	_ = t.Flush()
}

// shown is a cell on one line of a terminal, whatever a file has in it.
func shown(cell string) string {
	cell = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 {
			return ' '
		}
		return r
	}, cell)
	if r := []rune(cell); len(r) > widest {
		return string(r[:widest-1]) + "…"
	}
	return cell
}

func text(v any) string {
	s, _ := v.(string)
	return s
}
