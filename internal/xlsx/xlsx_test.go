package xlsx_test

import (
	"archive/zip"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/xuri/excelize/v2"

	"github.com/stratakit/strata/internal/xlsx"
)

// open opens a file as those who use the package do.
func open(file []byte) (*xlsx.Workbook, error) {
	z, err := zip.NewReader(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		return nil, err
	}
	return xlsx.Open(func(name string) (io.Reader, error) {
		for _, f := range z.File {
			if strings.EqualFold(f.Name, name) {
				return f.Open()
			}
		}
		return nil, fs.ErrNotExist
	})
}

// text is a row in a line: its number and its cells, with what is no value in angle brackets.
func text(row xlsx.Row) string {
	out := []string{fmt.Sprint(row.Number)}
	for _, c := range row.Cells {
		switch c.Kind {
		case xlsx.Value, xlsx.Number:
			out = append(out, string(c.Text))
		case xlsx.Failed:
			out = append(out, "<"+string(c.Text)+">")
		case xlsx.NoResult:
			out = append(out, "<no result>")
		case xlsx.TooLong:
			out = append(out, "<too long>")
		}
	}
	return strings.Join(out, "|")
}

// read returns the rows of a sheet, up to an error.
func read(file []byte, sheet int) (rows []string, err error) {
	w, err := open(file)
	if err != nil {
		return nil, err
	}
	return rowsOf(w, sheet)
}

func rowsOf(w *xlsx.Workbook, sheet int) (rows []string, err error) {
	defer func() { _ = w.Close() }()
	r, err := w.Rows(sheet)
	if err != nil {
		return nil, err
	}
	for {
		row, err := r.Next()
		if errors.Is(err, io.EOF) {
			return rows, nil
		}
		if err != nil {
			return rows, err
		}
		rows = append(rows, text(row))
	}
}

func pack(t testing.TB, parts map[string]string) []byte {
	t.Helper()
	var out bytes.Buffer
	w := zip.NewWriter(&out)
	for name, content := range parts {
		f, err := w.Create(name)
		require.NoError(t, err)
		_, err = f.Write([]byte(content))
		require.NoError(t, err)
	}
	require.NoError(t, w.Close())
	return out.Bytes()
}

const (
	relsHead = `<?xml version="1.0" encoding="UTF-8" standalone="yes"?><Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">`
	relType  = `http://schemas.openxmlformats.org/officeDocument/2006/relationships/`
)

// parts are those of a workbook with one sheet, whose XML is given.
func parts(sheet string) map[string]string {
	return map[string]string{
		"_rels/.rels":                relsHead + `<Relationship Id="rId1" Type="` + relType + `officeDocument" Target="xl/workbook.xml"/></Relationships>`,
		"xl/workbook.xml":            `<workbook xmlns:r="x"><sheets><sheet name="S" sheetId="1" r:id="rId1"/></sheets></workbook>`,
		"xl/_rels/workbook.xml.rels": relsHead + `<Relationship Id="rId1" Type="` + relType + `worksheet" Target="worksheets/s.xml"/><Relationship Id="rId2" Type="` + relType + `sharedStrings" Target="/xl/strings.xml"/><Relationship Id="rId3" Type="` + relType + `styles" Target="styles.xml"/></Relationships>`,
		"xl/worksheets/s.xml":        sheet,
		"xl/strings.xml":             `<sst><si><t>zero</t></si><si><r><rPr><b/></rPr><t>o</t></r><r><t xml:space="preserve">ne </t></r><rPh sb="0" eb="1"><t>never</t></rPh></si><si><t>a_x000D_&#10;_x005F_x0041_&amp;</t></si><si/></sst>`,
		"xl/styles.xml": `<styleSheet><numFmts><numFmt numFmtId="164" formatCode="dd/mm/yyyy"/><numFmt numFmtId="165" formatCode="00000"/><numFmt numFmtId="166" formatCode="[h]:mm"/>
			<numFmt numFmtId="167" formatCode="&quot;day&quot; 0.00"/><numFmt numFmtId="168" formatCode="[$-409]d-mmm-yy h:mm AM/PM;@"/><numFmt numFmtId="169" formatCode="0.00E+00"/><numFmt numFmtId="170" formatCode="[Red]#,##0"/></numFmts>
			<cellStyleXfs><xf numFmtId="14"/></cellStyleXfs>
			<cellXfs><xf numFmtId="0"/><xf numFmtId="14"/><xf numFmtId="164"/><xf numFmtId="22"/><xf numFmtId="165"/><xf numFmtId="166"/><xf numFmtId="167"/><xf numFmtId="168"/><xf numFmtId="169"/><xf numFmtId="20"/><xf numFmtId="170"><alignment/></xf></cellXfs>
			<dxfs><dxf><numFmt numFmtId="164" formatCode="0"/></dxf></dxfs></styleSheet>`,
	}
}

