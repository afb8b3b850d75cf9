package strata_test

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/stratakit/strata"
	"github.com/stratakit/strata/customfields"
	"github.com/stratakit/strata/internal/tenancytest"
	"github.com/stratakit/strata/recipients"
	"github.com/stratakit/strata/tenancy"
	"github.com/stratakit/strata/tenancy/access"
	"github.com/stratakit/strata/tenancy/blueprint"
	"github.com/stratakit/strata/tenancy/library"
	"github.com/stratakit/strata/tenancy/settings"
)

// Three kinds of customer, one code base. What the stories share: a product that has one
// setting, one kind of blueprint and one kind of library item.

var sender = settings.NewKey("mail.sender", settings.Spec[string]{Default: "Strata", Summary: "Whom mail comes from"})

// lesson is what a company defines for its workspaces, snippet what lies in its library.
type (
	lesson struct {
		Title string `json:"title"`
		Days  int    `json:"days"`
	}
	snippet struct {
		Text string `json:"text"`
	}
)

// lessons only says what it would do: a product writes rows of its own here.
func lessons() *blueprint.Kind {
	return blueprint.NewKind("lesson", blueprint.Spec[lesson]{
		Apply: func(_ context.Context, _ *tenancy.Tx, o blueprint.Order[lesson]) (blueprint.Result, error) {
			return blueprint.Result{Changes: []blueprint.Change{{Action: blueprint.Created, Subject: fmt.Sprintf("%s in %d days", o.Definition.Title, o.Definition.Days)}}}, nil
		},
	})
}

// told is a story; an error ends it.
type told struct {
	*strata.Strata
	scratch *tenancytest.Scratch
}

func tell() *told {
	s := &told{scratch: &tenancytest.Scratch{}}
	env := tenancytest.Open(s.scratch)
	var err error
	s.Strata, err = strata.New(env.A.Ctx, env.Pool, env.Redis, &strata.Config{
		SettingKeys: []settings.AnyKey{sender}, Blueprints: []*blueprint.Kind{lessons()},
	})
	s.must(err)
	s.must(s.Start(env.A.Ctx))
	return s
}

func (s *told) end() {
	s.must(s.Stop(context.Background()))
	s.scratch.Close()
}

func (s *told) must(err error) {
	if err != nil {
		log.Panic(err)
	}
}

// as is a request of somebody to a place: what the HTTP chain puts into the context.
func (s *told) as(who string, at tenancy.Tenant) context.Context {
	ctx := context.Background()
	var err error
	switch at.Level() {
	case tenancy.LevelDomain:
		at, err = s.Resolver.ResolveDomain(ctx, at.DomainID)
	case tenancy.LevelWorkspace:
		at, err = s.Resolver.ResolveWorkspace(ctx, at.WorkspaceID)
	case tenancy.LevelCompany, tenancy.LevelNone:
		at, err = s.Resolver.ResolveCompany(ctx, at.CompanyID)
	}
	s.must(err)
	return tenancy.WithActor(tenancy.WithTenant(ctx, at), tenancy.Actor{ID: who, Type: tenancy.ActorUser, CompanyID: at.CompanyID})
}

// One company with one domain: nothing of the hierarchy shows. It is made in one call, and
// whoever works in it never meets another word than recipients.
func Example_oneCompany() {
	s := tell()
	defer s.end()
	home, err := s.Tenancy.Bootstrap(context.Background(),
		tenancy.NewCompany{Name: "Corner Bakery", Owner: tenancy.Owner{ActorID: "olive"}}, tenancy.NewDomain{DomainName: "bakery.example"})
	s.must(err)

	olive := s.as("olive", home)
	_, err = s.Recipients.Create(olive, recipients.New{Email: "ada@example.com"})
	s.must(err)
	page, err := s.Recipients.List(olive, recipients.Query{})
	s.must(err)
	fmt.Println(page.Items[0].Email)

	features, err := s.Tenancy.Features(olive)
	s.must(err)
	fmt.Println("anything to see of companies and workspaces:", features != tenancy.Features{})
	// Output:
	// ada@example.com
	// anything to see of companies and workspaces: false
}

// One workspace with several domains: fields and members are of the workspace and count in
// every domain, recipients are of one. An address is unique in its domain only.
func Example_severalDomains() {
	s := tell()
	defer s.end()
	city, err := s.Tenancy.Bootstrap(context.Background(),
		tenancy.NewCompany{Name: "City", Plan: "pro", Owner: tenancy.Owner{ActorID: "olive"}}, tenancy.NewDomain{DomainName: "city.example"})
	s.must(err)
	workspace := city
	workspace.DomainID = tenancy.DomainID{}
	olive := s.as("olive", workspace)
	d, err := s.Tenancy.CreateDomain(olive, city.WorkspaceID, tenancy.NewDomain{DomainName: "schools.example"})
	s.must(err)
	schools := workspace
	schools.DomainID = d.ID

	_, err = s.Fields.Create(olive, customfields.Field{Key: "floor", Type: customfields.Number, Filterable: true})
	s.must(err)
	_, err = s.Access.AddMember(olive, access.NewMember{ActorID: "ann", Role: access.WorkspaceAdmin})
	s.must(err)

	// Ann is one human with two addresses, and administers both domains.
	for at, email := range map[tenancy.Tenant]string{city: "ann@city.example", schools: "ann@schools.example"} {
		ann := s.as("ann", at)
		s.must(s.Guard.Require(ann, access.RecipientsManage))
		_, err = s.Recipients.Create(ann, recipients.New{Email: email, CustomFields: map[string]any{"floor": 3}})
		s.must(err)
		_, err = s.Recipients.Create(ann, recipients.New{Email: "office@city.example"})
		s.must(err)
	}
	for _, at := range []tenancy.Tenant{city, schools} {
		n, err := s.Recipients.Count(s.as("ann", at), "fields.floor == 3")
		s.must(err)
		fmt.Println("on the third floor:", n)
	}
	f, err := s.Tenancy.Features(olive)
	s.must(err)
	fmt.Println("domains to choose from:", f.DomainSwitcher, "persons:", f.Persons, "workspaces:", f.WorkspaceSwitcher)
	// Output:
	// on the third floor: 1
	// on the third floor: 1
	// domains to choose from: true persons: true workspaces: false
}

