package xlsx

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"unicode/utf16"
	"unicode/utf8"
)

// sharedInMemory is how many bytes of shared strings are kept in memory, those that come first:
// programs write them in the order in which they are needed, and what is repeated most comes
// early. The others are in temporary files.
const sharedInMemory = 32 << 20

// shared is the strings that cells share. They are read as they are needed, so that who looks
// at the first rows only does not read all of them.
type shared struct {
	scan  *scanner
	ended bool

	memory int // bytes, at most
	data   []byte
	ends   []uint32 // of each string in data

	text, index *pages // of the others: what they say, and where each begins, 8 bytes
	n           int
	buf, entry  []byte
	long        map[int]bool // those that were cut
}

func newShared(r io.Reader) *shared {
	return &shared{scan: newScanner(r), memory: sharedInMemory, long: map[int]bool{}}
}

func (s *shared) close() (err error) {
	if s.text != nil {
		err = errors.Join(s.text.close(), s.index.close())
		s.text, s.index = nil, nil
	}
	return err
}

// get returns a string, valid until the next call, and whether it was too long to be kept whole.
func (s *shared) get(i int) ([]byte, bool, error) {
	for i >= s.n {
		if s.ended {
			return nil, false, fmt.Errorf("a cell has the shared string %d, and there are %d", i, s.n)
		}
		if err := s.more(); err != nil {
			return nil, false, err
		}
	}
	long := len(s.long) > 0 && s.long[i]
	if i < len(s.ends) {
		from := uint32(0)
		if i > 0 {
			from = s.ends[i-1]
		}
		return s.data[from:s.ends[i]], long, nil
	}
	k := int64(i - len(s.ends))
	var err error
	if s.entry, err = s.index.read(s.entry[:0], 8*k, 8); err != nil {
		return nil, false, err
	}
	from, to := int64(binary.LittleEndian.Uint64(s.entry)), s.text.size()
	if 8*(k+2) <= s.index.size() {
		if s.entry, err = s.index.read(s.entry[:0], 8*(k+1), 8); err != nil {
			return nil, false, err
		}
		to = int64(binary.LittleEndian.Uint64(s.entry))
	}
	s.buf, err = s.text.read(s.buf[:0], from, int(to-from))
	return s.buf, long, err
}

// more reads the next string.
func (s *shared) more() error {
	for {
		k, err := s.scan.next()
		if errors.Is(err, io.EOF) {
			s.ended = true
			return nil
		}
		if err != nil {
			return err
		}
		if k != startTag || string(s.scan.name) != "si" {
			continue
		}
		text, long, err := richText(s.scan, s.buf[:0])
		if err != nil {
			return err
		}
		s.buf = text
		if long {
			s.long[s.n] = true
		}
		s.n++
		return s.add(text)
	}
}

// finish reads what no cell needed: what is damaged may show only at the end, as the checksum
// of a file in a zip file does.
func (s *shared) finish() error {
	for !s.ended {
		if err := s.more(); err != nil {
			return err
		}
	}
	return nil
}

func (s *shared) add(text []byte) (err error) {
	if s.text == nil && len(s.data)+len(text)+4*len(s.ends) <= s.memory {
		s.data = append(s.data, text...)
		s.ends = append(s.ends, uint32(len(s.data)))
		return nil
	}
	if s.text == nil {
		if s.text, err = newPages(); err != nil {
			return err
		}
		if s.index, err = newPages(); err != nil {
			return err
		}
	}
	if err := s.index.append(binary.LittleEndian.AppendUint64(nil, uint64(s.text.size()))); err != nil {
		return err
	}
	return s.text.append(text)
}

// richText appends the text of the element that has begun, a string in one piece or in several
// with fonts of their own, without how it is pronounced.
func richText(s *scanner, dst []byte) (out []byte, long bool, err error) {
	at := s.depth()
	inText := 0
	for {
		k, err := s.next()
		if err != nil {
			return dst, long, err
		}
		switch {
		case k == text && inText > 0:
			if long = long || s.long || len(dst)+len(s.text) > maxText; !long {
				dst = append(dst, s.text...)
			}
		case k == startTag && (string(s.name) == "rPh" || string(s.name) == "phoneticPr"):
			if err := s.skip(); err != nil {
				return dst, long, err
			}
		case k == startTag && string(s.name) == "t":
			inText = s.depth()
		case k == endTag && s.depth() < inText:
			inText = 0
		}
		if k == endTag && s.depth() < at {
			return unescapeX(dst), long, nil
		}
	}
}

// unescapeX undoes, in place, how a workbook writes characters that XML has not: _x000D_
// (ECMA-376 part 1, 22.9.2.19, ST_Xstring).
func unescapeX(b []byte) []byte {
	to := -1
	for i := 0; i < len(b); i++ {
		if u, ok := unitX(b[i:]); ok {
			if to < 0 {
				to = i
			}
			i += 6
			r := rune(u)
			if utf16.IsSurrogate(r) {
				low, _ := unitX(b[i+1:])
				if pair := utf16.DecodeRune(r, rune(low)); pair != utf8.RuneError {
					r = pair
					i += 7
				} else {
					b[to] = 0xFF // half of a character: no text
					to++
					continue
				}
			}
			to += utf8.EncodeRune(b[to:to+7], r)
			continue
		}
		if to >= 0 {
			b[to] = b[i]
			to++
		}
	}
	if to >= 0 {
		return b[:to]
	}
	return b
}

func unitX(b []byte) (u uint16, ok bool) {
	if len(b) < 7 || b[0] != '_' || b[1] != 'x' || b[6] != '_' {
		return 0, false
	}
	for _, c := range b[2:6] {
		switch {
		case c >= '0' && c <= '9':
			u = u<<4 | uint16(c-'0')
		case c >= 'A' && c <= 'F':
			u = u<<4 | uint16(c-'A'+10)
		case c >= 'a' && c <= 'f':
			u = u<<4 | uint16(c-'a'+10)
		default:
			return 0, false
		}
	}
	return u, true
}
