package domainproof_test

import (
	"context"
	"fmt"
	"net/netip"

	"github.com/stratakit/strata/internal/dnstest"
	"github.com/stratakit/strata/internal/tenancytest"
	"github.com/stratakit/strata/tenancy/domainproof"
)

// What the name servers of a zone say of a name, without a cache between.
func Example() {
	s := &tenancytest.Scratch{}
	defer s.Close()
	internet := dnstest.New(s) // on loopback; a program leaves out what follows from it
	internet.Zone("acme.example").Set("_strata-challenge.acme.example", "token=0123456789abcdef")

	verifier, err := domainproof.NewVerifier(&domainproof.Config{
		Resolvers: []string{dnstest.Resolver},
		Dial:      internet.Dial,
		Allow:     func(netip.Addr) bool { return true },
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(verifier.TXT(context.Background(), "_strata-challenge.acme.example"))
	fmt.Println(verifier.TXT(context.Background(), "_strata-challenge.nobody.example"))
	// Output:
	// [token=0123456789abcdef] <nil>
	// [] <nil>
}
