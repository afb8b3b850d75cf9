// Package domainproof reads the DNS records by which somebody proves that a domain name is
// theirs. [Verifier] is a tenancy.Prover: it finds the name servers that are responsible
// for a name and asks them directly, so that no cache says what was true an hour ago, and
// whoever has just set the record need not wait for one to expire.
//
//	verifier, err := domainproof.NewVerifier(nil)
//	if err != nil { ... }
//	texts, err := verifier.TXT(ctx, "_strata-challenge.example.com")
//
// # How it asks
//
// A recursive resolver, by default that of the machine, says which name servers the zone
// of the name has, and their addresses. Then the servers are asked without recursion, one
// after the other in random order until one answers with authority: over UDP first, over
// TCP when the answer does not fit into 512 bytes. A referral to a zone further down is
// followed, and so is a CNAME. Everything is bounded: time, queries, servers, aliases.
//
// # What an answer proves
//
// That there is no record, or no such name, is an answer like any other. An error means
// that nothing was learnt: no server answered, or only ones that do not know the zone.
//
// DNSSEC is not validated. An answer over UDP has to repeat the random case of the letters
// that were asked for (draft-vixie-dnsext-dns0x20), beside the id and the port; one that
// does not is asked for again over TCP. Whoever sits between this process and the name
// servers can still forge one.
//
// Sources: RFC 1034 section 5.3.3, RFC 2181 section 5, RFC 7766;
// draft-ietf-dnsop-domain-verification-techniques.
package domainproof
