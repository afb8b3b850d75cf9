package customfields_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/customfields"
)

func decodeSet(t testing.TB) *customfields.Set {
	t.Helper()
	set, err := customfields.NewSet(1, []customfields.Field{
		{Key: "plan", Label: "Plan", Type: customfields.Text},
		{Key: "seats", Label: "Seats", Type: customfields.Number},
		{Key: "tags", Label: "Tags", Type: customfields.MultiSelect, Options: []string{"a", "b"}},
	})
	require.NoError(t, err)
	return set
}

var documents = []string{
	`{}`, ` { } `, `{"plan": "free", "seats": 12, "tags": ["a", "b"], "vip": true, "off": false}`,
	`{"plan":"a\"b\\\u00e9\n","seats":-0.5}`, `{"plan":"é☃𝄞","other":[]}`, `{"seats":1000000000000000}`, `{"seats":0.1}`, `{"seats":0}`, `{"seats":-0}`,
	`{"seats":1e3}`, `{"seats":null}`, `{"nested":{"a":[1,{"b":null}]}}`, `{"mixed":["a",1]}`, `{"old~2":"x","plan":"y"}`, `null`,
	`{"seats":1e400}`, `{"seats":01}`, `{"seats":.5}`, `{"seats":5.}`, `{"seats":--5}`, `{"seats":1-1}`, `{"seats":}`, `{"a":"b"`, `{"a" "b"}`, `{"a":"b",}`, `{"a":tru}`, `{"a":"b"}x`,
	`[]`, `"a"`, ``, "{\"a\":\"\x01\"}", "{\"a\":\"\xff\"}", `{"a":["b",]}`, `{"a":["b"`, `{"":"empty"}`,
}

// Decode is what encoding/json and Named make of the same document.
func requireDecodes(t *testing.T, set *customfields.Set, document string) {
	t.Helper()
	var want map[string]any
	wantErr := json.Unmarshal([]byte(document), &want)
	got, err := set.Decode([]byte(document))
	if wantErr != nil {
		require.Error(t, err, "%s", document)
		return
	}
	require.NoError(t, err, "%s", document)
	require.Equal(t, set.Named(want), got, "%s", document)
}

func TestDecode(t *testing.T) {
	t.Parallel()
	set := decodeSet(t)
	for _, document := range documents {
		requireDecodes(t, set, document)
	}
	stored := []byte(`{"plan": "free"}`)
	got, err := set.Decode(stored)
	require.NoError(t, err)
	copy(stored, `{"plan": "XXXX"}`)
	require.Equal(t, map[string]any{"plan": "free"}, got, "nothing of what was read is kept")
}

func FuzzDecode(f *testing.F) {
	for _, document := range documents {
		f.Add(document)
	}
	set := decodeSet(f)
	f.Fuzz(func(t *testing.T, document string) { requireDecodes(t, set, document) })
}

func BenchmarkDecode(b *testing.B) {
	set := decodeSet(b)
	document := []byte(`{"city": "Lisbon", "code": "C-ab12", "plan": "business", "tags": ["beta", "vip"], "seats": 250, "signed_up": "2024-01-31T00:00:00.000000Z", "newsletter": true}`)
	b.Run("strata", func(b *testing.B) {
		for b.Loop() {
			if _, err := set.Decode(document); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("encoding json", func(b *testing.B) {
		for b.Loop() {
			var values map[string]any
			if err := json.Unmarshal(document, &values); err != nil {
				b.Fatal(err)
			}
		}
	})
}
