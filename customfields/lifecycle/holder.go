package lifecycle

import (
	"context"
	"fmt"
	"slices"

	"github.com/stratakit/strata/customfields"
	"github.com/stratakit/strata/customfields/filter"
	"github.com/stratakit/strata/tenancy"
)

// Holder is a package or product that keeps filters in tables of its own, such as segments.
// Its methods are called in the scope of a workspace; the domains of it are reached with
// tx.As. Whoever saves a filter does so in a transaction that compiles it with
// customfields.Registry.SetTx, or a filter that is saved while a field is renamed keeps the
// old key.
type Holder interface {
	// Kind is what it holds, for messages: "segment".
	Kind() string
	// Filters returns every filter of the workspace of tx.
	Filters(ctx context.Context, tx *tenancy.Tx) ([]Saved, error)
	// Rewrite replaces the expression of one of them. The caller has recorded why; what the
	// holder audits of its own is its business.
	Rewrite(ctx context.Context, tx *tenancy.Tx, id, expression string) error
}

// Saved is a filter that a Holder keeps.
type Saved struct {
	ID         string
	Name       string
	Expression string
}

// Dependent is a filter that mentions a field.
type Dependent struct {
	Kind       string `json:"kind"`
	ID         string `json:"id"`
	Name       string `json:"name"`
	Expression string `json:"filter"`
	// Problem says why it would break, where that was asked.
	Problem string `json:"problem,omitempty"`
}

// held is a filter and who holds it.
type held struct {
	Saved

	holder Holder
}

func (h held) dependent(problem string) Dependent {
	return Dependent{Kind: h.holder.Kind(), ID: h.ID, Name: h.Name, Expression: h.Expression, Problem: problem}
}

// Dependents returns the filters that mention a field. Errors: customfields.ErrNotFound.
func (m *Manager) Dependents(ctx context.Context, key string) ([]Dependent, error) {
	out := []Dependent{}
	err := m.inWorkspace(ctx, func(ctx context.Context, tx *tenancy.Tx) error {
		if _, err := m.fields.FindTx(ctx, tx, customfields.ByKey(key)); err != nil {
			return err
		}
		mentioning, err := m.mentioning(ctx, tx, key)
		for _, h := range mentioning {
			out = append(out, h.dependent(""))
		}
		return err
	})
	return out, err
}

// mentioning returns the filters that mention a field. One that cannot be read mentions
// nothing: it is broken already.
func (m *Manager) mentioning(ctx context.Context, tx *tenancy.Tx, key string) (out []held, err error) {
	for _, holder := range m.cfg.Holders {
		saved, err := holder.Filters(ctx, tx)
		if err != nil {
			return nil, wrap("list filters", err)
		}
		for _, s := range saved {
			if names, err := filter.Mentions(s.Expression); err == nil && slices.Contains(names, "fields."+key) {
				out = append(out, held{s, holder})
			}
		}
	}
	return out, nil
}

// broken returns the filters that compile with the fields as they are, and would not with
// one of them as it will be.
func (m *Manager) broken(ctx context.Context, tx *tenancy.Tx, after *customfields.Field) ([]Dependent, error) {
	mentioning, err := m.mentioning(ctx, tx, after.Key)
	if err != nil || len(mentioning) == 0 {
		return nil, err
	}
	set, err := m.fields.SetTx(ctx, tx)
	if err != nil {
		return nil, err
	}
	changed := slices.Clone(set.Fields)
	for i := range changed {
		if changed[i].ID == after.ID {
			changed[i] = *after
		}
	}
	then, err := customfields.NewSet(set.Version, changed)
	if err != nil {
		return nil, err
	}
	var out []Dependent
	for _, h := range mentioning {
		if _, err := m.compile(set, h.Expression); err != nil {
			continue
		}
		if _, err := m.compile(then, h.Expression); err != nil {
			out = append(out, h.dependent(err.Error()))
		}
	}
	return out, nil
}

func (m *Manager) compile(set *customfields.Set, expression string) (*filter.Filter, error) {
	schema := m.cfg.Schema
	schema.Fields = set
	return filter.Compile(schema, expression)
}

// rewriteAll has each of the filters replaced by what rewrite makes of it, and returns how
// many that were.
func rewriteAll(ctx context.Context, tx *tenancy.Tx, filters []held, rewrite func(expression string) (string, error)) (n int, err error) {
	for _, h := range filters {
		expression, err := rewrite(h.Expression)
		if err != nil {
			return n, fmt.Errorf("lifecycle: rewrite %s %q: %w", h.holder.Kind(), h.Name, err)
		}
		if expression == h.Expression {
			continue
		}
		if err := h.holder.Rewrite(ctx, tx, h.ID, expression); err != nil {
			return n, fmt.Errorf("lifecycle: rewrite %s %q: %w", h.holder.Kind(), h.Name, err)
		}
		n++
	}
	return n, nil
}

// inWorkspace runs fn in a transaction in the scope of the workspace of ctx, whatever
// domain ctx is in.
func (m *Manager) inWorkspace(ctx context.Context, fn func(ctx context.Context, tx *tenancy.Tx) error) error {
	t, err := tenancy.WorkspaceFrom(ctx)
	if err != nil {
		return err
	}
	t.DomainID = tenancy.DomainID{}
	ctx = tenancy.WithTenant(ctx, t)
	return m.db.InTx(ctx, func(tx *tenancy.Tx) error { return fn(ctx, tx) })
}

// replaceInFilters has an option replaced in every filter that mentions it.
func (m *Manager) replaceInFilters(ctx context.Context, tx *tenancy.Tx, key, option, replacement string) error {
	filters, err := m.mentioning(ctx, tx, key)
	if err != nil {
		return err
	}
	_, err = rewriteAll(ctx, tx, filters, func(expression string) (string, error) {
		return filter.ReplaceOption(expression, key, option, replacement)
	})
	return err
}
