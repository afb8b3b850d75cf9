package lifecycle

import (
	"context"
	"fmt"

	"github.com/stratakit/strata/customfields"
	"github.com/stratakit/strata/customfields/filter"
	"github.com/stratakit/strata/tenancy"
)

// Rename gives a field another key, at once: the values stay where they are, and the
// filters that mention the field are rewritten in the same transaction. The old key is free
// for a new field some seconds afterwards, when every process has heard of it. Errors:
// customfields.ErrNotFound, also for an archived field; customfields.ErrKeyTaken,
// customfields.ErrKeyHeld, *tenancy.ValidationError, *filter.Error for a filter that the
// new key would make too long.
func (m *Manager) Rename(ctx context.Context, key, to string) (out customfields.Field, err error) {
	err = m.inWorkspace(ctx, func(ctx context.Context, tx *tenancy.Tx) error {
		out, err = m.RenameTx(ctx, tx, key, to)
		return err
	})
	return out, err
}

// RenameTx is Rename in the caller's transaction, which is in the scope of the workspace.
// Until that ends, other changes of the workspace's fields wait.
func (m *Manager) RenameTx(ctx context.Context, tx *tenancy.Tx, key, to string) (customfields.Field, error) {
	metadata := map[string]any{"previousKey": key}
	return m.fields.AlterTx(ctx, tx, customfields.Alteration{
		Pick: customfields.ByKey(key), Action: "custom_field.renamed", Metadata: metadata,
		Change: func(f *customfields.Field, all []customfields.Field) error {
			if f.ArchivedAt != nil {
				return customfields.ErrNotFound
			}
			for _, other := range all {
				if other.Key == to && other.ID != f.ID {
					return fmt.Errorf("key %q: %w", to, customfields.ErrKeyTaken)
				}
			}
			f.Key = to
			if err := f.Check(); err != nil {
				return err
			}
			filters, err := m.mentioning(ctx, tx, key)
			if err != nil || to == key {
				return err
			}
			metadata["filters"], err = rewriteAll(ctx, tx, filters, func(expression string) (string, error) { return filter.RenameField(expression, key, to) })
			return err
		},
	})
}

// Archive is customfields.Registry.Archive for a field that no filter mentions: else it
// returns *InUseError, unless forced, and then those filters are broken until the field is
// restored.
func (m *Manager) Archive(ctx context.Context, key string, force bool) error {
	return m.inWorkspace(ctx, func(ctx context.Context, tx *tenancy.Tx) error {
		if err := m.fields.ArchiveTx(ctx, tx, key); err != nil || force { // others wait from here on
			return err
		}
		filters, err := m.mentioning(ctx, tx, key)
		if err != nil || len(filters) == 0 {
			return err
		}
		inUse := &InUseError{Key: key}
		for _, h := range filters {
			inUse.Filters = append(inUse.Filters, h.dependent("the field would be archived"))
		}
		return inUse
	})
}

// Restore is customfields.Registry.Restore.
func (m *Manager) Restore(ctx context.Context, key string) (customfields.Field, error) {
	return m.fields.Restore(ctx, key)
}
