package imports_test

import (
	"archive/zip"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/imports"
	"github.com/stratakit/strata/internal/charset"
	"github.com/stratakit/strata/recipients"
	"github.com/stratakit/strata/tenancy"
)

func encoded(t *testing.T, encoding, text string) []byte {
	t.Helper()
	b, err := charset.Encode(text, encoding)
	require.NoError(t, err)
	return b
}

func gzipped(t *testing.T, file []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	_, err := w.Write(file)
	require.NoError(t, err)
	require.NoError(t, w.Close())
	return out.Bytes()
}

// zipped packs one file, and after it others without content.
func zipped(t *testing.T, name string, file []byte, others ...string) []byte {
	t.Helper()
	var out bytes.Buffer
	w := zip.NewWriter(&out)
	for i, n := range append([]string{name}, others...) {
		f, err := w.Create(n)
		require.NoError(t, err)
		if i == 0 {
			_, err = f.Write(file)
			require.NoError(t, err)
		}
	}
	require.NoError(t, w.Close())
	return out.Bytes()
}

// processed reads a file up to its preview.
func (b *bundle) processed(ctx context.Context, t *testing.T, file []byte, o imports.ProcessOptions) imports.Import {
	t.Helper()
	return b.process(ctx, t, string(file), o)
}

// What a file says does not depend on how it is written.
func TestEncodings(t *testing.T) {
	t.Parallel()
	b := setup(t, nil).start(t)
	ctx := b.A.Ctx
	european := "email;name\r\n" + strings.Repeat("\r\n", 2) + "a@example.com;Jürgen Müller\r\nb@example.com;Käthe Groß\r\nc@example.com;Änne Schön\r\n"
	russian := "email,name\na@example.com,Иван Петров\nb@example.com,Мария Соколова\nc@example.com,Алексей Смирнов\n"
	japanese := "email\tname\na@example.com\t山田 たろう\nb@example.com\t鈴木 はなこ\nc@example.com\tサトウ\n"
	for _, c := range []struct {
		name, text, encoding, asked, delimiter string
		pack                                   func([]byte) []byte
		packed                                 string
	}{
		{name: "Windows-1252", text: european, encoding: "windows-1252", delimiter: ";"},
		{name: "UTF-8", text: european, encoding: "utf-8", delimiter: ";"},
		{name: "UTF-8 with BOM", text: "\uFEFF" + european, encoding: "utf-8", delimiter: ";"},
		{name: "UTF-16LE with BOM", text: "\uFEFF" + european, encoding: "utf-16le", delimiter: ";"},
		{name: "UTF-16BE", text: european, encoding: "utf-16be", delimiter: ";"},
		{name: "UTF-32 with BOM", text: "\uFEFF" + european, encoding: "utf-32le", delimiter: ";"},
		{name: "ISO-8859-15 asked for", text: european, encoding: "iso-8859-15", asked: "l9", delimiter: ";"},
		{name: "sep and UTF-16", text: "\uFEFFsep=;\r\n" + european, encoding: "utf-16le", delimiter: ";"},
		{name: "gzip", text: european, encoding: "windows-1252", pack: func(b []byte) []byte { return gzipped(t, b) }, packed: "gzip", delimiter: ";"},
		{name: "gzip in two parts", text: european, encoding: "utf-8", pack: func(b []byte) []byte { return append(gzipped(t, b[:40]), gzipped(t, b[40:])...) }, packed: "gzip", delimiter: ";"},
		{name: "zip", text: european, encoding: "utf-16le", pack: func(b []byte) []byte { return zipped(t, "people/x.csv", b, "__MACOSX/._x.csv", "people/", ".DS_Store") }, packed: "zip", delimiter: ";"},
		{name: "Windows-1251", text: russian, encoding: "windows-1251", delimiter: ","},
		{name: "KOI8-R", text: russian, encoding: "koi8-r", delimiter: ","},
		{name: "Shift-JIS", text: japanese, encoding: "shift_jis", delimiter: "\t"},
		{name: "EUC-JP", text: japanese, encoding: "euc-jp", delimiter: "\t"},
		{name: "ISO-2022-JP", text: japanese, encoding: "iso-2022-jp", delimiter: "\t"},
		{name: "GB18030 asked for", text: japanese, encoding: "gb18030", asked: "gb2312", delimiter: "\t"},
	} {
		file := encoded(t, c.encoding, c.text)
		if c.pack != nil {
			file = c.pack(file)
		}
		imp := b.processed(ctx, t, file, imports.ProcessOptions{Encoding: c.asked})
		require.Equal(t, &imports.Format{Kind: "csv", Encoding: c.encoding, Delimiter: c.delimiter, Compression: c.packed, HeaderRow: 1}, imp.Format, c.name)
		require.Equal(t, []int64{3, 0}, []int64{imp.TotalRows, imp.Invalid}, c.name)
		b.commit(ctx, t, imp.ID)
		page, err := b.store.List(ctx, recipients.Query{Sort: "email"})
		require.NoError(t, err)
		require.Len(t, page.Items, 3)
		for _, r := range page.Items {
			require.NotEmpty(t, r.Name)
			require.Contains(t, c.text, r.Email[:13], c.name)
			require.Contains(t, c.text, r.Name, c.name)
		}
		require.Len(t, b.files(t), 1, "working copies are deleted")
		_, err = b.Pool.Exec(ctx, `DELETE FROM strata.import_rows`)
		require.NoError(t, err)
		require.NoError(t, b.local.Bucket.Delete(ctx, one[string](ctx, t, b, `SELECT object_key FROM strata.imports WHERE id = $1`, imp.ID)))
	}
}

