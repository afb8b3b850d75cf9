package settings

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/stratakit/strata/tenancy"
)

// Source is where a value comes from.
type Source string

// The sources, from the outermost.
const (
	SourceSystem    Source = "system" // the default of the key
	SourcePlan      Source = "plan"
	SourceCompany   Source = "company"
	SourceWorkspace Source = "workspace"
	SourceDomain    Source = "domain"
)

// sources are those of rows.
var sources = [3]Source{SourceCompany, SourceWorkspace, SourceDomain}

// Why says why a value does not count.
type Why string

// The reasons.
const (
	WhyOverridden    Why = "overridden"     // a deeper level has its own
	WhyLocked        Why = "locked"         // the key or the company allows no other than the company's
	WhyStricterAbove Why = "stricter_above" // what is above is stricter, at least in part
	WhyInvalid       Why = "invalid"        // it was stored, and is no value of the key any more; see Message
)

// ReasonMove is the reason of a value that a domain kept when it moved.
const ReasonMove = "move"

// Setting is one key for one tenant: its value, where that comes from, and what else has
// been said.
type Setting struct {
	Key    string          `json:"key"   required:"true"`
	Value  json.RawMessage `json:"value" required:"true"`
	Source Source          `json:"source" required:"true"`
	// SetBy is the actor's id, empty for the system itself. Both are absent when nobody
	// has set the value.
	SetBy string     `json:"setBy,omitempty"`
	SetAt *time.Time `json:"setAt,omitempty"`
	// Reason is ReasonMove or empty.
	Reason string `json:"reason,omitempty"`
	Mode   Mode   `json:"mode" required:"true"`
	// Locked is set while workspaces cannot have a value of their own.
	Locked  bool   `json:"locked" required:"true"`
	Summary string `json:"summary,omitempty"`
	// Shadowed are the values that do not count, outermost first.
	Shadowed []Layer `json:"shadowed,omitempty"`
}

// Layer is a value that does not count.
type Layer struct {
	Source  Source          `json:"source" required:"true"`
	Value   json.RawMessage `json:"value"  required:"true"`
	SetBy   string          `json:"setBy,omitempty"`
	SetAt   *time.Time      `json:"setAt,omitempty"`
	Reason  string          `json:"reason,omitempty"`
	Why     Why             `json:"why" required:"true"`
	Message string          `json:"message,omitempty"`
}

// Explain returns the setting of a name as it is for ctx's tenant, from PostgreSQL.
// Errors: ErrUnknownKey, tenancy.ErrNotFound when the tenant is gone.
func (s *Store) Explain(ctx context.Context, name string) (Setting, error) {
	d, why := s.registry.named(name)
	if why != nil {
		return Setting{}, unknown(name, why)
	}
	all, err := s.explain(ctx, d)
	if err != nil {
		return Setting{}, err
	}
	return all[0], nil
}

// List returns every key of the registry as it is for ctx's tenant, in the registry's
// order, from PostgreSQL.
func (s *Store) List(ctx context.Context) ([]Setting, error) {
	return s.explain(ctx, s.registry.keys...)
}

func (s *Store) explain(ctx context.Context, keys ...*definition) ([]Setting, error) {
	t, err := tenancy.TenantFrom(ctx)
	if err != nil {
		return nil, err
	}
	_, stored, err := readStored(ctx, s.db, t)
	if err != nil {
		return nil, err
	}
	out := make([]Setting, len(keys))
	for i, d := range keys {
		r := s.resolve(d, t.Plan, stored[d.name], t.Level())
		out[i] = Setting{
			Key: d.name, Value: r.value.raw, Source: r.source, Mode: d.mode, Locked: r.locked, Summary: d.summary, Shadowed: r.shadowed,
		}
		if r.row != nil {
			out[i].SetBy, out[i].SetAt, out[i].Reason = r.row.setBy, &r.row.setAt, r.row.reason
		}
	}
	return out, nil
}

func unknown(name string, why *refusal) error {
	if why.suggestion != "" {
		return fmt.Errorf("%q (did you mean %q?): %w", clip(name), why.suggestion, ErrUnknownKey)
	}
	return fmt.Errorf("%q: %w", clip(name), ErrUnknownKey)
}

// clip shortens a name for a message.
func clip(s string) string {
	if r := []rune(s); len(r) > 100 {
		return string(r[:100]) + "…"
	}
	return s
}
