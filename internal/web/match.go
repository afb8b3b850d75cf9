package web

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// IfMatch reads the header If-Match (RFC 9110 section 13.1.1): the strong entity tags that it
// names, without their quotes. given is false where there is none, or "*", which whatever is
// there matches. A weak tag matches nothing, because the comparison is the strong one, and is
// left out. What is no list of tags is refused (fault.Malformed).
func IfMatch(r *http.Request) (tags []string, given bool, err error) {
	header := strings.TrimSpace(strings.Join(r.Header.Values("If-Match"), ","))
	if header == "" || header == "*" {
		return nil, false, nil
	}
	for rest := header; rest != ""; {
		rest = strings.TrimLeft(rest, " \t,")
		if rest == "" {
			break
		}
		tag, weak := strings.CutPrefix(rest, "W/")
		tag, ok := strings.CutPrefix(tag, `"`)
		end := strings.IndexByte(tag, '"')
		if !ok || end < 0 {
			return nil, true, malformed("malformed_if_match", `If-Match must be the ETag of an answer with its quotes, such as "3", several with commas between them, or *`)
		}
		if !weak {
			tags = append(tags, tag[:end])
		}
		if rest = strings.TrimLeft(tag[end+1:], " \t"); rest != "" && rest[0] != ',' {
			return nil, true, malformed("malformed_if_match", "the tags of If-Match must have commas between them")
		}
	}
	return tags, true, nil
}

// IfMatchVersions is IfMatch where the tag of a thing is its version, a number from 1: those
// that the header names, none where it is not given. Where it names none that a thing could
// have it is conflict, with what was wrong.
func IfMatchVersions(r *http.Request, conflict error) ([]int64, error) {
	tags, given, err := IfMatch(r)
	if err != nil || !given {
		return nil, err
	}
	var versions []int64
	for _, tag := range tags {
		if n, err := strconv.ParseInt(tag, 10, 64); err == nil && n > 0 && strconv.FormatInt(n, 10) == tag {
			versions = append(versions, n)
		}
	}
	if len(versions) == 0 {
		return nil, fmt.Errorf("If-Match names no version, and a weak tag never matches: %w", conflict)
	}
	return versions, nil
}

// IfMatchVersion is IfMatchVersions for a change that is held to one version: 0 where none is
// given, and of several the one that the thing has, which current says, or the first.
func IfMatchVersion(r *http.Request, conflict error, current func() (int64, error)) (int64, error) {
	versions, err := IfMatchVersions(r, conflict)
	switch {
	case err != nil || len(versions) == 0:
		return 0, err
	case len(versions) == 1:
		return versions[0], nil
	}
	now, err := current()
	if err != nil || slices.Contains(versions, now) {
		return now, err
	}
	return versions[0], nil
}
