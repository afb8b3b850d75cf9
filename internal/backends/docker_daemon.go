package backends

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/pkg/authconfig"
	"github.com/moby/moby/client"
	"github.com/testcontainers/testcontainers-go"
	"github.com/testcontainers/testcontainers-go/log"
)

const (
	// daemonTimeout is how long a daemon may take to answer the first question.
	daemonTimeout = 5 * time.Second
	// pullTimeout bounds the download of an image.
	pullTimeout = 3 * time.Minute
	// homeLabel holds, on each container of ours, "hostname:directory" of the home whose
	// lock tells whether the process that started it lives.
	homeLabel = "strata.backends.home"
)

// daemon is a Docker daemon that answers.
type daemon struct {
	*testcontainers.DockerProvider
	host  string // where its published ports are
	local bool   // host is this machine
}

// silence keeps testcontainers-go, whose logger is one for the process, from reporting to
// standard error what we say in the log.
var silence = sync.OnceFunc(func() { log.SetDefault(log.NewNoopLogger()) })

// findDaemon returns an error quickly where there is no Docker.
func findDaemon(ctx context.Context) (*daemon, error) {
	silence()
	type answer struct {
		p   *testcontainers.DockerProvider
		err error
	}
	got := make(chan answer, 1)
	go func() { // it takes no context
		p, err := testcontainers.NewDockerProvider(testcontainers.WithLogger(log.NewNoopLogger()))
		got <- answer{p, err}
	}()
	timer := time.NewTimer(daemonTimeout)
	defer timer.Stop()
	var a answer
	select {
	case a = <-got:
	case <-timer.C:
		return nil, fmt.Errorf("the Docker daemon did not answer within %s", daemonTimeout)
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if a.err != nil {
		return nil, fmt.Errorf("no Docker daemon answers: %w", a.err)
	}
	// Whoever sets DOCKER_HOST means that daemon; testcontainers-go goes on to others.
	if meant, got := os.Getenv("DOCKER_HOST"), a.p.Client().DaemonHost(); meant != "" && got != meant {
		return nil, errors.Join(fmt.Errorf("DOCKER_HOST %s does not answer (%s does)", meant, got), a.p.Close())
	}
	hctx, cancel := context.WithTimeout(ctx, daemonTimeout)
	defer cancel()
	if err := a.p.Health(hctx); err != nil {
		return nil, errors.Join(fmt.Errorf("no Docker daemon answers: %w", err), a.p.Close())
	}
	host, err := a.p.DaemonHost(ctx)
	if err != nil {
		return nil, errors.Join(err, a.p.Close())
	}
	d := &daemon{DockerProvider: a.p, host: host}
	if host == "localhost" || host == "127.0.0.1" {
		d.host, d.local = "127.0.0.1", true
	}
	return d, nil
}

// pull makes sure that the image is there. One attempt: where there is no registry,
// another source should have its turn soon.
func (d *daemon) pull(ctx context.Context, image string, logf func(string, ...any)) error {
	_, err := d.Client().ImageInspect(ctx, image)
	if err == nil || !errdefs.IsNotFound(err) {
		return err
	}
	logf("Docker: pulling %s", image)
	ctx, cancel := context.WithTimeout(ctx, pullTimeout)
	defer cancel()
	var opts client.ImagePullOptions
	if _, auth, err := testcontainers.DockerImageAuth(ctx, image); err == nil { // else: a public image
		if opts.RegistryAuth, err = authconfig.Encode(auth); err != nil {
			return err
		}
	}
	resp, err := d.Client().ImagePull(ctx, image, opts)
	if err == nil {
		err = resp.Wait(ctx)
	}
	if err != nil {
		return fmt.Errorf("image %s cannot be had: %w", image, err)
	}
	return nil
}

// freePort returns a port to publish. That of another machine is guessed.
func (d *daemon) freePort() (int, error) {
	if d.local {
		return freePort()
	}
	return 20000 + rand.IntN(30000), nil
}
