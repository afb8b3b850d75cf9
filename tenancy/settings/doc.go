// Package settings answers "what is the value here": each key has a default, which a plan,
// then a company, then a workspace may replace, as far as the key lets them.
//
//	var MaxRows = settings.NewKey("imports.max_rows", settings.Spec[int64]{
//		Default: 100_000, Mode: settings.RestrictOnly, Tighten: settings.Min[int64],
//	})
//
//	registry, err := settings.NewRegistry(MaxRows, Greeting)
//	store, err := settings.NewStore(db, tenants, recorder, registry, nil)
//	rows, err := MaxRows.Get(ctx, store)
//
// # Levels
//
// The tenant in the context is the level: [Key.Set] in a company's context sets the
// company's value, in a workspace's the workspace's. [Key.Get] goes down to the level that
// the context has, so that a company's context gets the company's value. [Store.Explain]
// says where a value comes from, who set it when, and what it hides.
//
// # Modes
//
// What a deeper level may do is the key's [Mode]. A company can also lock a value of its
// own for a time ([Change].Lock): the values of its workspaces are kept, and do not count
// meanwhile.
//
// # Set, null and not set
//
// [Key.Clear] takes a value away, and what is above counts again. null is a value, and only
// of keys whose type is a pointer.
//
// # Versions of a program
//
// A stored value that the key does not accept any more, after an upgrade, is passed over:
// the next one above counts, and Explain shows it with [WhyInvalid]. Values of keys that a
// program does not know, such as those of another product, are left alone and not shown.
//
// # Moves
//
// When a domain moves to another workspace, [Store.Moved] keeps the values that would
// change under it, as values of the domain with [ReasonMove].
package settings
