package migrate

import "strings"

// settings carry the tenant. They have the schema's prefix and keep it, whatever the
// schema is called. The quote is the end of the name.
var settings = []string{"company_id'", "workspace_id'", "domain_id'"}

// RewriteSchema replaces "strata." by schema wherever it names the schema: in
// strata.recipients and nextval('strata.x'), not in current_setting('strata.domain_id').
func RewriteSchema(q, schema string) string {
	const written = "strata."
	if schema == "strata" {
		return q
	}
	var b strings.Builder
	b.Grow(len(q) + len(q)/8)
	for {
		before, after, found := strings.Cut(q, written)
		b.WriteString(before)
		switch {
		case !found:
			return b.String()
		case endsInWord(before) || beginsWithSetting(after):
			b.WriteString(written)
		default:
			b.WriteString(schema + ".")
		}
		q = after
	}
}

// endsInWord says whether what follows q goes on with a longer name.
func endsInWord(q string) bool {
	if q == "" {
		return false
	}
	c := q[len(q)-1]
	return c == '_' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

func beginsWithSetting(q string) bool {
	for _, s := range settings {
		if strings.HasPrefix(q, s) {
			return true
		}
	}
	return false
}

// rewriter is tenancy.DB.SQL for this package, which lies below tenancy.
func rewriter(schema string) func(string) string {
	return func(q string) string { return RewriteSchema(q, schema) }
}
