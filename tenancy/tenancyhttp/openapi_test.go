package tenancyhttp_test

import (
	"encoding/json"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/internal/web"
	"github.com/stratakit/strata/tenancy/tenancyhttp"
)

// document is as much of an OpenAPI document as the test looks at.
type document struct {
	OpenAPI string `json:"openapi"`
	Servers []struct {
		URL string `json:"url"`
	} `json:"servers"`
	Paths map[string]map[string]struct {
		OperationID string `json:"operationId"`
		Parameters  []struct {
			Name, In string
			Required bool
		} `json:"parameters"`
		RequestBody *struct {
			Content map[string]json.RawMessage `json:"content"`
		} `json:"requestBody"`
		Responses map[string]struct {
			Content map[string]struct {
				Schema map[string]any `json:"schema"`
			} `json:"content"`
		} `json:"responses"`
	} `json:"paths"`
	Components struct {
		Schemas map[string]json.RawMessage `json:"schemas"`
	} `json:"components"`
}

func TestOpenAPI(t *testing.T) {
	t.Parallel()
	stream := web.Route{
		Method: http.MethodGet, Path: "/domains/{domainID}/jobs/{jobID}/progress", Name: "jobProgress", ContentType: "text/event-stream",
		Handle: func(http.ResponseWriter, *http.Request) error { return nil },
	}
	hidden := web.Route{Path: "/scim/v2/{rest...}", Handle: stream.Handle}
	w := open(t, tenancyhttp.Config{Prefix: "/api"}, stream, hidden)
	rec := w.do(t, "", http.MethodGet, "/api/openapi.json")
	require.Equal(t, 200, rec.Code)
	require.Equal(t, "application/json", rec.Header().Get("Content-Type"))
	var doc document
	require.NoError(t, json.Unmarshal(rec.Body.Bytes(), &doc))
	require.True(t, strings.HasPrefix(doc.OpenAPI, "3.1"))
	require.Equal(t, "/api", doc.Servers[0].URL)
	require.NotContains(t, rec.Body.String(), "/scim/")

	require.Contains(t, doc.Components.Schemas, "WebListTenancyWorkspace", "names without the module's")

	ids := map[string]bool{}
	for _, rt := range append(tenancyhttp.New(w.store).Routes(), stream) {
		op, ok := doc.Paths[rt.Path][strings.ToLower(rt.Method)]
		require.True(t, ok, "%s %s is not described", rt.Method, rt.Path)
		require.Equal(t, rt.Name, op.OperationID)
		require.False(t, ids[rt.Name], "%s is there twice", rt.Name)
		ids[rt.Name] = true

		var want, got []string
		for _, m := range regexp.MustCompile(`\{(\w+)\}`).FindAllStringSubmatch(rt.Path, -1) {
			want = append(want, m[1])
		}
		queries := 0
		var headers []string
		for _, p := range op.Parameters {
			switch p.In {
			case "path":
				require.True(t, p.Required)
				got = append(got, p.Name)
			case "header":
				require.False(t, p.Required)
				headers = append(headers, p.Name)
			default:
				queries++
			}
		}
		if rt.Method == http.MethodPost {
			require.Equal(t, []string{"Idempotency-Key"}, headers, rt.Path)
		} else {
			require.Empty(t, headers, rt.Path)
		}
		require.ElementsMatch(t, want, got, rt.Path)
		require.Equal(t, rt.Query != nil, queries > 0, rt.Path)
		require.Equal(t, rt.Request != nil, op.RequestBody != nil, rt.Path)

		status, contentType := rt.Status, rt.ContentType
		if status == 0 {
			status = 200
		}
		if contentType == "" {
			contentType = "application/json"
		}
		answer, ok := op.Responses[strconv.Itoa(status)]
		require.True(t, ok, rt.Path)
		if rt.Response != nil || rt.ContentType != "" {
			require.NotEmpty(t, answer.Content[contentType].Schema, rt.Path)
		} else {
			require.Empty(t, answer.Content)
		}
		require.NotEmpty(t, op.Responses["default"].Content["application/json"].Schema, "errors are described")
	}
	for _, ref := range regexp.MustCompile(`"#/components/schemas/([^"]+)"`).FindAllStringSubmatch(rec.Body.String(), -1) {
		require.Contains(t, doc.Components.Schemas, ref[1])
	}
}
