package library_test

import (
	"errors"
	"fmt"

	"github.com/stratakit/strata/internal/tenancytest"
	"github.com/stratakit/strata/tenancy"
	"github.com/stratakit/strata/tenancy/library"
)

// Template is what a product keeps in the library.
type Template struct {
	Subject string `json:"subject"`
}

func (t Template) Check() error {
	if t.Subject == "" {
		return errors.New("needs a subject")
	}
	return nil
}

// The platform offers a template, a workspace makes its own of it and learns of news.
func Example() {
	scratch := &tenancytest.Scratch{}
	defer scratch.Close()
	env := tenancytest.Open(scratch) // a migrated database with a company
	store, err := library.NewStore(env.DB, env.Audit, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	templates, err := library.NewType(store, "email_template", library.Spec[Template]{Validate: Template.Check})
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx := env.A.WorkspaceCtx
	platform := library.Platform(tenancy.WithActor(ctx, tenancy.Actor{ID: "root", Type: tenancy.ActorAdmin}))

	offered, err := templates.Create(platform, library.New[Template]{Name: "Welcome", Body: Template{Subject: "Hello"}})
	if err != nil {
		fmt.Println(err)
	}
	_, err = templates.Update(ctx, offered.ID, library.Change[Template]{Version: 1, Body: &Template{Subject: "Hello from Acme"}})
	fmt.Println(err)
	mine, err := templates.Clone(ctx, offered.ID, library.CloneTo{Name: "Our welcome"})
	if err != nil {
		fmt.Println(err)
	}
	if _, err := templates.Update(platform, offered.ID, library.Change[Template]{Version: 1, Body: &Template{Subject: "Welcome aboard"}}); err != nil {
		fmt.Println(err)
	}
	source, err := templates.Source(ctx, mine.ID)
	fmt.Println(source.Changed, source.Latest.Body.Subject, err)
	mine, err = templates.Pull(ctx, mine.ID, mine.Version)
	fmt.Println(mine.Name, mine.Body.Subject, err)

	page, err := templates.List(ctx, library.Query{})
	for _, item := range page.Items {
		fmt.Println(item.Name, item.Owner.Level, err)
	}
	// Output:
	// this library item belongs to the level above: clone it to change the clone
	// true Welcome aboard <nil>
	// Our welcome Welcome aboard <nil>
	// Our welcome workspace <nil>
	// Welcome global <nil>
}
