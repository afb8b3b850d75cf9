package web_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/internal/fault"
	"github.com/stratakit/strata/internal/web"
)

func TestIfMatch(t *testing.T) {
	t.Parallel()
	read := func(headers ...string) ([]string, bool, error) {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPatch, "/", http.NoBody)
		for _, h := range headers {
			r.Header.Add("If-Match", h)
		}
		return web.IfMatch(r)
	}
	for _, none := range [][]string{nil, {""}, {"*"}, {" * "}} {
		tags, given, err := read(none...)
		require.NoError(t, err)
		require.False(t, given)
		require.Empty(t, tags)
	}
	for _, c := range []struct {
		headers, tags []string
	}{
		{[]string{`"3"`}, []string{"3"}},
		{[]string{` "3" `}, []string{"3"}},
		{[]string{`"3", "a,b" ,"5"`}, []string{"3", "a,b", "5"}},
		{[]string{`"3"`, `"4"`}, []string{"3", "4"}},
		{[]string{`W/"3"`}, nil},
		{[]string{`W/"3", "4"`}, []string{"4"}},
		{[]string{`""`}, []string{""}},
	} {
		tags, given, err := read(c.headers...)
		require.NoError(t, err)
		require.True(t, given)
		require.Equal(t, c.tags, tags, c.headers)
	}
	for _, wrong := range []string{`3`, `"3`, `3"`, `w/"3"`, `"3" "4"`, `"3", *`} {
		_, _, err := read(wrong)
		require.Equal(t, fault.Malformed, fault.KindOf(err), wrong)
	}
}
