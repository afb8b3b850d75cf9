package tenancyhttp

import (
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// client is the address of the client: that of the peer, or, when the peer is a trusted
// proxy, the last address in X-Forwarded-For that is not one. What stands before that
// address anybody can have written.
func (s *Server) client(r *http.Request) string {
	at, err := address(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr // a test's, or that of a socket without addresses
	}
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for i := len(hops) - 1; i >= 0 && s.trusts(at); i-- {
		before, err := address(strings.TrimSpace(hops[i]))
		if err != nil {
			break
		}
		at = before
	}
	return at.String()
}

func (s *Server) trusts(proxy netip.Addr) bool {
	for _, p := range s.cfg.TrustedProxies {
		if p.Contains(proxy) {
			return true
		}
	}
	return false
}

// address reads an address with or without a port. An IPv4 address stays one in the
// form that IPv6 has for it, and a zone says nothing to others.
func address(s string) (netip.Addr, error) {
	if host, _, err := net.SplitHostPort(s); err == nil {
		s = host
	}
	a, err := netip.ParseAddr(strings.Trim(s, "[]"))
	return a.Unmap().WithZone(""), err
}
