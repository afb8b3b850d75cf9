package migrate

import "regexp"

// schemaOrSetting finds "strata." where a word begins. The settings that carry the
// tenant have the same prefix and keep it, whatever the schema is called.
var schemaOrSetting = regexp.MustCompile(`\bstrata\.(?:(?:company_id|workspace_id|domain_id)\b')?`)

// RewriteSchema replaces "strata." by schema wherever it names the schema: in
// strata.recipients and nextval('strata.x'), not in current_setting('strata.domain_id').
func RewriteSchema(q, schema string) string {
	if schema == "strata" {
		return q
	}
	return schemaOrSetting.ReplaceAllStringFunc(q, func(m string) string {
		if m == "strata." {
			return schema + "."
		}
		return m
	})
}

// rewriter is tenancy.DB.SQL for this package, which lies below tenancy.
func rewriter(schema string) func(string) string {
	return func(q string) string { return RewriteSchema(q, schema) }
}
