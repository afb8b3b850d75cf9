package tenancy_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/tenancy"
)

func TestChore(t *testing.T) {
	t.Parallel()
	failed := errors.New("failed")
	outcomes := map[int]error{2: fmt.Errorf("domain: %w", tenancy.ErrMoving), 3: failed, 4: tenancy.ErrNotFound}
	var seen []int
	n, err := tenancy.Chore(t.Context(), []int{1, 2, 3, 4, 5, 6}, func(_ context.Context, of int) (bool, error) {
		seen = append(seen, of)
		return of != 6 && outcomes[of] == nil, outcomes[of]
	})
	require.Equal(t, []int{1, 2, 3, 4, 5, 6}, seen, "none keeps the others")
	require.Equal(t, 2, n)
	require.ErrorIs(t, err, failed)
	require.NotErrorIs(t, err, tenancy.ErrMoving)
	require.NotErrorIs(t, err, tenancy.ErrNotFound)

	ctx, cancel := context.WithCancel(t.Context())
	n, err = tenancy.Chore(ctx, []int{1, 2}, func(context.Context, int) (bool, error) {
		cancel()
		return true, nil
	})
	require.Equal(t, 1, n)
	require.ErrorIs(t, err, context.Canceled)
}
