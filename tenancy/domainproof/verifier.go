package domainproof

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// Config configures a Verifier. The zero value is legal.
type Config struct {
	// Resolvers are the recursive resolvers that say which name servers a name has, each
	// an IP address with a port, such as "192.0.2.1:53". Default: those of
	// /etc/resolv.conf, read anew each time; where there is no such file, 127.0.0.1:53.
	Resolvers []string
	// Timeout is how long one look-up may take. Default 10 s.
	Timeout time.Duration
	// QueryTimeout is how long one server may take for one answer. Default 2 s.
	QueryTimeout time.Duration
	// Allow says which name servers may be asked. Their addresses come from whoever owns
	// the zone, who must not make this process talk to machines inside its own network.
	// Default Public. It is not asked about Resolvers.
	Allow func(netip.Addr) bool
	// Dial connects to a server: network is "udp" or "tcp", address an IP address with
	// port 53 or one of Resolvers. For "udp" the connection has to be a net.PacketConn
	// too, as that of a net.Dialer is. Default: a net.Dialer.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// Verifier reads TXT records from the servers that are responsible for them. It keeps
// nothing between look-ups and is safe for concurrent use.
type Verifier struct{ cfg Config }

// NewVerifier returns a Verifier. It asks nothing yet. It fails for a Resolver that is
// no IP address with a port, and for a negative time.
func NewVerifier(cfg *Config) (*Verifier, error) {
	v := &Verifier{}
	if cfg != nil {
		v.cfg = *cfg
		v.cfg.Resolvers = slices.Clone(cfg.Resolvers)
	}
	for _, r := range v.cfg.Resolvers {
		if _, err := netip.ParseAddrPort(r); err != nil {
			return nil, fmt.Errorf("domainproof: Config.Resolvers: %q: want an IP address with a port, such as 192.0.2.1:53 or [2001:db8::1]:53", r)
		}
	}
	if v.cfg.Timeout < 0 || v.cfg.QueryTimeout < 0 {
		return nil, errors.New("domainproof: Config.Timeout and Config.QueryTimeout must not be negative")
	}
	if v.cfg.Timeout == 0 {
		v.cfg.Timeout = 10 * time.Second
	}
	if v.cfg.QueryTimeout == 0 {
		v.cfg.QueryTimeout = 2 * time.Second
	}
	if v.cfg.Allow == nil {
		v.cfg.Allow = Public
	}
	if v.cfg.Dial == nil {
		v.cfg.Dial = new(net.Dialer).DialContext
	}
	return v, nil
}

// The bounds of one look-up: what whoever owns a zone can make this process do.
const (
	maxQueries   = 60
	maxServers   = 4 // of a zone
	maxAddresses = 2 // of a server, in each family
	maxReferrals = 4
	maxAliases   = 8
)

// TXT returns the texts of the TXT records of name, each with its strings joined, as the
// responsible servers have them now. No record and no such name are no error. An error
// says that this could not be learnt, and names the servers that were asked.
func (v *Verifier) TXT(ctx context.Context, name string) ([]string, error) {
	name = dns.Fqdn(name)
	if _, ok := dns.IsDomainName(name); !ok {
		return nil, fmt.Errorf("%s is too long for a name in DNS", strings.TrimSuffix(name, "."))
	}
	ctx, cancel := context.WithTimeout(ctx, v.cfg.Timeout)
	defer cancel()
	l := &lookup{cfg: &v.cfg, queries: maxQueries}
	for range maxAliases {
		answer, err := l.authoritative(ctx, name)
		if err != nil {
			return nil, err
		}
		texts, alias := read(answer, name)
		if alias == "" {
			return texts, nil
		}
		name = alias
	}
	return nil, fmt.Errorf("more than %d aliases lead from one name to the next", maxAliases)
}

// read returns the texts of name in an answer, or of which name it is an alias. What else
// the answer says of that name is not taken: it may be another zone's.
func read(answer *dns.Msg, name string) (texts []string, alias string) {
	for _, rr := range answer.Answer {
		if !sameName(rr.Header().Name, name) {
			continue
		}
		switch rr := rr.(type) {
		case *dns.TXT:
			texts = append(texts, strings.Join(rr.Txt, ""))
		case *dns.CNAME:
			alias = rr.Target
		}
	}
	if len(texts) > 0 {
		alias = ""
	}
	return texts, alias
}

func sameName(a, b string) bool { return dns.CanonicalName(a) == dns.CanonicalName(b) }
