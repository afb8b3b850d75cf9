package suggest

import (
	"fmt"
	"strconv"
	"strings"
)

// Quoted lists the first ten of some options, in quotes, and says how many there are.
func Quoted(options []string) string {
	const most = 10
	quoted := make([]string, 0, most+1)
	for i, o := range options {
		if i == most {
			quoted = append(quoted, fmt.Sprintf("… (%d in all)", len(options)))
			break
		}
		quoted = append(quoted, strconv.Quote(o))
	}
	return strings.Join(quoted, ", ")
}
