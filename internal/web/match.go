package web

import (
	"net/http"
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
