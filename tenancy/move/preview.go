package move

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/stratakit/strata/internal/fault"
	"github.com/stratakit/strata/tenancy"
)

// Preview is what a move would do, and what it would meet.
type Preview struct {
	From Place `json:"from"`
	To   Place `json:"to"`
	// Tables are all tables with rows of domains, and how many this one has in each.
	Tables []TableProgress `json:"tables"`
	// Findings say what blocks the move, first, and what whoever starts it should know.
	Findings []Finding `json:"findings"`
	// Blocked is set when it cannot be started.
	Blocked bool `json:"blocked"`
}

// Preview returns what a move of the domain of ctx's tenant would do. It changes nothing
// and promises nothing: what it looks at may change. Errors: tenancy.ErrNotFound,
// *tenancy.ValidationError.
func (m *Mover) Preview(ctx context.Context, to tenancy.WorkspaceID) (Preview, error) {
	mv, err := m.plan(ctx, to)
	if err != nil {
		return Preview{}, err
	}
	return m.preview(ctx, mv)
}

// plan returns the move as it would be, or that there can be none: the target is not there,
// or not for whoever asks.
func (m *Mover) plan(ctx context.Context, to tenancy.WorkspaceID) (Move, error) {
	t, err := tenancy.DomainFrom(ctx)
	if err != nil {
		return Move{}, err
	}
	mv := Move{DomainID: t.DomainID, From: Place{t.CompanyID, t.WorkspaceID}, To: Place{WorkspaceID: to}}
	err = m.db.ReadTrusted(ctx, `SELECT c.id FROM strata.workspaces w JOIN strata.companies c ON c.id = w.company_id
		WHERE w.id = $1 AND w.deleted_at IS NULL AND c.deleted_at IS NULL`, []any{to}, func(rows pgx.Rows) (err error) {
		mv.To.CompanyID, err = pgx.CollectExactlyOneRow(rows, pgx.RowTo[tenancy.CompanyID])
		return err
	})
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return Move{}, tenancy.ErrNotFound
	case err != nil:
		return Move{}, wrap("look for the workspace", err)
	case mv.CrossCompany() && !tenancy.ActorFrom(ctx).Platform():
		return Move{}, tenancy.ErrNotFound
	case mv.From == mv.To:
		return Move{}, &tenancy.ValidationError{Fields: []tenancy.FieldError{{
			Field: "workspaceId", Value: to.String(), Code: "same_workspace", Message: "the domain is in this workspace: name another one",
		}}}
	}
	return mv, m.readPlans(ctx, &mv)
}

// readPlans completes what a Participant is told.
func (m *Mover) readPlans(ctx context.Context, mv *Move) error {
	return wrap("read the plans", m.db.ReadTrusted(ctx, `SELECT f.plan, t.plan FROM strata.companies f, strata.companies t WHERE f.id = $1 AND t.id = $2`,
		[]any{mv.From.CompanyID, mv.To.CompanyID}, func(rows pgx.Rows) error {
			_, err := pgx.ForEachRow(rows, []any{&mv.fromPlan, &mv.toPlan}, func() error { return nil })
			return err
		}))
}

func (m *Mover) preview(ctx context.Context, mv Move) (Preview, error) {
	p := Preview{From: mv.From, To: mv.To, Findings: []Finding{}}
	if err := m.findTables(ctx, mv, &p); err != nil {
		return p, err
	}
	if err := m.findName(ctx, mv, &p); err != nil {
		return p, err
	}
	for _, participant := range m.cfg.Participants {
		found, err := participant.PreviewMove(tenancy.WithTenant(ctx, mv.Source()), mv)
		if err != nil {
			return p, wrap("preview", err)
		}
		p.Findings = append(p.Findings, found...)
	}
	slices.SortStableFunc(p.Findings, func(a, b Finding) int { return strings.Compare(string(a.Severity), string(b.Severity)) })
	p.Blocked = len(p.blocking()) > 0
	return p, nil
}

func (p Preview) blocking() (out []Finding) {
	for _, f := range p.Findings {
		if f.Severity == Block {
			out = append(out, f)
		}
	}
	return out
}

