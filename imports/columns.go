package imports

import (
	"context"
	"slices"
	"strings"

	"github.com/stratakit/strata/customfields"
	"github.com/stratakit/strata/tenancy"
)

// kind is the type of what goes into a target: Text for the recipient's own.
func (c *columns) kind(target string) customfields.Type {
	if key, ok := strings.CutPrefix(target, fieldPrefix); ok {
		if f := c.set.Field(key); f != nil {
			return f.Type
		}
	}
	if column, ok := c.products.columns[target]; ok {
		return column.Type
	}
	return customfields.Text
}

// plan makes what was decided of the columns part of p: with the notations that were given, or
// those that the sample is written in.
func (c *columns) plan(p *plan, given map[string]string, sample [][]string) {
	p.Targets, p.Join, p.More = c.targets, c.join, c.more
	for _, m := range c.more {
		p.Targets = append(p.Targets, m.Target)
	}
	p.Notations = make([]string, len(p.Targets))
	for i, name := range c.header {
		kind := c.kind(p.Targets[i])
		wanted, ok := given[name]
		switch all := notationsOf(kind); {
		case ok && len(all) == 0:
			c.add("options.formats."+name, wanted, "not_allowed", "only a column with dates or numbers is written in several ways", "")
		case ok && notationNamed(kind, wanted) == nil:
			c.add("options.formats."+name, wanted, "unknown_format", "must be such as "+all[0].name()+", "+all[1].name()+" or "+all[2].name(), "")
		case ok:
			p.Notations[i] = wanted
		case len(all) > 0:
			chosen := choose(kind, cellsOf(sample, i))
			habit := notationNamed(kind, c.habits[name])
			switch {
			case habit != nil && (habit == chosen.notation || slices.Contains(chosen.others, habit)): // how it was the last time decides
				chosen.notation = habit
			case chosen.rival != nil:
				p.Warnings = append(p.Warnings, chosen.ambiguous(name))
			case p.Format.Kind != kindXLSX: // where numbers are no texts
				p.Rivals = slices.Grow(p.Rivals, len(c.header))[:len(c.header)]
				p.Rivals[i] = namesOf(chosen.others)
			}
			p.Notations[i] = chosen.notation.name()
		}
	}
	for name := range given {
		c.column("options.formats."+name, name)
	}
}

// describe fills in what an Import says of its columns.
func (p plan) describe(i *Import) {
	header := p.Format.Header
	i.Columns, i.Conflict, i.Suggestions, i.Warnings, i.CreatedFields = header, p.Conflict, p.Suggestions, p.Warnings, p.Created
	i.Mapping, i.Formats, i.Join = make(map[string]*string, len(header)), map[string]string{}, map[string][]string{}
	i.Split, i.Constants = map[string][]string{}, map[string]string{}
	for c, name := range header {
		if name == "" {
			continue
		}
		i.Mapping[name] = nil
		if target := p.Targets[c]; target != "" {
			i.Mapping[name] = &target
		}
		if c < len(p.Notations) && p.Notations[c] != "" {
			i.Formats[name] = p.Notations[c]
		}
	}
	for target, columns := range p.Join {
		for _, c := range columns {
			i.Join[target] = append(i.Join[target], header[c])
		}
	}
	for _, m := range p.More {
		if m.Constant != "" {
			i.Constants[m.Target] = m.Constant
		} else {
			i.Split[header[m.Column]] = append(i.Split[header[m.Column]], m.Target)
		}
	}
}

// columnOf names the column of the file that something wrong is in; several of them with a plus
// between, and none for a constant or a whole row.
func (p plan) columnOf(field string) string {
	target := field
	if key, ok := strings.CutPrefix(field, "customFields."); ok {
		target = fieldPrefix + key
	}
	var names []string
	for i, t := range p.Targets {
		switch m := i - len(p.Format.Header); {
		case t != target:
		case m < 0:
			names = append(names, p.Format.Header[i])
		case p.More[m].Constant == "":
			names = append(names, p.Format.Header[p.More[m].Column])
		}
	}
	if len(names) == 0 { // of a column that is ignored the field is its name
		for i, name := range p.Format.Header {
			if name == field && p.Targets[i] == "" {
				return name
			}
		}
	}
	return strings.Join(names, " + ")
}

