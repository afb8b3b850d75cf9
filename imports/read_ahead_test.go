package imports

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/tenancy"
)

// chunkOf reads the first chunk of a file whose columns are all ignored but the first.
func chunkOf(ctx context.Context, t *testing.T, file io.Reader, header ...string) chunk {
	t.Helper()
	f := format{Delimiter: ",", Header: header}
	targets := make([]string, len(header))
	targets[0] = "email"
	j, err := newJudge(plan{Format: f, Targets: targets}, nil, products{})
	require.NoError(t, err)
	return readChunk(ctx, newRecordReader(file, f, 0, 0), j, readCursor{}, math.MaxInt16)
}

// A chunk takes little memory, however much is wrong with its rows.
func TestChunkOfBadRows(t *testing.T) {
	t.Parallel()
	header := append([]string{"email"}, strings.Split(strings.Repeat("c,", 998)+"c", ",")...)
	row := "a@example.com" + strings.Repeat(",\xff", len(header)-1) + "\n"
	c := chunkOf(t.Context(), t, strings.NewReader(strings.Repeat(row, 3000)), header...)
	require.NoError(t, c.err)
	require.False(t, c.next.EOF)
	held := 0
	for _, row := range c.rows {
		held += len(row[7].([]byte))
		for _, cell := range row[9].([]string) {
			held += len(cell)
		}
	}
	require.Less(t, held, chunkBytes+len(header)*100)

	var errs []tenancy.FieldError
	require.NoError(t, json.Unmarshal(c.rows[0][7].([]byte), &errs))
	require.Len(t, errs, maxProblems+1)
	require.Equal(t, tenancy.FieldError{Field: "row", Code: "more_errors", Message: "and 979 more"}, errs[maxProblems])
	require.Len(t, c.rows[0][9], len(header), "the cells are all kept")
}

// Nor does one whose rows consist of nothing but cells.
func TestChunkOfEmptyCells(t *testing.T) {
	t.Parallel()
	c := chunkOf(t.Context(), t, strings.NewReader(strings.Repeat(strings.Repeat(",", maxRecordBytes-1)+"\n", 4)), "email")
	require.NoError(t, c.err)
	require.Len(t, c.rows, 1)
}

func TestReadingEndsWithItsContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	c := chunkOf(ctx, t, strings.NewReader("a@example.com\n"), "email")
	require.ErrorIs(t, c.err, context.Canceled)
	require.Empty(t, c.rows)
}

// So does reading again what is held of a file: a part of a workbook can be asked for many times.
func TestReadingAgainEndsWithItsContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	s := &source{ctx: ctx, size: 3, block: 4, held: []block{{0, []byte("abc")}}}
	b, err := io.ReadAll(s.all())
	require.NoError(t, err)
	require.Equal(t, "abc", string(b))
	cancel()
	_, err = io.ReadAll(s.all())
	require.ErrorIs(t, err, context.Canceled)
	require.ErrorIs(t, s.damage(errors.New("zip: not a valid zip file")), context.Canceled)
}

// Whoever waits for a chunk in a transaction is called while the reading takes its time.
func TestWaitingForAChunk(t *testing.T) {
	t.Parallel()
	a := &readAhead{chunks: make(chan chunk)}
	calls := 0
	c, err := a.next(t.Context(), func() error {
		if calls++; calls == 2 {
			go func() { a.chunks <- chunk{next: readCursor{Row: 7}} }()
		}
		return nil
	})
	require.NoError(t, err)
	require.Equal(t, 7, c.next.Row)
	require.GreaterOrEqual(t, calls, 2)
	_, err = a.next(t.Context(), func() error { return io.ErrClosedPipe })
	require.ErrorIs(t, err, io.ErrClosedPipe, "the connection is gone")
}