func sheet(rows string) []byte {
	var out bytes.Buffer
	fmt.Fprintf(&out, `<?xml version="1.0" encoding="UTF-8"?><worksheet><dimension ref="A1:A1"/><sheetData>%s</sheetData><pageMargins left="1"/></worksheet>`, rows)
	return out.Bytes()
}

func TestCells(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ row, want string }{
		"text in the cell":            {`<row r="1"><c r="A1" t="inlineStr"><is><t>a&lt;b</t></is></c></row>`, "1|a<b"},
		"in several fonts":            {`<row r="1"><c r="A1" t="inlineStr"><is><r><t>a</t></r><r><t> b</t></r><rPh><t>x</t></rPh></is></c></row>`, "1|a b"},
		"shared":                      {`<row r="1"><c r="A1" t="s"><v>0</v></c><c r="B1" t="s"><v>1</v></c><c r="C1" t="s"><v>3</v></c><c r="D1" t="s"><v>0</v></c></row>`, "1|zero|one ||zero"},
		"characters XML has not":      {`<row r="1"><c r="A1" t="s"><v>2</v></c></row>`, "1|a\r\n_x0041_&"},
		"beyond the first plane":      {`<row r="1"><c r="A1" t="inlineStr"><is><t>_xD83D__xDE00__xD83D_x</t></is></c></row>`, "1|😀\xFFx"},
		"CDATA, a comment":            {`<row r="1"><c r="A1" t="inlineStr"><is><t><![CDATA[<a>]]>b<!-- c -->d</t></is></c></row>`, "1|<a>bd"},
		"numbers":                     {`<row r="1"><c><v>4.9151E+11</v></c><c><v>0.10000000000000001</v></c><c><v>12345678901234567890</v></c><c><v>-1.5E-3</v></c><c><v>1E+300</v></c></row>`, "1|491510000000|0.1|12345678901234567890|-0.0015|1e+300"},
		"with the digits of a format": {`<row r="1"><c s="4"><v>1234</v></c><c s="4"><v>-7</v></c><c s="4"><v>1.5</v></c><c s="4"><v>1234567</v></c><c s="6"><v>1.25</v></c><c s="8"><v>12</v></c><c s="10"><v>1234</v></c></row>`, "1|01234|-00007|1.5|1234567|1.25|12|1234"},
		"days":                        {`<row r="1"><c s="1"><v>46115</v></c><c s="2"><v>46115</v></c><c s="1"><v>46115.5</v></c><c s="2"><v>1</v></c><c s="2"><v>59</v></c><c s="2"><v>60</v></c><c s="2"><v>61</v></c></row>`, "1|2026-04-03|2026-04-03|2026-04-03T12:00:00|1900-01-01|1900-02-28|1900-02-29|1900-03-01"},
		"days and times":              {`<row r="1"><c s="3"><v>46115.41666666667</v></c><c s="3"><v>46115</v></c><c s="7"><v>46115.999988426</v></c><c s="3"><v>46115.0000057870</v></c></row>`, "1|2026-04-03T10:00:00|2026-04-03T00:00:00|2026-04-03T23:59:59|2026-04-03T00:00:00.500"},
		"times":                       {`<row r="1"><c s="9"><v>0.75</v></c><c s="5"><v>1.25</v></c></row>`, "1|18:00:00|30:00:00"},
		"a day shown as a time":       {`<row r="1"><c s="9"><v>45000.5</v></c></row>`, "1|2023-03-15T12:00:00"},
		"what is shown as no day":     {`<row r="1"><c s="1"><v>-1</v></c><c s="1"><v>2958466</v></c><c s="99"><v>5</v></c></row>`, "1|-1|2958466|5"},
		"truth":                       {`<row r="1"><c t="b"><v>1</v></c><c t="b"><v>0</v></c></row>`, "1|true|false"},
		"results of formulas":         {`<row r="1"><c t="str"><f>A2&amp;"x"</f><v>x_x000A_y</v></c><c><f>1+1</f><v>2</v></c><c t="str"><f>""</f><v></v></c><c><f>B1</f></c><c t="e"><f>1/0</f><v>#DIV/0!</v></c><c t="e"><v>#N/A</v></c></row>`, "1|x\ny|2||<no result>|<#DIV/0!>|<#N/A>"},
		"formulas as openpyxl writes": {`<row r="1"><c r="A1"><f>B1&amp;" "&amp;C1</f><v/></c><c t="n"><f>1+1</f><v></v></c><c t="s"><f>A1</f><v/></c><c><v/></c><c t="str"><f>A1</f><v/></c><c t="inlineStr"><f>A1</f><is/></c><c><v>1</v></c></row>`, "1|<no result>|<no result>|<no result>||||1"},
		"a date in ISO 8601":          {`<row r="1"><c t="d"><v>2026-04-03T10:00:00</v></c></row>`, "1|2026-04-03T10:00:00"},
		"gaps":                        {`<row r="2"><c r="B2"><v>1</v></c><c r="E2"><v>2</v></c><c><v>3</v></c></row><row r="5"/><row><c><v>4</v></c></row>`, "2||1|||2|3\n6|4"},
		"empty cells at the end":      {`<row r="1"><c><v>1</v></c><c s="1"/><c t="s"><v>3</v></c><c r="XFD1" s="4"/></row><row r="2"><c s="1"/></row><row r="1048576" ht="9"/>`, "1|1"},
		"the last place":              {`<row r="1048576"><c r="A1048576"><v>1</v></c></row>`, "1048576|1"},
		"a prefix":                    {`<x:row r="1"><x:c x:r="B1"><x:v>1</x:v></x:c></x:row>`, "1||1"},
		"things nobody has heard of":  {`<row r="1"><ext><c><v>9</v></c></ext><c><foo><v>8</v></foo><v>1</v><extLst/></c></row><foo><row/></foo>`, "1|1"},
		"merged: the first has it":    {`<row r="1"><c r="A1"><v>1</v></c><c r="B1"/></row><row r="2"><c r="A2"/><c r="B2"><v>2</v></c></row>`, "1|1\n2||2"},
		"more text than a cell has":   {`<row r="1"><c t="inlineStr"><is><t>` + strings.Repeat("x", 3<<20) + `</t></is></c><c><v>1</v></c></row>`, "1|<too long>|1"},
		"and in pieces":               {`<row r="1"><c t="str"><v>` + strings.Repeat("<![CDATA["+strings.Repeat("y", 1000)+"]]>", 1100) + `</v></c><c><v>1</v></c></row>`, "1|<too long>|1"},
		"more text than a row has":    {`<row r="1">` + strings.Repeat(`<c t="inlineStr"><is><t>`+strings.Repeat("z", 600_000)+`</t></is></c>`, 5) + `<c t="s"><v>0</v></c></row><row><c><v>1</v></c></row>`, "1|" + strings.Repeat(strings.Repeat("z", 600_000)+"|", 2) + "<too long>|<too long>|<too long>|<too long>\n2|1"},
		"line ends":                   {"<row r=\"1\">\r\n<c t=\"inlineStr\"><is><t>a\r\nb\rc</t></is></c></row>", "1|a\nb\nc"},
		"nothing":                     {``, ""},
		"quotes of the other kind, >": {`<row r='1' x=">"><c r='A1' t='str'><v>1</v></c></row>`, "1|1"},
		"an attribute with an entity": {`<row r="&#49;"><c><v>1</v></c></row>`, "1|1"},
		"spaces in tags":              {"<row\n r = \"1\" ><c ><v >1</v ></c\n></row >", "1|1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rows, err := read(pack(t, parts(string(sheet(c.row)))), 0)
			require.NoError(t, err)
			require.Equal(t, c.want, strings.Join(rows, "\n"))
		})
	}
}