// blocked returns why the move cannot be done. A plan's limit, when it alone is in the way,
// is an error of its own kind.
func (p Preview) blocked() error {
	found := p.blocking()
	switch {
	case len(found) == 0:
		return nil
	case len(found) == 1 && fault.KindOf(found[0].Cause) == fault.LimitExceeded:
		return found[0].Cause
	}
	return &BlockedError{found}
}

func (p Preview) progress() []progress {
	out := make([]progress, len(p.Tables))
	for i, t := range p.Tables {
		out[i].TableProgress = t
	}
	return out
}

// findTables counts the rows of each table, and finds the tables whose rows could not be
// moved.
func (m *Mover) findTables(ctx context.Context, mv Move, p *Preview) error {
	tables, err := m.db.DomainTables(ctx)
	if err != nil {
		return err
	}
	for _, t := range tables {
		if len(t.Missing) > 0 {
			p.Findings = append(p.Findings, Finding{
				Kind: "table_unfit", Severity: Block, Subject: t.Schema + "." + t.Name,
				Message: fmt.Sprintf("the table %s.%s of %s is registered, and its rows cannot be moved: %s", t.Schema, t.Name, t.Product, strings.Join(t.Missing, "; ")),
			})
			continue
		}
		progress := TableProgress{Schema: t.Schema, Table: t.Name, Product: t.Product}
		if progress.Rows, progress.Estimated, err = m.count(ctx, mv, t); err != nil {
			return err
		}
		p.Tables = append(p.Tables, progress)
	}
	unknown, err := m.db.UnregisteredTables(ctx)
	if err != nil {
		return err
	}
	for _, t := range unknown {
		p.Findings = append(p.Findings, Finding{
			Kind: "table_unregistered", Severity: Block, Subject: t.Schema + "." + t.Name,
			Message: fmt.Sprintf("the table %s.%s has rows of domains and is not registered: a move would leave them behind; its product has to call RegisterTable", t.Schema, t.Name),
		})
	}
	return nil
}

// counted is up to how many rows are counted; beyond, the planner's estimate has to do.
const counted = 100_000

// count returns how many rows of the domain a table has.
func (m *Mover) count(ctx context.Context, mv Move, t tenancy.DomainTable) (n int64, estimated bool, err error) {
	ctx = tenancy.WithTenant(ctx, mv.Source())
	from := fmt.Sprintf(`SELECT 1 FROM %s WHERE domain_id = $1`, t)
	err = m.db.Read(ctx, fmt.Sprintf(`SELECT count(*) FROM (%s LIMIT %d) t`, from, counted+1), []any{mv.DomainID}, func(rows pgx.Rows) (err error) {
		n, err = pgx.CollectExactlyOneRow(rows, pgx.RowTo[int64])
		return err
	})
	if err != nil || n <= counted {
		return n, false, wrap("count rows", err)
	}
	var plan []struct {
		Plan struct {
			Rows float64 `json:"Plan Rows"`
		} `json:"Plan"`
	}
	err = m.db.Read(ctx, `EXPLAIN (FORMAT JSON) `+from, []any{mv.DomainID}, func(rows pgx.Rows) error {
		text, err := pgx.CollectExactlyOneRow(rows, pgx.RowTo[string])
		if err != nil {
			return err
		}
		return json.Unmarshal([]byte(text), &plan)
	})
	if err == nil && len(plan) == 1 {
		n = max(n, int64(plan[0].Plan.Rows))
	}
	return n, true, wrap("estimate rows", err)
}

// findName finds a domain of the same name in the target.
func (m *Mover) findName(ctx context.Context, mv Move, p *Preview) error {
	return wrap("look for the name", m.db.ReadTrusted(ctx, `SELECT there.domain_name FROM strata.domains d
		JOIN strata.domains there ON there.company_id = $3 AND there.workspace_id = $4 AND there.domain_name = d.domain_name AND there.deleted_at IS NULL
		WHERE d.company_id = $1 AND d.id = $2`, []any{mv.From.CompanyID, mv.DomainID, mv.To.CompanyID, mv.To.WorkspaceID}, func(rows pgx.Rows) error {
		names, err := pgx.CollectRows(rows, pgx.RowTo[string])
		for _, name := range names {
			p.Findings = append(p.Findings, Finding{
				Kind: "domain_name_taken", Severity: Block, Subject: name,
				Message: fmt.Sprintf("the workspace has a domain named %s already", name),
			})
		}
		return err
	}))
}
