package dnstest

import (
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/miekg/dns"
)

const (
	patience = 10 * time.Second
	pause    = time.Millisecond
)

// Zone is what some servers are responsible for.
type Zone struct {
	in      *Internet
	name    string
	Servers []*Server
	fails   atomic.Bool

	mu      sync.Mutex
	records map[string][]dns.RR
	below   []*Zone
}

// Server is one of a zone's name servers.
type Server struct {
	zone *Zone
	host string

	mu    sync.Mutex
	every func(*dns.Msg) bool // changes each answer; false: it is not sent
}

// Zone adds a zone with two name servers, which the resolver knows.
func (in *Internet) Zone(name string) *Zone {
	in.t.Helper()
	z := in.zone(name)
	in.mu.Lock()
	defer in.mu.Unlock()
	in.zones[z.name] = z
	return z
}

// Delegate adds a zone below z that the resolver has not heard of: only z's servers know.
func (z *Zone) Delegate(name string) *Zone {
	z.in.t.Helper()
	below := z.in.zone(name)
	z.mu.Lock()
	defer z.mu.Unlock()
	z.below = append(z.below, below)
	return below
}

func (in *Internet) zone(name string) *Zone {
	z := &Zone{in: in, name: dns.CanonicalName(name), records: map[string][]dns.RR{}}
	addresses := make([]string, 2)
	for i := range addresses {
		s := &Server{zone: z, host: dns.Fqdn(fmt.Sprintf("ns%d.%s", i+1, strings.TrimSuffix(z.name, ".")))}
		in.mu.Lock()
		in.servers++
		ip := net.IPv4(192, 0, 2, byte(in.servers))
		in.hosts[s.host] = ip
		in.mu.Unlock()
		z.Servers = append(z.Servers, s)
		addresses[i] = net.JoinHostPort(ip.String(), "53")
	}
	for i, s := range z.Servers { // only now: an answer names them all
		in.listen(addresses[i], s.serve)
	}
	return z
}

// Fails makes the resolver answer SERVFAIL to all questions about the zone, or no more.
func (z *Zone) Fails(fails bool) { z.fails.Store(fails) }

// Address replaces the address that the resolver has for one of the name servers.
func (s *Server) Address(ip string) {
	s.zone.in.mu.Lock()
	defer s.zone.in.mu.Unlock()
	s.zone.in.hosts[s.host] = net.ParseIP(ip)
}

// Every has each answer of the server changed by do before it is sent; when do returns
// false it is not sent. Nil: as the zone has it.
func (s *Server) Every(do func(*dns.Msg) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.every = do
}

// Set replaces the records of a name by TXT records, one for each text. A text of several
// strings is given with "|" between them.
func (z *Zone) Set(name string, texts ...string) {
	name = dns.CanonicalName(name)
	var rrs []dns.RR
	for _, text := range texts {
		rrs = append(rrs, &dns.TXT{Hdr: header(name, dns.TypeTXT), Txt: strings.Split(text, "|")})
	}
	z.mu.Lock()
	defer z.mu.Unlock()
	z.records[name] = rrs
}

// Alias makes name an alias of target.
func (z *Zone) Alias(name, target string) {
	name = dns.CanonicalName(name)
	z.mu.Lock()
	defer z.mu.Unlock()
	z.records[name] = []dns.RR{&dns.CNAME{Hdr: header(name, dns.TypeCNAME), Target: dns.Fqdn(target)}}
}

func (z *Zone) ns() []dns.RR {
	var rrs []dns.RR
	for _, s := range z.Servers {
		rrs = append(rrs, &dns.NS{Hdr: header(z.name, dns.TypeNS), Ns: s.host})
	}
	return rrs
}

func (z *Zone) soa() dns.RR {
	return &dns.SOA{Hdr: header(z.name, dns.TypeSOA), Ns: z.Servers[0].host, Mbox: "hostmaster.example.", Serial: 1, Refresh: 1, Retry: 1, Expire: 1, Minttl: 1}
}

func (s *Server) serve(w dns.ResponseWriter, r *dns.Msg) {
	_, udp := w.RemoteAddr().(*net.UDPAddr)
	if udp {
		s.zone.in.UDP.Add(1)
	} else {
		s.zone.in.TCP.Add(1)
	}
	m := s.zone.answer(r)
	s.mu.Lock()
	every := s.every
	s.mu.Unlock()
	if every != nil && !every(m) {
		return
	}
	if udp {
		m.Truncate(dns.MinMsgSize)
	}
	_ = w.WriteMsg(m)
}

// answer is what RFC 1034 section 4.3.2 has a server without recursion say.
func (z *Zone) answer(r *dns.Msg) *dns.Msg {
	m := new(dns.Msg)
	m.SetReply(r)
	q := r.Question[0]
	name := dns.CanonicalName(q.Name)
	z.mu.Lock()
	defer z.mu.Unlock()
	if !dns.IsSubDomain(z.name, name) {
		m.Rcode = dns.RcodeRefused
		return m
	}
	for _, b := range z.below {
		if dns.IsSubDomain(b.name, name) {
			m.Ns = b.ns()
			return m
		}
	}
	m.Authoritative = true
	for _, rr := range z.records[name] {
		if kind := rr.Header().Rrtype; kind == q.Qtype || kind == dns.TypeCNAME {
			m.Answer = append(m.Answer, dns.Copy(rr)) // packing writes into it
		}
	}
	if len(m.Answer) > 0 {
		return m
	}
	m.Ns = []dns.RR{z.soa()}
	m.Rcode = dns.RcodeNameError
	for there := range z.records {
		if dns.IsSubDomain(name, there) {
			m.Rcode = dns.RcodeSuccess
		}
	}
	return m
}
