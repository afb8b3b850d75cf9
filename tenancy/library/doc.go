// Package library keeps what is made once and used in many places, such as templates: the
// platform offers items to every company, a company to its workspaces, and each of them can
// clone what it sees and change the clone.
//
// # Items of a type
//
// A product registers a Go type under a name, and works with its items through a [Type]:
//
//	templates, err := library.NewType(store, "email_template", library.Spec[Template]{Validate: Template.Check})
//	mine, err := templates.Create(ctx, library.New[Template]{Name: "Welcome", Body: Template{Subject: "Hello"}})
//	mine, err = templates.Update(ctx, mine.ID, library.Change[Template]{Version: mine.Version, Body: &better})
//
// The tenant of the context is the owner of what is created: a workspace, or its company, or,
// in the context of [Platform], the platform. Two items of one owner and type have different
// names, letters' case and spaces aside. A body is kept as JSON and is held to
// Spec.Validate whenever it is written; one that an earlier version of the program wrote is
// read all the same, marked as [Item.Invalid].
//
// # Who sees what
//
// One rule, for items and for tables of your own:
//
//	in the context of   the platform's   the company's   the workspace's   another workspace's   another company's
//	the platform        changes          -               -                 -                     -
//	a company           sees             changes         changes           changes               -
//	a workspace         sees             sees            changes           -                     -
//	a domain            as its workspace
//
// A change of what is only seen is [ErrNotOwner]; what is not seen is [ErrNotFound]. What a
// deleted workspace owned nobody sees. Permissions, such as which user may act for the
// company, are not the business of this package.
//
// # Clones
//
// [Type.Clone] copies an item into the library of the context's tenant. The clone keeps the
// link to its source: [Type.Source] tells whether the source has changed since, and
// [Type.Pull] takes over what it is now.
//
// # The rule on a table of your own
//
// [Store.Visible] returns the rule as a condition for SQL and for bun. The table needs the
// columns of the rule, and the row-level security of strata.library_items, as it stands in
// migrations/001_items.up.sql:
//
//	CREATE TABLE templates (
//		company_id   uuid NOT NULL,
//		workspace_id uuid,
//		owner_id     uuid NOT NULL GENERATED ALWAYS AS (coalesce(workspace_id, company_id)) STORED,
//		...
//		FOREIGN KEY (company_id, workspace_id) REFERENCES strata.workspaces (company_id, id)
//	);
//	CREATE INDEX ON templates (company_id, owner_id);
//
// In a transaction, Tx.Tenant has the ids to insert, also in the context of [Platform], where
// the company is one that stands for the platform.
package library
