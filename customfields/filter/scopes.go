package filter

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/stratakit/strata/customfields"
	"github.com/stratakit/strata/tenancy/settings"
)

// The settings of filters.
var (
	// TimeZone is the time zone of a workspace, in which today, anniversary() and days are
	// meant: a name of the IANA database such as "Europe/Oslo", or "UTC".
	TimeZone = settings.NewKey("filters.time_zone", settings.Spec[string]{
		Default: "UTC", Summary: "the time zone in which filters mean days",
		Validate: func(name string) error { _, err := zoneOf(name); return err },
	})
	// MaxCost is what a filter may cost: see Filter.Cost. A plan can have its own, and a
	// company or workspace less.
	MaxCost = settings.NewKey("filters.max_cost", settings.Spec[int64]{
		Default: DefaultMaxCost, Mode: settings.RestrictOnly, Tighten: settings.Min[int64], Summary: "what one filter may cost",
		Validate: func(n int64) error {
			if n < 1 || n > maxMaxCost {
				return fmt.Errorf("must be between 1 and %d", maxMaxCost)
			}
			return nil
		},
	})
)

const maxMaxCost = 1_000_000

// Settings are TimeZone and MaxCost, for settings.NewRegistry.
func Settings() []settings.AnyKey { return []settings.AnyKey{TimeZone, MaxCost} }

// Scopes finds the Scope of a workspace. It is safe for concurrent use.
type Scopes struct {
	fields   *customfields.Registry
	settings *settings.Store
}

// NewScopes returns Scopes. Without a store of settings, which must have Settings, every
// workspace has their defaults.
func NewScopes(fields *customfields.Registry, store *settings.Store) (*Scopes, error) {
	if fields == nil {
		return nil, errors.New("filter: NewScopes needs a Registry")
	}
	return &Scopes{fields, store}, nil
}

// Of returns the scope of the workspace of ctx's tenant, from memory where it can be.
// Errors: tenancy.ErrNoTenant, those of Registry.Set and Key.Get.
func (s *Scopes) Of(ctx context.Context) (Scope, error) {
	set, err := s.fields.Set(ctx)
	if err != nil || s.settings == nil {
		return Scope{Fields: set, Location: time.UTC}, err
	}
	name, err := TimeZone.Get(ctx, s.settings)
	if err != nil {
		return Scope{}, fmt.Errorf("filter: the time zone: %w", err)
	}
	cost, err := MaxCost.Get(ctx, s.settings)
	if err != nil {
		return Scope{}, fmt.Errorf("filter: the cost: %w", err)
	}
	at, err := zoneOf(name)
	return Scope{Fields: set, Location: at, MaxCost: int(cost)}, err
}