// A format is read as far as it changes what a number is.
func TestFormats(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ code, value, want string }{
		{`h"時"mm"分";@`, "0.5625", "13:30:00"},
		{`hh"h"mm`, "0.5625", "13:30:00"},
		{`[h]"h"mm`, "0.5625", "13:30:00"},
		{`[h]"h"mm`, "1.5625", "37:30:00"},
		{`h\h mm`, "0.5625", "13:30:00"},
		{`mm"m "ss"s"`, "0.5625", "13:30:00"},
		{`mm:ss.0`, "0.5625", "13:30:00"},
		{`[mm]:ss`, "1.5", "36:00:00"},
		{`[ss]`, "1.5", "36:00:00"},
		{`h:mm`, "45000.5", "2023-03-15T12:00:00"},
		{`h:mm AM/PM`, "45000.5", "2023-03-15T12:00:00"},
		{`h:mm;[h]:mm`, "1.25", "1900-01-01T06:00:00"},
		{`h:mm`, "0.99999999999", "24:00:00"},
		{`mm/yyyy`, "45000", "2023-03-15"},
		{`mmmm`, "45000", "2023-03-15"},
		{`"hours" mm`, "45000", "2023-03-15"},
		{`mm h`, "45000.5", "2023-03-15T12:00:00"},
		{`d/m h:mm`, "45000.5", "2023-03-15T12:00:00"},
		{`h:mm mmm`, "45000.5", "2023-03-15T12:00:00"},
		{`h AM/PM mm`, "0.5", "1899-12-31T12:00:00"},
		{`h "o'clock" mmm`, "0.5", "1899-12-31T12:00:00"},
	} {
		all := parts(string(sheet(`<row><c s="2"><v>` + c.value + `</v></c></row>`)))
		all["xl/styles.xml"] = strings.Replace(all["xl/styles.xml"], "dd/mm/yyyy", strings.ReplaceAll(c.code, `"`, "&quot;"), 1)
		rows, err := readParts(all)
		require.NoError(t, err)
		if got := strings.Join(rows, "\n"); got != "1|"+c.want {
			t.Errorf("%s of %s: %s", c.code, c.value, got)
		}
	}
}

