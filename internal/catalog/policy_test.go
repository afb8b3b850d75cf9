package catalog

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// The expressions are as PostgreSQL prints them.
func TestCompared(t *testing.T) {
	t.Parallel()
	const setting = `(NULLIF(current_setting('strata.domain_id'::text, true), ''::text))::uuid`
	const right = `(domain_id = ( SELECT ` + setting + ` AS "nullif"))`
	for e, want := range map[string]bool{
		right:                           true,
		`(domain_id = ` + setting + `)`: true,
		`(` + right + ` AND (sku <> 'a) OR (b'::text))`:    true,
		`((sku = 'it''s AND (b'::text) AND ` + right + `)`: true,
		`((a AND (b OR c)) AND ` + right + `)`:             true,
		`(domain_id = ( SELECT ` + setting + ` AS "nullif" WHERE (NULLIF(current_setting('strata.workspace_id'::text, true), ''::text) IS NULL)))`: true,

		`true`:                                 false,
		`(` + right + ` OR (sku = 'a'::text))`: false,
		`((a AND b) OR ` + right + `)`:         false,
		`(NOT ` + right + `)`:                  false,
		`(` + right + ` IS NOT TRUE)`:          false,
		`(domain_id <> ( SELECT ` + setting + ` AS "nullif"))`:                                   false,
		`((domain_id)::text = current_setting('strata.domain_id'::text, true))`:                  false,
		`(domain_id = ( SELECT ` + setting + ` AS "nullif" WHERE other))`:                        false,
		`(COALESCE(domain_id, id) = ( SELECT ` + setting + ` AS "nullif"))`:                      false,
		`(domain_id = (NULLIF(current_setting('app.domain_id'::text, true), ''::text))::uuid)`:   false,
		`(domain_id = (NULLIF(current_setting('strata.anything'::text, true), ''::text))::uuid)`: false,
		`(sku = '` + `(domain_id = 1) AND (x'::text)`:                                            false,
		`('` + right + `'::text = ''::text)`:                                                     false,
		`(sku = 'unclosed`:                                                                       false,
		``:                                                                                       false,
	} {
		column, level, ok := Compared(e)
		require.Equal(t, want, ok, e)
		if ok {
			require.Equal(t, []any{"domain_id", 3}, []any{column, level}, e)
		}
	}
}
