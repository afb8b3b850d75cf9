package strata_test

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// keyed makes a POST with an Idempotency-Key over a connection of its own.
func (x *site) keyed(t *testing.T, path, body string) (*http.Response, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, x.server.URL+"/api"+path, strings.NewReader(body))
	require.NoError(t, err)
	r.Header.Set("Authorization", "Bearer a")
	r.Header.Set("Idempotency-Key", "the-key")
	resp, err := x.server.Client().Do(r)
	require.NoError(t, err)
	defer func() { _ = resp.Body.Close() }()
	answer, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp, string(answer)
}

func TestEveryPackageTakesIdempotencyKeys(t *testing.T) {
	t.Parallel()
	x := openSite(t)
	domain, workspace := "/domains/"+x.A.DomainID.String(), "/workspaces/"+x.A.WorkspaceID.String()
	for path, body := range map[string]string{
		domain + "/recipients":                    `{"email":"ada@example.com"}`,
		workspace + "/custom-fields":              `{"key":"tier","type":"text"}`,
		workspace + "/domains":                    `{"domainName":"more.example"}`,
		domain + "/recipients/imports/upload-url": `{"fileName":"people.csv","size":10,"contentType":"text/csv"}`,
		domain + "/jobs/nothing/pause":            ``,
	} {
		first, want := x.keyed(t, path, body)
		require.Empty(t, first.Header.Get("Idempotency-Replayed"))
		again, got := x.keyed(t, path, body)
		require.Equal(t, "true", again.Header.Get("Idempotency-Replayed"), path)
		require.Equal(t, first.StatusCode, again.StatusCode)
		require.Equal(t, want, got)
		require.Equal(t, first.Header.Get("ETag"), again.Header.Get("ETag"))
	}
	_, document := x.do(t, "", http.MethodGet, "/openapi.json", "")
	var spec struct {
		Paths map[string]map[string]struct {
			Parameters []struct{ Name string }
		}
	}
	require.NoError(t, json.Unmarshal([]byte(document), &spec))
	for _, rt := range x.s.Routes(x.cfg) {
		named := false
		for _, p := range spec.Paths[rt.Path][strings.ToLower(rt.Method)].Parameters {
			named = named || p.Name == "Idempotency-Key"
		}
		require.Equal(t, rt.Method == http.MethodPost && !rt.Read, named, "%s %s", rt.Method, rt.Path)
	}
}
