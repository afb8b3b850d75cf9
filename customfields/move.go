package customfields

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/stratakit/strata/billing"
	"github.com/stratakit/strata/tenancy"
	"github.com/stratakit/strata/tenancy/move"
)

var _ move.Participant = (*Registry)(nil)

// difference is what the definitions of a workspace lack for the records of another one.
type difference struct {
	missing  []Field  // not there at all; archived ones among them
	options  []Field  // as the target has it, with the options that it lacks
	free     []string // the keys of fields that are unique in the source, and are not in the target
	findings []move.Finding
}

// fieldsApart holds the fields of the workspace that a domain leaves against those where it goes.
// Fields go by their keys: what the records have under a key has to mean the same.
func fieldsApart(source, target []Field) difference {
	var d difference
	find := func(severity move.Severity, kind, key, format string, args ...any) {
		d.findings = append(d.findings, move.Finding{Kind: kind, Severity: severity, Subject: key, Message: fmt.Sprintf(format, args...)})
	}
	placesApart(source, target, find)
	for _, f := range source {
		i := slices.IndexFunc(target, func(t Field) bool { return t.Key == f.Key })
		if i < 0 {
			d.missing = append(d.missing, f)
			if f.UniqueState != "" {
				find(move.Block, "custom_field_unique", f.Key, "whether the custom field %s is unique is being changed: try again in a moment", f.Key)
			}
			if f.ArchivedAt == nil {
				find(move.Warn, "custom_field_missing", f.Key, "the workspace has no custom field %s: it is copied there", f.Key)
			}
			continue
		}
		t := target[i]
		has := slices.Concat(t.Options, t.ArchivedOptions)
		lacks := func(options []string) []string {
			return slices.DeleteFunc(slices.Clone(options), func(o string) bool { return slices.Contains(has, o) })
		}
		live, archived := lacks(f.Options), lacks(f.ArchivedOptions)
		lacking := slices.Concat(live, archived)
		switch {
		case t.Type != f.Type:
			find(move.Block, "custom_field_type", f.Key, "the custom field %s is %s here and %s there", f.Key, f.Type, t.Type)
		case f.ArchivedAt == nil && t.ArchivedAt != nil:
			find(move.Block, "custom_field_archived", f.Key, "the workspace has archived its custom field %s", f.Key)
		case t.ArchivedAt != nil || len(lacking) == 0:
		case len(has)+len(lacking) > maxOptions:
			find(move.Block, "custom_field_options", f.Key, "the custom field %s would have more than %d options", f.Key, maxOptions)
		default:
			find(move.Warn, "custom_field_options", f.Key, "the custom field %s lacks the options %s there: they are added", f.Key, strings.Join(lacking, ", "))
			t.Options, t.ArchivedOptions = slices.Concat(t.Options, live), slices.Concat(t.ArchivedOptions, archived)
			d.options = append(d.options, t)
		}
		switch {
		case t.UniqueState != "" || f.UniqueState != "":
			find(move.Block, "custom_field_unique", f.Key, "whether the custom field %s is unique is being changed: try again in a moment", f.Key)
		case t.Unique && !f.Unique:
			find(move.Block, "custom_field_unique", f.Key, "the custom field %s is unique there and not here: make it unique here too, or not unique there", f.Key)
		case f.Unique && !t.Unique:
			find(move.Warn, "custom_field_unique", f.Key, "the custom field %s is not unique there", f.Key)
			d.free = append(d.free, f.Key)
		}
		if t.Type == f.Type && t.ArchivedAt == nil && f.ArchivedAt == nil && (t.Constraints != f.Constraints || t.DateOnly != f.DateOnly) {
			find(move.Warn, "custom_field_constraints", f.Key, "the custom field %s allows other values there: what is stored stays as it is until it is written again", f.Key)
		}
	}
	for _, t := range target {
		known := slices.ContainsFunc(source, func(f Field) bool { return f.Key == t.Key && f.Required && f.ArchivedAt == nil })
		if t.Required && t.ArchivedAt == nil && !known {
			find(move.Warn, "custom_field_required", t.Key, "the workspace requires the custom field %s: records without it stay as they are", t.Key)
		}
	}
	return d
}

