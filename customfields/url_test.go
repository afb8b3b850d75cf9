package customfields_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/tenancy"
)

func TestInvalidURLs(t *testing.T) {
	t.Parallel()
	s := allTypes(t)
	for _, bad := range []string{
		"example.com", "ftp://example.com", "https:/example.com", "https://", "https:///path", "https://:80/", "https://me@example.com",
		"https://example.com:0", "https://example.com:65536", "https://example.com:99999999", "https://example.com:80:80",
		`https://a"b.example`, "https://<script>", "https://a'b.example", "https://a%25b.example", "https://a,b.example", "https://a%FFb.example",
		"https://[1.2.3.4]", "https://[fe80::1%25eth0]/", "https://[a]/",
		"https://example.com/" + strings.Repeat("é", 339), // 2,054 bytes once escaped
	} {
		_, err := s.Normalize(map[string]any{"site": bad})
		var v *tenancy.ValidationError
		require.ErrorAs(t, err, &v, bad)
		require.Equal(t, "invalid_url", v.Fields[0].Code, bad)
	}
}

func FuzzURLHasOneForm(f *testing.F) {
	for _, s := range []string{"https://EXAMPLE.com/a?b=c#d", "http://[::1]:80", "https://ü.example/?a #", "https://a.example:/%zz?%"} {
		f.Add(s)
	}
	set := allTypes(f)
	f.Fuzz(func(t *testing.T, s string) {
		once, err := set.Normalize(map[string]any{"site": s})
		if err != nil {
			return
		}
		twice, err := set.Normalize(once)
		require.NoError(t, err)
		require.Equal(t, once, twice)
	})
}
