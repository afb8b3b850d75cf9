package domainproof_test

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/internal/dnstest"
	"github.com/stratakit/strata/tenancy/domainproof"
)

const name = "_strata-challenge.acme.example"

// open returns a small internet with the zone acme.example, and a Verifier that asks it.
func open(t *testing.T, change ...func(*domainproof.Config)) (*dnstest.Internet, *dnstest.Zone, *domainproof.Verifier) {
	t.Helper()
	in := dnstest.New(t)
	z := in.Zone("acme.example")
	cfg := domainproof.Config{
		Resolvers: []string{dnstest.Resolver}, Dial: in.Dial,
		Allow: func(netip.Addr) bool { return true }, // those of the documentation are not public
	}
	for _, c := range change {
		c(&cfg)
	}
	v, err := domainproof.NewVerifier(&cfg)
	require.NoError(t, err)
	return in, z, v
}

func TestTXT(t *testing.T) {
	t.Parallel()
	in, z, v := open(t)
	look := func(name string) []string {
		t.Helper()
		texts, err := v.TXT(t.Context(), name)
		require.NoError(t, err)
		return texts
	}
	require.Empty(t, look(name), "no such name")
	z.Set("below." + name)
	require.Empty(t, look(name), "a name without records")
	z.Set(name, "token=1")
	require.Equal(t, []string{"token=1"}, look(name), "there at once")
	z.Set(name, "v=spf1 -all", "tok|en=2", "")
	require.Equal(t, []string{"v=spf1 -all", "token=2", ""}, look(name), "several records, one in two strings")
	require.Empty(t, look("_strata-challenge.nobody.example"), "a zone that is not there: the root says so")
	require.Zero(t, in.TCP.Load())

	z.Set(name, strings.Repeat("x", 250)+"|"+strings.Repeat("y", 250), "token=3")
	require.Len(t, look(name), 2, "too long for UDP")
	require.EqualValues(t, 1, in.TCP.Load())
}

func TestAliasesAreFollowed(t *testing.T) {
	t.Parallel()
	in, z, v := open(t)
	other := in.Zone("proofs.test")
	z.Alias(name, "hop.acme.example")
	z.Alias("hop.acme.example", "acme.proofs.test")
	texts, err := v.TXT(t.Context(), name)
	require.NoError(t, err)
	require.Empty(t, texts, "an alias of nothing")
	other.Set("acme.proofs.test", "token=1")
	texts, err = v.TXT(t.Context(), name)
	require.NoError(t, err)
	require.Equal(t, []string{"token=1"}, texts)

	z.Alias("hop.acme.example", name)
	_, err = v.TXT(t.Context(), name)
	require.ErrorContains(t, err, "aliases")
}

// What a server says of a name in another zone is not its to say.
func TestAnAliasIsAskedForAtItsOwnServers(t *testing.T) {
	t.Parallel()
	in, z, v := open(t)
	victim := in.Zone("victim.test")
	victim.Set("txt.victim.test", "token=true")
	z.Alias(name, "txt.victim.test")
	for _, s := range z.Servers {
		s.Every(func(m *dns.Msg) bool {
			m.Answer = append(m.Answer, &dns.TXT{Hdr: dns.RR_Header{Name: "txt.victim.test.", Rrtype: dns.TypeTXT, Class: dns.ClassINET}, Txt: []string{"token=forged"}})
			return true
		})
	}
	texts, err := v.TXT(t.Context(), name)
	require.NoError(t, err)
	require.Equal(t, []string{"token=true"}, texts)
}

func TestAZoneThatTheResolverDoesNotKnowYet(t *testing.T) {
	t.Parallel()
	_, z, v := open(t)
	deep := z.Delegate("eu.acme.example")
	deep.Set("_strata-challenge.eu.acme.example", "token=1")
	texts, err := v.TXT(t.Context(), "_strata-challenge.eu.acme.example")
	require.NoError(t, err)
	require.Equal(t, []string{"token=1"}, texts)
}

// Whatever one server does, the other answers; when both do it, nothing was learnt.
func TestServersThatDoNotAnswer(t *testing.T) {
	t.Parallel()
	for what, every := range map[string]func(*dns.Msg) bool{
		"SERVFAIL":                 func(m *dns.Msg) bool { m.Rcode, m.Answer = dns.RcodeServerFailure, nil; return true },
		"REFUSED":                  func(m *dns.Msg) bool { m.Rcode, m.Answer = dns.RcodeRefused, nil; return true },
		"it does not know":         func(m *dns.Msg) bool { m.Authoritative, m.Answer, m.Ns = false, nil, nil; return true },
		"no answer in time":        func(*dns.Msg) bool { return false },
		"it answers another":       func(m *dns.Msg) bool { m.Question[0].Name = "other.example."; return true },
		"it answers another quest": func(m *dns.Msg) bool { m.Response = false; return true },
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			_, z, v := open(t, func(c *domainproof.Config) { c.QueryTimeout = 100 * time.Millisecond })
			z.Set(name, "token=1")
			z.Servers[0].Every(every)
			for range 4 { // in an order that is random
				texts, err := v.TXT(t.Context(), name)
				require.NoError(t, err)
				require.Equal(t, []string{"token=1"}, texts)
			}
			z.Servers[1].Every(every)
			texts, err := v.TXT(t.Context(), name)
			require.ErrorContains(t, err, what)
			require.ErrorContains(t, err, "ns1.acme.example")
			require.ErrorContains(t, err, "ns2.acme.example")
			require.Empty(t, texts)
		})
	}
}

