// Package blueprint lets a company define something once and deploy it to many of its
// workspaces: a training programme, a campaign, a set of settings. What that is, the
// product says; the package keeps versions, brings each workspace to one exactly once
// whatever dies, and remembers what a workspace has of its own.
//
// # Kinds
//
// A [Kind] is made with [NewKind] from a struct that describes a definition and a function
// that brings a workspace to one:
//
//	campaigns := blueprint.NewKind("campaign", blueprint.Spec[Campaign]{
//		Apply: func(ctx context.Context, tx *tenancy.Tx, o blueprint.Order[Campaign]) (blueprint.Result, error) {
//			// create or change what tx's workspace has for o.DeploymentID
//		},
//	})
//
// # Versions, plans and runs
//
// [Store.Create] and [Store.Publish] write versions, which never change. [Store.Deploy]
// asks for workspaces to be brought to one, a few first or all, forward or back; the [Run]
// that it returns has a result for each ([Store.Outcomes]), and [Store.Retry] tries again
// where it failed. [Store.Plan] calls the same Apply and rolls back: it shows what Deploy
// would create, change and keep. [Store.Work] does the work, in every process.
//
// # What a workspace has of its own
//
// [Store.Override] gives one workspace its own value of a field of the definition. Later
// versions are applied with it laid over, and say that it was kept and whether the
// blueprint has changed underneath. [Store.Pause] leaves the workspace as it is until
// [Store.Resume].
//
// # Adding up
//
// [Store.Summary] counts a blueprint's workspaces by state and version, and adds up what the
// product has counted with [Store.CountTx].
package blueprint
