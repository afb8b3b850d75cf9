package arrays_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/stratakit/strata/internal/arrays"
)

func TestOnce(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ values, want []string }{
		{nil, nil},
		{[]string{}, []string{}},
		{[]string{"a"}, []string{"a"}},
		{[]string{"a", "a", "a"}, []string{"a"}},
		{[]string{"a", "a", "b"}, []string{"a", "a", "b"}},
		{[]string{"", ""}, []string{""}},
	} {
		assert.Equal(t, c.want, arrays.Once(c.values))
	}
}
