package exports

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/stratakit/strata/internal/formula"
	"github.com/stratakit/strata/recipients"
)

// encoder writes one file. It is for one goroutine.
type encoder interface {
	row(r *recipients.Recipient) error
	// end writes what comes after the last row.
	end() error
	// close lets go of what the encoder holds beside what it has written.
	close()
}

// encode writes a file of all recipients of p to w, and returns how many those were. It calls
// each before every row with how many came before.
func (e *Exporter) encode(ctx context.Context, w io.Writer, p plan, each func(n int64) error) (n int64, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, e.cfg.Timeout, ErrTooSlow)
	defer cancel()
	out := bufio.NewWriterSize(w, 1<<16)
	enc, err := e.encoder(out, p)
	if err != nil {
		return 0, err
	}
	defer enc.close()
	err = e.store.Stream(ctx, p.query(), func(r recipients.Recipient) error {
		if err := each(n); err != nil {
			return err
		}
		n++
		return enc.row(&r)
	})
	if err == nil {
		err = enc.end()
	}
	if err == nil {
		err = out.Flush()
	}
	if err != nil && context.Cause(ctx) == ErrTooSlow { //nolint:errorlint // it is what we gave
		err = ErrTooSlow
	}
	return n, err
}

func (e *Exporter) encoder(w *bufio.Writer, p plan) (encoder, error) {
	switch p.Format {
	case XLSX:
		return newXLSX(w, p.columns, e.cfg.TempDir)
	case JSONL:
		lines := json.NewEncoder(w)
		lines.SetEscapeHTML(false)
		return jsonLines{lines}, nil
	case CSV:
	}
	return newCSV(w, p)
}

type jsonLines struct{ *json.Encoder }

func (l jsonLines) row(r *recipients.Recipient) error { return l.Encode(r) }
func (jsonLines) end() error                          { return nil }
func (jsonLines) close()                              {}

// csvTable writes RFC 4180: lines end in CR LF, and what is in a cell stays as it is, which
// encoding/csv would not do for line breaks.
type csvTable struct {
	w       *bufio.Writer
	columns []column
	line    []byte
}

func newCSV(w *bufio.Writer, p plan) (*csvTable, error) {
	t := &csvTable{w: w, columns: p.columns}
	if p.BOM {
		t.line = append(t.line, "\uFEFF"...)
	}
	for i, c := range t.columns {
		t.cell(i, c.name)
	}
	return t, t.flush()
}

func (t *csvTable) row(r *recipients.Recipient) error {
	for i, c := range t.columns {
		t.cell(i, cellText(c.value(r)))
	}
	return t.flush()
}

func (t *csvTable) flush() error {
	_, err := t.w.Write(append(t.line, '\r', '\n'))
	t.line = t.line[:0]
	return err
}

func (t *csvTable) cell(i int, s string) {
	if i > 0 {
		t.line = append(t.line, ',')
	}
	s = formula.Escape(s)
	switch {
	case s == "" && len(t.columns) == 1: // or the line would be blank, which readers pass over
		t.line = append(t.line, `""`...)
	case strings.ContainsAny(s, "\",\r\n") || s != "" && (s[0] == ' ' || s[len(s)-1] == ' '):
		t.line = append(append(append(t.line, '"'), strings.ReplaceAll(s, `"`, `""`)...), '"')
	default:
		t.line = append(t.line, s...)
	}
}

func (*csvTable) end() error { return nil }
func (*csvTable) close()     {}

// cellText is a value as imports read it.
func cellText(value any) string {
	switch v := value.(type) {
	case string:
		return v
	case bool:
		return strconv.FormatBool(v)
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	case int64:
		return strconv.FormatInt(v, 10)
	case json.Number:
		return v.String()
	case time.Time:
		return v.UTC().Format(time.RFC3339Nano)
	case day:
		return time.Time(v).Format(time.DateOnly)
	}
	return ""
}
