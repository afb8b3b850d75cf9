package persons

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
	"unicode"

	"github.com/google/uuid"
	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
)

// keysVersion grows when keys are made in another way: all are made anew then.
const keysVersion = 1

// letters are those that have no decomposition (Unicode Standard Annex 15) and are written
// with others where there is no such key.
var letters = strings.NewReplacer("ß", "ss", "æ", "ae", "œ", "oe", "ø", "o", "ł", "l", "đ", "d", "ð", "d", "þ", "th", "ı", "i", "ħ", "h")

// plain returns a text in one case, without accents and compatibility forms. An apostrophe is
// left out, and anything else that is no letter and no digit becomes one space.
func plain(s string) string {
	s = letters.Replace(cases.Fold().String(norm.NFKD.String(s)))
	var b strings.Builder
	space := false
	for _, r := range s {
		switch {
		case unicode.Is(unicode.Mn, r) || r == '\'' || r == '’' || r == 'ʼ' || r == '`':
		case unicode.IsLetter(r) || unicode.IsDigit(r):
			if space && b.Len() > 0 {
				b.WriteByte(' ')
			}
			space = false
			b.WriteRune(r)
		default:
			space = true
		}
	}
	return b.String()
}

// titles are words around a name that are no part of it.
var titles = words(`mr mrs ms miss mx dr prof professor sir dame lord lady rev herr frau mme mlle monsieur madame sr sra srta dhr mevr mw ing ir drs
	jr junior senior ii iii iv phd md msc bsc mba esq cpa dipl`)

func words(s string) map[string]bool {
	out := map[string]bool{}
	for _, w := range strings.Fields(s) {
		out[w] = true
	}
	return out
}

// nameWords returns the words of a name that tell it from others, sorted, so that "Dr. José
// GARCÍA" and "Garcia, Jose" are the same. What stands in brackets is left out, and beside two
// other words titles and initials are.
func nameWords(name string) []string {
	for {
		open := strings.IndexAny(name, "([")
		if open < 0 {
			break
		}
		end := strings.IndexAny(name[open:], ")]")
		if end < 0 {
			name = name[:open]
			break
		}
		name = name[:open] + " " + name[open+end+1:]
	}
	all := strings.Fields(plain(name))
	for _, extra := range []func(string) bool{func(w string) bool { return titles[w] }, func(w string) bool { return len([]rune(w)) == 1 }} {
		if left := slices.DeleteFunc(slices.Clone(all), extra); len(left) >= 2 {
			all = left
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// share reports whether two names may be those of one human: one is missing, or they have a
// word in common.
func share(a, b []string) bool {
	return len(a) == 0 || len(b) == 0 || slices.ContainsFunc(a, func(w string) bool { return slices.Contains(b, w) })
}

// nothing are texts that stand where somebody had to write something.
var nothing = words(`na none null nil unknown undefined test tbd todo empty missing nobody noname user username example ka kein keine nvt onbekend inconnu desconocido`)

// identifier returns the normal form of something that tells one human from others, or ""
// for what says nothing: "n/a", "-", "000".
func identifier(s string) string {
	s = strings.Join(strings.Fields(cases.Fold().String(norm.NFKC.String(s))), " ")
	letters := strings.ReplaceAll(plain(s), " ", "")
	runes := []rune(letters)
	if len(runes) < 3 || nothing[letters] || strings.Count(letters, string(runes[0])) == len(runes) {
		return ""
	}
	if local, _, found := strings.Cut(s, "@"); found && isRole(local, nil) {
		return ""
	}
	return s
}

// localPart is what stands before the @ of a normalised address, without a +tag.
func localPart(email string) string {
	local := email[:max(0, strings.LastIndexByte(email, '@'))]
	local, _, _ = strings.Cut(local, "+")
	return local
}

// keys are what one recipient is matched by; a nil one is missing.
type keys struct {
	upn, emailName, nameDepartment uuid.NullUUID
	role                           bool
}

// source is what keys are made of.
type source struct{ email, name, upn, department string }

func (m *Matcher) keysOf(s source) (k keys) {
	local := localPart(s.email)
	if k.role = isRole(local, m.roles); k.role {
		return k
	}
	if upn := identifier(s.upn); upn != "" {
		k.upn = hash(ByUPN, upn)
	}
	name := nameWords(s.name)
	if len(name) < 2 { // a first name alone is that of too many
		return k
	}
	k.emailName = hash(ByEmailName, local+"\x00"+strings.Join(name, " "))
	if department := plain(s.department); len(department) > 1 && !nothing[strings.ReplaceAll(department, " ", "")] {
		k.nameDepartment = hash(ByNameDepartment, strings.Join(name, " ")+"\x00"+department)
	}
	return k
}

// hash returns 128 bits of a SHA-256 in the form of a UUID, which PostgreSQL compares in
// any index, whoever reads.
func hash(method Method, value string) uuid.NullUUID {
	sum := sha256.Sum256([]byte(fmt.Sprintf("%s\x00%s", method, value)))
	id, _ := uuid.FromBytes(sum[:16]) // fails for another length only
	return uuid.NullUUID{UUID: id, Valid: true}
}
