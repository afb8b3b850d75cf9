package imports_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/customfields"
	"github.com/stratakit/strata/imports"
	"github.com/stratakit/strata/internal/fault"
)

// The ways in which files fail, by what they are about: each is refused as a whole with a code,
// or read to its end with all of its rows accounted for and the bad ones reported.
func TestFailuresOfFiles(t *testing.T) {
	t.Parallel()
	b := setup(t, nil).start(t)
	ctx := b.A.Ctx
	b.define(ctx, t, customfields.Field{Key: "code", Type: customfields.Text})
	row := func(i int) string { return fmt.Sprintf("p%d@example.com,P,x\n", i) }
	const head = "email,name,code\n"
	wide := "email" + strings.Repeat(",c", 9_999) + "\n"
	book := func(cells ...[]any) []byte { return bytesOf(t, workbook(t, map[string][][]any{"Sheet1": cells})) }
	for name, c := range map[string]struct {
		file    []byte
		refused string
		total   int64
		invalid int64
		codes   string // of the samples of errors: row field code
	}{
		"25 UTF-8 BOM":                   {file: []byte("\uFEFF" + head + row(1)), total: 1},
		"25 UTF-16LE BOM":                {file: encoded(t, "utf-16le", "\uFEFF"+head+row(1)), total: 1},
		"25 UTF-16BE BOM":                {file: encoded(t, "utf-16be", "\uFEFF"+head+row(1)), total: 1},
		"25 UTF-32 BOM":                  {file: encoded(t, "utf-32be", "\uFEFF"+head+row(1)), total: 1},
		"25 UTF-16 without BOM":          {file: encoded(t, "utf-16le", head+row(1)), total: 1},
		"25 odd byte length":             {file: encoded(t, "utf-16le", "\uFEFF"+head+row(1))[:2*len("\uFEFF"+head+row(1))-7], total: 1, invalid: 1, codes: "2 customFields.code invalid_text"},
		"25 Windows-1252":                {file: encoded(t, "windows-1252", "email,prénom,code\n"+row(1)), total: 1},
		"25 Windows-1251":                {file: encoded(t, "windows-1251", "email,имя,code\n"+row(1)), total: 1},
		"25 Shift-JIS":                   {file: encoded(t, "shift_jis", "email,名前 カナ,code\n"+row(1)), total: 1},
		"25 mixed encodings":             {file: []byte(head + "a@example.com,é,x\nb@example.com,\xe9,x\n"), total: 2, invalid: 1, codes: "3 name invalid_text"},
		"26 NUL in a cell":               {file: []byte(head + "a@example.com,A\x00,x\n" + row(2)), total: 2, invalid: 1, codes: "2 name invalid_text"},
		"26 lone surrogate":              {file: append(encoded(t, "utf-16le", "\uFEFF"+head+"a@example.com,"), 0, 0xD8, ',', 0, '\n', 0), total: 1, invalid: 1, codes: "2 name invalid_text"},
		"26 NUL in the header":           {file: []byte("email,na\x00me\n" + row(1)), refused: "not_csv"},
		"27 CRLF":                        {file: []byte("email,name,code\r\na@example.com,A,x\r\n"), total: 1},
		"27 CR":                          {file: []byte("email,name,code\ra@example.com,A,x\rb@example.com,B,x"), total: 2},
		"27 mixed ends of lines":         {file: []byte("email,name,code\r\na@example.com,A,x\nb@example.com,B,x\r\nc@example.com,C,x"), total: 3},
		"27 CR among LF":                 {file: []byte(head + "a@example.com,A,x\rb@example.com,B,x\n" + row(3)), total: 2, invalid: 1, codes: "2 row extra_columns"},
		"27 blank lines":                 {file: []byte("\n\n" + head + "\n\r\n" + row(1) + "\n\n"), total: 1},
		"27 sep":                         {file: []byte("sep=;\nemail;name;code\na@example.com;A,B;x\n"), total: 1},
		"27 preamble":                    {file: []byte("People of,2026\n\n" + head + row(1) + row(2)), total: 2},
		"28 bare quote":                  {file: []byte(head + "a@example.com,5\" pipe,x\n" + row(2)), total: 2, invalid: 1, codes: "2 row bad_csv"},
		"28 doubled quotes":              {file: []byte(head + "a@example.com,\"5\"\" pipe\",x\n"), total: 1},
		"28 backslash-escaped quotes":    {file: []byte(head + "a@example.com,\"5\\\" pipe\",x\n" + row(2)), total: 2, invalid: 1, codes: "2 row bad_csv"},
		"28 unclosed at the end":         {file: []byte(head + row(1) + "a@example.com,\"A,x\n" + row(3)), total: 3, invalid: 1, codes: "3 row bad_csv"},
		"28 unclosed, and 20 MB":         {file: []byte(head + "a@example.com,\"" + strings.Repeat("x", 20<<20)), total: 1, invalid: 1, codes: "2 row bad_csv"},
		"29 too few cells":               {file: []byte(head + "a@example.com,A\n" + row(2)), total: 2, invalid: 1, codes: "2 row missing_columns"},
		"29 too many cells":              {file: []byte(head + "a@example.com,A,x,y\n" + row(2)), total: 2, invalid: 1, codes: "2 row extra_columns"},
		"30 a column twice":              {file: []byte("email,name,name\n" + row(1)), refused: "duplicate_column"},
		"30 twice but for case":          {file: []byte("email,name,NAME\n" + row(1)), refused: "duplicate_column"},
		"30 no name":                     {file: []byte("email,,name\n" + row(1)), refused: "empty_column"},
		"30 300 characters":              {file: []byte("email,name," + strings.Repeat("x", 300) + "\n" + row(1)), total: 1},
		"30 301 characters":              {file: []byte("email,name," + strings.Repeat("x", 301) + "\n" + row(1)), refused: "bad_header"},
		"30 padded":                      {file: []byte(" Email , Name,code \n" + row(1)), total: 1},
		"30 header only":                 {file: []byte(head), refused: "no_rows"},
		"31 10,000 columns":              {file: []byte(wide + wide), refused: "too_many_columns"},
		"31 a field of 10 MB":            {file: []byte(head + "a@example.com,\"" + strings.Repeat("x", 10<<20) + "\",x\n" + row(2)), total: 2, invalid: 1, codes: "2 row bad_csv"},
		"34 text stays text":             {file: []byte(head + "a@example.com,=cmd|' /C calc'!A0,0049123456789012345678\n"), total: 1},
		"36 truncated XML":               {file: rewritten(t, book([]any{"email"}, []any{"a@example.com"}, []any{"b@example.com"}), "xl/worksheets/sheet1.xml", func(xml string) string { return xml[:strings.Index(xml, `<row r="3"`)] }), refused: "damaged_file"},
		"37 .xls renamed":                {file: append([]byte("\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1"), make([]byte, 100)...), refused: "not_csv"},
		"37 nested zip":                  {file: zipped(t, "a.zip", zipped(t, "b.csv", []byte(head))), refused: "nested_archive"},
		"39 a formula without its value": {file: rewritten(t, book([]any{"email", "name"}, []any{"a@example.com", 7}), "xl/worksheets/sheet1.xml", func(xml string) string { return strings.Replace(xml, "<v>7</v>", "<f>3+4</f>", 1) }), total: 1, invalid: 1, codes: "2 name formula_without_result"},
		"39 a formula of openpyxl":       {file: rewritten(t, book([]any{"email", "name"}, []any{"a@example.com", 7}), "xl/worksheets/sheet1.xml", func(xml string) string { return strings.Replace(xml, "<v>7</v>", "<f>3+4</f><v/>", 1) }), total: 1, invalid: 1, codes: "2 name formula_without_result"},
		"31 a row of 2 MB in XLSX": {file: rewritten(t, book([]any{"email", "name", "code"}, []any{"a@example.com", 7, "x"}, []any{"b@example.com", "B", "x"}), "xl/worksheets/sheet1.xml", func(xml string) string {
			at := strings.Index(xml, `<c r="B2"`)
			end := at + strings.Index(xml[at:], "</row>")
			return xml[:at] + strings.Repeat(`<c t="str"><v>`+strings.Repeat("x", 700_000)+`</v></c>`, 3) + xml[end:]
		}), total: 2, invalid: 1, codes: "2 row bad_csv"},
		"31 a cell of 2 MB in XLSX": {file: rewritten(t, book([]any{"email", "name"}, []any{"a@example.com", 7}, []any{"b@example.com", "B"}), "xl/worksheets/sheet1.xml", func(xml string) string {
			return strings.Replace(xml, "<v>7</v>", "<v>"+strings.Repeat("7", 2<<20)+"</v>", 1)
		}), total: 2, invalid: 1, codes: "2 name cell_too_long"},
		"41 gaps and the last row": {file: rewritten(t, book([]any{"email"}, []any{"a@example.com"}, []any{"b"}), "xl/worksheets/sheet1.xml", func(xml string) string {
			return strings.NewReplacer(`r="3"`, `r="1048576"`, `r="A3"`, `r="A1048576"`).Replace(xml)
		}), total: 2, invalid: 1, codes: "1048576 email invalid_email"},
		"41 a wrong dimension": {file: rewritten(t, book([]any{"email"}, []any{"a@example.com"}), "xl/worksheets/sheet1.xml", func(xml string) string {
			return strings.Replace(xml, `<dimension ref="`, `<dimension ref="A1:A1" x="`, 1)
		}), total: 1},
	} {
		t.Run(name, func(t *testing.T) {
			imp, err := b.importer.CreateFromReader(ctx, "x", bytes.NewReader(c.file))
			require.NoError(t, err)
			_, err = b.importer.Process(ctx, imp.ID, imports.ProcessOptions{})
			var f *imports.FileError
			if errors.As(err, &f) || c.refused != "" {
				require.Error(t, err)
				require.Equal(t, c.refused, f.Reason, f.Message)
				return
			}
			require.NoError(t, err)
			imp = b.until(ctx, t, imp.ID, imports.Previewed)
			require.Equal(t, []int64{c.total, c.invalid, c.total - c.invalid}, []int64{imp.TotalRows, imp.Invalid, imp.New})
			p, err := b.importer.Preview(ctx, imp.ID)
			require.NoError(t, err)
			var codes []string
			for _, s := range p.SampleErrors {
				codes = append(codes, fmt.Sprint(s.Row, " ", s.Errors[0].Field, " ", s.Errors[0].Code))
			}
			require.Equal(t, c.codes, strings.Join(codes, "; "))
		})
	}
}

