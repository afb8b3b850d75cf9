package lifecycle

import (
	"context"
	"fmt"
	"slices"

	"github.com/stratakit/strata/audit"
	"github.com/stratakit/strata/customfields"
	"github.com/stratakit/strata/customfields/filter"
	"github.com/stratakit/strata/tenancy"
)

// Convert gives a field another type, in the background. It looks first what would become
// of the values, as Preview does: a value that cannot be converted is an error unless it was
// accepted to be lost. While the run lasts, new values have to be convertible. Converting a
// field to the type it has moves its values to the slot that its key names, if that is free.
//
// Errors: those of Preview, *LossError, *InUseError for filters that would break,
// customfields.ErrChanging, tenancy.ErrMoving while a domain of the workspace is moved.
func (m *Manager) Convert(ctx context.Context, key string, to customfields.Type, opts *ConvertOptions) (out Run, err error) {
	if opts == nil {
		opts = &ConvertOptions{}
	}
	p, err := m.Preview(ctx, key, to, opts)
	if err != nil {
		return Run{}, err
	}
	if p.Lost > opts.AcceptLoss {
		return Run{}, &LossError{Key: key, To: to, Lost: p.Lost, AcceptLoss: opts.AcceptLoss, Samples: p.Samples}
	}
	r := Run{
		ID: tenancy.NewID[Run](), Kind: customfields.KindConvert, FieldID: p.field.ID, Key: key, Total: p.Values,
		Spec: Spec{From: p.From, To: to, AcceptLoss: opts.AcceptLoss},
	}
	err = m.inWorkspace(ctx, func(ctx context.Context, tx *tenancy.Tx) error {
		_, err := m.fields.AlterTx(ctx, tx, customfields.Alteration{
			Pick: customfields.ByID(r.FieldID), Action: "custom_field.conversion_started", Metadata: r.metadata(),
			Change: func(f *customfields.Field, all []customfields.Field) error {
				switch {
				case f.ArchivedAt != nil:
					return customfields.ErrNotFound
				case f.Unique || f.UniqueState != "":
					return fmt.Errorf("field %s: %w", f.Key, ErrUnique)
				case f.Transition != nil || f.Version != p.field.Version: // since it was looked at
					return fmt.Errorf("field %s: %w", f.Key, customfields.ErrChanging)
				}
				next := customfields.Place{Slot: customfields.FreeSlot(f.Key, all), Type: to, Options: p.Options, ArchivedOptions: p.archived}
				if !opts.Force {
					broken, err := m.broken(ctx, tx, f.At(next))
					if err != nil {
						return err
					}
					if len(broken) > 0 {
						return &InUseError{Key: key, Filters: broken}
					}
				}
				f.Transition = &customfields.Transition{RunID: r.ID.String(), Kind: r.Kind, Next: &next}
				return nil
			},
		})
		if err != nil {
			return err
		}
		out, err = m.begin(ctx, tx, r)
		return err
	})
	return out, err
}

// RemoveOption takes an option of a select or multi_select away, in the background. From
// the call on the option is refused; records that have it get the replacement, or where
// that is empty lose it. Filters that mention the option get the replacement when all
// records have; without one they are *InUseError, unless forced, and are then left as they
// are.
//
// Errors: customfields.ErrNotFound, ErrNoSuchOption, customfields.ErrChanging,
// *InUseError, *tenancy.ValidationError for the only option of a field or its default, tenancy.ErrMoving.
func (m *Manager) RemoveOption(ctx context.Context, key, option, replacement string, force bool) (out Run, err error) {
	r := Run{ID: tenancy.NewID[Run](), Kind: customfields.KindRemoveOption, Key: key, Spec: Spec{Option: option, Replacement: replacement}}
	err = m.inWorkspace(ctx, func(ctx context.Context, tx *tenancy.Tx) error {
		f, err := m.fields.AlterTx(ctx, tx, customfields.Alteration{
			Pick: customfields.ByKey(key), Action: "custom_field.option_removal_started", Metadata: r.metadata(),
			Change: func(f *customfields.Field, _ []customfields.Field) error {
				switch {
				case f.ArchivedAt != nil:
					return customfields.ErrNotFound
				case f.Unique || f.UniqueState != "":
					return fmt.Errorf("field %s: %w", f.Key, ErrUnique)
				case f.Transition != nil:
					return fmt.Errorf("field %s: %w", f.Key, customfields.ErrChanging)
				case !slices.Contains(f.Options, option) && !slices.Contains(f.ArchivedOptions, option):
					return fmt.Errorf("option %q: %w", option, ErrNoSuchOption)
				case replacement != "" && (replacement == option || !slices.Contains(f.Options, replacement)):
					return fmt.Errorf("replacement %q: %w", replacement, ErrNoSuchOption)
				}
				without := *f
				remove(&without, option)
				if err := without.Check(); err != nil {
					return err
				}
				if replacement == "" && !force {
					if err := m.optionInUse(ctx, tx, f.Key, option); err != nil {
						return err
					}
				}
				f.Transition = &customfields.Transition{RunID: r.ID.String(), Kind: r.Kind, Option: option, Replacement: replacement}
				return nil
			},
		})
		if err != nil {
			return err
		}
		r.FieldID = f.ID
		out, err = m.begin(ctx, tx, r)
		return err
	})
	return out, err
}

