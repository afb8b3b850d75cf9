package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/stratakit/strata/bulk"
	"github.com/stratakit/strata/tenancy"
)

// clientsOf says who follows what.
type clientsOf struct {
	Addr  string
	Paths []string // of the jobs; the clients take turns
	N     int
}

// seen is an event at a client.
type seen struct {
	Job       int
	Processed int64
	At        int64 // nanoseconds since 1970
	First     bool  // of its stream: it tells what is, not what is new
}

func startClients(ctx context.Context, addr string, domain tenancy.DomainID, ids []bulk.RunID, n int) (*child, error) {
	c, err := startChild(ctx, "clients")
	if err != nil {
		return nil, err
	}
	of := clientsOf{Addr: addr, N: n}
	for _, id := range ids {
		of.Paths = append(of.Paths, fmt.Sprintf("/domains/%s/jobs/%s/progress", domain, id))
	}
	line, err := json.Marshal(of)
	if err != nil {
		return nil, err
	}
	var took time.Duration
	return c, c.ask(string(line), &took)
}

// runClients connects at the first line, comes back with all clients at "again", and at
// "end" waits for the ends of the streams and says what was seen.
func runClients(in io.Reader, out *json.Encoder) error {
	var c *clients
	return answerEach(in, out, func(line string) (any, error) {
		switch line {
		case "again":
			c.leave()
			return c.connect()
		case "end":
			c.streams.Wait()
			return c.events, errors.Join(c.errs...)
		}
		c = &clients{}
		if err := json.Unmarshal([]byte(line), &c.of); err != nil {
			return nil, err
		}
		return c.connect()
	})
}

type clients struct {
	of      clientsOf
	streams sync.WaitGroup

	mu     sync.Mutex
	conns  []net.Conn
	left   bool // that a stream breaks off is what was wanted
	events []seen
	errs   []error
}

// connect opens all streams at once and returns how long it took until each had its state.
func (c *clients) connect() (time.Duration, error) {
	began := time.Now()
	c.left = false
	var firsts sync.WaitGroup
	for i := range c.of.N {
		firsts.Add(1)
		c.streams.Go(func() {
			if err := c.follow(i%len(c.of.Paths), sync.OnceFunc(firsts.Done)); err != nil {
				c.mu.Lock()
				defer c.mu.Unlock()
				if !c.left {
					c.errs = append(c.errs, err)
				}
			}
		})
	}
	firsts.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Since(began), errors.Join(c.errs...)
}

// leave breaks all streams off.
func (c *clients) leave() {
	c.mu.Lock()
	c.left = true
	for _, conn := range c.conns {
		_ = conn.Close()
	}
	c.conns = nil
	c.mu.Unlock()
	c.streams.Wait()
}

// follow reads one stream to its end.
func (c *clients) follow(job int, first func()) error {
	defer first()
	conn, err := (&net.Dialer{}).DialContext(context.Background(), "tcp", c.of.Addr)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	c.mu.Lock()
	c.conns = append(c.conns, conn)
	c.mu.Unlock()
	if _, err := fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: bench\r\n\r\n", c.of.Paths[job]); err != nil {
		return err
	}
	resp, err := http.ReadResponse(bufio.NewReaderSize(conn, 1024), nil)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("the stream was answered with %s", resp.Status)
	}
	lines := bufio.NewScanner(resp.Body)
	for before := 0; lines.Scan(); {
		data, ok := strings.CutPrefix(lines.Text(), "data: ")
		if !ok {
			continue
		}
		at := time.Now()
		var p bulk.Progress
		if err := json.Unmarshal([]byte(data), &p); err != nil {
			return err
		}
		c.mu.Lock()
		c.events = append(c.events, seen{job, p.Processed, at.UnixNano(), before == 0})
		c.mu.Unlock()
		before++
		first()
	}
	return lines.Err()
}