// cells is a staged row in the columns of the file, written as they are.
func (p plan) cells(email, name, status *string, fields map[string]any, products enrollments) []string {
	cells := make([]string, len(p.Format.Header))
	values := p.values(fields, products)
	text := func(i int) string {
		if core := map[string]*string{"email": email, "name": name, "status": status}[p.Targets[i]]; core != nil {
			return *core
		}
		if n := p.notation(i); n != nil && values[i] != nil {
			return n.write(storedDate(values[i]))
		}
		return cellText(values[i])
	}
	for i := range cells {
		if joined := p.Join[p.Targets[i]]; len(joined) == 0 || joined[0] == i { // its parts are one text now
			cells[i] = text(i)
		}
	}
	for m, more := range p.More {
		if more.Constant == "" {
			cells[more.Column] = strings.TrimSpace(cells[more.Column] + " " + text(len(cells)+m))
		}
	}
	return cells
}

func (p plan) notation(i int) notation {
	if i >= len(p.Notations) || p.Notations[i] == "" {
		return nil
	}
	if n := notationNamed(customfields.Date, p.Notations[i]); n != nil {
		return n
	}
	return notationNamed(customfields.Number, p.Notations[i])
}

// rivals are those of the notation of a target.
func (p plan) rivals(i int, kind customfields.Type) (all []notation) {
	if i < len(p.Rivals) {
		for _, name := range p.Rivals[i] {
			all = append(all, notationNamed(kind, name))
		}
	}
	return all
}

// sampled returns the records that a text begins with, at most sampleRows, and whether they are
// all there are. Of a text that goes on the last may be cut off, and is left out.
func sampled(head []byte, whole bool, f format) (sample [][]string, all bool) {
	records, more := first(head[f.Offset:], whole, f, sampleRows)
	for _, rec := range records {
		if rec.err == nil {
			unescape(rec.cells)
			sample = append(sample, rec.cells)
		}
	}
	return sample, whole && !more
}

// sampleRows is how many rows are looked at to find out what the columns hold.
const sampleRows = 1_000

// checkConstants holds the constants to the rules of their targets, as the cells of a row.
func checkConstants(p plan, set *customfields.Set, of products) error {
	var v tenancy.ValidationError
	for i, m := range p.More {
		if m.Constant == "" {
			continue
		}
		alone := plan{Targets: []string{m.Target}, Slots: []string{p.Slots[len(p.Format.Header)+i]}, More: []more{m}}
		j, err := newJudge(alone, set, of)
		if err != nil {
			return err
		}
		var s staged
		if problem := j.inputs[0].put(&s, record{}); problem != nil {
			problem.Field = "options.constants." + m.Target
			v.Fields = append(v.Fields, *problem)
		}
	}
	return v.OrNil()
}

// checkEnrolledConstants holds the constants for extensions to what these say of them. What they say
// of other columns is passed over, because a cell may have it.
func checkEnrolledConstants(ctx context.Context, p plan, set *customfields.Set, of products) error {
	alone := plan{}
	for i, m := range p.More {
		if _, _, ok := cutTarget(m.Target); ok && m.Constant != "" {
			alone.Targets, alone.Slots, alone.More = append(alone.Targets, m.Target), append(alone.Slots, p.Slots[len(p.Format.Header)+i]), append(alone.More, m)
		}
	}
	j, err := newJudge(alone, set, of)
	if err != nil {
		return err
	}
	var row staged
	for i := range j.inputs {
		j.inputs[i].put(&row, record{})
	}
	var found problems
	if _, err := j.products(ctx, &row, &found); err != nil {
		return err
	}
	var v tenancy.ValidationError
	for _, e := range found.first {
		if slices.Contains(alone.Targets, e.Field) {
			e.Field = "options.constants." + e.Field
			v.Fields = append(v.Fields, e)
		}
	}
	return v.OrNil()
}
