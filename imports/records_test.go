package imports

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"
)

func readAll(t *testing.T, file string) []string {
	t.Helper()
	f := format{Delimiter: ",", CROnly: crOnly([]byte(file))}
	r := newRecordReader(iotest.HalfReader(strings.NewReader(file)), f, 0, 0)
	var out []string
	for {
		rec, err := r.next()
		if errors.Is(err, io.EOF) {
			require.EqualValues(t, len(file), r.offset())
			return out
		}
		require.NoError(t, err)
		if rec.err != nil {
			out = append(out, fmt.Sprintf("%d bad", rec.row))
			continue
		}
		out = append(out, fmt.Sprintf("%d %q", rec.row, rec.cells))
	}
}

func TestRecords(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", maxRecordBytes+10)
	for name, c := range map[string]struct {
		file string
		want []string
	}{
		"LF":                              {"a,b\nc,d\n", []string{`1 ["a" "b"]`, `2 ["c" "d"]`}},
		"CRLF, no end of line at the end": {"a,b\r\nc,d", []string{`1 ["a" "b"]`, `2 ["c" "d"]`}},
		"CR":                              {"a,b\rc,\"d\re\"\rf\r", []string{`1 ["a" "b"]`, `2 ["c" "d\ne"]`, `3 ["f"]`}},
		"blank lines count":               {"a\n\n\r\nb\n", []string{`1 ["a"]`, `4 ["b"]`}},
		"line breaks in cells do not":     {"\"a\nb\",c\nd\n", []string{`1 ["a\nb" "c"]`, `2 ["d"]`}},
		"quotes":                          {"\"a\"\"b\",\"\"\n\"x\r\ny\"\n", []string{`1 ["a\"b" ""]`, `2 ["x\ny"]`}},
		"a bare quote":                    {"a\nb\"c,d\ne\n", []string{`1 ["a"]`, `2 bad`, `3 ["e"]`}},
		"text after a quote":              {"a\n\"b\"c,d\ne\n", []string{`1 ["a"]`, `2 bad`, `3 ["e"]`}},
		"a bare quote after two lines":    {"\"a\nb\",c\"d\ne\n", []string{`1 bad`, `2 ["e"]`}},
		"a quote never closed":            {"a,\"b\nc,d\n\ne,f\n", []string{`1 bad`, `2 ["c" "d"]`, `4 ["e" "f"]`}},
		"a quote closed by another":       {"a,\"b\nc,\"d\"\ne,f\n", []string{`1 bad`, `2 ["c" "d"]`, `3 ["e" "f"]`}},
		"blank lines before it":           {"x\n\n\na,\"b\nc\n", []string{`1 ["x"]`, `4 bad`, `5 ["c"]`}},
		"never closed, and much after it": {"a,\"b\n" + strings.Repeat("c,d\n", maxRecordBytes/2), nil},
		"one long line":                   {"a\n" + long + "\nb\n", []string{`1 ["a"]`, `2 bad`, `3 ["b"]`}},
		"one long cell":                   {"a\n\"" + long + "\nyy\",z\nb\n", []string{`1 ["a"]`, `2 bad`, `3 bad`, `4 ["b"]`}},
		"a long line at the end":          {"a\n" + long, []string{`1 ["a"]`, `2 bad`}},
		"a long line with a bad quote":    {"a\nx\"" + long + long[:len(long)/2] + ",b\nc\n", []string{`1 ["a"]`, `2 bad`, `3 ["c"]`}},
		"a longer one":                    {"a\nx\"" + long + long + long + ",b\nc\n", []string{`1 ["a"]`, `2 bad`, `3 ["c"]`}},
		"a long cell with a bad quote":    {"a\n\"x\"" + long + "\",b\nc\n", []string{`1 ["a"]`, `2 bad`, `3 ["c"]`}},
		"many blank lines":                {"a\n" + strings.Repeat("\r\n", maxRecordBytes) + "b\n", []string{`1 ["a"]`, fmt.Sprintf(`%d ["b"]`, maxRecordBytes+2)}},
		"only blank lines at the end":     {"a\n" + strings.Repeat("\n", 2*maxRecordBytes), []string{`1 ["a"]`}},
		"nothing":                         {"", nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := readAll(t, c.file)
			if name == "never closed, and much after it" {
				require.Equal(t, []string{`1 bad`, `2 ["c" "d"]`}, got[:2])
				require.Len(t, got, 1+maxRecordBytes/2)
				return
			}
			require.Equal(t, c.want, got)
		})
	}
}

// The longest record that is read does not depend on where reading began.
func TestRecordLengthIsExact(t *testing.T) {
	t.Parallel()
	for _, before := range []int{0, 1, 4095, windowChunk - 1, windowChunk, 3 * windowChunk} {
		for _, over := range []int{0, 1} {
			file := strings.Repeat("\n", 0) + strings.Repeat("x", before) + "\n" + strings.Repeat("y", maxRecordBytes-1+over) + "\nz\n"
			r := newRecordReader(strings.NewReader(file), format{Delimiter: ","}, 0, 0)
			var bad []bool
			for {
				rec, err := r.next()
				if errors.Is(err, io.EOF) {
					break
				}
				require.NoError(t, err)
				bad = append(bad, rec.err != nil)
			}
			want := []bool{false, over == 1, false}
			if before == 0 {
				want = want[1:]
			}
			require.Equal(t, want, bad, "%d before, %d over", before, over)
		}
	}
}

