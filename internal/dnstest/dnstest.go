// Package dnstest is a small internet on loopback for tests of what asks DNS: real
// servers over UDP and TCP that hold zones, and a resolver that knows which zone is
// where. Their addresses are those of the documentation (RFC 5737); Dial leads to them.
package dnstest

import (
	"context"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/miekg/dns"
	"github.com/stretchr/testify/require"
)

// Resolver is the address of the resolver.
const Resolver = "198.51.100.1:53"

// Internet is the whole. It is safe for concurrent use.
type Internet struct {
	t testing.TB

	mu      sync.Mutex
	real    map[string]string // where the servers really listen
	zones   map[string]*Zone  // that the resolver knows, by name
	hosts   map[string]net.IP
	servers int

	// Queries counts what the servers of zones were asked, by network.
	UDP, TCP atomic.Int64
}

// New returns an Internet with nothing in it but a root. It ends with the test.
func New(t testing.TB) *Internet {
	t.Helper()
	in := &Internet{t: t, real: map[string]string{}, zones: map[string]*Zone{}, hosts: map[string]net.IP{}}
	in.listen(Resolver, in.resolve)
	in.Zone(".")
	return in
}

// Dial connects to one of the servers, as net.Dialer.DialContext would.
func (in *Internet) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	in.mu.Lock()
	there, ok := in.real[address]
	in.mu.Unlock()
	if !ok {
		return nil, fmt.Errorf("dnstest: nothing listens at %s", address)
	}
	var d net.Dialer
	return d.DialContext(ctx, network, there)
}

// listen serves over UDP and TCP at one address, which is a loopback one in truth.
func (in *Internet) listen(address string, handle dns.HandlerFunc) {
	in.t.Helper()
	var packets net.PacketConn
	var listener net.Listener
	require.Eventually(in.t, func() (ok bool) { // until a port is free for both
		var err error
		var listen net.ListenConfig
		if listener, err = listen.Listen(context.Background(), "tcp", "127.0.0.1:0"); err != nil {
			return false
		}
		if packets, err = listen.ListenPacket(context.Background(), "udp", listener.Addr().String()); err != nil {
			_ = listener.Close()
		}
		return err == nil
	}, patience, pause)
	in.mu.Lock()
	in.real[address] = listener.Addr().String()
	in.mu.Unlock()
	for _, s := range []*dns.Server{{PacketConn: packets, Handler: handle}, {Listener: listener, Handler: handle}} {
		started, done := make(chan struct{}), make(chan struct{})
		s.NotifyStartedFunc = func() { close(started) }
		go func() {
			defer close(done)
			_ = s.ActivateAndServe()
		}()
		<-started
		in.t.Cleanup(func() {
			_ = s.Shutdown()
			<-done
		})
	}
}

// resolve answers as a recursive resolver does: with what the zone's owners would say.
func (in *Internet) resolve(w dns.ResponseWriter, r *dns.Msg) {
	q := r.Question[0]
	name := dns.CanonicalName(q.Name)
	m := new(dns.Msg)
	m.SetReply(r)
	m.RecursionAvailable = true
	in.mu.Lock()
	z, host := in.zones[name], in.hosts[name]
	closest := in.closest(name)
	in.mu.Unlock()
	switch {
	case closest.fails.Load():
		m.Rcode = dns.RcodeServerFailure
	case q.Qtype == dns.TypeNS && z != nil:
		m.Answer = z.ns()
	case q.Qtype == dns.TypeA && host != nil:
		m.Answer = append(m.Answer, &dns.A{Hdr: header(name, dns.TypeA), A: host})
	default:
		if z == nil && host == nil {
			m.Rcode = dns.RcodeNameError
		}
		m.Ns = append(m.Ns, closest.soa())
	}
	_ = w.WriteMsg(m)
}

// closest returns the deepest zone at or above name.
func (in *Internet) closest(name string) *Zone {
	for _, at := range append(dns.Split(name), len(name)) {
		if z := in.zones[dns.Fqdn(name[at:])]; z != nil {
			return z
		}
	}
	return in.zones["."]
}

func header(name string, kind uint16) dns.RR_Header {
	return dns.RR_Header{Name: name, Rrtype: kind, Class: dns.ClassINET, Ttl: 3600}
}