// What is damaged is an error that says after which row, never the end.
func TestDamagedSheets(t *testing.T) {
	t.Parallel()
	good := `<row r="1"><c><v>1</v></c></row>`
	for name, c := range map[string]struct{ xml, says string }{
		"cut off in a row":      {`<worksheet><sheetData>` + good + `<row r="2"><c><v>2</v>`, `sheet "S" after row 1: it is cut off`},
		"cut off in a tag":      {`<worksheet><sheetData>` + good + `<row r="2`, "cut off"},
		"cut off between rows":  {`<worksheet><sheetData>` + good, "cut off"},
		"cut off after them":    {`<worksheet><sheetData>` + good + `</sheetData>`, "cut off"},
		"nothing":               {``, "cut off"},
		"wrongly nested":        {`<worksheet><sheetData>` + good + `<row r="2"><c><v>2</c></v></row></sheetData></worksheet>`, "after row 1: it is not well-formed XML: <v> is ended by </c>"},
		"a bad entity":          {`<worksheet><sheetData>` + good + `<row r="2"><c t="str"><v>&bad;</v></c></row></sheetData></worksheet>`, "&bad; is not known"},
		"a document type":       {`<!DOCTYPE x [<!ENTITY a "aaaa">]><worksheet><sheetData><row><c t="str"><v>&a;</v></c></row></sheetData></worksheet>`, "document type"},
		"an attribute, no end":  {`<worksheet><sheetData><row r="1></sheetData></worksheet>`, "cut off"},
		"an attribute twice":    {`<worksheet><sheetData><row r="1" r="2"></row></sheetData></worksheet>`, "twice"},
		"no quotes":             {`<worksheet><sheetData><row r=1></row></sheetData></worksheet>`, "without quotes"},
		"rows backwards":        {`<worksheet><sheetData>` + good + good + `</sheetData></worksheet>`, "after row 1: row 1 comes next"},
		"rows beyond the last":  {`<worksheet><sheetData><row r="1048577"/></sheetData></worksheet>`, "row 1048577"},
		"a row that is none":    {`<worksheet><sheetData><row r="x"/></sheetData></worksheet>`, `the number "x"`},
		"cells backwards":       {`<worksheet><sheetData><row r="1"><c r="B1"/><c r="B1"/></row></sheetData></worksheet>`, `the place "B1"`},
		"cells beyond the last": {`<worksheet><sheetData><row r="1"><c r="XFE1"/></row></sheetData></worksheet>`, `the place "XFE1"`},
		"many attributes":       {`<worksheet><sheetData><row` + attributes(300) + `/></sheetData></worksheet>`, "more than 256 attributes"},
		"no such shared string": {`<worksheet><sheetData><row r="1"><c t="s"><v>4</v></c></row></sheetData></worksheet>`, "the shared string 4, and there are 4"},
		"no number":             {`<worksheet><sheetData><row r="1"><c><v>1x</v></c></row></sheetData></worksheet>`, `the number "1x"`},
		"an unknown kind":       {`<worksheet><sheetData><row r="1"><c t="zz"><v>1</v></c></row></sheetData></worksheet>`, "a kind that is not known"},
		"rows twice":            {`<worksheet><sheetData/><sheetData/></worksheet>`, "its rows twice"},
		"a chart":               {`<chartsheet><drawing/></chartsheet>`, "no worksheet"},
		"no rows":               {`<worksheet><sheetViews/></worksheet>`, "no worksheet"},
		"two documents":         {`<worksheet><sheetData/></worksheet><worksheet/>`, "a second element"},
		"text after it":         {`<worksheet><sheetData/></worksheet>x`, "text outside"},
		"another encoding":      {`<?xml version="1.0" encoding="ISO-8859-1"?><worksheet><sheetData/></worksheet>`, `"iso-8859-1", which is not supported`},
		"UTF-16":                {"\xFF\xFE<\x00w\x00", "not UTF-8"},
		"very deep":             {`<worksheet><sheetData>` + strings.Repeat("<a>", 1000), "too deep"},
		"a very long tag":       {`<worksheet><sheetData><row r="` + strings.Repeat("1", 3<<20), "too long"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := read(pack(t, parts(c.xml)), 0)
			var damage *xlsx.Error
			require.ErrorAs(t, err, &damage)
			require.Contains(t, err.Error(), c.says)
		})
	}
	for _, part := range []string{"_rels/.rels", "xl/workbook.xml", "xl/_rels/workbook.xml.rels", "xl/strings.xml", "xl/styles.xml", "xl/worksheets/s.xml"} {
		damaged := parts(string(sheet(`<row><c t="s"><v>3</v></c></row>`)))
		damaged[part] = damaged[part][:len(damaged[part])-12]
		_, err := read(pack(t, damaged), 0)
		require.ErrorIs(t, err, io.ErrUnexpectedEOF, part)
		delete(damaged, part)
		_, err = read(pack(t, damaged), 0)
		require.Error(t, err, part)
	}
}

