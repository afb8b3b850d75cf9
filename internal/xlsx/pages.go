package xlsx

import (
	"os"
)

const (
	pageBytes = 64 << 10
	heldPages = 64
)

// pages is a temporary file that is written at its end and read anywhere, with the pages that
// were read of late in memory. Nobody else sees the file, and it goes with the process.
type pages struct {
	f       *os.File
	written int64  // whole pages
	tail    []byte // what comes after them
	held    [heldPages]struct {
		at   int64
		data []byte
	}
}

func newPages() (*pages, error) {
	f, err := os.CreateTemp("", "strata-xlsx-")
	if err != nil {
		return nil, err
	}
	_ = os.Remove(f.Name()) // where that is not possible while it is open, close does it
	return &pages{f: f}, nil
}

func (p *pages) close() error {
	err := p.f.Close()
	_ = os.Remove(p.f.Name())
	return err
}

func (p *pages) size() int64 { return p.written + int64(len(p.tail)) }

func (p *pages) append(b []byte) error {
	p.tail = append(p.tail, b...)
	n := len(p.tail) - len(p.tail)%pageBytes
	if n == 0 {
		return nil
	}
	if _, err := p.f.WriteAt(p.tail[:n], p.written); err != nil {
		return err
	}
	p.written += int64(n)
	p.tail = p.tail[:copy(p.tail, p.tail[n:])]
	return nil
}

// read appends n bytes from at on to dst.
func (p *pages) read(dst []byte, at int64, n int) ([]byte, error) {
	for n > 0 {
		if at >= p.written {
			from := int(at - p.written)
			return append(dst, p.tail[from:from+n]...), nil
		}
		page := at / pageBytes
		h := &p.held[page%heldPages]
		if h.data == nil || h.at != page {
			if h.data == nil {
				h.data = make([]byte, pageBytes)
			}
			h.at = -1
			if _, err := p.f.ReadAt(h.data, page*pageBytes); err != nil {
				return nil, err
			}
			h.at = page
		}
		from := int(at % pageBytes)
		take := min(n, pageBytes-from)
		dst = append(dst, h.data[from:from+take]...)
		at, n = at+int64(take), n-take
	}
	return dst, nil
}
