package persons_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// made is a generated recipient.
type made struct {
	domain                       int // of the world's
	email, name, upn, department string
	human                        int // who it is
}

var (
	givenNames = strings.Fields(`Ada Bruno Carla Dmitri Elena Farid Greta Hugo Ines Jonas Katya Lorenzo Mira Nadia Oskar Petra Quentin Rosa Stefan Talia Ulrich Vera Wanda Xavier Yusuf Zoe
		José André Zoë Åsa Søren Łukasz Chloé Jürgen Renée Tomáš`)
	syllables = strings.Fields(`ba be bo da den dor fa fel gar go han hel ja kel kor la len lo mar men mo na nel no pa per ra ren ro sa sen so ta ten tor va vel vo wa wen`)
	parts     = strings.Fields(`Sales Finance Legal Research Support Logistics Design Security Education Facilities`)
)

// generate makes n recipients of six domains. One in a hundred humans has two recipients in
// different domains: half of those share a user principal name, and the others are to be
// found by name. Beside them are near-misses: humans of one name, the same part before the @
// under other names, shared mailboxes, and garbage for a user principal name.
func generate(n int, seed uint64) []made {
	r := rand.New(rand.NewPCG(seed, 1)) //nolint:gosec // a test's choices
	pick := func(from []string) string { return from[r.IntN(len(from))] }
	surname := func() string {
		var b strings.Builder
		for range 3 + r.IntN(2) {
			b.WriteString(pick(syllables))
		}
		s := b.String()
		return strings.ToUpper(s[:1]) + s[1:]
	}
	var out []made
	human := 0
	add := func(m made, who int) { m.human = who; out = append(out, m) }
	single := func() made {
		human++
		given, family := pick(givenNames), surname()
		m := made{domain: r.IntN(6), name: given + " " + family, department: pick(parts)}
		m.email = fmt.Sprintf("%s.%d@d%d.example", strings.ToLower(family), human, m.domain)
		switch r.IntN(10) {
		case 0, 1, 2, 3, 4:
			m.upn = fmt.Sprintf("%s%d@corp.example", strings.ToLower(family), human)
		case 5:
			m.upn = []string{"n/a", "N/A", "none", "-", "000000", "see HR"}[r.IntN(6)]
		}
		return m
	}
	for i := 0; len(out) < n; i++ {
		m := single()
		add(m, human)
		first := human
		switch second := single(); i % 200 {
		case 0: // one human with one user principal name, the name written otherwise
			m := &out[len(out)-1]
			m.upn = fmt.Sprintf("U%d@corp.example", first)
			given, family, _ := strings.Cut(m.name, " ")
			second.name = []string{family + ", " + given, "Dr. " + strings.ToUpper(m.name), string([]rune(given)[:1]) + ". " + family, m.name}[r.IntN(4)]
			second.domain, second.upn = (m.domain+1)%6, strings.ToLower(m.upn)
			add(second, first)
		case 100: // one human with the same address elsewhere, and no user principal name
			m := &out[len(out)-1]
			m.upn = ""
			local, _, _ := strings.Cut(m.email, "@")
			given, family, _ := strings.Cut(m.name, " ")
			second.domain = (m.domain + 1 + r.IntN(5)) % 6
			second.email, second.name = fmt.Sprintf("%s@other%d.example", local, second.domain), []string{family + " " + given, m.name, strings.ToLower(m.name)}[r.IntN(3)]
			if r.IntN(25) == 0 { // a nickname and another address: not found
				second.email, second.name, second.department = fmt.Sprintf("x%d@other.example", human), "Bobby "+family, ""
			} else if r.IntN(2) == 0 { // found by the department
				second.email, second.department = fmt.Sprintf("x%d@other.example", human), strings.ToUpper(m.department)
			}
			add(second, first)
		case 10, 110: // another human of the same name, in another department
			second.name = m.name
			if second.department == m.department {
				second.department = "Board"
			}
			add(second, human)
		case 30, 130: // another human with the same part before the @
			local, _, _ := strings.Cut(m.email, "@")
			second.domain = (m.domain + 1) % 6
			second.email = local + "@elsewhere.example"
			add(second, human)
		case 40, 140: // mailboxes of several humans
			second.email = fmt.Sprintf("info@h%d.example", human)
			second.name, second.upn = "Front Desk", fmt.Sprintf("desk-%d", r.IntN(max(1, n/100)))
			add(second, human)
		case 60, 160: // another human of the same name with a user principal name of their own
			second.name, second.department = m.name, m.department
			m := &out[len(out)-1]
			m.upn, second.upn = fmt.Sprintf("A%d@corp.example", first), fmt.Sprintf("B%d@corp.example", human)
			add(second, human)
		case 70, 170: // a typing error: somebody else's user principal name
			if r.IntN(400) == 0 { // by a relative, which nothing tells from one human
				out[len(out)-1].upn = fmt.Sprintf("T%d@corp.example", first)
				_, family, _ := strings.Cut(m.name, " ")
				second.upn, second.name, second.domain = fmt.Sprintf("T%d@corp.example", first), "Relative "+family, (m.domain+1)%6
				add(second, human)
			} else if r.IntN(10) == 0 {
				out[len(out)-1].upn = fmt.Sprintf("T%d@corp.example", first)
				second.upn, second.name, second.domain = fmt.Sprintf("T%d@corp.example", first), "Xaver Unlike", (m.domain+1)%6
				add(second, human)
			}
		}
	}
	return out[:n]
}

// truth returns the pairs of indexes that are one human.
func truth(of []made) map[[2]int]bool {
	first, out := map[int]int{}, map[[2]int]bool{}
	for i, m := range of {
		if j, there := first[m.human]; there {
			out[[2]int{j, i}] = true
			continue
		}
		first[m.human] = i
	}
	return out
}
