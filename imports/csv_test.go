package imports

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
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
				f, err := sniff([]byte(file[:sniffBytes]), false, "")
				require.NoError(t, err, "%q %s %d", end, char, shift)
				require.Equal(t, []string{"email", "name"}, f.Header)
				require.Equal(t, end == "\r", f.CROnly)
			}
		}
	}
}

func TestSniffCountsLinesThatEndInCR(t *testing.T) {
	t.Parallel()
	good, bad := strings.Repeat("a@example.com,a\r", 10), strings.Repeat("a@example.com,\xe9\r", 4)
	_, err := sniff([]byte("email,name\r"+good+bad), true, "")
	require.NoError(t, err, "those rows are reported, the others imported")
	for _, file := range []string{"email,pr\xe9nom\r" + good, "email,name\r" + bad + "\xc3"} {
		_, err = sniff([]byte(file), true, "")
		var f *FileError
		require.ErrorAs(t, err, &f)
		require.Equal(t, "not_utf8", f.Reason)
	}
}
