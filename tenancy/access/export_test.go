package access

// Remembered returns how many actors are in g's memory.
func Remembered(g *Guard) int {
	n := 0
	for i := range g.memory.shards {
		s := &g.memory.shards[i]
		s.mu.RLock()
		n += s.n
		s.mu.RUnlock()
	}
	return n
}
