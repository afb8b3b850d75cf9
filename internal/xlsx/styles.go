package xlsx

import (
	"fmt"
	"strconv"
	"strings"
)

// style is what a number format makes of a number, as far as its value is concerned.
type style struct {
	day     bool // it is shown with a day, a month or a year
	clock   bool // it is shown with a time of the day, or as a duration
	elapsed bool // it is a duration, which may be of more than a day
	digits  int  // it is shown with at least so many digits, as numbers of places or of staff are
}

// builtin are the formats that no workbook writes down (ECMA-376 part 1, 18.8.30), and those of
// East Asia, which show days too.
func builtin(id int) style {
	switch {
	case id >= 14 && id <= 17, id >= 27 && id <= 31, id == 36, id >= 50 && id <= 54, id == 57, id == 58:
		return style{day: true}
	case id == 46:
		return style{clock: true, elapsed: true}
	case id >= 18 && id <= 21, id >= 32 && id <= 35, id >= 45 && id <= 47, id == 55, id == 56:
		return style{clock: true}
	case id == 22:
		return style{day: true, clock: true}
	}
	return style{}
}

// maxStyles is more than programs write.
const maxStyles = 100_000

// readStyles reads what the cell formats are.
func (w *Workbook) readStyles(s *scanner) error {
	custom := map[int]style{}
	cells := 0 // the depth of cellXfs
	for {
		k, err := s.next()
		if err != nil {
			return untilEOF(err)
		}
		switch {
		case k == endTag && s.depth() < cells:
			cells = 0
		case k != startTag:
		case string(s.name) == "numFmt" && cells == 0:
			id, err := strconv.Atoi(string(s.attr("numFmtId")))
			if err != nil {
				return fmt.Errorf("a number format has the id %.20q", s.attr("numFmtId"))
			}
			if len(custom) < maxStyles {
				custom[id] = parseFormat(string(s.attr("formatCode")))
			}
		case string(s.name) == "cellXfs":
			cells = s.depth()
		case string(s.name) == "xf" && cells > 0 && s.depth() == cells+1:
			id, _ := strconv.Atoi(string(s.attr("numFmtId"))) // without it, it is the first
			st, ok := custom[id]
			if !ok {
				st = builtin(id)
			}
			if w.styles = append(w.styles, st); len(w.styles) > maxStyles {
				return fmt.Errorf("there are more than %d cell formats", maxStyles)
			}
		}
	}
}

// parseFormat reads a format code (ECMA-376 part 1, 18.8.31) as far as style goes.
func parseFormat(code string) style {
	if code == "" || strings.EqualFold(code, "General") || code == "@" {
		return style{}
	}
	var st style
	zeros, onlyZeros := 0, true
	last := byte(0) // letter of a day or a time, whatever text stands between
	open := false   // there is an m that is a month, unless seconds come next
	for i := 0; i < len(code); i++ {
		c := code[i]
		switch c {
		case ';': // the others are for negative numbers, zero and text
			i = len(code)
			continue
		case '"':
			if end := strings.IndexByte(code[i+1:], '"'); end >= 0 {
				i += end + 1
			}
		case '\\', '_', '*': // the next character is shown, left free, repeated
			i++
		case '[':
			end := strings.IndexByte(code[i:], ']')
			if end < 0 {
				continue
			}
			if in := strings.ToLower(code[i+1 : i+end]); in != "" && strings.Trim(in, in[:1]) == "" && strings.Contains("hms", in[:1]) {
				st.clock, st.elapsed, last = true, true, in[0]
				open = open && last != 's'
			}
			i += end
		case 'y', 'Y', 'd', 'D', 'b', 'B':
			st.day, last = true, 'd'
		case 'h', 'H':
			st.clock, st.day, open, last = true, st.day || open, false, 'h'
		case 's', 'S':
			st.clock, open, last = true, false, 's'
		case 'm', 'M': // minutes after hours and before seconds, else months
			j := i
			for j < len(code) && (code[j] == 'm' || code[j] == 'M') {
				j++
			}
			switch {
			case j-i > 2: // names
				st.day = true
			case last != 'h' && last != 's':
				open = true
			}
			i, last = j-1, 'm'
		case 'g', 'G', 'e':
			if strings.HasPrefix(strings.ToLower(code[i:]), "general") {
				return style{}
			}
			if c == 'e' && !strings.ContainsAny(code, "0#?") { // a year of an era
				st.day = true
			}
		case 'A', 'a':
			if u := strings.ToUpper(code[i:]); strings.HasPrefix(u, "AM/PM") {
				i, last = i+4, 'a'
			} else if strings.HasPrefix(u, "A/P") {
				i, last = i+2, 'a'
			}
		case '0':
			zeros++
			continue
		}
		onlyZeros = false
	}
	st.day = st.day || open
	if onlyZeros && zeros > 1 {
		st.digits = zeros
	}
	return st
}
