package fault_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/internal/fault"
)

// coded is somebody else's error that happens to have a code.
type coded struct{}

func (coded) Error() string { return "password=hunter2" }
func (coded) Code() string  { return "E7" }

func TestMessageOf(t *testing.T) {
	t.Parallel()
	conflict := fault.New(fault.Conflict, "taken", "it is taken")
	secret := errors.New("password=hunter2")
	for want, err := range map[string]error{
		"it is taken":           conflict,
		`slug "a": it is taken`: fmt.Errorf(`slug "a": %w`, conflict),
		"internal error":        secret,
		"down":                  fmt.Errorf("at 10.0.0.7: %w", fault.New(fault.Unavailable, "down", "down")),
	} {
		require.Equal(t, want, fault.MessageOf(err))
	}
	require.Equal(t, "it is taken", fault.MessageOf(errors.Join(secret, conflict)))
	require.Equal(t, "it is taken", fault.MessageOf(fmt.Errorf("write: %w: %w", conflict, secret)))
	require.Equal(t, "internal error", fault.MessageOf(fault.New(fault.Internal, "no_tenant", "password=hunter2")))
	require.Equal(t, "internal error", fault.MessageOf(fmt.Errorf("write: %w", coded{})))
}
