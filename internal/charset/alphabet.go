package charset

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// alphabets are the letters beyond ASCII that a language, or several in one text, are written
// with, the frequent ones first, by the code page that its files are in. What comes first wins
// where two fit equally well.
var alphabets = []struct {
	name    string
	letters string
	mixed   bool // several languages
}{
	{"windows-1252", "éèêàçôâûîëïùœüÿæ", false},
	{"windows-1252", "äüößé", false},
	{"windows-1252", "óíáéñúü", false},
	{"windows-1252", "ãçáéíóêõâúàôü", false},
	{"windows-1252", "àèìòùé", false},
	{"windows-1252", "åøæäöéüó", false},
	{"windows-1252", "íáðþéóöúýæ", false},
	{"windows-1252", "éüöäèáóíñçàåøæêôëâãïîúûìòùõÿœð", true},
	{"windows-1250", "łżąęóśćźń", false},
	{"windows-1250", "ířáéěčžšýůúťňďó", false},
	{"windows-1250", "áéöóíüőúű", false},
	{"windows-1250", "áčíšžľéúýťňôóďäĺŕ", false},
	{"windows-1250", "šžčćđ", false},
	{"windows-1250", "ăîâşţ", false},
	{"windows-1250", "áéíóčžšěřýůúťňďľłąęśćżźńöőüűăâîşţđäëôĺŕç", true},
	{"iso-8859-2", "łżąęóśćźń", false},
	{"iso-8859-2", "ířáéěčžšýůúťňďó", false},
	{"iso-8859-2", "áéíóčžšěřýůúťňďľłąęśćżźńöőüűăâîşţđäëôĺŕç", true},
	{"windows-1254", "ıişüğçöâîû", false},
	{"windows-1257", "ėšųūžąįčę", false},
	{"windows-1257", "āīēšūņļžģķč", false},
	{"windows-1257", "äõüöšž", false},
	{"windows-1257", "āīēėšųūžąįčęņļģķäõüö", true},
	{"windows-1251", "оаеинтсрвлкмдпуяыьгзбчйхжшюцщэфъё", false},
	{"windows-1251", "оаиневртлсікдмпузьбяйгчхжцюшєїфщґ", false},
	{"windows-1251", "аиоетнрсвлкдпмузбягъчцйжхшщюфьѝ", false},
	{"windows-1251", "аоиеунрсјткдвлмпзбгчцшжљхћфђњџ", false},
	{"koi8-r", "оаеинтсрвлкмдпуяыьгзбчйхжшюцщэфъё", false},
	{"iso-8859-5", "оаеинтсрвлкмдпуяыьгзбчйхжшюцщэфъё", false},
	{"ibm866", "оаеинтсрвлкмдпуяыьгзбчйхжшюцщэфъё", false},
	{"windows-1253", "αοιετσνυρκπμληάςίγέδόωήχύθφώβξζψϊϋΐΰ", false},
	{"windows-1255", "ויהלאמרתבשנדםקעפחטגכסזצןךףץ", false},
	{"windows-1256", "اليمنرتوبدعفسهكقحجشةصطخضأذىغزثظإئءآؤپچژگ", false},
	{"windows-874", "าน่รกอเงมย้ลวดทีสตัะปบิคหแจพุชขใื์ไูผโซณธศญึภถษฐฏฉฝ", false},
}

// alphabet returns the code page in which the letters of a sample fit the alphabet of one
// language best, or those of several in one text, and whether it fits so well that it hardly
// is anything else.
func alphabet(sample []byte) (name string, sure bool) {
	best := -1.0
	decoded := map[string]string{} // by code page
	first := map[string]string{}   // code page in which it says so: of several that do, the frequent one
	for _, a := range alphabets {
		text, ok := decoded[a.name]
		if !ok {
			text = string(Decode(sample, a.name))
			decoded[a.name] = text
			if first[text] == "" {
				first[text] = a.name
			}
		}
		if f := fit(text, a.letters, a.mixed); f > best+1e-9 {
			best, name = f, first[text]
		}
	}
	return name, best > 0.8
}

// fit is at most 1, for a text all of whose letters beyond ASCII are among some, and frequent
// there. What is no letter in the middle of a word counts against it, as does a capital after
// a small letter. Symbols elsewhere say nothing.
func fit(text, letters string, mixed bool) float64 {
	rank := map[rune]float64{}
	for i, r := range []rune(letters) {
		rank[r] = 1 - 0.3*float64(i)/float64(utf8.RuneCountInString(letters))
	}
	sum, count := 0.0, 0.0
	last := ' '
	for i, r := range text {
		before := last
		last = r
		switch {
		case r < utf8.RuneSelf:
			continue
		case r == utf8.RuneError: // 0xFF
			sum--
			count++
			continue
		}
		next, _ := utf8.DecodeRuneInString(text[i+utf8.RuneLen(r):])
		f, ok := rank[unicode.ToLower(r)]
		if r == 'İ' && strings.ContainsRune(letters, 'ı') {
			f, ok = 1, true
		}
		if !ok && !unicode.IsLetter(r) {
			inside := unicode.IsLetter(before) && unicode.IsLetter(next) && !strings.ContainsRune("’‘–·", r)
			if drawn := r >= 0x2500 && r < 0x25A0; inside || drawn {
				count++
			}
			continue
		}
		count++
		switch {
		case !ok, !unicode.Is(unicode.Latin, r) && (ascii(before) || ascii(next)): // of two scripts
			sum -= 0.5
		case unicode.IsUpper(r) && unicode.IsLower(before):
			sum -= 0.5
		case mixed:
			sum += 0.9 * f
		default:
			sum += f
		}
	}
	if count == 0 {
		return 0
	}
	return sum / count
}

// ascii reports whether r is a letter of ASCII.
func ascii(r rune) bool { return r < utf8.RuneSelf && unicode.IsLetter(r) }
