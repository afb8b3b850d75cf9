package tenancy_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/tenancy"
)

func TestID(t *testing.T) {
	t.Parallel()
	id := tenancy.NewID[tenancy.Company]()

	t.Run("text form round-trips", func(t *testing.T) {
		t.Parallel()
		back, err := tenancy.ParseID[tenancy.Company](id.String())
		require.NoError(t, err)
		require.Equal(t, id, back)
		data, err := json.Marshal(id)
		require.NoError(t, err)
		var fromJSON tenancy.CompanyID
		require.NoError(t, json.Unmarshal(data, &fromJSON))
		require.Equal(t, id, fromJSON)
	})
	t.Run("ids made later sort later", func(t *testing.T) {
		t.Parallel()
		last := id.String()
		for range 1000 {
			next := tenancy.NewID[tenancy.Company]().String()
			require.Greater(t, next, last)
			last = next
		}
	})
	t.Run("anything but the 36-character form is refused", func(t *testing.T) {
		t.Parallel()
		for _, s := range []string{"", "x", "{" + id.String() + "}", "urn:uuid:" + id.String(), id.String()[:35], id.String() + " ", "../../etc/passwd"} {
			_, err := tenancy.ParseID[tenancy.Company](s)
			require.ErrorIs(t, err, tenancy.ErrInvalidID, "%q", s)
		}
	})
	t.Run("zero is NULL", func(t *testing.T) {
		t.Parallel()
		v, err := tenancy.CompanyID{}.Value()
		require.NoError(t, err)
		require.Nil(t, v)
		require.True(t, tenancy.CompanyID{}.IsZero())
		require.False(t, id.IsZero())
	})
}