// What is no text costs its row, is said, and is never replaced.
func TestBadCharactersAreReported(t *testing.T) {
	t.Parallel()
	b := setup(t, nil).start(t)
	ctx := b.A.Ctx
	for name, c := range map[string]struct {
		file    []byte
		asked   string
		invalid int64
		message string
	}{
		"a code that is not taken": {[]byte("email,name\na@example.com,A\x81\nb@example.com,\xe9\nc@example.com,C\n"), "windows-1252", 1, "must be text without NUL in windows-1252, which is how the file is read"},
		"half a character":         {[]byte("email,name\na@example.com,\x83\nb@example.com,\x83A\nc@example.com,C\n"), "shift_jis", 1, "in shift_jis"},
		"half a pair":              {append(encoded(t, "utf-16le", "\uFEFFemail,name\na@example.com,A\nb@example.com,B\nc@example.com,"), 0x3D, 0xD8, '\n', 0), "", 1, "in utf-16le"},
		"an odd length":            {append(encoded(t, "utf-16be", "email,name\na@example.com,A\nb@example.com,B\nc@example.com,C"), 0), "", 1, "in utf-16be"},
		"mixed encodings":          {[]byte("email,name\na@example.com,\xe9\nb@example.com,é\nc@example.com,\xc3\n"), "utf-8", 2, "must be UTF-8 text without NUL"},
		"the replacement itself":   {[]byte("email,name\na@example.com,\uFFFD\nb@example.com,é\nc@example.com,C\n"), "", 0, ""},
		"and in UTF-16":            {encoded(t, "utf-16le", "\uFEFFemail,name\na@example.com,\uFFFD\nb@example.com,é\nc@example.com,C\n"), "", 0, ""},
		"NUL":                      {[]byte("email,name\na@example.com,A\x00\nb@example.com,é\nc@example.com,C\n"), "", 1, "must be UTF-8 text without NUL"},
	} {
		imp := b.processed(ctx, t, c.file, imports.ProcessOptions{Encoding: c.asked})
		require.Equal(t, []int64{3, c.invalid, 3 - c.invalid}, []int64{imp.TotalRows, imp.Invalid, imp.New}, name)
		p, err := b.importer.Preview(ctx, imp.ID)
		require.NoError(t, err)
		if c.invalid > 0 {
			require.Equal(t, "invalid_text", p.SampleErrors[0].Errors[0].Code, name)
			require.Contains(t, p.SampleErrors[0].Errors[0].Message, c.message, name)
		}
	}
}

// A wrong guess is put right by asking, until the commit.
func TestAnotherEncodingIsAskedFor(t *testing.T) {
	t.Parallel()
	b := setup(t, nil).start(t)
	ctx := b.A.Ctx
	file := "email,name\na@example.com,\xb3uk\n" + strings.Repeat("b@example.com,B\n", 9) // one line: an accident
	imp := b.process(ctx, t, file, imports.ProcessOptions{})
	require.Equal(t, "utf-8", imp.Format.Encoding)
	require.EqualValues(t, 1, imp.Invalid)
	_, err := b.importer.Process(ctx, imp.ID, imports.ProcessOptions{Encoding: "window-1250"})
	var v *tenancy.ValidationError
	require.ErrorAs(t, err, &v)
	require.Equal(t, []string{"options.encoding", "unknown_encoding", "windows-1250"}, []string{v.Fields[0].Field, v.Fields[0].Code, v.Fields[0].Suggestion})
	for encoding, name := range map[string]string{"latin1": "³uk", "cp1250": "łuk"} {
		_, err = b.importer.Process(ctx, imp.ID, imports.ProcessOptions{Encoding: encoding})
		require.NoError(t, err)
		imp = b.until(ctx, t, imp.ID, imports.Previewed)
		require.Equal(t, []int64{10, 0, 8}, []int64{imp.TotalRows, imp.Invalid, imp.Duplicate})
		p, err := b.importer.Preview(ctx, imp.ID)
		require.NoError(t, err)
		require.Equal(t, name, p.SampleData[0].Data["name"])
	}
	require.Eventually(t, func() bool { return len(b.files(t)) == 1 }, within, time.Millisecond, "the copies are not needed any more")
}

