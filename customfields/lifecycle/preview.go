package lifecycle

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/stratakit/strata/customfields"
	"github.com/stratakit/strata/tenancy"
)

// maxSamples is how many values that would be lost a Preview shows.
const maxSamples = 20

// maxOptions is how many options a field may have.
const maxOptions = 500

// ConvertOptions are those of Preview and Convert. Nil is all zero.
type ConvertOptions struct {
	// Options are those that the field shall have as a select or multi_select. Default: those
	// that it has, or what its values make.
	Options []string
	// AcceptLoss is how many values may be lost, because they cannot be converted.
	AcceptLoss int64
	// Force converts although filters break.
	Force bool
}

// Preview is what a conversion would do.
type Preview struct {
	Key  string            `json:"key"`
	From customfields.Type `json:"from"`
	To   customfields.Type `json:"to"`
	// Values is how many records have a value, those of deleted records among them:
	// Convertible and Lost add up to it.
	Values      int64 `json:"values"`
	Convertible int64 `json:"convertible"`
	Lost        int64 `json:"lost"`
	// Samples are some of the values that would be lost.
	Samples []Sample `json:"samples"`
	// Options are those that the field would have.
	Options []string `json:"options,omitempty"`
	// Broken are the filters that would not compile any more.
	Broken []Dependent `json:"broken"`

	field    customfields.Field // as it was
	archived []string           // the archived options that it would have
}

// Sample is a value that cannot be converted.
type Sample struct {
	Table    string           `json:"table"`
	DomainID tenancy.DomainID `json:"domainId"`
	ID       string           `json:"id"` // of the record
	// Value is the beginning of it.
	Value      string `json:"value"`
	Code       string `json:"code"`
	Message    string `json:"message"`
	Suggestion string `json:"suggestion,omitempty"`
}

// Preview says what a conversion of a field would do, and changes nothing. It reads every
// value of the field. Errors: customfields.ErrNotFound, also for an archived field;
// ErrNotConvertible, also for the default; ErrTooManyOptions, *tenancy.ValidationError for the options.
func (m *Manager) Preview(ctx context.Context, key string, to customfields.Type, opts *ConvertOptions) (Preview, error) {
	if opts == nil {
		opts = &ConvertOptions{}
	}
	p := Preview{Key: key, To: to, Samples: []Sample{}, Broken: []Dependent{}}
	err := m.inWorkspace(ctx, func(ctx context.Context, tx *tenancy.Tx) (err error) {
		p.field, err = m.live(ctx, tx, key)
		return err
	})
	if err != nil {
		return p, err
	}
	p.From = p.field.Type
	if !customfields.Convertible(p.From, to) {
		return p, fmt.Errorf("a %s can become %v, not %s: %w", p.From, customfields.Convertibles(p.From), to, ErrNotConvertible)
	}
	if p.From == to && p.field.Slot == p.field.Key && opts.Options == nil {
		return p, fmt.Errorf("%s is a %s already: %w", key, to, ErrNotConvertible)
	}
	after, err := m.after(ctx, &p, opts)
	if err != nil {
		return p, err
	}
	if p.field.Default != nil && after.Default == nil { // new records would get it until the flip
		return p, fmt.Errorf("the default of %s cannot become a %s, change it first: %w", key, to, ErrNotConvertible)
	}
	err = m.eachValue(ctx, p.field.Slot, func(at Sample, value any) error {
		p.Values++
		_, problem := customfields.Convert(p.From, value, after)
		if problem == nil {
			p.Convertible++
			return nil
		}
		p.Lost++
		if len(p.Samples) < maxSamples {
			at.Value, at.Code, at.Message, at.Suggestion = problem.Value, problem.Code, problem.Message, problem.Suggestion
			p.Samples = append(p.Samples, at)
		}
		return nil
	})
	if err != nil {
		return p, err
	}
	err = m.inWorkspace(ctx, func(ctx context.Context, tx *tenancy.Tx) error {
		broken, err := m.broken(ctx, tx, after)
		p.Broken = append(p.Broken, broken...)
		return err
	})
	return p, err
}