// Many workspaces under one company: the company sees and defines, workspaces never see each
// other, and a domain that moves keeps what it had.
func Example_groupOfWorkspaces() {
	s := tell()
	defer s.end()
	system := context.Background()
	company, err := s.Tenancy.CreateCompany(system, tenancy.NewCompany{Name: "Group", Plan: "enterprise", Owner: tenancy.Owner{ActorID: "olive"}})
	s.must(err)
	group := tenancy.Tenant{CompanyID: company.ID}
	olive := func() context.Context { return s.as("olive", group) }
	workspace := func(name string) tenancy.Tenant {
		w, err := s.Tenancy.CreateWorkspace(olive(), tenancy.NewWorkspace{Name: name})
		s.must(err)
		return tenancy.Tenant{CompanyID: company.ID, WorkspaceID: w.ID}
	}
	north, south := workspace("North"), workspace("South")
	d, err := s.Tenancy.CreateDomain(olive(), north.WorkspaceID, tenancy.NewDomain{DomainName: "shop.example"})
	s.must(err)
	shop := north
	shop.DomainID = d.ID
	_, err = s.Access.AddMember(s.as("olive", north), access.NewMember{ActorID: "nora", Role: access.WorkspaceAdmin})
	s.must(err)
	_, err = s.Access.AddMember(s.as("olive", south), access.NewMember{ActorID: "sam", Role: access.WorkspaceAdmin})
	s.must(err)

	fmt.Println("nora in the north:", s.Guard.Require(s.as("nora", north), access.RecipientsManage))
	fmt.Println("nora in the south:", s.Guard.Require(s.as("nora", south), access.RecipientsManage))

	// Defined once at the company, for all.
	s.must(sender.Set(olive(), s.Settings, "The Group"))
	s.must(sender.Set(s.as("nora", north), s.Settings, "The North"))
	items, err := library.NewType(s.Library, "snippet", library.Spec[snippet]{})
	s.must(err)
	greeting, err := items.Create(olive(), library.New[snippet]{Name: "Greeting", Body: snippet{"Hello"}})
	s.must(err)
	_, err = items.Clone(s.as("sam", south), greeting.ID, library.CloneTo{Name: "Southern greeting"})
	s.must(err)
	for who, at := range map[string]tenancy.Tenant{"nora": north, "sam": south} {
		page, err := items.List(s.as(who, at), library.Query{})
		s.must(err)
		if who == "nora" && len(page.Items) != 1 || who == "sam" && len(page.Items) != 2 {
			fmt.Println(who, "sees what is not for", who)
		}
	}
	training, err := s.Blueprints.Create(olive(), blueprint.New{Kind: "lesson", Name: "Passwords", Body: lesson{"Passwords", 30}})
	s.must(err)
	run, err := s.Blueprints.Deploy(olive(), training.ID, 1, blueprint.All())
	s.must(err)
	for run.Pending > 0 {
		run, err = s.Blueprints.Run(olive(), run.ID)
		s.must(err)
	}
	fmt.Println("deployed to", run.Applied, "workspaces")

	// The shop goes south, with its recipients and the sender that its mail has had.
	_, err = s.Recipients.Create(s.as("nora", shop), recipients.New{Email: "ada@example.com"})
	s.must(err)
	preview, err := s.Mover.Preview(s.as("olive", shop), south.WorkspaceID)
	s.must(err)
	for _, f := range preview.Findings {
		fmt.Println("-", f.Message)
	}
	m, err := s.Mover.Start(s.as("olive", shop), south.WorkspaceID)
	s.must(err)
	for !m.State.Final() {
		time.Sleep(10 * time.Millisecond)
		m, err = s.Mover.Get(s.as("olive", shop))
		s.must(err)
	}
	fmt.Println("the move is", m.State)
	for at := shop; at.WorkspaceID != south.WorkspaceID; { // until this process has been told
		at, err = s.Resolver.ResolveDomain(system, shop.DomainID)
		s.must(err)
	}
	shop.WorkspaceID = south.WorkspaceID
	n, err := s.Recipients.Count(s.as("sam", shop), "")
	s.must(err)
	from, err := sender.Get(s.as("sam", shop), s.Settings)
	s.must(err)
	fmt.Println("sam has", n, "recipient, mail comes from", from)
	fmt.Println("nora:", s.Guard.Require(s.as("nora", shop), access.RecipientsRead))
	// Output:
	// nora in the north: <nil>
	// nora in the south: not found
	// deployed to 2 workspaces
	// - members of the workspace without a role where the domain goes: 1 (nora)
	// - the domain keeps mail.sender = "The North" as a value of its own: there it would be "The Group"
	// the move is done
	// sam has 1 recipient, mail comes from The North
	// nora: not found
}
