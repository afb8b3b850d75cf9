package customfieldshttp_test

import (
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/customfields/filter"
	"github.com/stratakit/strata/internal/tenancytest"
)

func TestCheckFilter(t *testing.T) {
	t.Parallel()
	w := open(t)
	w.define(t, tier)
	w.define(t, `{"key":"hidden","type":"text","filterable":false}`)
	ask := func(filter string) *httptest.ResponseRecorder {
		body, err := json.Marshal(map[string]string{"filter": filter})
		require.NoError(t, err)
		return w.Do(t, "a", "POST", w.check, string(body))
	}
	good := ask(` fields.tier == "gold" && email.endsWith(".com") `)
	require.Equal(t, 200, good.Code)
	require.JSONEq(t, `{"data":{"ok":true,"filter":" fields.tier == \"gold\" && email.endsWith(\".com\") ","references":["email","fields.tier"],"timeDependent":false,
		"rule":{"all":[{"field":"fields.tier","op":"==","value":"gold"},{"field":"email","op":"endsWith","value":".com"}]}}}`, good.Body.String())
	require.JSONEq(t, `{"data":{"ok":true,"filter":"true","rule":{"all":[]},"references":[],"timeDependent":false}}`, ask(`true`).Body.String())
	require.JSONEq(t, `{"data":{"ok":true,"filter":"createdAt < now","rule":{"field":"createdAt","op":"<","value":{"now":"0d"}},"references":["createdAt"],"timeDependent":true}}`,
		ask(`createdAt < now`).Body.String())

	for _, c := range []struct{ filter, at, suggestion, end string }{
		{"status == \"active\" &&\n  fields.teir == \"gold\"", "2:9", "tier", "2:14"},
		{"\n  fields.teir == \"gold\" ", "2:9", "tier", "2:14"},
		{`  status == "actve"`, "1:13", "active", "1:20"},
		{` `, "1:2", "", "1:2"},
		{`tier == "gold"`, "1:1", "fields.tier", "1:5"},
		{`fields.tier == "glod"`, "1:16", "gold", "1:22"},
		{`emial == "x"`, "1:1", "email", "1:6"},
		{`fields.hidden == "x"`, "1:7", "", "1:14"},
		{`status ==`, "1:10", "", "1:10"},
		{`fields.tier.matches("g\\b")`, "1:21", "", "1:27"},
		{`name == ` + `"` + strings.Repeat("x", filter.MaxFilterBytes) + `"`, "1:1", "", "1:5"},
	} {
		answer := ask(c.filter)
		tenancytest.RequireError(t, answer, 422, "invalid_filter")
		var e struct {
			Errors []struct {
				Field, Message, Suggestion string
				Line, Column               int
				EndLine, EndColumn         int
			}
		}
		require.NoError(t, json.Unmarshal(answer.Body.Bytes(), &e))
		require.NotEmpty(t, e.Errors, c.filter)
		first := e.Errors[0]
		require.Equal(t, []string{"filter", c.at, c.end, c.suggestion},
			[]string{first.Field, fmt.Sprintf("%d:%d", first.Line, first.Column), fmt.Sprintf("%d:%d", first.EndLine, first.EndColumn), first.Suggestion},
			"%s: %s", c.filter, answer.Body.String())
		require.NotEmpty(t, first.Message)
	}
	require.Equal(t, 204, w.Do(t, "a", "DELETE", w.fields+"/tier").Code)
	tenancytest.RequireError(t, ask(`fields.tier == "gold"`), 422, "invalid_filter")
}

func TestCheckRule(t *testing.T) {
	t.Parallel()
	w := open(t)
	w.define(t, tier)
	ask := func(rule string) *httptest.ResponseRecorder {
		return w.Do(t, "a", "POST", w.check, `{"rule":`+rule+`}`)
	}
	rule := `{"any":[{"field":"fields.tier","op":"!=","value":"gold","set":true},{"not":{"cel":"size(name) > 3.0"}}]}`
	answer := ask(rule)
	require.Equal(t, 200, answer.Code, answer.Body.String())
	require.JSONEq(t, `{"data":{"ok":true,"filter":"has(fields.tier) && fields.tier != \"gold\" || !(size(name) > 3.0)","rule":`+rule+`,
		"references":["fields.tier","name"],"timeDependent":false}}`, answer.Body.String())

	for _, c := range []struct{ rule, field, suggestion string }{
		{`{"all":[{"field":"email","op":"hasAny","value":"x"}]}`, "rule.all[0].value", ""},
		{`{"all":[{"field":"email","op":"is","value":"x"}]}`, "rule.all[0].op", ""},
		{`{"all":[{"cel":"true"},{"not":{"field":"fields.teir","op":"set"}}]}`, "rule.all[1].not.field", "tier"},
		{`{"field":"fields.tier","op":"in","value":["gold","silvr"]}`, "rule.value[1]", "silver"},
		{`{"cel":"email =="}`, "rule.cel", ""},
		{`"email"`, "rule", ""},
		{`{"all":[` + strings.Repeat(`{"field":"email","op":"==","value":"0123456789012345678901234567890123456789"},`, 300) + `{"all":[]}]}`, "rule.all[161]", ""},
	} {
		answer := ask(c.rule)
		e := tenancytest.RequireError(t, answer, 422, "invalid_rule")
		require.NotEmpty(t, e.Errors, answer.Body.String())
		require.Equal(t, []string{c.field, c.suggestion}, []string{e.Errors[0].Field, e.Errors[0].Suggestion}, answer.Body.String())
		require.NotEmpty(t, e.Errors[0].Message)
	}
}
