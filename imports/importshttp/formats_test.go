package importshttp_test

import (
	"archive/zip"
	"bytes"
	"compress/gzip"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/xuri/excelize/v2"

	"github.com/stratakit/strata/customfields"
	"github.com/stratakit/strata/imports"
	"github.com/stratakit/strata/internal/charset"
	"github.com/stratakit/strata/internal/web"
)

// The registry of .gov domains says the same in every format, over HTTP: what was committed
// from one of them is unchanged by all others.
func TestGovRegistryInEveryFormat(t *testing.T) {
	t.Parallel()
	w := openWith(t, imports.Config{})
	require.NoError(t, w.s.Start(t.Context()))
	for _, key := range []string{"state", "domain", "city"} {
		_, err := w.s.Fields.Create(w.A.Ctx, customfields.Field{Key: key, Type: customfields.Text})
		require.NoError(t, err)
	}
	plain, err := os.ReadFile("../../examples/quickstart/data/gov-domains.csv")
	require.NoError(t, err)
	const mapping = `"Security contact email":"email","Organization name":"name","State":"fields.state","Domain name":"fields.domain","City":"fields.city"`

	latin := strings.NewReplacer("County", "Cöunty", "Saint", "Säint", "’", "'", "ñ", "n").Replace(string(plain)) // what code pages differ in
	asian := strings.NewReplacer("County", "山田", "Saint", "金", "’", "'", "ñ", "n").Replace(string(plain))
	for text, formats := range map[string]map[string]struct {
		file    []byte
		options string
		want    string
	}{
		latin: {
			"UTF-8":                    {file: []byte(latin), want: `{"kind":"csv","encoding":"utf-8","delimiter":",","headerRow":1}`},
			"UTF-8 with BOM":           {file: []byte("\uFEFF" + latin), want: `{"kind":"csv","encoding":"utf-8","delimiter":",","headerRow":1}`},
			"UTF-16LE with BOM":        {file: in(t, "utf-16le", "\uFEFF"+latin), want: `{"kind":"csv","encoding":"utf-16le","delimiter":",","headerRow":1}`},
			"UTF-16LE":                 {file: in(t, "utf-16le", latin), want: `{"kind":"csv","encoding":"utf-16le","delimiter":",","headerRow":1}`},
			"UTF-16BE with BOM":        {file: in(t, "utf-16be", "\uFEFF"+latin), want: `{"kind":"csv","encoding":"utf-16be","delimiter":",","headerRow":1}`},
			"UTF-32LE with BOM":        {file: in(t, "utf-32le", "\uFEFF"+latin), want: `{"kind":"csv","encoding":"utf-32le","delimiter":",","headerRow":1}`},
			"Windows-1252":             {file: in(t, "windows-1252", latin), want: `{"kind":"csv","encoding":"windows-1252","delimiter":",","headerRow":1}`},
			"Windows-1250, asked for":  {file: in(t, "windows-1250", latin), options: `"encoding":"cp1250"`, want: `{"kind":"csv","encoding":"windows-1250","delimiter":",","headerRow":1}`},
			"ISO-8859-15, asked for":   {file: in(t, "iso-8859-15", latin), options: `"encoding":"ISO-8859-15"`, want: `{"kind":"csv","encoding":"iso-8859-15","delimiter":",","headerRow":1}`},
			"macintosh, asked for":     {file: in(t, "macintosh", latin), options: `"encoding":"macintosh"`, want: `{"kind":"csv","encoding":"macintosh","delimiter":",","headerRow":1}`},
			"semicolons and CRLF":      {file: rewrite(t, latin, ';', "\r\n"), want: `{"kind":"csv","encoding":"utf-8","delimiter":";","headerRow":1}`},
			"sep= and bars":            {file: append([]byte("sep=|\n"), rewrite(t, latin, '|', "\n")...), want: `{"kind":"csv","encoding":"utf-8","delimiter":"|","headerRow":1}`},
			"tabs and CR":              {file: rewrite(t, latin, '\t', "\r"), want: `{"kind":"csv","encoding":"utf-8","delimiter":"\t","headerRow":1}`},
			"titles before the header": {file: []byte("The registry\n\n\"as of\",today\n" + latin), want: `{"kind":"csv","encoding":"utf-8","delimiter":",","headerRow":4}`},
			"the header is asked for":  {file: []byte("a,b,c,d,e,f,g\n" + latin), options: `"headerRow":2,"delimiter":","`, want: `{"kind":"csv","encoding":"utf-8","delimiter":",","headerRow":2}`},
			"gzip":                     {file: gz(t, in(t, "windows-1252", latin)), want: `{"kind":"csv","encoding":"windows-1252","delimiter":",","compression":"gzip","headerRow":1}`},
			"zip":                      {file: zipFile(t, in(t, "utf-16be", latin)), want: `{"kind":"csv","encoding":"utf-16be","delimiter":",","compression":"zip","headerRow":1}`},
			"XLSX":                     {file: sheet(t, latin), want: `{"kind":"xlsx","sheet":"Registry","sheets":["Notes","Registry"],"headerRow":3}`},
		},
		asian: {
			"UTF-8":                  {file: []byte(asian), want: `{"kind":"csv","encoding":"utf-8","delimiter":",","headerRow":1}`},
			"Shift-JIS, asked for":   {file: in(t, "shift_jis", asian), options: `"encoding":"sjis"`, want: `{"kind":"csv","encoding":"shift_jis","delimiter":",","headerRow":1}`},
			"EUC-JP, asked for":      {file: in(t, "euc-jp", asian), options: `"encoding":"euc-jp"`, want: `{"kind":"csv","encoding":"euc-jp","delimiter":",","headerRow":1}`},
			"ISO-2022-JP":            {file: in(t, "iso-2022-jp", asian), want: `{"kind":"csv","encoding":"iso-2022-jp","delimiter":",","headerRow":1}`},
			"GB18030, asked for":     {file: in(t, "gb18030", asian), options: `"encoding":"gbk"`, want: `{"kind":"csv","encoding":"gb18030","delimiter":",","headerRow":1}`},
			"Big5, asked for":        {file: in(t, "big5", asian), options: `"encoding":"big5"`, want: `{"kind":"csv","encoding":"big5","delimiter":",","headerRow":1}`},
			"EUC-KR, asked for":      {file: in(t, "euc-kr", asian), options: `"encoding":"euc-kr"`, want: `{"kind":"csv","encoding":"euc-kr","delimiter":",","headerRow":1}`},
			"UTF-16BE without a BOM": {file: in(t, "utf-16be", asian), want: `{"kind":"csv","encoding":"utf-16be","delimiter":",","headerRow":1}`},
		},
	} {
		require.Contains(t, []string{latin, asian}, text)
		process := func(name string) (job string, imp imports.Import) {
			f := formats[name]
			up := decode[imports.Upload](t, w.do(t, "a", "POST", w.base+"/upload-url", fmt.Sprintf(`{"fileName":"gov","size":%d,"contentType":"application/octet-stream"}`, len(f.file))), 201)
			require.Equal(t, 201, w.put(t, up.URL, "application/octet-stream", bytes.NewReader(f.file)).Code)
			job = w.base + "/" + up.ID.String()
			started := w.do(t, "a", "POST", job+"/process", `{"mapping":{`+mapping+`},"options":{`+f.options+`}}`)
			require.Equal(t, 202, started.Code, "%s: %s", name, started.Body)
			w.do(t, "a", "GET", strings.Replace(job, "/recipients/imports/", "/jobs/", 1)+"/progress", "") // to its end
			imp = decode[web.Data[imports.Import]](t, w.do(t, "a", "GET", job, ""), 200).Data
			require.Equal(t, imports.Previewed, imp.Status, "%s: %s", name, imp.Error)
			got, err := json.Marshal(imp.Format)
			require.NoError(t, err)
			require.JSONEq(t, f.want, string(got), name)
			return job, imp
		}
		job, first := process("UTF-8")
		require.EqualValues(t, 16539, first.TotalRows)
		w.work(t, job, "commit", imports.Processing)
		for name := range formats {
			_, imp := process(name)
			require.Equal(t, []int64{16539, 0, 0, first.New + first.Changed + first.Unchanged, first.Duplicate, first.Invalid},
				[]int64{imp.TotalRows, imp.New, imp.Changed, imp.Unchanged, imp.Duplicate, imp.Invalid}, name)
		}
	}
}

