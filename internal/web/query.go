package web

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// maxPage bounds the number of a page, so that the rows before it can be counted.
const maxPage = 1_000_000

// Values reads query parameters and collects what is wrong with them. Ask Err when all
// are read.
type Values struct {
	values url.Values
	broken bool
	wrong  []FieldError
}

// Query returns the query parameters of r.
func Query(r *http.Request) *Values {
	values, err := url.ParseQuery(r.URL.RawQuery)
	return &Values{values: values, broken: err != nil}
}

// Err returns everything that was wrong, or nil.
func (v *Values) Err() error {
	if v.broken {
		return malformed("malformed", "the query string is not well-formed")
	}
	return Invalid(v.wrong...)
}

func (v *Values) add(name, code, message string) {
	v.wrong = append(v.wrong, FieldError{Field: name, Code: code, Message: message})
}

// String returns a parameter, or "" without one.
func (v *Values) String(name string) string {
	s := v.values.Get(name)
	if !utf8.ValidString(s) || strings.ContainsRune(s, 0) {
		v.add(name, "invalid_text", "must be valid UTF-8 without NUL")
		return ""
	}
	return s
}

// OneOf returns a parameter that is empty or one of allowed.
func (v *Values) OneOf(name string, allowed ...string) string {
	s := v.String(name)
	if s != "" && !slices.Contains(allowed, s) {
		v.add(name, "not_allowed", "must be one of "+strings.Join(allowed, ", "))
		return ""
	}
	return s
}

// Int returns a parameter, or otherwise without one.
func (v *Values) Int(name string, otherwise int) int {
	s := v.values.Get(name)
	if s == "" {
		return otherwise
	}
	n, err := strconv.Atoi(s)
	if err != nil {
		v.add(name, "wrong_type", "must be an integer")
		return otherwise
	}
	return n
}

// Time returns a parameter in the form of RFC 3339, or the zero time without one.
func (v *Values) Time(name string) time.Time {
	s := v.values.Get(name)
	if s == "" {
		return time.Time{}
	}
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		v.add(name, "invalid_time", "must be a time such as 2026-01-31T12:00:00Z (in a query, write + as %2B)")
	}
	return t
}

// Page returns the parameters that every list has; 0 and "" where there are none. The
// bounds of pageSize are the list's own.
func (v *Values) Page() (page, pageSize int, cursor string) {
	page, pageSize, cursor = v.Int("page", 0), v.Int("pageSize", 0), v.String("cursor")
	if page > maxPage || page < 0 {
		v.add("page", "out_of_range", fmt.Sprintf("counts from 1 to %d: go on with the cursor", maxPage))
	}
	return page, pageSize, cursor
}

// PageQuery documents the parameters of Page. Embed it in a Route's Query.
type PageQuery struct {
	Page     int    `description:"Number of the page, from 1." minimum:"1"                    query:"page"`
	PageSize int    `default:"50"                              description:"Items in a page." maximum:"500"  minimum:"1" query:"pageSize"`
	Cursor   string `description:"meta.nextCursor of the page before; page is then ignored."  query:"cursor"`
}
