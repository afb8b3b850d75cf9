package customfields

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Decode reads a record's custom_fields, as PostgreSQL writes them, into the values by the
// keys of their fields: see Named. Numbers are float64, lists []any. It keeps nothing of
// stored. Most of the time that a page of records takes outside PostgreSQL goes here.
func (s *Set) Decode(stored []byte) (map[string]any, error) {
	values, ok := s.decodePlain(string(stored))
	if !ok {
		values = nil
		if err := json.Unmarshal(stored, &values); err != nil {
			return nil, fmt.Errorf("customfields: read the values of a record: %w", err)
		}
	}
	return s.Named(values), nil
}

// decodePlain reads what nearly every record has: texts without escapes, numbers, booleans
// and lists of texts. It gives up on everything else. The texts are parts of document.
func (s *Set) decodePlain(document string) (map[string]any, bool) {
	d := plain(document)
	if !d.eat('{') {
		return nil, false
	}
	values := make(map[string]any, strings.Count(document, `":`))
	if d.eat('}') {
		return values, d.end()
	}
	for {
		name, ok := d.text()
		if !ok || !d.eat(':') {
			return nil, false
		}
		value, ok := d.value()
		if !ok {
			return nil, false
		}
		values[name] = value
		if d.eat('}') {
			return values, d.end()
		}
		if !d.eat(',') {
			return nil, false
		}
	}
}

// plain is what is left of a document.
type plain string

func (d *plain) space() {
	for len(*d) > 0 && ((*d)[0] == ' ' || (*d)[0] == '\n' || (*d)[0] == '\t' || (*d)[0] == '\r') {
		*d = (*d)[1:]
	}
}

func (d *plain) end() bool {
	d.space()
	return len(*d) == 0
}

// eat takes c, if it comes next.
func (d *plain) eat(c byte) bool {
	d.space()
	if len(*d) == 0 || (*d)[0] != c {
		return false
	}
	*d = (*d)[1:]
	return true
}

func (d *plain) word(w string) bool {
	if !strings.HasPrefix(string(*d), w) {
		return false
	}
	*d = (*d)[len(w):]
	return true
}

// text takes a string without escapes.
func (d *plain) text() (string, bool) {
	if !d.eat('"') {
		return "", false
	}
	end := strings.IndexByte(string(*d), '"')
	if end < 0 {
		return "", false
	}
	text := string((*d)[:end])
	for i := range len(text) {
		if text[i] == '\\' || text[i] < ' ' {
			return "", false
		}
	}
	if !utf8.ValidString(text) {
		return "", false
	}
	*d = (*d)[end+1:]
	return text, true
}

func (d *plain) value() (any, bool) {
	d.space()
	if len(*d) == 0 {
		return nil, false
	}
	switch (*d)[0] {
	case '"':
		text, ok := d.text()
		return text, ok
	case '[':
		return d.list()
	case 't':
		return true, d.word("true")
	case 'f':
		return false, d.word("false")
	}
	return d.number()
}

func (d *plain) list() (any, bool) {
	*d = (*d)[1:]
	list := []any{}
	if d.eat(']') {
		return list, true
	}
	for {
		text, ok := d.text()
		if !ok {
			return nil, false
		}
		list = append(list, text)
		if d.eat(']') {
			return list, true
		}
		if !d.eat(',') {
			return nil, false
		}
	}
}

// number takes digits with a point and a minus: PostgreSQL writes no exponents.
func (d *plain) number() (any, bool) {
	n := 0
	for n < len(*d) && ((*d)[n] >= '0' && (*d)[n] <= '9' || (*d)[n] == '.' || (*d)[n] == '-') {
		n++
	}
	digits := strings.TrimPrefix(string((*d)[:n]), "-")
	if len(digits) == 0 || digits[0] == '.' || digits[len(digits)-1] == '.' || len(digits) > 1 && digits[0] == '0' && digits[1] != '.' {
		return nil, false // no JSON
	}
	number, err := strconv.ParseFloat(string((*d)[:n]), 64)
	*d = (*d)[n:]
	return number, err == nil
}
