package charset_test

import (
	"bytes"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/internal/charset"
)

// people are lists as companies keep them, in the encodings that their programs write.
var people = []struct{ encoding, text string }{
	{"windows-1252", "email,name,city\na@example.com,José Núñez,Málaga\nb@example.com,François Lefèvre,Besançon\nc@example.com,Jürgen Groß,Köln\nd@example.com,Zoë Ångström,Göteborg\ne@example.com,Søren Kjær,København\n"},
	{"windows-1252", "email,name,note\na@example.com,Müller,für die Straße – 5 €\nb@example.com,Jäger,größer\nc@example.com,Weiß,\nd@example.com,Schröder,übrig\n"},
	{"windows-1252", "email;nom\na@example.com;Hélène Forêt\nb@example.com;Noël Garçon\nc@example.com;Chloé Dupré\nd@example.com;André Béziers\n"},
	{"windows-1252", "email;nome\na@example.com;João Conceição\nb@example.com;Inês Magalhães\nc@example.com;Antônio Araújo\n"},
	{"windows-1252", "email;nafn\na@example.com;Þórður Ægisson\nb@example.com;Sigríður Bjarnadóttir\n"},
	{"windows-1250", "email;jméno;město\na@example.com;Jiří Dvořák;Plzeň\nb@example.com;Božena Němcová;Česká Skalice\nc@example.com;Łukasz Wiśniewski;Kraków\nd@example.com;Zażółć Gęślą;Łódź\n"},
	{"windows-1250", "email;imię;miasto\na@example.com;Łukasz Wiśniewski;Kraków\nd@example.com;Małgorzata Ząbek;Łódź\ne@example.com;Stanisław Żak;Gdańsk\nf@example.com;Paweł Świątek;Poznań\n"},
	{"windows-1250", "email;név;város\na@example.com;Szőke Ödön;Győr\nd@example.com;Kőszegi Ágnes;Székesfehérvár\ne@example.com;Tűzoltó Béla;Nyíregyháza\nf@example.com;Hegedűs Zoltán;Szombathely\n"},
	{"iso-8859-2", "email;jméno;město\na@example.com;Jiří Dvořák;Plzeň\nb@example.com;Božena Němcová;Česká Skalice\nc@example.com;Šárka Žáková;Třebíč\n"},
	{"windows-1251", "email;имя;город\na@example.com;Иван Петров;Москва\nb@example.com;Мария Соколова;Новосибирск\nc@example.com;Алексей Смирнов;Екатеринбург\n"},
	{"windows-1251", "email;ім'я;місто\na@example.com;Тарас Шевченко;Київ\nb@example.com;Олена Їжакевич;Чернігів\n"},
	{"koi8-r", "email;имя;город\na@example.com;Иван Петров;Москва\nb@example.com;Мария Соколова;Новосибирск\nc@example.com;Алексей Смирнов;Екатеринбург\n"},
	{"windows-1253", "email;όνομα;πόλη\na@example.com;Γιώργος Παπαδόπουλος;Αθήνα\nb@example.com;Ελένη Νικολάου;Θεσσαλονίκη\n"},
	{"windows-1254", "email;ad;şehir\na@example.com;Ayşe Yılmaz;İstanbul\nb@example.com;Çağlar Öztürk;Eskişehir\nc@example.com;Işıl Güneş;Muğla\n"},
	{"windows-1255", "email;שם;עיר\na@example.com;דוד כהן;ירושלים\nb@example.com;שרה לוי;תל אביב\nc@example.com;משה פרץ;חיפה\n"},
	{"windows-1256", "email;الاسم;المدينة\na@example.com;محمد أحمد;القاهرة\nb@example.com;فاطمة علي;بغداد\nc@example.com;عبد الله حسن;دمشق\n"},
	{"windows-1257", "email;vardas;miestas\na@example.com;Jonas Kazlauskas;Šiauliai\nb@example.com;Rūta Žukauskienė;Panevėžys\nc@example.com;Jānis Bērziņš;Rēzekne\n"},
	{"windows-874", "email,ชื่อ\na@example.com,สมชาย ใจดี\nb@example.com,กรุงเทพมหานคร\n"},
	{"shift_jis", "email,氏名,都市\na@example.com,山田太郎,東京\nb@example.com,鈴木花子,大阪\nc@example.com,サトウ,ナゴヤ\n"},
	{"euc-jp", "email,氏名,都市\na@example.com,山田太郎,東京\nb@example.com,鈴木花子,大阪\nc@example.com,サトウ,ナゴヤ\n"},
	{"iso-2022-jp", "email,氏名,都市\na@example.com,山田太郎,東京\nb@example.com,鈴木花子,大阪\n"},
	{"gb18030", "email,姓名,城市\na@example.com,张伟,北京\nb@example.com,王芳,上海\nc@example.com,李娜,广州\n"},
	{"big5", "email,姓名,城市\na@example.com,陳志明,臺北\nb@example.com,林淑芬,高雄\nc@example.com,黃美玲,臺中\n"},
	{"euc-kr", "email,이름,도시\na@example.com,김철수,서울\nb@example.com,이영희,부산\nc@example.com,박지민,대구\n"},
	{"utf-16le", "email,name\na@example.com,Ann\n"},
	{"utf-16be", "email,name\na@example.com,Ann\n"},
	{"utf-16le", "電子郵件,姓名\na@example.com,陳志明\n"},
	{"utf-32le", "email,name\na@example.com,😀\n"},
	{"utf-32be", "email,name\na@example.com,😀\n"},
	{"utf-8", "email,name\na@example.com,José 山田 😀\n"},
	{"utf-8", "email,name\na@example.com,Ann\n"},
}

