package formula_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/internal/formula"
)

func TestEscape(t *testing.T) {
	t.Parallel()
	for cell, want := range map[string]string{
		"": "", "Ada": "Ada", "a=b": "a=b", "'": "'", "'t Hooft": "'t Hooft", "''": "''",
		"=1+1": "'=1+1", "@SUM(A1)": "'@SUM(A1)", "+cmd|' /C calc'!A0": "'+cmd|' /C calc'!A0", "-": "'-", "\t=1": "'\t=1", "\r=1": "'\r=1", "\n=1": "'\n=1",
		"＝1": "'＝1", "-Inf": "'-Inf", "+0x1p-2": "'+0x1p-2", "-1_0": "'-1_0", "-2+3": "'-2+3", "+49 30 123": "'+49 30 123",
		"-12.5": "-12.5", "+1e3": "+1e3", "+493012345678": "+493012345678",
		"Ada;=1": "Ada;'=1", ";-x;+5;y;'=z;'t": ";'-x;+5;y;''=z;'t", "=1;=2": "'=1;'=2", ";": ";",
		"'=1": "''=1", "''=1": "'''=1", "'-5": "''-5", "'+": "''+", "'\t": "''\t",
	} {
		require.Equal(t, want, formula.Escape(cell), "%q", cell)
	}
}

func FuzzEscapeIsUndone(f *testing.F) {
	for _, seed := range []string{"", "'", "'=", "''=1+1", "=HYPERLINK(\"x\")", "-5", "＝", "'＋1", "\xff", "'\xff=", "a;=b;'=c", ";'"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, cell string) {
		escaped := formula.Escape(cell)
		if got := formula.Unescape(escaped); got != cell {
			t.Fatalf("%q was written as %q and read as %q", cell, escaped, got)
		}
	})
}
