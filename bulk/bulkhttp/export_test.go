package bulkhttp

import "time"

// Hasten shortens the times of streams.
func (a *API) Hasten(heartbeat, writeLimit, lifetime time.Duration) {
	a.pace = pace{heartbeat, writeLimit, lifetime}
}
