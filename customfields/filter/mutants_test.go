package filter_test

// cheapMutant is found by the first filters.
const cheapMutant = "= for null-safe equality"

// mutants are faults that are easy to make, some of which other compilers of filters have
// had.
var mutants = []mutant{
	{"CASE WHEN … ELSE for a ternary", "render.go", `r.render(c.test, false)`, `"(" + r.render(c.test, true) + " IS NOT TRUE)"`},
	{cheapMutant, "render.go", `a + negated(" IS NOT DISTINCT FROM ", " IS DISTINCT FROM ", want) + b`, `a + negated(" = ", " <> ", want) + b`},
	{"all() that takes unknown for true", "render.go", `r.render(c.term, want) + " IS NOT TRUE)"`, `r.render(c.term, !want) + ")"`},
	{"exists_one() that takes unknown for false", "render.go", `count(a.answer) = count(*)`, `count(a.answer) <= count(*)`},
	{"exists_one() of a list that takes unknown for false", "render.go", `" THEN 0 END"`, `" THEN 0 ELSE 0 END"`},
	{"NOT around NULL", "render.go", `"NOT (" + condition + ")"`, `"(" + condition + ") IS NOT TRUE"`},
	{"!= that leaves out what is missing", "render_field.go", `column + " IS DISTINCT FROM " + p`, `column + " <> " + p`},
	{"not in that leaves out what is missing", "render_field.go", `v + " IS NULL OR " + v + " <> ALL("`, `v + " <> ALL("`},
	{"two equalities with one field merged", "render.go", `ok && doc[key] == nil &&`, `ok &&`},
	{"hasAll as hasAny", "render_field.go", `case c.all || len(c.values) == 1:`, `case len(c.values) == 1:`},
	{"> for the opposite of <", "render.go", `"<": ">=", "<=": ">"`, `"<": ">", "<=": ">"`},
	{"operands swapped without their operator", "build.go", `var mirrored = map[string]string{"<": ">", "<=": ">="`, `var mirrored = map[string]string{"<": ">=", "<=": ">="`},
	{"values of other types ordered among numbers", "render_field.go", `r.bind(numberText(value), "jsonb") + only`, `r.bind(numberText(value), "jsonb") + only[:0]`},
	{"columns in their own order", "render_value.go", `return v.column.SQL + codePoints`, `return v.column.SQL`},
	{"endsWith off by one", "render.go", `length(" + part + "))`, `length(" + part + ") + 1)`},
	{"contains by LIKE", "render.go", `"strpos(" + text + ", " + part + ") > 0"`, `text + " LIKE '%' || " + part + " || '%'"`},
	{
		"lower() for lowerAscii()", "render_value.go", `"translate(" + r.text(v.of) + ", " + upper + ", " + lower + ")"`,
		`map[bool]string{true: "lower(", false: "upper("}[upper < lower] + "(" + r.text(v.of) + ") COLLATE \"und-x-icu\")" + codePoints`,
	},
	{"a dot that matches the end of a line", "regex.go", "b.WriteString(`[^\\n]`)", "b.WriteString(`.`)"},
	{"folding of pairs alone", "regex.go", `for f := unicode.SimpleFold(r); f != r; f = unicode.SimpleFold(f) {`, `if f := unicode.SimpleFold(r); f != r {`},
	{"the day of the week off by one", "times.go", `"extract(dow FROM %s)"`, `"extract(isodow FROM %s) - 1"`},
	{"seconds rounded", "times.go", `floor(extract(second FROM %s))`, `round(extract(second FROM %s))`},
	{"milliseconds with the seconds", "times.go", `mod(floor(extract(milliseconds FROM %s)), 1000)`, `floor(extract(milliseconds FROM %s))`},
	{"the sign of an offset as POSIX has it", "render_value.go", `r.bind(time.Duration(seconds)*time.Second, "interval")`, `r.bind(time.Duration(-seconds)*time.Second, "interval")`},
	{"the session's time zone", "render_value.go", `local := "(" + r.inYears(v.of) + " AT TIME ZONE " + r.zone(v.zone) + ")"`, `local := "(" + r.inYears(v.of) + ")"`},
	{"events of a window without its beginning", "render_value.go", `r.at.Add(-v.window)`, `r.at.Add(-v.window + time.Microsecond)`},
	{"times beyond the year 9999", "render_value.go", `AND '9999-12-31T23:59:59.999999Z'`, `AND '19999-12-31T23:59:59.999999Z'`},
	{"arithmetic on anything", "render_value.go", `BETWEEN 1e-15::float8 AND 1e15::float8 THEN`, `BETWEEN 0 AND 1e300::float8 THEN`},
	{"an index that makes negations miss", "render_field.go", `if want && r.indexed(c.ref)`, `if r.indexed(c.ref)`},
}