// What a server lacks is not the fault of a file.
func TestNoTemporaryDirectory(t *testing.T) {
	b := setup(t, nil).start(t)
	ctx := b.A.Ctx
	file := bytesOf(t, workbook(t, map[string][][]any{"Sheet1": {{"email"}, {"a@example.com"}}}))
	file = rewritten(t, file, "xl/sharedStrings.xml", func(xml string) string { // more than is kept in memory
		at := strings.Index(xml, "<si>")
		return xml[:at] + strings.Repeat("<si><t>"+strings.Repeat("x", 1_000_000)+"</t></si>", 34) + xml[at:]
	})
	file = rewritten(t, file, "xl/worksheets/sheet1.xml", func(xml string) string {
		return strings.NewReplacer("<v>0</v>", "<v>34</v>", "<v>1</v>", "<v>35</v>").Replace(xml)
	})
	imp, err := b.importer.CreateFromReader(ctx, "x.xlsx", bytes.NewReader(file))
	require.NoError(t, err)
	missing := filepath.Join(t.TempDir(), "missing")
	t.Setenv("TMPDIR", missing)
	_, err = b.importer.Process(ctx, imp.ID, imports.ProcessOptions{})
	require.ErrorIs(t, err, fs.ErrNotExist)
	var f *imports.FileError
	require.NotErrorAs(t, err, &f)
	require.True(t, fault.Passing(err))
	require.NotContains(t, fault.MessageOf(err), missing)
	require.NoError(t, os.Mkdir(missing, 0o700))
	_, err = b.importer.Process(ctx, imp.ID, imports.ProcessOptions{})
	require.NoError(t, err)
	require.EqualValues(t, 1, b.until(ctx, t, imp.ID, imports.Previewed).New)
}