// Packed files that are not what they seem are refused, and say why.
func TestPackedFilesAreRefused(t *testing.T) {
	t.Parallel()
	b := setup(t, &imports.Config{MaxFileSize: 100 << 20}).start(t)
	ctx := b.A.Ctx
	csv := []byte("email,name\na@example.com,A\n")
	good := zipped(t, "x.csv", csv)
	changed := func(file []byte, at int, to ...byte) []byte {
		return append(append(append([]byte{}, file[:at]...), to...), file[at+len(to):]...)
	}
	central := bytes.Index(good, []byte("PK\x01\x02"))
	noise := make([]byte, 1<<20)
	for i := range noise {
		noise[i] = "abcdefghijklmnopqrstuvwxyz,\n"[rand.IntN(28)]
	}
	long := append([]byte("email,name\na@example.com,A\n"), noise...)
	for name, c := range map[string]struct {
		file []byte
		code string
		says string
	}{
		"two files":                      {zipped(t, "x.csv", csv, "y.csv", "z.csv"), "bad_zip", `holds 3 files: "x.csv", "y.csv", "z.csv"`},
		"no file":                        {zipped(t, "x/", nil), "bad_zip", "holds no file"},
		"an empty zip":                   {zipEnd(0), "not_csv", "empty zip"},
		"a zip in a zip":                 {zipped(t, "x.zip", good), "nested_archive", "upload that one"},
		"a gzip in a zip":                {zipped(t, "x.csv.gz", gzipped(t, csv)), "nested_archive", ""},
		"a zip in a gzip":                {gzipped(t, good), "nested_archive", ""},
		"an empty file in a gzip":        {gzipped(t, nil), "empty_file", ""},
		"encrypted":                      {changed(good, central+8, good[central+8]|1), "encrypted_file", "password"},
		"an unknown method":              {changed(good, central+10, 97), "bad_zip", "method 97"},
		"the checksum is wrong":          {changed(good, central+16, 1, 2, 3), "damaged_file", "checksum"},
		"a lying size":                   {changed(good, central+24, 3), "damaged_file", ""},
		"cut off":                        {good[:len(good)-10], "damaged_file", ""},
		"gzip cut off":                   {gzipped(t, csv)[:30], "damaged_file", ""},
		"gzip with garbage after it":     {append(gzipped(t, csv), "garbage"...), "damaged_file", ""},
		"100,000 files, and says 34,464": {manyEntries(t, 100_000), "bad_zip", "more than 10000 files"},
		"an old Excel file":              {append([]byte("\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1"), make([]byte, 600)...), "not_csv", ".xls"},
		"an encrypted workbook":          {append([]byte("\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1"), encoded(t, "utf-16le", "EncryptedPackage")...), "encrypted_file", "password"},
		"a long one cut off":             {gzipped(t, long)[:len(long)/3], "damaged_file", ""},
	} {
		imp, err := b.importer.CreateFromReader(ctx, "x.csv", bytes.NewReader(c.file))
		require.NoError(t, err)
		_, err = b.importer.Process(ctx, imp.ID, imports.ProcessOptions{})
		var f *imports.FileError
		require.ErrorAs(t, err, &f, name)
		require.Equal(t, c.code, f.Reason, "%s: %s", name, f.Message)
		require.Contains(t, f.Message, c.says, name)
	}

	// What only shows further on fails the run, with the same error, and nothing is kept of it.
	bomb := gzipped(t, append([]byte("email,name\na@example.com,A\n"), bytes.Repeat([]byte{0x0A}, 99<<20)...))
	damaged := gzipped(t, append(long, long...))
	for name, c := range map[string]struct {
		file []byte
		says string
	}{
		"a bomb":             {bomb, "times as large"},
		"more than a file":   {gzipped(t, bytes.Repeat(long, 101)), "is larger than 104857600 bytes"},
		"a long one cut off": {damaged[:len(damaged)-9], "damaged or cut off"},
	} {
		imp, err := b.importer.CreateFromReader(ctx, "x.csv", bytes.NewReader(c.file))
		require.NoError(t, err)
		_, err = b.importer.Process(ctx, imp.ID, imports.ProcessOptions{})
		require.NoError(t, err)
		imp = b.until(ctx, t, imp.ID, imports.Failed)
		require.Contains(t, imp.Error, c.says, name)
		require.Zero(t, imp.ProcessedRows)
		objectKey := one[string](ctx, t, b, `SELECT object_key FROM strata.imports WHERE id = $1`, imp.ID)
		for _, f := range b.files(t) {
			require.NotContains(t, f, objectKey+".", name)
		}
	}
}

