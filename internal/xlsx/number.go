package xlsx

import (
	"math"
	"strconv"
	"time"
)

// epoch is the day from which days are counted.
type epoch int

const (
	epoch1900 epoch = iota // with a 29 February 1900, which there was not
	epoch1904
)

// number appends what a cell with a number says. The text is what the file has.
func number(dst, text []byte, st style, e epoch) ([]byte, bool) {
	if !st.day && !st.clock && digitsOnly(text) { // exactly these, however many
		return pad(dst, text, st.digits), true
	}
	v, err := strconv.ParseFloat(string(text), 64)
	if err != nil || math.IsInf(v, 0) || math.IsNaN(v) {
		return dst, false
	}
	if st.day || st.clock {
		if out, ok := date(dst, v, st, e); ok {
			return out, true
		}
	}
	form := byte('f')
	if a := math.Abs(v); a != 0 && (a < 1e-7 || a >= 1e21) {
		form = 'e'
	}
	if st.digits > 0 && form == 'f' && v == math.Trunc(v) {
		return pad(dst, strconv.AppendFloat(nil, v, 'f', -1, 64), st.digits), true
	}
	return strconv.AppendFloat(dst, v, form, -1, 64), true
}

func digitsOnly(b []byte) bool {
	if len(b) > 0 && b[0] == '-' {
		b = b[1:]
	}
	for _, c := range b {
		if c < '0' || c > '9' {
			return false
		}
	}
	return len(b) > 0
}

// pad appends an integer with at least n digits.
func pad(dst, text []byte, n int) []byte {
	if text[0] == '-' {
		dst, text = append(dst, '-'), text[1:]
	}
	for range n - len(text) {
		dst = append(dst, '0')
	}
	return append(dst, text...)
}

// msPerDay is how many milliseconds, in which times are rounded, a day has.
const msPerDay = 24 * 60 * 60 * 1000

// lastDay is 31 December 9999, after which a sheet shows no days.
const lastDay = 2_958_465

// date appends a day, a time or both, and reports whether the sheet shows one.
func date(dst []byte, v float64, st style, e epoch) ([]byte, bool) {
	if v < 0 || v >= lastDay+1 {
		return dst, false
	}
	ms := int64(math.Round(v * msPerDay))
	days, rest := ms/msPerDay, ms%msPerDay
	if !st.day && (st.elapsed || v < 1) { // else it is a day, of which the time is shown
		return clock(dst, ms), true
	}
	withTime := st.clock || rest != 0
	switch {
	case e == epoch1904:
		dst = day(dst, time.Date(1904, 1, 1+int(days), 0, 0, 0, 0, time.UTC))
	case days == 60:
		dst = append(dst, "1900-02-29"...)
	case days < 60:
		dst = day(dst, time.Date(1899, 12, 31+int(days), 0, 0, 0, 0, time.UTC))
	default:
		dst = day(dst, time.Date(1899, 12, 30+int(days), 0, 0, 0, 0, time.UTC))
	}
	if withTime {
		dst = clock(append(dst, 'T'), rest)
	}
	return dst, true
}

func day(dst []byte, t time.Time) []byte { return t.AppendFormat(dst, time.DateOnly) }

// clock appends milliseconds as hours, minutes and seconds, and what is left of a second.
func clock(dst []byte, ms int64) []byte {
	two := func(n int64, then string) {
		if n < 10 {
			dst = append(dst, '0')
		}
		dst = append(strconv.AppendInt(dst, n, 10), then...)
	}
	two(ms/3_600_000, ":")
	two(ms/60_000%60, ":")
	two(ms/1000%60, "")
	if rest := ms % 1000; rest != 0 {
		dst = append(dst, '.', byte('0'+rest/100), byte('0'+rest/10%10), byte('0'+rest%10))
	}
	return dst
}