// A source that breaks is an error of the run, not of the record it broke in.
func TestRecordsOfBrokenSource(t *testing.T) {
	t.Parallel()
	broken := errors.New("connection reset")
	for _, file := range []string{"a,b\nc", "a,b\nc\"", "a,b\n\"c", "a,b\n\"c\nd\"e"} {
		r := newRecordReader(io.MultiReader(strings.NewReader(file), iotest.ErrReader(broken)), format{Delimiter: ","}, 0, 0)
		_, err := r.next()
		require.NoError(t, err)
		_, err = r.next()
		require.ErrorIs(t, err, broken, "%q", file)
	}
}

// Every record's end is an offset to go on from, with the same result.
func TestRecordsResume(t *testing.T) {
	t.Parallel()
	file := "a,b\n\n\"c\nd\",e\r\nbad\"x,y\n\"never\nf,g\nh\"x\"\nlast"
	check := func(crOnly bool) {
		file := file
		if crOnly {
			file = strings.ReplaceAll(strings.ReplaceAll(file, "\r\n", "\n"), "\n", "\r")
		}
		f := format{Delimiter: ",", CROnly: crOnly}
		type stop struct {
			offset int64
			row    int
		}
		var stops []stop
		var whole []string
		text := func(rec record) string { return fmt.Sprint(rec.row, rec.cells, rec.err) }
		r := newRecordReader(strings.NewReader(file), f, 0, 0)
		for {
			stops = append(stops, stop{r.offset(), r.row})
			rec, err := r.next()
			if errors.Is(err, io.EOF) {
				break
			}
			require.NoError(t, err)
			whole = append(whole, text(rec))
		}
		for i, s := range stops {
			r := newRecordReader(strings.NewReader(file[s.offset:]), f, s.offset, s.row)
			rest := []string{}
			for {
				rec, err := r.next()
				if errors.Is(err, io.EOF) {
					break
				}
				require.NoError(t, err)
				rest = append(rest, text(rec))
			}
			require.Equal(t, whole[i:], rest, "from %+v", s)
		}
	}
	check(false)
	check(true)
}

// FuzzRecords holds the reader to encoding/csv: what that reads of a file without an
// error is read here, and whatever the file, no line is lost: each is in a record, blank,
// or reported.
func FuzzRecords(f *testing.F) {
	for _, s := range []string{"a,b\nc,d\n", "\"a\nb\",c\n", "a\"b\n", "\"a\n\"b\n", "\r\n\r\r\n", "\"\"\"\n\"", "a,\"b\nc,\"d\"\n"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		r := newRecordReader(bytes.NewReader(file), format{Delimiter: ","}, 0, 0)
		var got [][]string
		bad, row, end := 0, 0, int64(0)
		for {
			rec, err := r.next()
			if errors.Is(err, io.EOF) {
				break
			}
			require.NoError(t, err)
			require.Greater(t, rec.row, row)
			require.Greater(t, r.offset(), end)
			row, end = rec.row, r.offset()
			if rec.err != nil {
				bad++
			} else {
				got = append(got, append([]string{}, rec.cells...))
			}
		}
		require.EqualValues(t, len(file), r.offset())
		require.LessOrEqual(t, row, bytes.Count(file, []byte("\n"))+1)

		std := csv.NewReader(bytes.NewReader(file))
		std.FieldsPerRecord = -1
		want, err := std.ReadAll()
		if err == nil {
			require.Zero(t, bad)
			require.Equal(t, len(want), len(got))
			for i := range want {
				require.Equal(t, want[i], got[i])
			}
		} else {
			require.Positive(t, bad)
		}
	})
}

// What could not be parsed is kept as it was.
func TestBadRecordsKeepTheirText(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", maxRecordBytes)
	for file, want := range map[string][]string{
		"\r\nb\"c,d\r\ne\n":         {"b\"c,d"},
		"\"a\nb\",c\"d\ne\n":        {"\"a\nb\",c\"d"},
		"\n\na,\"b\r\nc,\"d\r\nf\"": {"a,\"b"},
		"a\n" + long + "z\nb\n":     {long[:maxRawCell]},
	} {
		r := newRecordReader(iotest.HalfReader(strings.NewReader(file)), format{Delimiter: ","}, 0, 0)
		var bad []string
		for {
			rec, err := r.next()
			if errors.Is(err, io.EOF) {
				break
			}
			require.NoError(t, err)
			if rec.err != nil {
				bad = append(bad, rec.cells...)
			}
		}
		require.Equal(t, want, bad, "%.40q", file)
	}
}