// zipEnd is the end of a zip file that says that it has so many entries.
func zipEnd(entries int) []byte {
	end := append([]byte("PK\x05\x06"), make([]byte, 18)...)
	binary.LittleEndian.PutUint16(end[8:], uint16(entries))
	binary.LittleEndian.PutUint16(end[10:], uint16(entries))
	return end
}

// manyEntries is a zip file whose directory has so many entries of one file. What it says at
// its end of their number is the rest of a division by 65,536, as far as it can count.
func manyEntries(t *testing.T, n int) []byte {
	t.Helper()
	one := zipped(t, "x.csv", []byte("email\na@example.com\n"))
	central, end := bytes.Index(one, []byte("PK\x01\x02")), bytes.Index(one, []byte("PK\x05\x06"))
	file := append(append([]byte{}, one[:central]...), bytes.Repeat(one[central:end], n)...)
	last := zipEnd(n)
	binary.LittleEndian.PutUint32(last[12:], uint32(len(file)-central))
	binary.LittleEndian.PutUint32(last[16:], uint32(central))
	return append(file, last...)
}

// The working copies of others are nobody's business, and go with their file.
func TestWorkingCopiesAreSwept(t *testing.T) {
	t.Parallel()
	b := setup(t, nil).start(t)
	ctx := b.A.Ctx
	file := encoded(t, "utf-16le", "\uFEFFemail\n"+strings.Repeat("a@example.com\n", 3))
	imp, err := b.importer.CreateFromReader(ctx, "x.csv", bytes.NewReader(file))
	require.NoError(t, err)
	drop := b.before(t, "INSERT", "strata.import_rows", "true", `RAISE 'not now'`)
	_, err = b.importer.Process(ctx, imp.ID, imports.ProcessOptions{})
	require.NoError(t, err)
	b.until(ctx, t, imp.ID, imports.Failed)
	drop()
	files := b.files(t)
	require.Len(t, files, 2, "it would be needed again")
	require.Contains(t, files[1], fmt.Sprintf("%s/%s/%s-", b.A.CompanyID, b.A.DomainID, imp.ID))
	b.old(ctx, t, imp.ID)
	_, err = b.importer.Sweep(t.Context())
	require.NoError(t, err)
	require.Empty(t, b.files(t))
}

// A file is put in the place of one whose working copy is still there: it is what is read.
func TestWorkingCopiesAreOfOneFile(t *testing.T) {
	t.Parallel()
	b := setup(t, nil).start(t)
	ctx := b.A.Ctx
	file := func(name string) []byte { return encoded(t, "utf-16le", "\uFEFFemail,name\na@example.com,"+name+"\n") }
	imp, err := b.importer.CreateFromReader(ctx, "x.csv", bytes.NewReader(file("Ada")))
	require.NoError(t, err)
	drop := b.before(t, "INSERT", "strata.import_rows", "true", `RAISE 'not now'`)
	_, err = b.importer.Process(ctx, imp.ID, imports.ProcessOptions{})
	require.NoError(t, err)
	b.until(ctx, t, imp.ID, imports.Failed)
	drop()
	require.Len(t, b.files(t), 2)
	objectKey := one[string](ctx, t, b, `SELECT object_key FROM strata.imports WHERE id = $1`, imp.ID)
	require.NoError(t, b.local.Bucket.WriteAll(ctx, objectKey, file("Eve"), nil))
	_, err = b.importer.Process(ctx, imp.ID, imports.ProcessOptions{})
	require.NoError(t, err)
	b.until(ctx, t, imp.ID, imports.Previewed)
	p, err := b.importer.Preview(ctx, imp.ID)
	require.NoError(t, err)
	require.Equal(t, "Eve", p.SampleData[0].Data["name"])
	b.old(ctx, t, imp.ID)
	_, err = b.importer.Sweep(t.Context())
	require.NoError(t, err)
	require.Empty(t, b.files(t), "the copies of both are swept")
}