// placesApart finds what keeps the values of a domain from being found where it goes: the
// records of a domain keep their slots, and while a field is being changed they have some
// values in one place and some in another.
func placesApart(source, target []Field, find func(severity move.Severity, kind, key, format string, args ...any)) {
	for _, side := range []struct {
		where  string
		fields []Field
	}{{"here", source}, {"there", target}} {
		for _, f := range side.fields {
			if f.Transition != nil {
				find(move.Block, "custom_field_changing", f.Key, "the custom field %s is being changed %s (run %s): wait until that has ended, or cancel it", f.Key, side.where, f.Transition.RunID)
			}
		}
	}
	for _, f := range source {
		for _, t := range target {
			switch {
			case t.Key == f.Key && t.Slot != f.Slot:
				find(move.Block, "custom_field_slot", f.Key, "the values of the custom field %s stand under %s here and %s there: convert the field to the type it has, on the side where it is not %s, and they stand there", f.Key, f.Slot, t.Slot, f.Key)
			case t.Key != f.Key && t.Slot == f.Slot:
				find(move.Block, "custom_field_slot", f.Key, "where the values of the custom field %s stand here, those of %s stand there: convert %s to the type it has there, and they stand elsewhere", f.Key, t.Key, t.Key)
			}
		}
	}
}

func (d difference) live() (n int64) {
	for _, f := range d.missing {
		if f.ArchivedAt == nil {
			n++
		}
	}
	return n
}

// PreviewMove finds the custom fields that the workspace of m.Target has not, or has
// otherwise. Missing ones are copied with the move, and options are added; another type, or
// a field that was archived there, is for a person to decide.
func (r *Registry) PreviewMove(ctx context.Context, m move.Move) ([]move.Finding, error) {
	source, err := r.List(tenancy.WithTenant(ctx, m.Source()))
	if err != nil {
		return nil, err
	}
	target, err := r.List(tenancy.WithTenant(ctx, m.Target()))
	if err != nil {
		return nil, err
	}
	d := fieldsApart(source, target)
	room, err := r.limits.PeekMove(ctx, m, billing.ResourceCustomFields, d.live())
	return append(d.findings, room...), err
}

// DomainMoved copies the custom fields that the workspace of m.Target lacks, and adds
// options. What it cannot bring together is a *move.BlockedError.
func (r *Registry) DomainMoved(ctx context.Context, tx *tenancy.Tx, m move.Move) error {
	// No change begins there before the domain is gone, and with it its records.
	if _, err := tx.Exec(ctx, tx.SQL(`SELECT FROM strata.custom_field_sets WHERE workspace_id = $1 FOR SHARE`), m.From.WorkspaceID); err != nil {
		return fmt.Errorf("customfields: keep the definitions of a workspace as they are: %w", err)
	}
	source, err := list(ctx, tx, m.From.WorkspaceID)
	if err != nil || len(source) == 0 {
		return err
	}
	var free []string
	err = tx.As(ctx, m.Target(), func(ctx context.Context, tx *tenancy.Tx) error {
		if _, err := r.change(ctx, tx); err != nil { // other changes wait from here on
			return err
		}
		target, err := list(ctx, tx, m.To.WorkspaceID)
		if err != nil {
			return err
		}
		d := fieldsApart(source, target)
		var blocked []move.Finding
		for _, f := range d.findings {
			if f.Severity == move.Block {
				blocked = append(blocked, f)
			}
		}
		if len(blocked) > 0 {
			return &move.BlockedError{Findings: blocked}
		}
		free = d.free
		for _, f := range d.options {
			if _, err := r.UpdateTx(ctx, tx, f.Key, Change{Options: &f.Options, ArchivedOptions: &f.ArchivedOptions}); err != nil {
				return err
			}
		}
		for _, f := range d.missing {
			if err := r.copyTx(ctx, tx, m.Target(), f); err != nil {
				return err
			}
		}
		return r.limits.Consume(ctx, tx, billing.ResourceCustomFields, d.live())
	})
	if err != nil || len(free) == 0 {
		return err
	}
	_, err = tx.Exec(ctx, tx.SQL(`DELETE FROM strata.custom_field_uniques WHERE domain_id = $1 AND slot = ANY ($2)`), m.DomainID, free)
	if err != nil {
		return fmt.Errorf("customfields: forget the values of fields: %w", err)
	}
	return nil
}

// copyTx adds a field of another workspace, archived when it is.
func (r *Registry) copyTx(ctx context.Context, tx *tenancy.Tx, to tenancy.Tenant, f Field) error {
	f.ID = tenancy.NewID[Field]()
	rows, err := f.insert(ctx, tx, to)
	if err == nil {
		_, err = pgx.CollectExactlyOneRow(rows, scanField)
	}
	if err != nil {
		return fmt.Errorf("customfields: copy a field: %w", err)
	}
	return r.record(ctx, tx, "custom_field.created", f)
}