// attributes are n of a tag.
func attributes(n int) string {
	var out strings.Builder
	for i := range n {
		fmt.Fprintf(&out, ` a%d=""`, i)
	}
	return out.String()
}

// What a workbook says of its parts is bounded, and names each once.
func TestDamagedDirectories(t *testing.T) {
	t.Parallel()
	const rel = `<Relationship Id="rId1" Type="` + relType + `worksheet" Target="worksheets/s.xml"/>`
	for name, c := range map[string]struct{ part, old, with, says string }{
		"a relation twice": {"xl/_rels/workbook.xml.rels", rel, rel + rel, `two relations have the id "rId1"`},
		"many relations": {"xl/_rels/workbook.xml.rels", rel, func() string {
			var out strings.Builder
			for i := range 10_001 {
				fmt.Fprintf(&out, `<Relationship Id="x%d"/>`, i)
			}
			return out.String()
		}(), "more than 10000 relations"},
		"a long target":  {"xl/_rels/workbook.xml.rels", "worksheets/s.xml", strings.Repeat("s", 5000), "a relation is longer than 4096 bytes"},
		"many sheets":    {"xl/workbook.xml", `<sheet name="S" sheetId="1" r:id="rId1"/>`, strings.Repeat(`<sheet name="S" sheetId="1" r:id="rId1"/>`, 1001), "more than 1000 sheets"},
		"a sheet's name": {"xl/workbook.xml", `name="S"`, `name="` + strings.Repeat("S", 5000) + `"`, "the name of a sheet is longer than 4096 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			all := parts(string(sheet(`<row><c><v>1</v></c></row>`)))
			require.Contains(t, all[c.part], c.old)
			all[c.part] = strings.Replace(all[c.part], c.old, c.with, 1)
			_, err := open(pack(t, all))
			var damage *xlsx.Error
			require.ErrorAs(t, err, &damage)
			require.Equal(t, c.part, damage.Part)
			require.Contains(t, err.Error(), c.says)
		})
	}
}

