package persons

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestNameWords(t *testing.T) {
	t.Parallel()
	for _, same := range [][]string{
		{"José García", "GARCIA, Jose", "Dr. José  García", "jose garcia (Sales)", "José M. García", "Mr José García Jr."},
		{"Anne-Marie O'Brien", "O’Brien, Anne Marie", "anne marie OBRIEN"},
		{"Søren Łukasz", "Soren Lukasz"},
		{"Jürgen Groß", "Jurgen Gross", "JÜRGEN GROSS"},
		{"Y. Ma", "Ma, Y"},
		{"王 小明", "小明 王"},
	} {
		for _, name := range same[1:] {
			require.Equal(t, nameWords(same[0]), nameWords(name), name)
		}
	}
	for _, different := range [][2]string{{"Ada Berg", "Ada Burg"}, {"Bob Smith", "Robert Smith"}, {"Jo Ma", "Jo"}} {
		require.NotEqual(t, nameWords(different[0]), nameWords(different[1]))
	}
	require.Empty(t, nameWords(" (Sales) . - "))
	require.NotPanics(t, func() { nameWords("a ( b [ c ) d ] (") })
}

func TestIdentifier(t *testing.T) {
	t.Parallel()
	for _, s := range []string{"", "n/a", "N.A.", "-", "none", "000000", "xxx", "Unknown", "?", "ab", "info@example.com", "No-Reply@example.com"} {
		require.Empty(t, identifier(s), s)
	}
	require.Equal(t, "ada@corp.example", identifier(" Ada@Corp.EXAMPLE "))
	require.Equal(t, "10 42 7", identifier("10  42 7"))
}

func TestRoles(t *testing.T) {
	t.Parallel()
	m := &Matcher{roles: map[string]bool{"kundendienst": true}}
	for _, email := range []string{"info@example.com", "no-reply@example.com", "Sales+eu@example.com", "customer.service@example.com", "kunden-dienst@example.com"} {
		require.True(t, m.keysOf(source{email: strings.ToLower(email), name: "Ada Lovelace", upn: "uid1"}).role, email)
	}
	k := m.keysOf(source{email: "ada+news@example.com", name: "Ada Lovelace", upn: "uid1", department: "n/a"})
	require.True(t, k.upn.Valid)
	require.Equal(t, k.emailName, m.keysOf(source{email: "ada@other.example", name: "LOVELACE Ada"}).emailName)
	require.False(t, k.nameDepartment.Valid)
	k = m.keysOf(source{email: "ada@example.com", name: "Ada", department: "R&D"})
	require.False(t, k.emailName.Valid || k.nameDepartment.Valid, "a first name alone")
}
