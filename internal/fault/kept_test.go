package fault_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/internal/fault"
)

func TestKept(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		err                error
		text, code, public string
	}{
		{errors.New("dial 10.0.0.1"), "dial 10.0.0.1", "internal", "internal error"},
		{fault.New(fault.Internal, "no_tenant", "no tenant"), "no tenant", "internal", "internal error"},
		{fmt.Errorf("row 7: %w", fault.New(fault.Conflict, "taken", "is taken")), "row 7: is taken", "taken", "row 7: is taken"},
		{fault.New(fault.Invalid, "bad", "a\x00b\xff"), "a\uFFFDb\uFFFD", "bad", "a\uFFFDb\uFFFD"},
	} {
		text, code := fault.Kept(c.err)
		require.Equal(t, []string{c.text, c.code, c.public}, []string{text, code, fault.Public(text, code)})
	}
	text, _ := fault.Kept(errors.New("x" + strings.Repeat("é", 2000)))
	require.Equal(t, 2047, len(text))
	require.True(t, utf8.ValidString(text))
}
