package filter

import (
	"cmp"
	"fmt"
	"time"

	"cel.dev/cel-go/cel"
	"github.com/maypok86/otter/v2"

	"github.com/stratakit/strata/customfields"
)

// Compiler compiles filters over one table and remembers them, by the set of custom fields
// and the time zone they were compiled for. A set that has changed is another one, so
// nothing has to be forgotten. It is safe for concurrent use.
type Compiler struct {
	table   Schema
	envs    *otter.Cache[scope, *cel.Env]
	filters *otter.Cache[filterKey, *Filter]
}

// CompilerConfig configures a Compiler. The zero value is legal.
type CompilerConfig struct {
	// MaxFilters bounds the filters in memory. Default 10,000.
	MaxFilters int
	// MaxScopes bounds the sets of custom fields for which the environment of the compiler
	// is kept. Default 1,000.
	MaxScopes int
}

// Scope is what differs between the workspaces whose records are in one table.
type Scope struct {
	// Fields are the custom fields of the workspace.
	Fields *customfields.Set
	// Location is its time zone. Default UTC.
	Location *time.Location
	// MaxCost bounds Filter.Cost. Default DefaultMaxCost.
	MaxCost int
}

type scope struct {
	fields *customfields.Set
	zone   string
}

type filterKey struct {
	scope
	expr string
}

// NewCompiler returns a Compiler for a table: the columns, extensions and events of a
// schema, whose other members do not count.
func NewCompiler(table Schema, cfg *CompilerConfig) (*Compiler, error) {
	if cfg == nil {
		cfg = &CompilerConfig{}
	}
	if err := table.check(); err != nil {
		return nil, err
	}
	envs, err := otter.New(&otter.Options[scope, *cel.Env]{MaximumSize: cmp.Or(cfg.MaxScopes, 1_000)})
	if err != nil {
		return nil, fmt.Errorf("filter: NewCompiler: %w", err)
	}
	filters, err := otter.New(&otter.Options[filterKey, *Filter]{MaximumSize: cmp.Or(cfg.MaxFilters, 10_000)})
	if err != nil {
		return nil, fmt.Errorf("filter: NewCompiler: %w", err)
	}
	return &Compiler{table: table, envs: envs, filters: filters}, nil
}

// Compile is Compile of the package, from memory where it can be. The expression may be of
// any tenant: what is remembered is reached only with the same set of fields.
func (c *Compiler) Compile(s Scope, expr string) (*Filter, error) {
	schema := c.table
	schema.Fields, schema.Location, schema.MaxCost = s.Fields, s.Location, s.MaxCost
	of := scope{s.Fields, schema.location().String()}
	if len(expr) > MaxFilterBytes {
		return nil, checkText(expr)
	}
	f, ok := c.filters.GetIfPresent(filterKey{of, expr})
	if ok {
		if err := f.checkCost(s.MaxCost); err != nil {
			return nil, err
		}
		return f, nil
	}
	env, ok := c.envs.GetIfPresent(of)
	if !ok {
		var err error
		if env, err = environment(schema); err != nil {
			return nil, err
		}
		c.envs.Set(of, env)
	}
	f, err := compile(env, schema, expr)
	if err != nil {
		return nil, err
	}
	c.filters.Set(filterKey{of, expr}, f)
	return f, nil
}
