package backends

import (
	"errors"
	"fmt"
	"strings"
)

// ErrNotRestartable is returned by Stop, Start and Kill of a server that this process did
// not start (one from the environment or shared with another process), and of a container
// whose data is in memory: it would be gone. Options.Private avoids both.
var ErrNotRestartable = errors.New("this server cannot be stopped and started again by this process")

// Attempt is one source that was passed over.
type Attempt struct {
	Source string // "Docker", "local binaries", ...
	Reason string // one line
}

// UnavailableError is returned when no source has the server.
type UnavailableError struct {
	Service string // "PostgreSQL" or "Redis"
	Hint    string // what to do
	Tried   []Attempt
}

// Error returns one line with every source and why it was passed over.
func (e *UnavailableError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "no %s found: ", e.Service)
	for i, a := range e.Tried {
		if i > 0 {
			b.WriteString("; ")
		}
		fmt.Fprintf(&b, "%s: %s", a.Source, a.Reason)
	}
	if e.Hint != "" {
		fmt.Fprintf(&b, " (%s)", e.Hint)
	}
	return b.String()
}

// oneLine makes a reason fit into a line of a log.
func oneLine(err error) string {
	return strings.Join(strings.Fields(err.Error()), " ")
}
