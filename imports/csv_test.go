package imports

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/tenancy"
)

// The end of what is looked at may be in the middle of a character, and in a file whose
// lines end in CR that is no reason to call the first line, or most lines, bad.
func TestSniffOfCutCharacters(t *testing.T) {
	t.Parallel()
	for _, end := range []string{"\n", "\r\n", "\r"} {
		for _, char := range []string{"é", "€", "😀"} {
			for shift := range len(char) {
				file := "email,name" + end + strings.Repeat("x", shift) + "@example.com,"
				file += strings.Repeat(char, sniffBytes/len(char)+1) + end
				f, err := sniff([]byte(file[:sniffBytes]), false, layout{}, ProcessOptions{})
				require.NoError(t, err, "%q %s %d", end, char, shift)
				require.Equal(t, []string{"email", "name"}, f.Header)
				require.Equal(t, end == "\r", f.CROnly)
			}
		}
	}
}

// A text has its dialect, whatever comes before the header.
func TestDialects(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		file      string
		delimiter string
		header    []string
		row       int
		rest      string // from the first record after the header on
	}{
		"plain":                        {"email,name\na@b.cc,A\n", ",", []string{"email", "name"}, 1, "a@b.cc,A\n"},
		"semicolon":                    {"email;name\na@b.cc;A\n", ";", []string{"email", "name"}, 1, "a@b.cc;A\n"},
		"tab":                          {"email\tname\na@b.cc\tA\n", "\t", []string{"email", "name"}, 1, "a@b.cc\tA\n"},
		"bar":                          {"email|name\na@b.cc|A\n", "|", []string{"email", "name"}, 1, "a@b.cc|A\n"},
		"BOM":                          {"\xEF\xBB\xBFemail,name\na@b.cc,A\n", ",", []string{"email", "name"}, 1, "a@b.cc,A\n"},
		"commas in cells":              {"email;amount\na@b.cc;1,5\nb@b.cc;2,5\n", ";", []string{"email", "amount"}, 1, "a@b.cc;1,5\nb@b.cc;2,5\n"},
		"semicolons in cells":          {"email,tags,note\na@b.cc,x;y,z;z\nb@b.cc,x;y,z;z\n", ",", []string{"email", "tags", "note"}, 1, "a@b.cc,x;y,z;z\nb@b.cc,x;y,z;z\n"},
		"delimiters in quotes":         {"email;\"a,b,c\"\na@b.cc;\"x,y,z\"\n", ";", []string{"email", "a,b,c"}, 1, "a@b.cc;\"x,y,z\"\n"},
		"one column":                   {"email\na@b.cc\nb@b.cc;x\n", ",", []string{"email"}, 1, "a@b.cc\nb@b.cc;x\n"},
		"ragged: the first line tells": {"email;a;b\nx\ny;1\nz;1;2;3\n", ";", []string{"email", "a", "b"}, 1, "x\ny;1\nz;1;2;3\n"},
		"sep":                          {"sep=;\r\nemail;name\r\na@b.cc;A\r\n", ";", []string{"email", "name"}, 1, "a@b.cc;A\r\n"},
		"sep, BOM, quotes, tab":        {"\xEF\xBB\xBF\"SEP=\t\"\nemail\tname\na@b.cc\tA\n", "\t", []string{"email", "name"}, 1, "a@b.cc\tA\n"},
		"sep of another delimiter":     {"sep=|\nemail|a,b\nx|1,2\n", "|", []string{"email", "a,b"}, 1, "x|1,2\n"},
		"a column called sep=":         {"sep=;x\na;b\n", ";", []string{"sep=", "x"}, 1, "a;b\n"},
		"CR":                           {"email,name\ra@b.cc,A\r", ",", []string{"email", "name"}, 1, "a@b.cc,A\r"},
		"sep and CR":                   {"sep=;\remail;name\ra@b.cc;A\r", ";", []string{"email", "name"}, 1, "a@b.cc;A\r"},
		"blank lines before":           {"\n\r\nemail,name\na@b.cc,A\n", ",", []string{"email", "name"}, 3, "a@b.cc,A\n"},
		"a title":                      {"People\nemail,name\na@b.cc,A\n", ",", []string{"email", "name"}, 2, "a@b.cc,A\n"},
		"titles with empty cells":      {"People,,\nMade by,Ann,\n\nemail,name,city\na@b.cc,A,X\nb@b.cc,B,\n", ",", []string{"email", "name", "city"}, 4, "a@b.cc,A,X\nb@b.cc,B,\n"},
		"a title that is no CSV":       {"All \"people\"\nemail,name\na@b.cc,A\n", ",", []string{"email", "name"}, 2, "a@b.cc,A\n"},
		"rows longer than the header":  {"email,name\na@b.cc,A,\nb@b.cc,B,\n", ",", []string{"email", "name"}, 1, "a@b.cc,A,\nb@b.cc,B,\n"},
		"longer, with a header":        {"email,name\nAnn,Bee,Cee\n1,2,3\nAnn,Ann,x\n", ",", []string{"email", "name"}, 1, "Ann,Bee,Cee\n1,2,3\nAnn,Ann,x\n"},
		"longer, with nothing like it": {"what,name\nAnn,Bee,Cee\n1,2,3\nAnn,Ann,x\n", ",", nil, 2, "1,2,3\nAnn,Ann,x\n"},
		"a title that speaks of email": {"Email list\nemail,name\na@b.cc,A\n", ",", []string{"email", "name"}, 2, "a@b.cc,A\n"},
		"rows shorter than the header": {"email,name,city\na@b.cc,A\nb@b.cc,B\n", ",", []string{"email", "name", "city"}, 1, "a@b.cc,A\nb@b.cc,B\n"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, err := sniff([]byte(c.file), true, layout{}, ProcessOptions{})
			require.NoError(t, err)
			require.Equal(t, c.delimiter, f.Delimiter)
			if c.header != nil {
				require.Equal(t, c.header, f.Header)
			}
			require.Equal(t, c.row, f.Row)
			require.Equal(t, c.rest, c.file[f.Offset:])
		})
	}
}

func TestHeaderRowIsAsked(t *testing.T) {
	t.Parallel()
	file := "sep=,\n\nx,y\nemail,name\na@b.cc,A\n" + strings.Repeat("b@b.cc,B\n", 200)
	for row, header := range map[int][]string{0: {"x", "y"}, 2: {"x", "y"}, 3: {"email", "name"}, 4: {"a@b.cc", "A"}} {
		f, err := sniff([]byte(file), true, layout{}, ProcessOptions{HeaderRow: row})
		require.NoError(t, err)
		require.Equal(t, header, f.Header)
	}
	f, err := sniff([]byte("a\n"+strings.Repeat("b\n", 200)+"last\nc\n"), true, layout{}, ProcessOptions{HeaderRow: 202})
	require.NoError(t, err)
	require.Equal(t, []string{"last"}, f.Header)
	for _, row := range []int{-1, 1, 206, 1e9} {
		_, err := sniff([]byte(file), true, layout{}, ProcessOptions{HeaderRow: row})
		var v *tenancy.ValidationError
		require.ErrorAs(t, err, &v, "%d", row)
		require.Equal(t, "options.headerRow", v.Fields[0].Field)
	}
	_, err = sniff([]byte(file), true, layout{}, ProcessOptions{HeaderRow: 204})
	var e *FileError
	require.ErrorAs(t, err, &e)
	require.Equal(t, "no_rows", e.Reason, "it is the last")
}
