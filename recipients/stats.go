package recipients

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/stratakit/strata/tenancy"
)

// Stats is how many recipients there are, without those that are deleted or in a workspace or
// domain that is.
type Stats struct {
	Total int64 `json:"total"`
	// Persons is how many humans they are: a recipient that is linked to no person is one.
	Persons int64 `json:"persons"`
	// ByStatus has every status.
	ByStatus map[Status]int64 `json:"byStatus"`
	// ByDomain has every domain of the scope, by name.
	ByDomain []DomainCount `json:"byDomain"`
	// ByProduct is how many are enrolled, by the name of the extension.
	ByProduct map[string]int64 `json:"byProduct"`
}

// DomainCount is how many recipients a domain has.
type DomainCount struct {
	DomainID   tenancy.DomainID `json:"domainId"`
	DomainName string           `json:"domainName"`
	Count      int64            `json:"count"`
}

// statsSQL goes from the domains of the scope, which are few, to their counts: while a domain
// is being moved its rows say partly where it was and partly where it goes.
const statsSQL = `WITH scope AS MATERIALIZED (
		SELECT d.id, d.domain_name FROM strata.companies c
			JOIN strata.workspaces w ON w.company_id = c.id JOIN strata.domains d ON d.company_id = c.id AND d.workspace_id = w.id
		WHERE c.id = $1 AND c.deleted_at IS NULL AND w.deleted_at IS NULL AND d.deleted_at IS NULL
			AND ($2::uuid IS NULL OR w.id = $2) AND ($3::uuid IS NULL OR d.id = $3)),
	linked AS (
		SELECT coalesce(sum(n), 0)::bigint AS recipients, count(*) AS persons
		FROM (SELECT count(*) AS n FROM scope JOIN strata.recipients r ON r.domain_id = scope.id
			WHERE r.person_id IS NOT NULL AND r.deleted_at IS NULL GROUP BY r.person_id) p)
	SELECT scope.id, scope.domain_name, coalesce(c.kind, ''), coalesce(c.key, ''), coalesce(sum(c.n), 0)::bigint, linked.recipients, linked.persons
	FROM scope CROSS JOIN linked LEFT JOIN strata.recipient_counts c ON c.domain_id = scope.id
	GROUP BY 1, 2, 3, 4, 6, 7 ORDER BY 2, 1`

// Stats returns how many recipients the tenant of ctx has: of its domain, or of all domains of
// its workspace or company. The numbers are exact and all of one moment. They come from counts
// that every write keeps, so that nothing of this grows with the recipients, but for Persons,
// which reads an index of those who are linked to a person.
//
// Which level a caller may see is not decided here; see package access.
func (s *Store) Stats(ctx context.Context) (Stats, error) {
	t, err := tenancy.TenantFrom(ctx)
	if err != nil {
		return Stats{}, err
	}
	out := Stats{ByStatus: map[Status]int64{}, ByDomain: []DomainCount{}, ByProduct: map[string]int64{}}
	for _, status := range Statuses() {
		out.ByStatus[Status(status)] = 0
	}
	var workspace, domain any
	if t.Level() >= tenancy.LevelWorkspace {
		workspace = t.WorkspaceID
	}
	if t.Level() == tenancy.LevelDomain {
		domain = t.DomainID
	}
	err = s.db.ReadTrusted(ctx, statsSQL, []any{t.CompanyID, workspace, domain}, func(rows pgx.Rows) error { return out.read(rows) })
	if err != nil {
		return Stats{}, fmt.Errorf("recipients: read how many there are: %w", err)
	}
	return out, nil
}

func (s *Stats) read(rows pgx.Rows) error {
	var d DomainCount
	var kind, key string
	var n, linked, persons int64
	_, err := pgx.ForEachRow(rows, []any{&d.DomainID, &d.DomainName, &kind, &key, &n, &linked, &persons}, func() error {
		if last := len(s.ByDomain) - 1; last < 0 || s.ByDomain[last].DomainID != d.DomainID {
			s.ByDomain = append(s.ByDomain, d)
		}
		switch {
		case kind == "status":
			s.ByStatus[Status(key)] += n
			s.ByDomain[len(s.ByDomain)-1].Count += n
			s.Total += n
		case kind == "extension" && n != 0:
			s.ByProduct[key] += n
		}
		return nil
	})
	s.Persons = s.Total - linked + persons
	return err
}
