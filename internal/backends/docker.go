package backends

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	"github.com/gofrs/flock"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/client"
	"github.com/testcontainers/testcontainers-go"
)

// imageOf returns the image that the environment asks for.
func imageOf(variable, otherwise string) string {
	if v := os.Getenv(variable); v != "" {
		return v
	}
	return otherwise
}

// service is what differs between PostgreSQL and Redis in a container.
type service struct {
	name    string // "postgres", "redis": of directories and volumes
	image   string
	port    string // inside, "5432/tcp"
	volume  string // where the data is, inside
	env     func(password string) map[string]string
	command func(password string) []string
	ready   func(ctx context.Context, st state) error
}

// dockerServer is a server in a container of ours.
type dockerServer struct {
	service
	daemon *daemon
	home   *home
	memory bool // data in memory
	st     state
	ctr    *testcontainers.DockerContainer
}

// runContainer starts a service, or returns the state of the one that another process
// started on the same data directory.
func runContainer(ctx context.Context, opts Options, svc service) (*dockerServer, *state, error) {
	d, err := findDaemon(ctx)
	if err != nil {
		return nil, nil, err
	}
	s, shared, err := startContainer(ctx, opts, d, svc)
	if s == nil {
		err = errors.Join(err, d.Close())
	}
	return s, shared, err
}

func startContainer(ctx context.Context, opts Options, d *daemon, svc service) (*dockerServer, *state, error) {
	if err := d.pull(ctx, svc.image, opts.logf); err != nil {
		return nil, nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	var h *home
	var err error
	if opts.DataDir == "" {
		h, err = tempHome(nil, true)
	} else {
		var shared *state
		dir := filepath.Join(opts.DataDir, svc.name+"-docker")
		h, shared, err = keptHome(ctx, nil, dir, svc.ready)
		if shared != nil {
			shared.Source += ", shared with the process that started it"
			return nil, shared, nil
		}
	}
	if err != nil {
		return nil, nil, err
	}
	s := &dockerServer{service: svc, daemon: d, home: h}
	if info, err := d.Client().Info(ctx, client.InfoOptions{}); err == nil {
		// A container may take half of the memory for a tmpfs; it is gone with a stop.
		s.memory = !h.kept && !opts.Durable && !opts.Private && info.Info.MemTotal >= 2*memoryNeeded
	}
	if err := s.bring(ctx); err != nil {
		return nil, nil, errors.Join(err, s.close())
	}
	return s, nil, nil
}

func (s *dockerServer) bring(ctx context.Context) error {
	var err error
	if s.st, err = s.home.load(); err != nil {
		return err
	}
	if s.st.Password == "" {
		s.st.Password = newPassword()
		if err := s.home.save(s.st); err != nil { // the data is made with it
			return err
		}
	}
	if err := s.removeOrphans(ctx); err != nil {
		return err
	}
	s.st.Host = s.daemon.host
	for try := 0; ; try++ {
		if s.st.Port == 0 || try > 0 {
			if s.st.Port, err = s.daemon.freePort(); err != nil {
				return err
			}
		}
		if err = s.create(ctx); err == nil {
			break
		}
		taken := strings.Contains(err.Error(), "port is already allocated") || strings.Contains(err.Error(), "address already in use")
		if !taken || try == 10 {
			return err
		}
	}
	s.st.Source = fmt.Sprintf("Docker image %s (container %.12s)", s.image, s.ctr.GetContainerID())
	if err := s.await(ctx); err != nil {
		return err
	}
	s.st.Ready = true
	return s.home.save(s.st)
}

// create makes and starts the container; on error there is none.
func (s *dockerServer) create(ctx context.Context) error {
	port, err := network.ParsePort(s.port)
	if err != nil {
		return err
	}
	binding := network.PortBinding{HostPort: strconv.Itoa(s.st.Port)}
	if s.daemon.local {
		binding.HostIP = netip.AddrFrom4([4]byte{127, 0, 0, 1})
	}
	ctr, err := s.daemon.RunContainer(ctx, testcontainers.ContainerRequest{
		Image: s.image, Env: s.env(s.st.Password), Cmd: s.command(s.st.Password),
		ExposedPorts: []string{s.port},
		Labels:       map[string]string{homeLabel: s.label()},
		ConfigModifier: func(c *container.Config) {
			c.StopSignal = "SIGINT" // PostgreSQL's fast shutdown; Redis takes it as well
		},
		HostConfigModifier: func(h *container.HostConfig) {
			h.PortBindings = network.PortMap{port: {binding}}
			h.ShmSize = 256 << 20 // PostgreSQL's parallel queries
			if s.memory {
				h.Tmpfs = map[string]string{s.volume: "rw"}
			}
			if s.home.kept {
				// Not a mount of testcontainers-go: its reaper would remove the volume.
				h.Binds = []string{s.volumeName() + ":" + s.volume}
			}
		},
	})
	if c, ok := ctr.(*testcontainers.DockerContainer); ok && c != nil {
		s.ctr = c
	}
	if err != nil {
		err = errors.Join(err, s.remove())
	}
	return err
}

// await waits until the server takes connections.
func (s *dockerServer) await(ctx context.Context) error {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		err := s.ready(ctx, s.st)
		if err == nil {
			return nil
		}
		if st, serr := s.ctr.State(ctx); serr == nil && !st.Running {
			return fmt.Errorf("the container ended: %s", s.lastWords(ctx))
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("not ready in time: %w", err)
		case <-tick.C:
		}
	}
}

