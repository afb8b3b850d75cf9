package imports

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/stratakit/strata/tenancy"
)

// readCursor is where a run stands in its file.
type readCursor struct {
	Clear  bool  `json:"clear,omitempty"` // rows of an earlier reading are still there
	Offset int64 `json:"offset"`          // of the next record
	Row    int   `json:"row"`             // of the last record
	EOF    bool  `json:"eof"`
}

// chunk is the rows of one batch, and where the file goes on after them.
type chunk struct {
	rows [][]any // values of stagedColumns
	next readCursor
	err  error // instead of rows
}

// readAhead reads and judges the next chunk while the one before is being stored: one
// is the work of this process, the other that of PostgreSQL.
type readAhead struct {
	chunks chan chunk
	cancel context.CancelFunc
	done   chan struct{}
}

// chunkBytes bounds the memory of a chunk whose rows are long: what it holds of them, and
// the part of the file that it comes from, which a cell keeps in memory as a whole.
const chunkBytes = 4 << 20

// startReading reads records after from, rows of them at a time, until the end of the
// file or an error. open returns the file from an offset on.
func startReading(ctx context.Context, open func(ctx context.Context, offset int64) (io.ReadCloser, error), f format, j *judge, from readCursor, rows int) (*readAhead, error) {
	from.Clear = false // when the first chunk is stored the earlier rows are gone
	ctx, cancel := context.WithCancel(ctx)
	source, err := open(ctx, from.Offset)
	if err != nil {
		cancel()
		return nil, fmt.Errorf("read the file: %w", err)
	}
	a := &readAhead{chunks: make(chan chunk), cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(a.done)
		defer func() { _ = source.Close() }()
		r := newRecordReader(source, f, from.Offset, from.Row)
		for c := (chunk{next: from}); c.err == nil && !c.next.EOF; {
			c = readChunk(ctx, r, j, c.next, rows)
			select {
			case a.chunks <- c:
			case <-ctx.Done():
				return
			}
		}
	}()
	return a, nil
}

func readChunk(ctx context.Context, r *recordReader, j *judge, from readCursor, rows int) chunk {
	c := chunk{next: from, rows: make([][]any, 0, rows)}
	for held := 0; len(c.rows) < rows && held < chunkBytes && c.next.Offset-from.Offset < chunkBytes; {
		if err := ctx.Err(); err != nil {
			return chunk{err: err}
		}
		rec, err := r.next()
		if errors.Is(err, io.EOF) {
			c.next.EOF = true
			break
		}
		if err != nil {
			return chunk{err: fmt.Errorf("read the file: %w", err)}
		}
		row, err := j.row(ctx, rec)
		if err != nil {
			return chunk{err: fmt.Errorf("check row %d: %w", rec.row, err)}
		}
		c.rows = append(c.rows, row)
		held += rowBytes(row)
		c.next.Offset, c.next.Row = r.offset(), rec.row
	}
	return c
}

// signOfLife is how often await says that it still waits.
const signOfLife = 200 * time.Millisecond

// next returns the next chunk. While it waits it calls waiting again and again.
func (a *readAhead) next(ctx context.Context, waiting func() error) (chunk, error) {
	c, err := await(ctx, a.chunks, waiting)
	if err != nil {
		return c, err
	}
	return c, c.err
}

// await receives what is being made beside a batch. While it waits it calls waiting again and again.
func await[T any](ctx context.Context, from <-chan T, waiting func() error) (made T, err error) {
	tick := time.NewTicker(signOfLife)
	defer tick.Stop()
	for {
		select {
		case made = <-from:
			return made, nil
		case <-ctx.Done():
			return made, ctx.Err()
		case <-tick.C:
			if err := waiting(); err != nil {
				return made, err
			}
		}
	}
}

// stillHere keeps a transaction alive that waits: PostgreSQL ends one that stands idle for as long
// as a lease lasts.
func stillHere(ctx context.Context, tx *tenancy.Tx) func() error {
	return func() error {
		_, err := tx.Exec(ctx, `SELECT 1`)
		return err
	}
}

// close ends the reading.
func (a *readAhead) close() {
	a.cancel()
	<-a.done
}
