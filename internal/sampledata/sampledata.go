// Package sampledata makes recipient files of any size for the examples and the
// benchmarks: the same rows for the same number, on every machine.
package sampledata

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"strconv"
)

// header is the first line of a file: ten columns, of which seven want a custom field.
var header = []string{"email", "name", "status", "plan", "seats", "score", "signed_up", "newsletter", "tags", "city"}

var (
	plans    = []string{"free", "team", "business"}
	tags     = []string{"vip", "beta", "partner", "trial"}
	cities   = []string{"Lisbon", "Oslo", "Vienna", "Lyon", "Turin", "Gdansk", "Porto", "Ghent", "Graz", "Malmö"}
	given    = []string{"Ada", "Bo", "Chiara", "Dov", "Elif", "Femi", "Goro", "Hana", "Ivo", "Juno"}
	families = []string{"Alder", "Birch", "Cedar", "Elm", "Fir", "Hazel", "Larch", "Maple", "Oak", "Rowan"}
)

// CSV writes a header and n rows to w. Addresses are distinct and in no order; bad of
// every thousand rows, spread evenly, cannot be imported.
func CSV(w io.Writer, n, bad int) error {
	b := bufio.NewWriterSize(w, 1<<16)
	for i, name := range header {
		if i > 0 {
			_ = b.WriteByte(',')
		}
		_, _ = b.WriteString(name)
	}
	_ = b.WriteByte('\n')
	r := rand.New(rand.NewPCG(1, 2))
	for i := range n {
		email := fmt.Sprintf("user%07d@mail%02d.example", scatter(i, n), i%40)
		if i*bad%1000 < bad {
			email = "not an address"
		}
		tag := tags[r.IntN(len(tags))]
		if r.IntN(3) == 0 {
			tag += ";" + tags[r.IntN(len(tags))]
		}
		_, _ = fmt.Fprintf(b, "%s,%s %s,active,%s,%d,%s,%04d-%02d-%02d,%t,%s,%s\n",
			email, given[r.IntN(len(given))], families[r.IntN(len(families))], plans[r.IntN(len(plans))], 1+r.IntN(500),
			strconv.FormatFloat(float64(r.IntN(10000))/100, 'f', -1, 64),
			2015+r.IntN(10), 1+r.IntN(12), 1+r.IntN(28), r.IntN(2) == 0, tag, cities[r.IntN(len(cities))])
	}
	return b.Flush() // reports the first error of the writes before it
}

// scatter maps 0..n-1 onto itself in an order that looks random: files are seldom
// sorted by address.
func scatter(i, n int) int {
	step := n/2 + 1
	for gcd(step, n) != 1 {
		step++
	}
	return int(int64(i) * int64(step) % int64(n))
}

func gcd(a, b int) int {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}
