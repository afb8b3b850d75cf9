package filter

import (
	"maps"
	"sync"
)

// Index finds the filters of many whose answer for a record a change can turn, so that
// what is kept of their answers, such as the members of segments, is brought up to date
// without asking the others. K identifies a filter. The zero value is not usable: see
// [NewIndex]. It is safe for concurrent use, and as large as the references of its filters.
//
// All filters of an Index are of one schema: names of another workspace's fields are the
// same words, so each workspace has an Index of its own.
type Index[K comparable] struct {
	mu      sync.RWMutex
	filters map[K]*Filter
	byName  map[string]map[K]*Filter
	timed   map[K]*Filter
}

// NewIndex returns an Index without filters.
func NewIndex[K comparable]() *Index[K] {
	return &Index[K]{filters: map[K]*Filter{}, byName: map[string]map[K]*Filter{}, timed: map[K]*Filter{}}
}

// Put adds a filter, in place of the one with the same id.
func (x *Index[K]) Put(id K, f *Filter) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.remove(id)
	x.filters[id] = f
	for _, name := range f.refs {
		if x.byName[name] == nil {
			x.byName[name] = map[K]*Filter{}
		}
		x.byName[name][id] = f
	}
	if f.timed {
		x.timed[id] = f
	}
}

// Remove takes a filter out, if it is there.
func (x *Index[K]) Remove(id K) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.remove(id)
}

func (x *Index[K]) remove(id K) {
	f, ok := x.filters[id]
	if !ok {
		return
	}
	for _, name := range f.refs {
		delete(x.byName[name], id)
		if len(x.byName[name]) == 0 {
			delete(x.byName, name)
		}
	}
	delete(x.timed, id)
	delete(x.filters, id)
}

// Affected returns the filters that read one of the names, which are those of
// [Filter.References]: "email", "fields.tier", "sms.phone", "events.email.opened". Only
// their answers can be others than before, for a record of which nothing else has changed.
// The map is the caller's. For a new record every filter has to be asked: [Index.All].
func (x *Index[K]) Affected(changed ...string) map[K]*Filter {
	x.mu.RLock()
	defer x.mu.RUnlock()
	out := map[K]*Filter{}
	for _, name := range changed {
		maps.Copy(out, x.byName[name])
	}
	return out
}

// TimeDependent returns the filters whose answer can turn although nothing changes, because
// time goes by: see [Filter.TimeDependent]. The map is the caller's.
func (x *Index[K]) TimeDependent() map[K]*Filter {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return maps.Clone(x.timed)
}

// All returns all filters. The map is the caller's.
func (x *Index[K]) All() map[K]*Filter {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return maps.Clone(x.filters)
}