func TestAResolverThatFails(t *testing.T) {
	t.Parallel()
	_, z, v := open(t)
	z.Set(name, "token=1")
	z.Fails(true)
	_, err := v.TXT(t.Context(), name)
	require.ErrorContains(t, err, "SERVFAIL")
	z.Fails(false)
	_, err = v.TXT(t.Context(), name)
	require.NoError(t, err)

	_, _, v = open(t, func(c *domainproof.Config) { c.Resolvers = []string{"198.51.100.9:53", dnstest.Resolver} })
	_, err = v.TXT(t.Context(), name)
	require.NoError(t, err, "the second one is asked")
	_, _, v = open(t, func(c *domainproof.Config) { c.Resolvers = []string{"198.51.100.9:53"} })
	_, err = v.TXT(t.Context(), name)
	require.ErrorContains(t, err, "cannot be reached")
	require.NotContains(t, err.Error(), "198.51.100.9", "inside the network is nobody's business")
}

// An answer that does not repeat the case of the letters is asked for again over TCP,
// where it cannot come from somebody else; not all servers repeat it.
func TestAnswersInOtherLetters(t *testing.T) {
	t.Parallel()
	in, z, v := open(t)
	z.Set(name, "token=1")
	for _, s := range z.Servers {
		s.Every(func(m *dns.Msg) bool {
			m.Question[0].Name = strings.ToUpper(m.Question[0].Name)
			return true
		})
	}
	texts, err := v.TXT(t.Context(), name)
	require.NoError(t, err)
	require.Equal(t, []string{"token=1"}, texts)
	require.EqualValues(t, 1, in.TCP.Load())
}

// Who owns a zone says where its servers are. It must not be inside our network.
func TestOnlyPublicServersAreAsked(t *testing.T) {
	t.Parallel()
	in, z, v := open(t, func(c *domainproof.Config) { c.Allow = nil })
	z.Set(name, "token=1")
	for _, ip := range []string{"127.0.0.1", "10.1.2.3", "169.254.169.254", "192.0.2.1"} {
		for _, s := range z.Servers {
			s.Address(ip)
		}
		_, err := v.TXT(t.Context(), name)
		require.ErrorContains(t, err, "not a public one", ip)
		require.NotContains(t, err.Error(), ip)
	}
	require.Zero(t, in.UDP.Load()+in.TCP.Load())

	for _, ip := range []string{
		"127.0.0.1", "::1", "::ffff:127.0.0.1", "0.0.0.0", "::", "10.0.0.1", "172.16.0.1", "192.168.1.1", "100.64.0.1", "169.254.169.254", "fe80::1", "fe80::1%eth0",
		"fd00::1", "224.0.0.1", "ff02::1", "255.255.255.255", "64:ff9b::7f00:1", "2002:7f00:1::", "192.0.0.1", "2001:db8::1", "2001::1", "100::1",
		"fec0::3", "::7f00:1", "::a00:1", "64:ff9b:1::a00:1", "5f00::1", "4000::1", "3fff::1",
	} {
		require.False(t, domainproof.Public(netip.MustParseAddr(ip)), ip)
	}
	require.False(t, domainproof.Public(netip.Addr{}))
	for _, ip := range []string{"1.1.1.1", "8.8.8.8", "198.41.0.4", "2606:4700::1111", "2001:503:ba3e::2:30", "::ffff:8.8.8.8"} {
		require.True(t, domainproof.Public(netip.MustParseAddr(ip)), ip)
	}
}

// A zone can name any number of servers that do not answer. That has to end.
func TestALookUpIsBounded(t *testing.T) {
	t.Parallel()
	var dialled int
	_, at, v := open(t, func(c *domainproof.Config) {
		dial := c.Dial
		c.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
			dialled++
			return dial(ctx, network, address)
		}
	})
	for i := range 40 { // a chain of zones, each of them a referral further
		at = at.Delegate(fmt.Sprintf("%s.acme.example", strings.Join(strings.Split(strings.Repeat("d", i+1), ""), ".")))
	}
	_, err := v.TXT(t.Context(), strings.Repeat("d.", 40)+"acme.example")
	require.ErrorContains(t, err, "again and again")
	require.LessOrEqual(t, dialled, 60)

	ended, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = v.TXT(ended, name)
	require.Error(t, err)
	_, err = v.TXT(t.Context(), strings.Repeat("a.", 130)+"example")
	require.ErrorContains(t, err, "too long")
}

func TestNewVerifierRefuses(t *testing.T) {
	t.Parallel()
	for _, cfg := range []domainproof.Config{
		{Resolvers: []string{"resolver.example:53"}}, {Resolvers: []string{"192.0.2.1"}}, {Timeout: -1}, {QueryTimeout: -1},
	} {
		_, err := domainproof.NewVerifier(&cfg)
		require.Error(t, err)
	}
	_, err := domainproof.NewVerifier(nil)
	require.NoError(t, err)
}