func TestDetect(t *testing.T) {
	t.Parallel()
	for _, p := range people {
		for _, times := range []int{1, 300} {
			head, rows, _ := strings.Cut(p.text, "\n")
			encoded := encode(t, p.encoding, head+"\n"+strings.Repeat(rows, times))
			name := charset.Detect(encoded)
			want, got := charset.Decode(encoded, p.encoding), charset.Decode(encoded, name)
			require.True(t, bytes.Equal(want, got), "%s taken for %s: %.200s", p.encoding, name, got)
		}
	}
}

func TestDetectByMark(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"utf-8", "utf-16le", "utf-16be", "utf-32le", "utf-32be", "gb18030"} {
		encoded := encode(t, name, "\uFEFFemail\na@example.com\n")
		require.Equal(t, name, charset.Detect(encoded))
		if name != "utf-8" {
			require.Equal(t, "email\na@example.com\n", string(charset.Decode(encoded, name)), name)
		}
	}
}

// A bad line here and there does not make a text another one.
func TestDetectOfMixedText(t *testing.T) {
	t.Parallel()
	good, bad := "a@example.com,José\n", "b@example.com,Jos\xe9\n"
	for text, want := range map[string]string{
		"email,name\n" + strings.Repeat(good, 10) + strings.Repeat(bad, 9):               "utf-8",
		"email,name\n" + strings.Repeat(good, 9) + strings.Repeat(bad, 10):               "windows-1252",
		"email,name\n" + strings.Repeat("c@example.com,C\n", 9) + strings.Repeat(bad, 3): "utf-8",
		"email,name\n" + strings.Repeat("c@example.com,C\n", 9) + strings.Repeat(bad, 4): "windows-1252",
		"email,n\xf6m\n" + strings.Repeat("a@example.com,\xf6\n", 9):                     "windows-1252", // as it would be in others
		"email,pr\xe9nom\n" + good: "windows-1252",
		"email,prénom\na@example.com,\xe9\nb@example.com,\xe9\n" + strings.Repeat(good, 8) + "c@example.com,Jos\xc3": "utf-8",
	} {
		require.Equal(t, want, charset.Detect([]byte(text)), "%.60q", text)
	}
}

