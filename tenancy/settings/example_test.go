package settings_test

import (
	"context"
	"fmt"

	"github.com/stratakit/strata"
	"github.com/stratakit/strata/internal/tenancytest"
	"github.com/stratakit/strata/tenancy/settings"
)

// A product's keys are variables of its own package.
var (
	SenderName = settings.NewKey("mail.sender_name", settings.Spec[string]{Default: "Example", Summary: "The name that mail comes from"})
	DailyLimit = settings.NewKey("mail.daily_limit", settings.Spec[int64]{
		Default: 10_000, Mode: settings.RestrictOnly, Tighten: settings.Min[int64], Summary: "How much mail a day at most",
	})
)

// A company has defaults, a workspace its own values, as far as each key lets it.
func Example() {
	scratch := &tenancytest.Scratch{}
	defer scratch.Close()
	env := tenancytest.Open(scratch) // a migrated database with a company
	company, workspace, domain := env.A.CompanyCtx, env.A.WorkspaceCtx, env.A.Ctx

	s, err := strata.New(domain, env.Pool, env.Redis, &strata.Config{SettingKeys: []settings.AnyKey{SenderName, DailyLimit}})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = s.Stop(context.Background()) }()
	fmt.Println(SenderName.Get(domain, s.Settings))

	fmt.Println(SenderName.Set(company, s.Settings, "Example Group"), DailyLimit.Set(company, s.Settings, 2_000))
	fmt.Println(SenderName.Set(workspace, s.Settings, "Example North"))
	fmt.Println(DailyLimit.Set(workspace, s.Settings, 5_000))
	fmt.Println(SenderName.Get(domain, s.Settings))
	fmt.Println(DailyLimit.Get(domain, s.Settings))

	x, err := s.Settings.Explain(domain, "mail.sender_name")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%s from the %s, set by %s\n", x.Value, x.Source, x.SetBy)
	for _, l := range x.Shadowed {
		fmt.Printf("  %s of the %s: %s\n", l.Value, l.Source, l.Why)
	}
	// Output:
	// Example <nil>
	// <nil> <nil>
	// <nil>
	// invalid input: mail.daily_limit: must not be less strict than what the company has: 2000
	// Example North <nil>
	// 2000 <nil>
	// "Example North" from the workspace, set by user-1
	//   "Example" of the system: overridden
	//   "Example Group" of the company: overridden
}