func (s *dockerServer) lastWords(ctx context.Context) string {
	r, err := s.ctr.Logs(ctx)
	if err != nil {
		return err.Error()
	}
	defer func() { _ = r.Close() }()
	buf := make([]byte, 64<<10)
	n := 0
	for n < len(buf) {
		m, err := r.Read(buf[n:])
		n += m
		if err != nil {
			break
		}
	}
	return explain(string(buf[:n]))
}

// label names this machine and the home.
func (s *dockerServer) label() string {
	name, err := os.Hostname()
	if err != nil {
		name = "?"
	}
	dir, err := filepath.Abs(s.home.dir)
	if err != nil {
		dir = s.home.dir
	}
	return name + ":" + dir
}

// volumeName is the volume of a kept home.
func (s *dockerServer) volumeName() string {
	sum := sha256.Sum256([]byte(s.label()))
	return "strata-" + s.name + "-" + hex.EncodeToString(sum[:8])
}

// removeOrphans removes containers whose process was killed. That includes one of our own
// home: we hold its lock, so nobody else uses the data.
func (s *dockerServer) removeOrphans(ctx context.Context) error {
	list, err := s.daemon.Client().ContainerList(ctx, client.ContainerListOptions{
		All: true, Filters: make(client.Filters).Add("label", homeLabel),
	})
	if err != nil {
		return err
	}
	machine, _, _ := strings.Cut(s.label(), ":")
	for _, c := range list.Items {
		label := c.Labels[homeLabel]
		dir, ours := strings.CutPrefix(label, machine+":")
		if !ours || label != s.label() && !abandoned(dir) {
			continue
		}
		_, err := s.daemon.Client().ContainerRemove(ctx, c.ID, client.ContainerRemoveOptions{Force: true, RemoveVolumes: true})
		if err != nil && !errdefs.IsNotFound(err) && !errdefs.IsConflict(err) { // gone, or being removed
			return err
		}
	}
	return nil
}

// abandoned says whether nobody holds the lock of a home.
func abandoned(dir string) bool {
	if _, err := os.Stat(dir); err != nil {
		return errors.Is(err, os.ErrNotExist)
	}
	l := flock.New(filepath.Join(dir, "owner.lock"))
	mine, err := l.TryLock()
	if err != nil || !mine {
		return false
	}
	return l.Close() == nil
}

func (s *dockerServer) start(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	if err := s.ctr.Start(ctx); err != nil {
		return err
	}
	return s.await(ctx)
}

func (s *dockerServer) restartable() bool { return !s.memory }

func (s *dockerServer) stop(ctx context.Context) error {
	patience := 30 * time.Second
	return s.ctr.Stop(ctx, &patience)
}

func (s *dockerServer) kill(ctx context.Context) error {
	_, err := s.daemon.Client().ContainerKill(ctx, s.ctr.GetContainerID(), client.ContainerKillOptions{Signal: "SIGKILL"})
	if err != nil {
		return err
	}
	// The daemon answers before the container has ended.
	wait := s.daemon.Client().ContainerWait(ctx, s.ctr.GetContainerID(), client.ContainerWaitOptions{Condition: container.WaitConditionNotRunning})
	select {
	case err := <-wait.Error:
		return err
	case <-wait.Result:
		return nil
	}
}

// remove ends the container.
func (s *dockerServer) remove() error {
	if s.ctr == nil {
		return nil
	}
	patience := time.Second // the data is thrown away
	if s.home.kept {
		patience = 30 * time.Second
	}
	err := s.ctr.Terminate(context.Background(), testcontainers.StopTimeout(patience))
	s.ctr = nil
	return err
}

func (s *dockerServer) close() error {
	err := s.remove()
	if s.home.kept {
		s.st.Ready = false
		err = errors.Join(err, s.home.save(s.st))
	}
	s.home.release()
	return errors.Join(err, s.daemon.Close())
}
