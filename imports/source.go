package imports

import (
	"archive/zip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"gocloud.dev/blob"
)

// source reads an uploaded file at any place. It is for one goroutine.
type source struct {
	ctx       context.Context // of the reading
	bucket    *blob.Bucket
	objectKey string
	size      int64
	block     int64 // how much is asked for at once

	held   []block // the one that was used last comes first
	failed error   // what the bucket said: whatever it led to, the file may be a good one

	zip   *zip.Reader  // once it was opened as one
	close func() error // of a workbook
}

// done gives back what reading took.
func (s *source) done() {
	if s.close != nil {
		_ = s.close() // temporary files
	}
}

type block struct {
	at   int64
	data []byte
}

// heldBlocks is enough for the parts of a workbook that are read side by side.
const heldBlocks = 4

// runBlock is what work that reads a whole file asks for at once: enough for the way to a
// store in the cloud not to count.
const runBlock = 4 << 20

func (im *Importer) source(ctx context.Context, objectKey string, size, blockSize int64) *source {
	return &source{ctx: ctx, bucket: im.bucket, objectKey: objectKey, size: size, block: blockSize}
}

// ReadAt reads as io.ReaderAt has it.
func (s *source) ReadAt(p []byte, offset int64) (n int, err error) {
	for n < len(p) {
		if offset >= s.size {
			return n, io.EOF
		}
		b, err := s.at(offset - offset%s.block)
		if err != nil {
			return n, err
		}
		copied := copy(p[n:], b[offset%s.block:])
		n, offset = n+copied, offset+int64(copied)
	}
	return n, nil
}

// at returns the block that begins at offset.
func (s *source) at(offset int64) ([]byte, error) {
	if s.failed != nil {
		return nil, s.failed
	}
	if err := s.ctx.Err(); err != nil { // also when all is held: it may be unpacked many times
		return nil, err
	}
	for i, b := range s.held {
		if b.at == offset {
			copy(s.held[1:i+1], s.held[:i])
			s.held[0] = b
			return b.data, nil
		}
	}
	data := make([]byte, min(s.block, s.size-offset))
	if err := s.read(data, offset); err != nil {
		s.failed = fmt.Errorf("imports: read the file: %w", err)
		return nil, s.failed
	}
	s.held = append(s.held, block{})
	copy(s.held[1:], s.held)
	s.held[0] = block{offset, data}
	if len(s.held) > heldBlocks {
		s.held = s.held[:heldBlocks]
	}
	return data, nil
}

func (s *source) read(p []byte, offset int64) error {
	r, err := s.bucket.NewRangeReader(s.ctx, s.objectKey, offset, int64(len(p)), nil)
	if err != nil {
		return err
	}
	_, err = io.ReadFull(r, p)
	return errors.Join(err, r.Close())
}

// all reads the file from its beginning.
func (s *source) all() io.Reader { return io.NewSectionReader(s, 0, s.size) }

// damage says what an error in the middle of a file means: the bucket's own, if it had one, or
// that of a temporary file; else the file is not what it seems.
func (s *source) damage(err error) error {
	var known *FileError
	var temporary *fs.PathError
	switch {
	case err == nil:
		return nil
	case s.failed != nil:
		return s.failed
	case s.ctx.Err() != nil:
		return s.ctx.Err()
	case errors.As(err, &known):
		return known
	case errors.As(err, &temporary):
		return fmt.Errorf("imports: a temporary file: %w", err)
	}
	return &FileError{"damaged_file", fmt.Sprintf("the file is damaged or cut off: %s; make it again, and upload that", err)}
}
