package charset

import (
	"encoding/binary"
	"unicode/utf16"
	"unicode/utf8"

	"golang.org/x/text/transform"
)

// unicodes are the encodings of Unicode. Those of x/text replace what is wrong with U+FFFD,
// which a text may really have.
var unicodes = map[string]unicodeDecoder{
	"utf-16le": {binary.LittleEndian, 2},
	"utf-16be": {binary.BigEndian, 2},
	"utf-32le": {binary.LittleEndian, 4},
	"utf-32be": {binary.BigEndian, 4},
}

// unicodeDecoder decodes units of a width in bytes (RFC 2781, Unicode 3.10).
type unicodeDecoder struct {
	order binary.ByteOrder
	width int
}

// Reset has nothing to do: there is no state.
func (unicodeDecoder) Reset() {}

// Transform writes 0xFF for a surrogate without its other half, for what is no character, and
// for bytes left over at the end.
func (d unicodeDecoder) Transform(dst, src []byte, atEOF bool) (nDst, nSrc int, err error) {
	for nSrc < len(src) {
		if len(dst)-nDst < utf8.UTFMax {
			return nDst, nSrc, transform.ErrShortDst
		}
		r, n := d.next(src[nSrc:])
		if n == 0 {
			if !atEOF {
				return nDst, nSrc, transform.ErrShortSrc
			}
			r, n = -1, len(src)-nSrc
		}
		if nSrc += n; utf8.ValidRune(r) {
			nDst += utf8.EncodeRune(dst[nDst:], r)
		} else {
			dst[nDst] = 0xFF
			nDst++
		}
	}
	return nDst, nSrc, nil
}

// next returns the first character of b and how many bytes it takes, 0 if that are too few.
func (d unicodeDecoder) next(b []byte) (r rune, n int) {
	if len(b) < d.width {
		return 0, 0
	}
	if d.width == 4 {
		return rune(d.order.Uint32(b)), 4
	}
	r = rune(d.order.Uint16(b))
	if !utf16.IsSurrogate(r) {
		return r, 2
	}
	if len(b) < 4 {
		return 0, 0
	}
	if pair := utf16.DecodeRune(r, rune(d.order.Uint16(b[2:]))); pair != utf8.RuneError {
		return pair, 4
	}
	return -1, 2
}

// append writes r in units.
func (d unicodeDecoder) append(b []byte, r rune) []byte {
	if d.width == 4 {
		return d.order.(binary.AppendByteOrder).AppendUint32(b, uint32(r))
	}
	for _, u := range utf16.AppendRune(nil, r) {
		b = d.order.(binary.AppendByteOrder).AppendUint16(b, u)
	}
	return b
}
