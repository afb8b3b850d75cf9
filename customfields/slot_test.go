package customfields_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/customfields"
	"github.com/stratakit/strata/tenancy"
)

func slots(t *testing.T, fields ...customfields.Field) *customfields.Set {
	t.Helper()
	set, err := customfields.NewSet(1, fields)
	require.NoError(t, err)
	return set
}

func TestSlots(t *testing.T) {
	t.Parallel()
	archived := time.Now()
	set := slots(t,
		customfields.Field{Key: "weight", Slot: "size", Type: customfields.Text, Required: true},
		customfields.Field{Key: "size", Slot: "size~2", Type: customfields.Number},
		customfields.Field{Key: "city", Type: customfields.Text},
		customfields.Field{Key: "old", Slot: "older", Type: customfields.Text, ArchivedAt: &archived})
	stored, err := set.Normalize(map[string]any{"weight": "5", "size": 9, "city": "Oslo"})
	require.NoError(t, err)
	require.Equal(t, map[string]any{"size": "5", "size~2": 9.0, "city": "Oslo"}, stored)
	stored["older"], stored["size~7"], stored["weight"] = "x", "of a newer change", "of nobody"
	require.Equal(t, map[string]any{"weight": "5", "size": 9.0, "city": "Oslo", "old": "x"}, set.Named(stored))
	changed, unset, err := set.NormalizePatch(nil, map[string]any{"size": nil, "old": nil, "city": ""})
	require.NoError(t, err)
	require.Empty(t, changed)
	require.ElementsMatch(t, []string{"size~2", "older", "city"}, unset)
	_, err = set.NormalizeText(map[string]string{"size": "9"})
	var invalid *tenancy.ValidationError
	require.ErrorAs(t, err, &invalid)
	require.Equal(t, "customFields.weight", invalid.Fields[0].Field, "required, by its key")

	plain := slots(t, customfields.Field{Key: "city", Type: customfields.Text})
	require.Equal(t, map[string]any{"city": "Oslo"}, plain.Named(map[string]any{"city": "Oslo", "city~2": 5}))
}

func TestFreeSlot(t *testing.T) {
	t.Parallel()
	fields := []customfields.Field{
		{Key: "a", Slot: "a"},
		{Key: "b", Slot: "c"},
		{Key: "d", Slot: "d~3", Transition: &customfields.Transition{Retired: &customfields.Place{Slot: "d"}}},
		{Key: "e", Slot: "e", Transition: &customfields.Transition{Next: &customfields.Place{Slot: "e~2"}}},
	}
	for key, want := range map[string]string{"a": "a~2", "b": "b", "c": "c~2", "d": "d~2", "e": "e~3"} {
		require.Equal(t, want, customfields.FreeSlot(key, fields))
	}
}

func TestTransitionWrites(t *testing.T) {
	t.Parallel()
	before := customfields.Place{Slot: "size", Type: customfields.Text}
	after := customfields.Place{Slot: "size~2", Type: customfields.Number}
	filling := slots(t, customfields.Field{Key: "size", Slot: before.Slot, Type: before.Type, Transition: &customfields.Transition{Kind: customfields.KindConvert, Next: &after}})
	set, unset, err := filling.NormalizePatch(nil, map[string]any{"size": "1e3"})
	require.NoError(t, err)
	require.Equal(t, map[string]any{"size": "1e3", "size~2": 1000.0}, set)
	require.Empty(t, unset)
	_, unset, err = filling.NormalizePatch(nil, map[string]any{"size": nil})
	require.NoError(t, err)
	require.Equal(t, []string{"size", "size~2"}, unset)
	_, _, err = filling.NormalizePatch(nil, map[string]any{"size": "big"})
	var invalid *tenancy.ValidationError
	require.ErrorAs(t, err, &invalid)
	require.Equal(t, "converting", invalid.Fields[0].Code)
	require.Equal(t, map[string]any{"size": "1"}, filling.Named(map[string]any{"size": "1", "size~2": 1.0}))

	flipped := slots(t, customfields.Field{Key: "size", Slot: after.Slot, Type: after.Type, Transition: &customfields.Transition{Kind: customfields.KindConvert, Retired: &before}})
	set, unset, err = flipped.NormalizePatch(nil, map[string]any{"size": 7})
	require.NoError(t, err)
	require.Equal(t, map[string]any{"size~2": 7.0}, set)
	require.Equal(t, []string{"size"}, unset)
	require.Equal(t, map[string]any{"size": 1.0}, flipped.Named(map[string]any{"size": "1", "size~2": 1.0}))
}

