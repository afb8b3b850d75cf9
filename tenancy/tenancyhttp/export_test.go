package tenancyhttp

import "time"

// SetAgain makes s admit streams again that often.
func SetAgain(s *Server, d time.Duration) { s.again = d }
