package domainproof

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"strings"

	"github.com/miekg/dns"
)

const maxResolvers = 3 // as in the C library's resolver

// recurse asks the resolvers one after the other until one has an answer.
func (l *lookup) recurse(ctx context.Context, name string, kind uint16) (*dns.Msg, error) {
	resolvers := l.resolvers()
	var err error
	for _, r := range resolvers[:min(len(resolvers), maxResolvers)] {
		var answer *dns.Msg
		if answer, err = l.exchange(ctx, r, name, kind, true); err != nil {
			continue
		}
		if answer.Rcode == dns.RcodeSuccess || answer.Rcode == dns.RcodeNameError {
			return answer, nil
		}
		err = errors.New(dns.RcodeToString[answer.Rcode])
	}
	return nil, err
}

func (l *lookup) resolvers() []string {
	if len(l.cfg.Resolvers) > 0 {
		return l.cfg.Resolvers
	}
	machine, err := dns.ClientConfigFromFile("/etc/resolv.conf")
	if err != nil || len(machine.Servers) == 0 {
		return []string{"127.0.0.1:53"} // as package net does
	}
	addresses := make([]string, len(machine.Servers))
	for i, s := range machine.Servers {
		addresses[i] = net.JoinHostPort(s, machine.Port)
	}
	return addresses
}

// exchange asks one server one question. Its errors name no address: they are told to
// whoever wanted to know, and the resolver's is none of their business.
func (l *lookup) exchange(ctx context.Context, address, name string, kind uint16, recursion bool) (*dns.Msg, error) {
	question := new(dns.Msg)
	question.SetQuestion(dns.Fqdn(name), kind)
	question.RecursionDesired = recursion
	if !recursion {
		question.Question[0].Name = randomCase(question.Question[0].Name)
	}
	answer, err := l.once(ctx, "udp", address, question)
	if err == nil && !answer.Truncated && repeats(answer, question, !recursion) {
		return answer, nil
	}
	if err != nil {
		return nil, err
	}
	if answer, err = l.once(ctx, "tcp", address, question); err != nil {
		return nil, fmt.Errorf("%w, over TCP", err)
	}
	if answer.Truncated || !repeats(answer, question, false) {
		return nil, errors.New("it answers another question")
	}
	return answer, nil
}

func (l *lookup) once(ctx context.Context, network, address string, question *dns.Msg) (*dns.Msg, error) {
	if l.queries == 0 {
		return nil, fmt.Errorf("not answered within %d queries", maxQueries)
	}
	l.queries--
	ctx, cancel := context.WithTimeout(ctx, l.cfg.QueryTimeout)
	defer cancel()
	conn, err := l.cfg.Dial(ctx, network, address)
	if err != nil {
		return nil, unreachable(ctx, err)
	}
	defer func() { _ = conn.Close() }()
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() }) // reading does not watch ctx
	defer stop()
	client := dns.Client{Net: network, Timeout: l.cfg.QueryTimeout}
	answer, _, err := client.ExchangeWithConnContext(ctx, question, &dns.Conn{Conn: conn})
	if err != nil {
		return nil, unreachable(ctx, err)
	}
	return answer, nil
}

func unreachable(ctx context.Context, err error) error {
	if ctx.Err() != nil || errors.Is(err, os.ErrDeadlineExceeded) {
		return errors.New("no answer in time")
	}
	return errors.New("it cannot be reached, or does not speak DNS")
}

// repeats reports whether answer is one to question: with exact, in the same letters'
// case, which an attacker who does not see the question would have to guess.
func repeats(answer, question *dns.Msg, exact bool) bool {
	if !answer.Response || len(answer.Question) != 1 {
		return false
	}
	got, want := answer.Question[0], question.Question[0]
	if exact && got.Name != want.Name {
		return false
	}
	return got.Qtype == want.Qtype && got.Qclass == want.Qclass && strings.EqualFold(got.Name, want.Name)
}

// randomCase writes each letter of a name large or small. The generator is seeded by the
// runtime and cannot be predicted from outside.
func randomCase(name string) string {
	b := []byte(name)
	for i, c := range b {
		if c >= 'a' && c <= 'z' && rand.IntN(2) == 0 {
			b[i] = c - 'a' + 'A'
		}
	}
	return string(b)
}
