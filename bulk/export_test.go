package bulk

// Averaged is how the rate of a run goes on after a batch.
var Averaged = averaged

// NewsChannel is where Redis carries the news.
const NewsChannel = newsChannel

// Watching returns how many watches there are, with those that wait for their first answer.
func (r *Runner) Watching() int {
	r.hub.mu.Lock()
	defer r.hub.mu.Unlock()
	return r.hub.count
}