// live returns a field that is not archived.
func (m *Manager) live(ctx context.Context, tx *tenancy.Tx, key string) (customfields.Field, error) {
	f, err := m.fields.FindTx(ctx, tx, customfields.ByKey(key))
	if err == nil && f.ArchivedAt != nil {
		err = customfields.ErrNotFound
	}
	return f, err
}

// after returns the field as it would be, in the slot where it is, and notes its options.
func (m *Manager) after(ctx context.Context, p *Preview, opts *ConvertOptions) (*customfields.Field, error) {
	options := opts.Options
	if p.To != customfields.Select && p.To != customfields.MultiSelect {
		if len(options) > 0 {
			v := &tenancy.ValidationError{}
			v.Add("options", "not_allowed", "only select and multi_select have options")
			return nil, v
		}
	} else if options == nil {
		if options, p.archived = slices.Clone(p.field.Options), slices.Clone(p.field.ArchivedOptions); len(options) == 0 {
			made, err := m.optionsOf(ctx, p.field, p.To)
			if err != nil {
				return nil, err
			}
			options = made
		}
		unfit := func(o string) bool { return len(customfields.OptionsIn(customfields.Select, o, p.To)) == 0 }
		options, p.archived = slices.DeleteFunc(options, unfit), slices.DeleteFunc(p.archived, unfit)
	}
	after := p.field.At(customfields.Place{Slot: p.field.Slot, Type: p.To, Options: options, ArchivedOptions: p.archived})
	if err := after.Check(); err != nil {
		return nil, err
	}
	p.Options = after.Options
	return after, nil
}

// optionsOf returns the options that the values of a field would make, sorted.
func (m *Manager) optionsOf(ctx context.Context, f customfields.Field, to customfields.Type) ([]string, error) {
	options := map[string]bool{}
	err := m.eachValue(ctx, f.Slot, func(_ Sample, value any) error {
		for _, o := range customfields.OptionsIn(f.Type, value, to) {
			options[o] = true
		}
		if len(options) > maxOptions {
			return ErrTooManyOptions
		}
		return nil
	})
	out := make([]string, 0, len(options))
	for o := range options {
		out = append(out, o)
	}
	slices.Sort(out)
	return out, err
}

// eachValue calls fn for every value in a slot, of all domains of the workspace of ctx.
func (m *Manager) eachValue(ctx context.Context, slot string, fn func(at Sample, value any) error) error {
	t, err := tenancy.WorkspaceFrom(ctx)
	if err != nil {
		return err
	}
	domains, err := m.domains(ctx, t)
	if err != nil {
		return err
	}
	for _, table := range m.cfg.Tables {
		for _, domain := range domains {
			in := t
			in.DomainID = domain
			err := m.db.Read(tenancy.WithTenant(ctx, in), `SELECT id::text, custom_fields -> $2::text FROM `+table.sql()+` WHERE domain_id = $1 AND jsonb_exists(custom_fields, $2::text)`,
				[]any{domain, slot}, func(rows pgx.Rows) error {
					var id string
					var raw []byte
					_, err := pgx.ForEachRow(rows, []any{&id, &raw}, func() error {
						value, err := decode(raw)
						if err != nil {
							return err
						}
						return fn(Sample{Table: table.Name, DomainID: domain, ID: id}, value)
					})
					return err
				})
			if err != nil {
				return wrap("read the values of a field", err)
			}
		}
	}
	return nil
}

// domains returns every domain of a workspace, deleted ones too: their records come back
// with them.
func (m *Manager) domains(ctx context.Context, t tenancy.Tenant) (out []tenancy.DomainID, err error) {
	err = m.db.Read(ctx, `SELECT id FROM strata.domains WHERE company_id = $1 AND workspace_id = $2 ORDER BY id`, []any{t.CompanyID, t.WorkspaceID}, func(rows pgx.Rows) (err error) {
		out, err = pgx.CollectRows(rows, pgx.RowTo[tenancy.DomainID])
		return err
	})
	return out, wrap("list the domains of a workspace", err)
}

// decode reads a stored value; one that is not there is nil.
func decode(raw []byte) (value any, err error) {
	if raw == nil {
		return nil, nil
	}
	if err := json.Unmarshal(raw, &value); err != nil {
		return nil, errors.Join(errors.New("lifecycle: a value is no JSON"), err)
	}
	return value, nil
}
