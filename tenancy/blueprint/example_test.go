package blueprint_test

import (
	"context"
	"fmt"
	"time"

	"github.com/stratakit/strata"
	"github.com/stratakit/strata/internal/tenancytest"
	"github.com/stratakit/strata/tenancy"
	"github.com/stratakit/strata/tenancy/blueprint"
)

// Training is what this product lets a company define once.
type Training struct {
	Title string `json:"title"`
	Days  int    `json:"days"` // to complete it
}

// trainings brings a workspace to a definition. It may be called again: what it creates
// it finds by the id of the deployment.
var trainings = blueprint.NewKind("training", blueprint.Spec[Training]{
	Apply: func(ctx context.Context, tx *tenancy.Tx, o blueprint.Order[Training]) (blueprint.Result, error) {
		_, err := tx.Exec(ctx, `INSERT INTO trainings (id, workspace_id, title, days) VALUES ($1, $2, $3, $4)
			ON CONFLICT (workspace_id, id) DO UPDATE SET title = $3, days = $4`, o.DeploymentID, tx.Tenant().WorkspaceID, o.Definition.Title, o.Definition.Days)
		change := blueprint.Change{Action: blueprint.Created, Subject: o.Definition.Title}
		if o.Previous != nil {
			change.Action = blueprint.Changed
		}
		return blueprint.Result{Changes: []blueprint.Change{change}}, err
	},
})

// Defined at the company, deployed to its workspaces, changed by one of them.
func Example() {
	scratch := &tenancytest.Scratch{}
	defer scratch.Close()
	env := tenancytest.Open(scratch) // a migrated database with a company
	company, workspace := env.A.CompanyCtx, env.A.WorkspaceCtx
	check := func(err error) {
		if err != nil {
			panic(err)
		}
	}
	_, err := env.Pool.Exec(company, `CREATE TABLE trainings (workspace_id uuid, id uuid, title text, days int, PRIMARY KEY (workspace_id, id));
		ALTER TABLE trainings ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
		CREATE POLICY tenant ON trainings TO strata_app USING (workspace_id = (SELECT nullif(current_setting('strata.workspace_id', true), '')::uuid));
		GRANT SELECT, INSERT, UPDATE ON trainings TO strata_app`)
	check(err)
	s, err := strata.New(company, env.Pool, env.Redis, &strata.Config{Blueprints: []*blueprint.Kind{trainings}})
	check(err)
	defer func() { _ = s.Stop(context.Background()) }()
	check(s.Start(company))
	await := func(run blueprint.RunID) blueprint.Run {
		for {
			r, err := s.Blueprints.Run(company, run)
			check(err)
			if r.Pending == 0 {
				return r
			}
			time.Sleep(10 * time.Millisecond)
		}
	}

	b, err := s.Blueprints.Create(company, blueprint.New{Kind: "training", Name: "Security", Body: Training{"Passwords", 30}})
	check(err)
	run, err := s.Blueprints.Deploy(company, b.ID, 1, blueprint.All())
	check(err)
	fmt.Println("applied:", await(run.ID).Applied)

	// The workspace wants two weeks, and keeps them.
	d, err := s.Blueprints.Override(workspace, b.ID, "days", 14)
	check(err)
	await(d.RunID)
	_, err = s.Blueprints.Publish(company, b.ID, Training{"Passkeys", 60}, "passwords are gone")
	check(err)
	plan, err := s.Blueprints.Plan(company, b.ID, 0, blueprint.Deployed())
	check(err)
	for _, c := range plan[0].Changes {
		fmt.Println(c.Action, c.Subject, c.Detail)
	}
	// Output:
	// applied: 1
	// kept days overridden in this workspace; the blueprint has changed it since
	// changed Passkeys
}
