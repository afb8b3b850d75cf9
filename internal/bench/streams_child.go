package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/redis/go-redis/v9"

	"github.com/stratakit/strata/audit"
	"github.com/stratakit/strata/bulk"
	"github.com/stratakit/strata/tenancy"
)

// childVariable makes this program a part of a scenario that has a process of its own: it
// says which. Such a process is told what to do by lines of JSON, answers each with one, and
// ends when there are no more.
const childVariable = "STRATA_BENCH_CHILD"

func runChild(part string) error {
	in, out := bufio.NewReader(os.Stdin), json.NewEncoder(os.Stdout)
	switch part {
	case "clients":
		return runClients(in, out)
	case "worker":
		return runWorker(in, out)
	}
	return fmt.Errorf("%s=%q: there is no such part", childVariable, part)
}

// child is such a process, seen from here.
type child struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *json.Decoder
}

func startChild(ctx context.Context, part string) (*child, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, self) //nolint:gosec // ourselves
	cmd.Env = append(os.Environ(), childVariable+"="+part)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	return &child{cmd, in, json.NewDecoder(out)}, cmd.Start()
}

// ask sends a line and reads the answer.
func (c *child) ask(line, answer any) error {
	if err := json.NewEncoder(c.in).Encode(line); err != nil {
		return err
	}
	return c.out.Decode(answer)
}

func (c *child) end() {
	_ = c.in.Close()
	_ = c.cmd.Wait()
}

// answerEach lets fn answer each line.
func answerEach[T any](in io.Reader, out *json.Encoder, fn func(T) (any, error)) error {
	for lines := json.NewDecoder(in); ; {
		var line T
		if err := lines.Decode(&line); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		answer, err := fn(line)
		if err != nil {
			return err
		}
		if err := out.Encode(answer); err != nil {
			return err
		}
	}
}

// workerOf says what a worker works on.
type workerOf struct{ Postgres, Redis, Queue string }

func startWorker(ctx context.Context, w *world, domain tenancy.DomainID, withRedis bool) (*child, error) {
	c, err := startChild(ctx, "worker")
	if err != nil {
		return nil, err
	}
	of := workerOf{Postgres: w.postgresURL, Queue: "streams-" + domain.String()}
	if withRedis {
		of.Redis = w.redisURL
	}
	var started bool
	return c, c.ask(of, &started)
}

func runWorker(in io.Reader, out *json.Encoder) error {
	ctx := context.Background()
	var stop []func()
	defer func() {
		for i := len(stop) - 1; i >= 0; i-- {
			stop[i]()
		}
	}()
	return answerEach(in, out, func(of workerOf) (any, error) {
		cfg, err := pgxpool.ParseConfig(of.Postgres)
		if err != nil {
			return false, err
		}
		cfg.MaxConns = 120 // each job holds one while its step takes time
		pool, err := pgxpool.NewWithConfig(ctx, cfg)
		if err != nil {
			return false, err
		}
		stop = append(stop, pool.Close)
		var client redis.UniversalClient
		if of.Redis != "" {
			o, err := redis.ParseURL(of.Redis)
			if err != nil {
				return false, err
			}
			client = redis.NewClient(o)
			stop = append(stop, func() { _ = client.Close() })
		}
		db, err := tenancy.NewDB(pool, nil)
		if err != nil {
			return false, err
		}
		recorder, err := audit.NewRecorder(db, nil)
		if err != nil {
			return false, err
		}
		resolver, err := tenancy.NewResolver(db, client, nil)
		if err != nil {
			return false, err
		}
		stop = append(stop, resolver.Close)
		runner, err := bulk.NewRunner(db, client, recorder, resolver, &bulk.Config{Queue: of.Queue, MaxWorkers: 100, MaxPerDomain: 100})
		if err != nil {
			return false, err
		}
		if err := runner.Register("steps", steps{}); err != nil {
			return false, err
		}
		stop = append(stop, func() { _ = runner.Stop(ctx) })
		return true, runner.Start(ctx)
	})
}

// stepSize is how much one batch of steps processes.
const stepSize = 1000

// steps is a handler whose batches take stepTime each.
type steps struct{}

// Open goes on where the run stands.
func (steps) Open(_ context.Context, run bulk.Run) (bulk.Work, error) {
	return &step{done: run.Processed / stepSize}, nil
}

// Finish has nothing to do.
func (steps) Finish(context.Context, *tenancy.Tx, bulk.Run) error { return nil }

type step struct{ done int64 }

// Batch takes its time, in PostgreSQL as real work does.
func (s *step) Batch(ctx context.Context, tx *tenancy.Tx) (bulk.Batch, error) {
	if _, err := tx.Exec(ctx, `SELECT pg_sleep($1)`, stepTime.Seconds()); err != nil {
		return bulk.Batch{}, err
	}
	s.done++
	return bulk.Batch{Processed: stepSize, Cursor: s.done, Done: s.done == stepsOfJob}, nil
}

// Close has nothing to release.
func (*step) Close() error { return nil }