// A record that is there already does not take a default, and keeps what a late writer has
// left in the old slot.
func TestADefaultEmptiesNothing(t *testing.T) {
	t.Parallel()
	flipped := slots(t, customfields.Field{Key: "size", Slot: "size~2", Type: customfields.Number, Default: 1.0, Transition: &customfields.Transition{
		Kind: customfields.KindConvert, Retired: &customfields.Place{Slot: "size", Type: customfields.Text},
	}})
	set, unset, defaulted, err := flipped.NormalizeNew(nil)
	require.NoError(t, err)
	require.Equal(t, map[string]any{"size~2": 1.0}, set)
	require.Equal(t, []string{"size~2"}, defaulted)
	require.Empty(t, unset)
}

func TestConvertPairs(t *testing.T) {
	t.Parallel()
	const day = "2026-01-31T00:00:00.000000Z"
	options := []string{"a", "b", "true", "7.5", "2026-01-31"}
	type c struct {
		from  customfields.Type
		value any
		to    customfields.Type
		want  any // nil: lost
	}
	for _, c := range []c{
		{customfields.Number, 7.5, customfields.Text, "7.5"},
		{customfields.Number, 1e15, customfields.Text, "1000000000000000"},
		{customfields.Number, 1.0, customfields.Boolean, true},
		{customfields.Number, 2.0, customfields.Boolean, nil},
		{customfields.Number, 7.5, customfields.Select, "7.5"},
		{customfields.Text, " 7.50 ", customfields.Number, 7.5},
		{customfields.Text, "seven", customfields.Number, nil},
		{customfields.Text, "2026-01-31", customfields.Date, day},
		{customfields.Text, "yes", customfields.Boolean, true},
		{customfields.Text, "A@EXAMPLE.com", customfields.Email, "a@example.com"},
		{customfields.Text, "nobody", customfields.Email, nil},
		{customfields.Text, "HTTPS://Example.com/A", customfields.URL, "https://example.com/A"},
		{customfields.Text, "b; a|a", customfields.MultiSelect, []string{"a", "b"}},
		{customfields.Text, "c", customfields.Select, nil},
		{customfields.Date, day, customfields.Text, "2026-01-31"},
		{customfields.Date, "2026-01-31T10:00:00.500000Z", customfields.Text, "2026-01-31T10:00:00.5Z"},
		{customfields.Date, day, customfields.Select, "2026-01-31"},
		{customfields.Date, day, customfields.Number, nil},
		{customfields.Boolean, true, customfields.Number, 1.0},
		{customfields.Boolean, false, customfields.Text, "false"},
		{customfields.Select, "a", customfields.MultiSelect, []string{"a"}},
		{customfields.MultiSelect, []any{"a", "b"}, customfields.Text, "a; b"},
		{customfields.MultiSelect, []any{"a"}, customfields.Select, "a"},
		{customfields.MultiSelect, []any{"a", "b"}, customfields.Select, nil},
		{customfields.MultiSelect, []any{"a", "gone"}, customfields.MultiSelect, []string{"a", "gone"}},
	} {
		to := &customfields.Field{Key: "f", Type: c.to}
		if c.to == customfields.Select || c.to == customfields.MultiSelect {
			to.Options, to.ArchivedOptions = options, []string{"gone"}
		}
		got, problem := customfields.Convert(c.from, c.value, to)
		require.Equal(t, c.want, got, "%v as %s", c.value, c.to)
		require.Equal(t, c.want == nil, problem != nil, "%v as %s", c.value, c.to)
	}
	require.False(t, customfields.Convertible(customfields.Date, customfields.Number))
}