// encode is the way back, which only tests go.
func encode(t *testing.T, name, text string) []byte {
	t.Helper()
	b, err := charset.Encode(text, name)
	require.NoError(t, err, name)
	return b
}

// What cannot be decoded is 0xFF, in whatever pieces it comes, and takes no line end with it.
func TestBadBytesAreMarked(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ encoding, in, want string }{
		{"windows-1252", "a\x81b\xe9", "a\xFFbé"},
		{"windows-1252", "\x80\xa0\xad", "€\u00a0\u00ad"},
		{"windows-1253", "a\xaab", "a\xFFb"},
		{"shift_jis", "a\x83\nb\x83,c\x83", "a\xFF\nb\xFF,c\xFF"},
		{"euc-jp", "a\xb0\nb\x8f\xb0\nc\xb0", "a\xFF\nb\xFF\nc\xFF"},
		{"gb18030", "a\x81\nb\x81,\x81", "a\xFF\nb\xFF,\xFF"},
		{"big5", "a\xa4\nb\xa4", "a\xFF\nb\xFF"},
		{"euc-kr", "a\xb0\nb\xb0", "a\xFF\nb\xFF"},
		{"utf-16le", "a\x00\x00\xd8b\x00", "a\xFFb"},            // half a pair
		{"utf-16le", "\x00\xdca\x00\x3d\xd8\x00\xde", "\xFFa😀"}, // the other half, and both
		{"utf-16le", "\xfd\xffa\x00", "\uFFFDa"},                // it is there
		{"utf-16be", "\x00a\xd8\x00", "a\xFF"},
		{"utf-16be", "\x00a\x00", "a\xFF"}, // an odd length
		{"utf-32le", "a\x00\x00\x00\x00\xd8\x00\x00\x00\x00\x11\x00b\x00\x00\x00c", "a\xFF\xFFb\xFF"},
		{"utf-8", "a\xFF\xEF\xBF\xBD", "a\xFF\uFFFD"},
	} {
		for name, r := range map[string]io.Reader{"whole": strings.NewReader(c.in), "in bytes": iotest.OneByteReader(strings.NewReader(c.in))} {
			got, err := io.ReadAll(charset.NewReader(r, c.encoding))
			require.NoError(t, err)
			require.Equal(t, c.want, string(got), "%s %q %s", c.encoding, c.in, name)
		}
	}
	broken := io.MultiReader(strings.NewReader("a\x00b\x00"), iotest.ErrReader(io.ErrClosedPipe))
	got, err := io.ReadAll(charset.NewReader(broken, "utf-16le"))
	require.ErrorIs(t, err, io.ErrClosedPipe)
	require.Equal(t, "ab", string(got))
}

func TestLookup(t *testing.T) {
	t.Parallel()
	for label, want := range map[string]string{
		"UTF-8": "utf-8", "utf8": "utf-8", "latin1": "windows-1252", "ISO-8859-1": "windows-1252", "cp1250": "windows-1250", "Shift_JIS": "shift_jis", "sjis": "shift_jis",
		"GB2312": "gb18030", "gbk": "gb18030", "big5": "big5", "UTF-16": "utf-16le", "utf-16be": "utf-16be", "UTF-32": "utf-32le", "KOI8-R": "koi8-r", "IBM850": "ibm850",
		" us-ascii ": "windows-1252", "latin": "", "": "", "utf-7": "", "replacement": "", "x-user-defined": "",
	} {
		name, ok := charset.Lookup(label)
		require.Equal(t, want, name, label)
		require.Equal(t, want != "", ok, label)
	}
	for _, name := range charset.Names() {
		again, ok := charset.Lookup(name)
		require.True(t, ok, name)
		require.Equal(t, name, again)
		require.Equal(t, "a,b\n", string(charset.Decode(encode(t, name, "a,b\n"), name)), name)
	}
	require.Equal(t, "windows-1252", charset.Closest("window-1252"))
	require.Equal(t, "shift_jis", charset.Closest("shift-jiss"))
}
