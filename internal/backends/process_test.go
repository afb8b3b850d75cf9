package backends

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestServerStartedAgainWaitsForItsPort(t *testing.T) {
	t.Parallel()
	ended := &process{done: make(chan struct{})}
	close(ended.done)
	for name, tt := range map[string]struct {
		before *process
		stays  bool
	}{"first start": {nil, false}, "started again": {ended, true}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			st := state{Port: 1}
			var ports []int
			err := onFreePort(t.Context(), &st, tt.before, func(context.Context) error {
				ports = append(ports, st.Port)
				if len(ports) < 3 {
					return errEnded{"Failed listening on port 1 (TCP), aborting."}
				}
				return nil
			})
			require.NoError(t, err)
			require.Len(t, ports, 3)
			require.Equal(t, tt.stays, ports[2] == 1)
			require.Equal(t, ports[2], st.Port)
		})
	}
}
