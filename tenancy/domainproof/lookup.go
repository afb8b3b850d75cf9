package domainproof

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"strings"

	"github.com/miekg/dns"
)

// lookup is one call of TXT.
type lookup struct {
	cfg     *Config
	queries int // that are left
}

// zone is a part of the tree of names, and who is responsible for it.
type zone struct {
	name    string
	servers []string
}

// authoritative returns what the servers of the zone of name say of its TXT records.
func (l *lookup) authoritative(ctx context.Context, name string) (*dns.Msg, error) {
	z, err := l.delegation(ctx, name)
	if err != nil {
		return nil, err
	}
	for range maxReferrals {
		answer, below, err := l.askZone(ctx, z, name)
		if err != nil || below == nil {
			return answer, err
		}
		z = *below // the resolver did not know of it yet
	}
	return nil, fmt.Errorf("the name servers of %s refer to others again and again", display(name))
}

// delegation asks the resolvers for the zone that name is in: the deepest name at or above
// it that has name servers.
func (l *lookup) delegation(ctx context.Context, name string) (zone, error) {
	for at := name; ; {
		answer, err := l.recurse(ctx, at, dns.TypeNS)
		if err != nil {
			return zone{}, fmt.Errorf("the name servers of %s could not be found: %w", display(name), err)
		}
		if servers := serversOf(answer.Answer, at); len(servers) > 0 {
			return zone{at, servers}, nil
		}
		if at == "." {
			return zone{}, fmt.Errorf("no name servers are known for %s", display(name))
		}
		at = above(at, answer)
	}
}

// above returns where to look next when at has no name servers: the zone that a negative
// answer names in its SOA record (RFC 2308 section 3), or one label up.
func above(at string, answer *dns.Msg) string {
	for _, rr := range answer.Ns {
		if soa, ok := rr.(*dns.SOA); ok && dns.IsSubDomain(soa.Hdr.Name, at) && !sameName(soa.Hdr.Name, at) {
			return soa.Hdr.Name
		}
	}
	next, end := dns.NextLabel(at, 0)
	if end {
		return "."
	}
	return at[next:]
}

func serversOf(rrs []dns.RR, owner string) []string {
	var servers []string
	for _, rr := range rrs {
		if ns, ok := rr.(*dns.NS); ok && sameName(ns.Hdr.Name, owner) {
			servers = append(servers, ns.Ns)
		}
	}
	return servers
}

// askZone asks the servers of z until one answers with authority, or refers to a zone
// below. Otherwise the error says what each of them did.
func (l *lookup) askZone(ctx context.Context, z zone, name string) (answer *dns.Msg, below *zone, err error) {
	var failed []string
	for _, i := range rand.Perm(len(z.servers))[:min(len(z.servers), maxServers)] {
		server := z.servers[i]
		answer, below, err := l.askServer(ctx, server, z, name)
		if err == nil {
			return answer, below, nil
		}
		if ctx.Err() != nil {
			err = errors.New("no time was left for an answer")
		}
		failed = append(failed, display(server)+": "+err.Error())
		if ctx.Err() != nil {
			break
		}
	}
	return nil, nil, fmt.Errorf("no name server of %s answered: %s", display(z.name), strings.Join(failed, "; "))
}

func (l *lookup) askServer(ctx context.Context, server string, z zone, name string) (answer *dns.Msg, below *zone, err error) {
	addresses, err := l.addresses(ctx, server)
	if err != nil {
		return nil, nil, err
	}
	for _, a := range addresses {
		if answer, err = l.exchange(ctx, netip.AddrPortFrom(a, 53).String(), name, dns.TypeTXT, false); err != nil {
			continue
		}
		if below, err = judge(answer, z, name); err == nil {
			return answer, below, nil
		}
	}
	return nil, nil, err
}

// judge says whether an answer is the zone's own word, or a referral.
func judge(answer *dns.Msg, z zone, name string) (below *zone, err error) {
	switch {
	case answer.Rcode != dns.RcodeSuccess && answer.Rcode != dns.RcodeNameError:
		return nil, errors.New(dns.RcodeToString[answer.Rcode])
	case answer.Authoritative:
		return nil, nil
	}
	for _, rr := range answer.Ns {
		owner := rr.Header().Name
		if _, ok := rr.(*dns.NS); ok && dns.IsSubDomain(z.name, owner) && !sameName(z.name, owner) && dns.IsSubDomain(owner, name) {
			return &zone{owner, serversOf(answer.Ns, owner)}, nil
		}
	}
	return nil, errors.New("it does not know the zone")
}

// addresses returns where a server can be reached, IPv4 first.
func (l *lookup) addresses(ctx context.Context, server string) ([]netip.Addr, error) {
	var found []netip.Addr
	var refused bool
	var err error
	for _, family := range []uint16{dns.TypeA, dns.TypeAAAA} {
		answer, oneErr := l.recurse(ctx, server, family)
		if oneErr != nil {
			err = fmt.Errorf("its address could not be found: %w", oneErr)
			continue
		}
		n := 0
		for _, rr := range answer.Answer {
			a, ok := addressOf(rr)
			switch {
			case !ok || n == maxAddresses:
			case !l.cfg.Allow(a):
				refused = true
			default:
				found = append(found, a)
				n++
			}
		}
	}
	switch {
	case len(found) > 0:
		return found, nil
	case refused:
		return nil, errors.New("its address is not a public one")
	case err != nil:
		return nil, err
	}
	return nil, errors.New("it has no address")
}

func addressOf(rr dns.RR) (netip.Addr, bool) {
	var ip net.IP
	switch rr := rr.(type) {
	case *dns.A:
		ip = rr.A
	case *dns.AAAA:
		ip = rr.AAAA
	}
	a, ok := netip.AddrFromSlice(ip)
	return a.Unmap(), ok
}

// display is a name as a person writes it.
func display(name string) string {
	if name == "." {
		return "the root"
	}
	return strings.ToLower(strings.TrimSuffix(name, "."))
}
