package access

import (
	"encoding/binary"
	"sync"
	"time"

	"github.com/stratakit/strata/tenancy"
)

const shards = 16

// memory is what this process knows of who holds what. An entry is dropped by a timer when
// its lifetime ends, so that to look at one costs no look at the clock.
type memory struct {
	lifetime time.Duration
	most     int // in a shard
	shards   [shards]shard
}

type shard struct {
	mu        sync.RWMutex           // guards the rest
	companies map[uint64]*remembered // by the half of a company's id that is random
	n         int
	// generation counts what was forgotten. What was read meanwhile is not kept.
	generation int64
}

// remembered is what is known of one company: by the actor's id for all of whom the product
// says no role of the company's own, which is nearly everybody.
type remembered struct {
	company tenancy.CompanyID
	actors  map[string]*holdings
	holders map[holder]*holdings
}

func (r *remembered) get(h *holder) *holdings {
	if h.role == "" {
		return r.actors[h.actor]
	}
	return r.holders[*h]
}

func (r *remembered) set(h holder, e *holdings) {
	if h.role == "" {
		r.actors[h.actor] = e
	} else {
		r.holders[h] = e
	}
}

func (r *remembered) len() int { return len(r.actors) + len(r.holders) }

func (m *memory) init(lifetime time.Duration, most int) {
	m.lifetime, m.most = lifetime, max(1, most/shards)
	for i := range m.shards {
		m.shards[i].companies = map[uint64]*remembered{}
	}
}

func random(company *tenancy.CompanyID) uint64 { return binary.LittleEndian.Uint64(company[8:]) }

func (m *memory) of(company *tenancy.CompanyID) *shard { return &m.shards[company[15]%shards] }

// find returns what is known of a company, or nil. Two companies that share half of an id,
// which no two will, take each other's place.
func (s *shard) find(company *tenancy.CompanyID) *remembered {
	if r := s.companies[random(company)]; r != nil && r.company == *company {
		return r
	}
	return nil
}

func (m *memory) get(company *tenancy.CompanyID, h *holder) *holdings {
	s := m.of(company)
	s.mu.RLock()
	var e *holdings
	if r := s.find(company); r != nil {
		e = r.get(h)
	}
	s.mu.RUnlock()
	return e
}

func (m *memory) generation(company *tenancy.CompanyID) int64 {
	s := m.of(company)
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.generation
}

// keep stores what was read since generation; when there are too many, any other goes.
func (m *memory) keep(company tenancy.CompanyID, h holder, e *holdings, generation int64) {
	s := m.of(&company)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.generation != generation {
		return
	}
	r := s.find(&company)
	if r == nil || r.get(&h) == nil {
		if s.n >= m.most {
			s.evict()
		}
		if r = s.find(&company); r == nil {
			s.forget(random(&company))
			r = &remembered{company, map[string]*holdings{}, map[holder]*holdings{}}
			s.companies[random(&company)] = r
		}
		s.n++
	} else if r.get(&h).asOf > e.asOf {
		return
	}
	r.set(h, e)
	time.AfterFunc(m.lifetime, func() { s.expire(company, h, e) })
}

// expire drops e, and not what has taken its place.
func (s *shard) expire(company tenancy.CompanyID, h holder, e *holdings) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r := s.find(&company); r != nil && r.get(&h) == e {
		s.drop(r, h)
	}
}

func (s *shard) drop(r *remembered, h holder) {
	if h.role == "" {
		delete(r.actors, h.actor)
	} else {
		delete(r.holders, h)
	}
	if r.len() == 0 {
		delete(s.companies, random(&r.company))
	}
	s.n--
}

func (s *shard) evict() {
	for _, r := range s.companies {
		for actor := range r.actors {
			s.drop(r, holder{actor: actor})
			return
		}
		for h := range r.holders {
			s.drop(r, h)
			return
		}
	}
}

func (s *shard) forget(half uint64) {
	if r := s.companies[half]; r != nil {
		s.n -= r.len()
		delete(s.companies, half)
	}
}

// forget drops what is known of a company.
func (m *memory) forget(company tenancy.CompanyID) {
	s := m.of(&company)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.generation++
	s.forget(random(&company))
}