func in(t *testing.T, encoding, text string) []byte {
	t.Helper()
	b, err := charset.Encode(text, encoding)
	require.NoError(t, err, encoding)
	return b
}

func records(t *testing.T, text string) [][]string {
	t.Helper()
	all, err := csv.NewReader(strings.NewReader(text)).ReadAll()
	require.NoError(t, err)
	return all
}

// rewrite writes CSV with another delimiter and other ends of lines.
func rewrite(t *testing.T, text string, delimiter rune, end string) []byte {
	t.Helper()
	var out bytes.Buffer
	w := csv.NewWriter(&out)
	w.Comma = delimiter
	require.NoError(t, w.WriteAll(records(t, text)))
	return bytes.ReplaceAll(out.Bytes(), []byte("\n"), []byte(end))
}

func gz(t *testing.T, file []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	_, err := w.Write(file)
	require.NoError(t, err)
	require.NoError(t, w.Close())
	return out.Bytes()
}

func zipFile(t *testing.T, file []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w := zip.NewWriter(&out)
	f, err := w.Create("gov.csv")
	require.NoError(t, err)
	_, err = f.Write(file)
	require.NoError(t, err)
	require.NoError(t, w.Close())
	return out.Bytes()
}

// sheet is a workbook whose second sheet has the records, after a title.
func sheet(t *testing.T, text string) []byte {
	t.Helper()
	f := excelize.NewFile()
	require.NoError(t, f.SetSheetName("Sheet1", "Notes"))
	_, err := f.NewSheet("Registry")
	require.NoError(t, err)
	require.NoError(t, f.SetCellStr("Registry", "B1", "The registry"))
	for i, record := range records(t, text) {
		at, err := excelize.CoordinatesToCellName(1, i+3)
		require.NoError(t, err)
		require.NoError(t, f.SetSheetRow("Registry", at, &record))
	}
	var out bytes.Buffer
	require.NoError(t, f.Write(&out))
	return out.Bytes()
}
