package dbtest

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestKeeperHasRoomForItsSocketWhereTMPDIRIsLong(t *testing.T) {
	t.Setenv("TMPDIR", filepath.Join(t.TempDir(), strings.Repeat("x", socketLimit)))
	dir, err := keeperDir()
	require.NoError(t, err)
	require.NoError(t, os.Mkdir(dir, 0o700))
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(dir)) })
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "unix", socketOf(dir))
	require.NoError(t, err)
	require.NoError(t, l.Close())
}
