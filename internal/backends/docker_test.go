package backends

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/moby/moby/client"
	"github.com/stretchr/testify/require"
)

func needDocker(t *testing.T) {
	t.Helper()
	d, err := findDaemon(t.Context())
	if err != nil {
		t.Skip(err)
	}
	defer func() { _ = d.Close() }()
	for _, image := range []string{imageOf("STRATA_POSTGRES_IMAGE", "postgres:17"), imageOf("STRATA_REDIS_IMAGE", "redis:7")} {
		if err := d.pull(t.Context(), image, t.Logf); err != nil {
			t.Skip(err)
		}
	}
}

func TestDockerHostMeansNoOtherDaemon(t *testing.T) {
	t.Parallel()
	home, err := os.MkdirTemp("/tmp", "strata-backends-test-") // t.TempDir is too long for a socket
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(home)) })
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "unix", filepath.Join(home, "socket"))
	require.NoError(t, err)
	other := &httptest.Server{Listener: l, Config: &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "{}")
	})}}
	other.Start()
	t.Cleanup(other.Close)
	properties := "docker.host=unix://" + filepath.Join(home, "socket")
	require.NoError(t, os.WriteFile(filepath.Join(home, ".testcontainers.properties"), []byte(properties), 0o600))

	gone := "unix://" + filepath.Join(home, "gone")
	for _, tt := range []struct{ host, says string }{
		{"", ""}, // of the properties, or the machine's own
		{gone, "DOCKER_HOST " + gone + " does not answer ("},
	} {
		self, err := os.Executable()
		require.NoError(t, err)
		cmd := exec.CommandContext(t.Context(), self)
		cmd.Env = append(os.Environ(), childVariable+"=daemon", "HOME="+home, "DOCKER_HOST="+tt.host, "TESTCONTAINERS_HOST_OVERRIDE=127.0.0.1")
		said, err := cmd.CombinedOutput()
		require.Equal(t, tt.says == "", err == nil, string(said))
		require.Contains(t, string(said), tt.says)
	}
}

func TestDockerServersRestart(t *testing.T) {
	needDocker(t)
	ctx := t.Context()
	pg, err := dockerPostgres(ctx, Options{Private: true})
	require.NoError(t, err)
	closing(t, pg)
	require.Contains(t, pg.Source, "Docker image ")
	execSQL(t, pg.URL, "create table t as select 7 as n")
	require.NoError(t, pg.Kill(ctx))
	require.Error(t, pingPostgres(ctx, pg.URL))
	require.NoError(t, pg.Start(ctx))
	require.Equal(t, 7, queryInt(t, pg.URL, "select n from t"))
	require.NoError(t, pg.Stop(ctx))
	require.NoError(t, pg.Start(ctx))
	require.Equal(t, 7, queryInt(t, pg.URL, "select n from t"))

	rd, err := dockerRedis(ctx, Options{Private: true})
	require.NoError(t, err)
	closing(t, rd)
	require.NoError(t, rd.Kill(ctx))
	require.NoError(t, rd.Start(ctx))
}

func TestDockerDataOutlivesAKilledProcess(t *testing.T) {
	needDocker(t)
	ctx := t.Context()
	dir := dataDir(t)
	pgURL, rdURL, kill := startChild(t, "docker:"+dir)
	execSQL(t, pgURL, "create table t as select 7 as n")

	shared, err := dockerPostgres(ctx, Options{DataDir: dir})
	require.NoError(t, err)
	require.Equal(t, pgURL, shared.URL)
	require.ErrorIs(t, shared.Stop(ctx), ErrNotRestartable)
	require.NoError(t, shared.Close())
	kill()

	pg, err := dockerPostgres(ctx, Options{DataDir: dir})
	require.NoError(t, err)
	require.Equal(t, pgURL, pg.URL)
	require.Equal(t, 7, queryInt(t, pg.URL, "select n from t"))
	s := pg.server.(*dockerServer)
	require.NoError(t, pg.Close())
	rd, err := dockerRedis(ctx, Options{DataDir: dir})
	require.NoError(t, err)
	require.Equal(t, rdURL, rd.URL)
	r := rd.server.(*dockerServer)
	require.NoError(t, rd.Close())
	require.NoError(t, removeVolumes(ctx, s, r))
}

func TestDockerImageThatCannotBeHad(t *testing.T) {
	needDocker(t)
	t.Setenv("STRATA_POSTGRES_IMAGE", "127.0.0.1:1/nobody/nothing:0")
	_, err := dockerPostgres(t.Context(), Options{})
	require.ErrorContains(t, err, "image 127.0.0.1:1/nobody/nothing:0 cannot be had: ")
}

func TestDockerContainerThatEnds(t *testing.T) {
	needDocker(t)
	_, _, err := runContainer(t.Context(), Options{}, service{
		name: "postgres", image: imageOf("STRATA_POSTGRES_IMAGE", "postgres:17"), port: "5432/tcp", volume: "/strata",
		env:     func(password string) map[string]string { return map[string]string{"POSTGRES_PASSWORD": password} },
		command: func(string) []string { return []string{"postgres", "-c", "no_such_setting=1"} },
		ready:   func(ctx context.Context, st state) error { return pingPostgres(ctx, postgresURL(st)) },
	})
	require.ErrorContains(t, err, "the container ended: ")
	require.ErrorContains(t, err, "no_such_setting")
}

func removeVolumes(ctx context.Context, servers ...*dockerServer) error {
	d, err := findDaemon(ctx)
	if err != nil {
		return err
	}
	for _, s := range servers {
		_, e := d.Client().VolumeRemove(ctx, s.volumeName(), client.VolumeRemoveOptions{})
		err = errors.Join(err, e)
	}
	return errors.Join(err, d.Close())
}
