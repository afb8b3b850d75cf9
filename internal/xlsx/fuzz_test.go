package xlsx_test

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/xuri/excelize/v2"

	"github.com/stratakit/strata/internal/xlsx"
)

// FuzzSheet holds the reader to encoding/xml: where that finds a document that is whole, as many
// rows and cells have something in them here, or there is an error; where it finds that the
// document is cut off, there is one.
func FuzzSheet(f *testing.F) {
	for _, rows := range []string{
		`<row r="1"><c r="A1"><v>1</v></c><c r="C1" t="s"><v>1</v></c></row><row r="3"><c t="inlineStr"><is><r><t>a</t></r><rPh><t>b</t></rPh></is></c></row>`,
		`<row><c t="str"><f>A1</f><v>x_x000D_&amp;</v></c><c t="b"><v>0</v></c><c t="e"><v>#N/A</v></c><c><f>B1</f></c></row>`,
		`<row><c r="B1"><f>A1</f><v/></c><c t="n"><f>A1</f><v></v></c><c t="str"><f>A1</f><v/></c><c><v/></c></row>`,
		`<row r="2" x='>'><c s="1"><v>46115.5</v></c><!-- c --><c t="str"><v><![CDATA[<v>]]></v></c></row><row/><x><row><c><v>2</v></c></row></x>`,
	} {
		f.Add(sheet(rows))
	}
	f.Add([]byte(`<a:worksheet xmlns:a="x"><a:sheetData><a:row><a:c><a:v>1</a:v></a:c></a:row></a:sheetData></a:worksheet>`))
	f.Fuzz(func(t *testing.T, content []byte) {
		rows, err := readParts(parts(string(content)))
		wantRows, wantCells, truth := count(content)
		if err != nil {
			return
		}
		if truth != nil { // it is stricter with what nothing can be lost by
			require.NotContains(t, truth.Error(), "unexpected EOF", "%v", rows)
			return
		}
		cells := 0
		for _, row := range rows {
			_, rest, _ := strings.Cut(row, "|")
			for c := range strings.SplitSeq(rest, "|") {
				if c != "" {
					cells++
				}
			}
		}
		if bytes.IndexByte(content, '|') >= 0 || bytes.Contains(content, []byte("&#")) {
			cells = wantCells // they cannot be told apart
		}
		require.Equal(t, fmt.Sprint(wantRows, wantCells), fmt.Sprint(len(rows), cells), "%v", rows)
	})
}

// readParts reads a workbook that is not packed.
func readParts(parts map[string]string) ([]string, error) {
	w, err := xlsx.Open(func(name string) (io.Reader, error) {
		if p, ok := parts[name]; ok {
			return strings.NewReader(p), nil
		}
		return nil, fs.ErrNotExist
	})
	if err != nil {
		return nil, err
	}
	return rowsOf(w, 0)
}

// count counts, by encoding/xml, the rows that have something in a cell, and such cells.
func count(content []byte) (rows, cells int, err error) {
	d := xml.NewDecoder(bytes.NewReader(bytes.TrimPrefix(content, []byte("\xEF\xBB\xBF"))))
	var path []string
	inRow := 0
	var kind, value, inline string
	var formula, hasValue bool
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return rows, cells, nil
		}
		if err != nil {
			return rows, cells, err
		}
		switch x := token.(type) {
		case xml.StartElement:
			path = append(path, x.Name.Local)
			switch at := strings.Join(path, "/"); at {
			case "worksheet/sheetData/row":
				inRow = 0
			case "worksheet/sheetData/row/c":
				kind, value, inline, formula, hasValue = "", "", "", false, false
				for _, a := range x.Attr {
					if a.Name.Local == "t" {
						kind = a.Value
					}
				}
			case "worksheet/sheetData/row/c/f":
				formula = true
			case "worksheet/sheetData/row/c/v", "worksheet/sheetData/row/c/is":
				hasValue = true
			}
		case xml.EndElement:
			at := strings.Join(path, "/")
			path = path[:len(path)-1]
			switch at {
			case "worksheet/sheetData/row":
				if inRow > 0 {
					rows, cells = rows+1, cells+inRow
				}
			case "worksheet/sheetData/row/c":
				empty := inline == "" && (value == "" || kind == "s" && strings.TrimSpace(value) == "3")
				// The result of a formula is empty only where it says that it is a text.
				if !empty || formula && (!hasValue || inline == "" && value == "" && kind != "str" && kind != "inlineStr") {
					inRow++
				}
			}
		case xml.CharData:
			at := strings.Join(path, "/")
			if at == "worksheet/sheetData/row/c/v" || strings.HasPrefix(at, "worksheet/sheetData/row/c/v/") {
				value += string(x)
			}
			if strings.HasPrefix(at, "worksheet/sheetData/row/c/is/") && strings.Contains(at+"/", "/t/") && !strings.Contains(at, "/rPh") && !strings.Contains(at, "/phoneticPr") {
				inline += string(x)
			}
		}
	}
}

// FuzzFile changes bytes of a workbook that excelize wrote: it is read as it was, or there is an
// error. What a few bytes of the directory say (times, versions) is not looked at.
func FuzzFile(f *testing.F) {
	const n = 200
	file := excelize.NewFile()
	var want []string
	for i := 1; i <= n; i++ {
		require.NoError(f, file.SetSheetRow("Sheet1", fmt.Sprintf("A%d", i), &[]any{fmt.Sprintf("p%d@example.com", i), i, "same"}))
		want = append(want, fmt.Sprintf("%d|p%d@example.com|%d|same", i, i, i))
	}
	var out bytes.Buffer
	require.NoError(f, file.Write(&out))
	good := out.Bytes()
	f.Add(uint16(0), byte(0), uint16(0))
	for at := range uint16(60) {
		f.Add(at*131, byte(at), at)
	}
	f.Fuzz(func(t *testing.T, at uint16, with byte, cut uint16) {
		changed := bytes.Clone(good)
		changed[int(at)%len(changed)] ^= with
		changed = changed[:len(changed)-int(cut)%len(changed)]
		rows, err := read(changed, 0)
		if err == nil {
			require.Equal(t, want, rows)
		}
	})
}