// remove takes an option out of a definition.
func remove(f *customfields.Field, option string) {
	other := func(o string) bool { return o == option }
	f.Options = slices.DeleteFunc(slices.Clone(f.Options), other)
	f.ArchivedOptions = slices.DeleteFunc(slices.Clone(f.ArchivedOptions), other)
}

// optionInUse returns *InUseError when filters mention an option.
func (m *Manager) optionInUse(ctx context.Context, tx *tenancy.Tx, key, option string) error {
	filters, err := m.mentioning(ctx, tx, key)
	if err != nil {
		return err
	}
	inUse := &InUseError{Key: key}
	for _, h := range filters {
		if other, err := filter.ReplaceOption(h.Expression, key, option, option+"~"); err == nil && other != h.Expression {
			inUse.Filters = append(inUse.Filters, h.dependent(fmt.Sprintf("it mentions the option %q", option)))
		}
	}
	if len(inUse.Filters) == 0 {
		return nil
	}
	return inUse
}

// Purge deletes an archived field with all its values, in the background; its key is free
// then. It cannot be cancelled. Errors: customfields.ErrNotFound, ErrNotArchived,
// customfields.ErrChanging, tenancy.ErrMoving.
func (m *Manager) Purge(ctx context.Context, key string) (out Run, err error) {
	r := Run{ID: tenancy.NewID[Run](), Kind: customfields.KindPurge, Key: key}
	err = m.inWorkspace(ctx, func(ctx context.Context, tx *tenancy.Tx) error {
		f, err := m.fields.AlterTx(ctx, tx, customfields.Alteration{
			Pick: customfields.ByKey(key), Action: "custom_field.purge_started", Metadata: r.metadata(),
			Change: func(f *customfields.Field, _ []customfields.Field) error {
				switch {
				case f.ArchivedAt == nil:
					return ErrNotArchived
				case f.Transition != nil:
					return fmt.Errorf("field %s: %w", f.Key, customfields.ErrChanging)
				}
				f.Transition = &customfields.Transition{RunID: r.ID.String(), Kind: r.Kind}
				return nil
			},
		})
		if err != nil {
			return err
		}
		r.FieldID = f.ID
		out, err = m.begin(ctx, tx, r)
		return err
	})
	return out, err
}

// metadata is what the audit trail has of a run.
func (r Run) metadata() map[string]any {
	out := map[string]any{"runId": r.ID.String()}
	switch r.Kind {
	case customfields.KindConvert:
		out["from"], out["to"], out["acceptLoss"] = r.From, r.To, r.AcceptLoss
	case customfields.KindRemoveOption:
		out["option"], out["replacement"] = r.Option, r.Replacement
	case customfields.KindPurge:
	}
	return out
}

// alter changes the definition of the field of a run, which is in the transition that the
// run is about.
func (m *Manager) alter(ctx context.Context, tx *tenancy.Tx, rec record, what string, change func(f *customfields.Field) error) (customfields.Field, error) {
	verb := map[customfields.Kind]string{customfields.KindConvert: "conversion", customfields.KindRemoveOption: "option_removal", customfields.KindPurge: "purge"}[rec.Kind]
	metadata := rec.metadata()
	metadata["processed"], metadata["changed"], metadata["lost"] = rec.Processed, rec.Changed, rec.Lost
	return m.fields.AlterTx(ctx, tx, customfields.Alteration{
		Pick: customfields.ByID(rec.FieldID), Action: "custom_field." + verb + "_" + what, Metadata: metadata,
		Change: func(f *customfields.Field, _ []customfields.Field) error {
			if err := ours(*f, rec); err != nil {
				return err
			}
			return change(f)
		},
	})
}

// ours makes sure that a field is in the transition of a run.
func ours(f customfields.Field, rec record) error {
	if f.Transition == nil || f.Transition.RunID != rec.ID.String() {
		return fmt.Errorf("field %s is not in run %s: %w", f.Key, rec.ID, customfields.ErrChanging)
	}
	return nil
}

func (m *Manager) record(ctx context.Context, tx *tenancy.Tx, rec record, action string, more map[string]any) error {
	metadata := map[string]any{"runId": rec.ID.String(), "key": rec.Key}
	for k, v := range more {
		metadata[k] = v
	}
	return m.audit.RecordTx(ctx, tx, audit.Entry{Action: action, ResourceType: "custom_field", ResourceID: rec.FieldID.String(), Metadata: metadata})
}