func TestSheets(t *testing.T) {
	t.Parallel()
	f := excelize.NewFile()
	require.NoError(t, f.SetSheetName("Sheet1", "First & <only>"))
	_, err := f.NewSheet("Hidden")
	require.NoError(t, err)
	_, err = f.NewSheet("Last")
	require.NoError(t, err)
	require.NoError(t, f.SetSheetVisible("Hidden", false))
	require.NoError(t, f.AddChartSheet("Chart", &excelize.Chart{Type: excelize.Col, Series: []excelize.ChartSeries{{Name: "x", Values: "Last!$A$1:$A$2"}}}))
	require.NoError(t, f.SetSheetRow("Hidden", "A1", &[]string{"secret"}))
	require.NoError(t, f.SetSheetRow("Last", "B3", &[]any{"x", 1.5, true, time.Date(2026, 4, 3, 10, 0, 0, 0, time.UTC)}))
	var out bytes.Buffer
	require.NoError(t, f.Write(&out))
	w, err := open(out.Bytes())
	require.NoError(t, err)
	require.Equal(t, []xlsx.Sheet{{Name: "First & <only>"}, {Name: "Hidden", Hidden: true}, {Name: "Last"}}, w.Sheets())
	rows, err := read(out.Bytes(), 2)
	require.NoError(t, err)
	require.Equal(t, []string{"3||x|1.5|true|2026-04-03T10:00:00"}, rows)
	rows, err = read(out.Bytes(), 0)
	require.NoError(t, err)
	require.Empty(t, rows)

	dated := parts(string(sheet(`<row><c s="2"><v>0</v></c><c s="2"><v>44653</v></c></row>`)))
	dated["xl/workbook.xml"] = strings.Replace(dated["xl/workbook.xml"], "<sheets>", `<workbookPr date1904="1"/><sheets>`, 1)
	rows, err = read(pack(t, dated), 0)
	require.NoError(t, err)
	require.Equal(t, []string{"1|1904-01-01|2026-04-03"}, rows)
	word := parts("")
	word["_rels/.rels"] = strings.Replace(word["_rels/.rels"], "xl/workbook.xml", "word/document.xml", 1)
	_, err = open(pack(t, word))
	require.ErrorIs(t, err, xlsx.ErrNoWorkbook)
}

// More shared strings than are kept in memory say the same, in whatever order they are asked for.
func TestManySharedStrings(t *testing.T) {
	t.Parallel()
	var strings_, rows strings.Builder
	const n = 60_000
	word := func(i int) string { return fmt.Sprintf("%d %s", i, strings.Repeat("word ", 40+i%400)) }
	for i := range n {
		fmt.Fprintf(&strings_, "<si><t>%s</t></si>", word(i))
		fmt.Fprintf(&rows, `<row><c t="s"><v>%d</v></c><c t="s"><v>%d</v></c><c t="s"><v>%d</v></c></row>`, i, (i*7919)%(i+1), i/2)
	}
	all := parts(string(sheet(rows.String())))
	all["xl/strings.xml"] = "<sst>" + strings_.String() + "</sst>"
	require.Greater(t, len(all["xl/strings.xml"]), 64<<20)
	got, err := read(pack(t, all), 0)
	require.NoError(t, err)
	require.Len(t, got, n)
	for i, row := range got {
		require.Equal(t, fmt.Sprintf("%d|%s|%s|%s", i+1, word(i), word((i*7919)%(i+1)), word(i/2)), row)
	}
}
