package backends

import (
	"archive/zip"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestDownload serves an archive in the form of Maven Central whose programs hand over to
// those of this machine.
func TestDownload(t *testing.T) {
	needLocal(t)
	for _, tool := range []string{"tar", "xz"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skip("no ", tool)
		}
	}
	found, _ := findBinaries(t.Context())
	tree := t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(tree, "bin"), 0o755))
	for _, name := range []string{"postgres", "initdb", "pg_ctl"} {
		script := "#!/bin/sh\nexec " + filepath.Join(found[0].dir, name) + ` "$@"` + "\n"
		require.NoError(t, os.WriteFile(filepath.Join(tree, "bin", name), []byte(script), 0o755))
	}
	archive := filepath.Join(t.TempDir(), "postgres.txz")
	out, err := exec.CommandContext(t.Context(), "tar", "-C", tree, "-cJf", archive, "bin").CombinedOutput()
	require.NoError(t, err, string(out))
	raw, err := os.ReadFile(archive)
	require.NoError(t, err)

	served := 0
	repository := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if filepath.Ext(r.URL.Path) != ".jar" {
			http.NotFound(w, r)
			return
		}
		served++
		z := zip.NewWriter(w)
		f, err := z.Create("postgres.txz")
		if err == nil {
			_, err = f.Write(raw)
		}
		if err != nil || z.Close() != nil {
			t.Error("writing the archive failed")
		}
	}))
	defer repository.Close()
	t.Setenv("STRATA_POSTGRES_REPOSITORY", repository.URL)
	cache := dataDir(t)

	b, err := download(t.Context(), Options{}, cache)
	require.NoError(t, err)
	require.Equal(t, found[0].major, b.major)
	_, err = download(t.Context(), Options{}, cache)
	require.NoError(t, err)
	require.Equal(t, 1, served, "the second time it is there")

	pg, err := runPostgres(t.Context(), Options{}, []binaries{b}, Download, "embedded download")
	require.NoError(t, err)
	closing(t, pg)
	require.Contains(t, pg.Source, "embedded download "+cache)
	require.Equal(t, 1, queryInt(t, pg.URL, "select 1"))

	repository.Close()
	_, err = download(t.Context(), Options{}, dataDir(t))
	require.ErrorContains(t, err, "unable to connect to "+repository.URL)
}
