package imports_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/customfields"
	"github.com/stratakit/strata/imports"
	"github.com/stratakit/strata/recipients"
)

// The lines of the failure list that are about what the rows of a file mean; those about how it
// is written are with the readers.

// Line 30: duplicate, empty, 300-char, differing-case, padded headers; header only; no header; 0
// bytes. See also TestWholeFileErrors.
func TestHeadersOfAllKinds(t *testing.T) {
	t.Parallel()
	b := setup(t, nil).start(t)
	long := strings.Repeat("é", 300)
	p := b.previewed(t, "  E-MAIL \t, nAmE ,"+long+"\na@example.com,A,x\n", imports.ProcessOptions{})
	require.Equal(t, map[string]*string{"E-MAIL": to("email"), "nAmE": to("name"), long: nil}, p.Mapping)
	for _, c := range []struct{ file, code, says string }{
		{"email,Name,nAME\na,b,c\n", "duplicate_column", `columns 2 and 3 are both called "nAME"`},
		{"email, ,name\na,b,c\n", "empty_column", "column 2 of 3 has no name"},
		{"email," + long + "é\na,b\n", "bad_header", "longer than 300 characters"},
		{"email,name\n", "no_rows", "has a header and no rows"},
		{"email,name,\nnobody,Bo,x\n", "empty_column", "column 3 of 3 has no name"},
		{"Ada,Berg\nBo,Lund\n", "no_email_column", `"Ada", "Berg"`},
	} {
		imp, err := b.importer.CreateFromReader(b.A.Ctx, "x.csv", strings.NewReader(c.file))
		require.NoError(t, err)
		_, err = b.importer.Process(b.A.Ctx, imp.ID, imports.ProcessOptions{})
		var f *imports.FileError
		require.ErrorAs(t, err, &f, c.says)
		require.Equal(t, c.code, f.Reason)
		require.Contains(t, f.Message, c.says)
	}
	empty, err := b.importer.CreateFromReader(b.A.Ctx, "x.csv", strings.NewReader(""))
	require.NoError(t, err)
	_, err = b.importer.Process(b.A.Ctx, empty.ID, imports.ProcessOptions{})
	require.ErrorContains(t, err, "the file is empty")
	// A file without a header: its first row is taken for one, which is a warning.
	p = b.previewed(t, "ada@example.com,Ada\nbo@example.com,Bo\n", imports.ProcessOptions{})
	require.Equal(t, "header_is_data ada@example.com", warned(p.Warnings)[0])
}

// Line 32: the same email twice in a file, also differing in case, space, IDN and zero-width
// characters: the last row wins, and the losers say so.
func TestOneAddressInManySpellings(t *testing.T) {
	t.Parallel()
	b := setup(t, &imports.Config{BatchRows: 2}).start(t)
	spellings := []string{"ada@bücher.example", "ADA@BÜCHER.example", "  ada@bücher.example\u00a0", "ada@xn--bcher-kva.example", "Ada@XN--BCHER-KVA.EXAMPLE"}
	p := b.previewed(t, "email\n"+strings.Join(spellings, "\n")+"\nada\u200b@bücher.example\n", imports.ProcessOptions{})
	require.Equal(t, []int64{6, 1, 4, 1}, []int64{p.TotalRows, p.New, p.Duplicate, p.Invalid})
	for _, row := range p.SampleData[1:] {
		require.Equal(t, 6, row.DuplicateOf)
	}
	require.Equal(t, "Ada@XN--BCHER-KVA.EXAMPLE", p.SampleData[0].Data["email"])
	require.Equal(t, "invalid_email", p.SampleErrors[0].Errors[0].Code, "what cannot be seen is not guessed at")
	require.EqualValues(t, 1, b.commit(b.A.Ctx, t, p.ID).Inserted)
}

// Line 33: the same file twice. Line 34: leading zeros, + and long digits stay text, and what
// begins as a formula is stored as it is.
func TestSameFileTwiceAndTextThatLooksLikeSomethingElse(t *testing.T) {
	t.Parallel()
	b := setup(t, nil).start(t)
	ctx := b.A.Ctx
	b.define(ctx, t, customfields.Field{Key: "note", Type: customfields.Text})
	notes := []string{"00123", "+4930123456", "12345678901234567890", "=cmd|' /C calc'!A0", "1.10", "03/04/26", "TRUE", "1e5", "-"}
	var file strings.Builder
	file.WriteString("email,note\n")
	want := map[string]any{}
	for i, n := range notes {
		email := string(rune('a'+i)) + "@example.com"
		want[email] = n
		file.WriteString(email + `,"` + n + "\"\n")
	}
	require.EqualValues(t, len(notes), b.run(ctx, t, file.String(), imports.ProcessOptions{}).Inserted)
	page, err := b.store.List(ctx, recipients.Query{})
	require.NoError(t, err)
	got := map[string]any{}
	for _, r := range page.Items {
		got[r.Email] = r.CustomFields["note"]
	}
	require.Equal(t, want, got)
	again := b.run(ctx, t, file.String(), imports.ProcessOptions{})
	require.Equal(t, []int64{int64(len(notes)), 0, 0}, []int64{again.Unchanged, again.Inserted, again.Updated})
}

// Line 42: IDN domains, capitals, plus tags kept, a dot at the end, quoted and long local parts, a
// name before the address.
func TestAddressesOfAllKinds(t *testing.T) {
	t.Parallel()
	b := setup(t, nil).start(t)
	ctx := b.A.Ctx
	long := strings.Repeat("a", 65) + "@example.com"
	for address, want := range map[string]string{
		`ada@bücher.example`: "", `UPPER.Local@Example.COM`: "", `ada+news@example.com`: "", `ada@example.com`: "", strings.Repeat("b", 64) + "@example.com": "",
		`dot@example.com.`: "dot@example.com", `"quoted part"@example.com`: "none", long: "none", `Ada L <shown@example.com>`: "shown@example.com", `comma@example,com`: "comma@example.com",
		`two@example.com; three@example.com`: "none",
	} {
		quoted := `"` + strings.ReplaceAll(address, `"`, `""`) + `"`
		p := b.previewed(t, "email,name\n"+quoted+",A\n", imports.ProcessOptions{})
		if want == "" {
			require.Equal(t, address, p.SampleData[0].Data["email"], "as it was written")
			b.commit(ctx, t, p.ID)
			continue
		}
		e := p.SampleErrors[0].Errors[0]
		require.Equal(t, []string{"email", "invalid_email", strings.ReplaceAll(want, "none", "")}, []string{e.Column, e.Code, e.Suggestion}, address)
	}
	page, err := b.store.List(ctx, recipients.Query{Sort: "email"})
	require.NoError(t, err)
	got := map[string]bool{}
	for _, r := range page.Items {
		got[r.Email] = true
	}
	require.Len(t, got, 5, "a tag is a part of the address")
}
