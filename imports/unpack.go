package imports

import (
	"archive/zip"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	"github.com/stratakit/strata/internal/suggest"
)

// The ways in which a file can be packed.
const (
	packedGzip = "gzip"
	packedZip  = "zip"
)

// What unpacking may cost. A list of people is packed to a tenth or so of its size; deflate can
// do a thousandth, of nothing but repetitions.
const (
	maxRatio     = 200
	ratioFrom    = 64 << 20 // below, any ratio does
	maxEntries   = 10_000
	maxDirectory = 4 << 20 // bytes that are read to find out what a zip file holds
)

// Beginnings of files.
var (
	magicZip  = []byte("PK\x03\x04")
	magicGzip = []byte("\x1F\x8B")
	magicOLE  = []byte("\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1")
)

// unpack returns what is packed in a file, at most limit bytes of it.
func (s *source) unpack(compression string, limit int64) (io.Reader, error) {
	switch compression {
	case packedGzip:
		r, err := gzip.NewReader(s.all())
		if err != nil {
			return nil, err
		}
		return &bounded{r: r, limit: limit, packed: s.size}, nil
	case packedZip:
		z, err := s.openZip()
		if err != nil {
			return nil, err
		}
		f, err := only(z)
		if err != nil {
			return nil, err
		}
		r, err := openEntry(f)
		if err != nil {
			return nil, err
		}
		return &bounded{r: r, limit: limit, packed: int64(f.CompressedSize64)}, nil
	}
	return s.all(), nil
}

// openZip reads what a zip file says it holds, and no more than that may be.
func (s *source) openZip() (*zip.Reader, error) {
	if s.zip != nil {
		return s.zip, nil
	}
	directory := &meter{r: s, left: maxDirectory}
	z, err := zip.NewReader(directory, s.size)
	switch {
	case errors.Is(err, errMetered) || err == nil && len(z.File) > maxEntries:
		return nil, &FileError{"bad_zip", fmt.Sprintf("the zip file holds more than %d files: pack one", maxEntries)}
	case err != nil:
		return nil, err
	}
	directory.left = -1 // what is in the files is bounded elsewhere
	s.zip = z
	return z, nil
}

// meter fails after so many bytes, unless they are negative.
type meter struct {
	r    io.ReaderAt
	left int64
}

var errMetered = errors.New("imports: read too much")

func (m *meter) ReadAt(p []byte, offset int64) (int, error) {
	n, err := m.r.ReadAt(p, offset)
	if m.left >= 0 {
		if m.left -= int64(n); m.left < 0 {
			m.left = 0
			return 0, errMetered
		}
	}
	return n, err
}

// only returns the one file that a zip file holds, apart from what macOS adds.
func only(z *zip.Reader) (*zip.File, error) {
	var files []*zip.File
	var names []string
	for _, f := range z.File {
		base := path.Base(f.Name)
		if strings.HasSuffix(f.Name, "/") || strings.HasPrefix(f.Name, "__MACOSX/") || base == ".DS_Store" || strings.HasPrefix(base, "._") {
			continue
		}
		files, names = append(files, f), append(names, shortened(f.Name))
	}
	switch len(files) {
	case 0:
		return nil, &FileError{"bad_zip", "the zip file holds no file"}
	case 1:
		return files[0], nil
	}
	return nil, &FileError{"bad_zip", fmt.Sprintf("the zip file holds %d files: %s; pack one, and import the others by themselves", len(files), suggest.Quoted(names))}
}

func shortened(name string) string {
	if name = strings.ToValidUTF8(name, "\uFFFD"); len(name) > 100 {
		name = strings.ToValidUTF8(name[:100], "") + "…"
	}
	return name
}

// openEntry opens a file of a zip file.
func openEntry(f *zip.File) (io.Reader, error) {
	if f.Flags&1 != 0 {
		return nil, &FileError{"encrypted_file", "the zip file is protected by a password: pack it without one"}
	}
	r, err := f.Open()
	if errors.Is(err, zip.ErrAlgorithm) {
		return nil, &FileError{"bad_zip", fmt.Sprintf("the zip file is packed with method %d, which is not supported: pack it with Deflate", f.Method)}
	}
	return r, err
}

// bounded keeps what is unpacked within limits.
type bounded struct {
	r      io.Reader
	limit  int64
	packed int64 // bytes that it comes from
	n      int64
}

func (b *bounded) Read(p []byte) (int, error) {
	n, err := b.r.Read(p)
	b.n += int64(n)
	if b.n > b.limit {
		return 0, &FileError{"file_too_large", fmt.Sprintf("what is packed in the file is larger than %d bytes", b.limit)}
	}
	if b.n > ratioFrom && b.n/maxRatio > b.packed {
		return 0, &FileError{"bad_compression", fmt.Sprintf("what is packed in the file is more than %d times as large: that is no list of people", maxRatio)}
	}
	return n, err
}

// unreadable says of files that are no text what they are; nil is none of them. packed says
// that they came out of another file.
func unreadable(b []byte, packed bool) error {
	if packed && (bytes.HasPrefix(b, magicZip) || bytes.HasPrefix(b, magicGzip)) {
		return &FileError{"nested_archive", "there is a packed file in the packed file, or a workbook: upload that one, workbooks are packed by themselves"}
	}
	if bytes.HasPrefix(b, magicOLE) {
		if bytes.Contains(b, []byte("E\x00n\x00c\x00r\x00y\x00p\x00t\x00e\x00d\x00P\x00a\x00c\x00k\x00a\x00g\x00e\x00")) {
			return &FileError{"encrypted_file", "the workbook is protected by a password: save it without one"}
		}
		return &FileError{"not_csv", "this is an old Excel file (.xls): save it as XLSX or CSV (UTF-8) and import that"}
	}
	for _, is := range []struct{ begins, what string }{
		{"PK\x05\x06", "an empty zip file"},
		{"%PDF-", "a PDF file"},
		{"\x89PNG", "an image"},
		{"\xFF\xD8\xFF", "an image"},
		{"GIF8", "an image"},
		{"{\\rtf", "a Word file"},
		{"7z\xBC\xAF\x27\x1C", "a 7z file"},
		{"Rar!\x1A\x07", "a RAR file"},
		{"\xFD7zXZ\x00", "an xz file"},
		{"BZh", "a bzip2 file"},
		{"\x28\xB5\x2F\xFD", "a Zstandard file"},
		{"PAR1", "a Parquet file"},
		{"SQLite format 3\x00", "a database"},
	} {
		if bytes.HasPrefix(b, []byte(is.begins)) {
			return &FileError{"not_csv", "this is " + is.what + ": " + saveAsCSV}
		}
	}
	return nil
}
