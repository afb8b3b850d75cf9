package access

import (
	"sync"
	"time"

	"github.com/stratakit/strata/tenancy"
)

// memory is what this process knows of who holds what. An entry is dropped by a timer when
// its lifetime ends, so that to look at one costs no look at the clock.
type memory struct {
	lifetime time.Duration
	most     int // in a shard
	shards   [16]shard
}

type shard struct {
	mu        sync.RWMutex // guards the rest
	companies map[tenancy.CompanyID]map[holder]*holdings
	n         int
	// generation counts what was forgotten. What was read meanwhile is not kept.
	generation int64
}

func (m *memory) init(lifetime time.Duration, most int) {
	m.lifetime, m.most = lifetime, max(1, most/len(m.shards))
	for i := range m.shards {
		m.shards[i].companies = map[tenancy.CompanyID]map[holder]*holdings{}
	}
}

// of returns the shard of a company. The last byte of a UUIDv7 is random.
func (m *memory) of(company tenancy.CompanyID) *shard {
	return &m.shards[int(company[len(company)-1])%len(m.shards)]
}

func (m *memory) get(company tenancy.CompanyID, h holder) *holdings {
	s := m.of(company)
	s.mu.RLock()
	e := s.companies[company][h]
	s.mu.RUnlock()
	return e
}

func (m *memory) generation(company tenancy.CompanyID) int64 {
	s := m.of(company)
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.generation
}

// keep stores what was read since generation; when there are too many, any other goes.
func (m *memory) keep(company tenancy.CompanyID, h holder, e *holdings, generation int64) {
	s := m.of(company)
	s.mu.Lock()
	defer s.mu.Unlock()
	have := s.companies[company][h]
	if s.generation != generation || have != nil && have.asOf > e.asOf {
		return
	}
	if have == nil {
		if s.n >= m.most {
			s.evict()
		}
		if s.companies[company] == nil {
			s.companies[company] = map[holder]*holdings{}
		}
		s.n++
	}
	s.companies[company][h] = e
	time.AfterFunc(m.lifetime, func() { s.expire(company, h, e) })
}

// expire drops e, and not what has taken its place.
func (s *shard) expire(company tenancy.CompanyID, h holder, e *holdings) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.companies[company][h] == e {
		s.drop(company, h)
	}
}

func (s *shard) drop(company tenancy.CompanyID, h holder) {
	delete(s.companies[company], h)
	if len(s.companies[company]) == 0 {
		delete(s.companies, company)
	}
	s.n--
}

func (s *shard) evict() {
	for company, holders := range s.companies {
		for h := range holders {
			s.drop(company, h)
			return
		}
	}
}

// forget drops what is known of a company.
func (m *memory) forget(company tenancy.CompanyID) {
	s := m.of(company)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.generation++
	s.n -= len(s.companies[company])
	delete(s.companies, company)
}
