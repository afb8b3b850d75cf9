package sms_test

import (
	"context"
	"fmt"
	"time"

	"github.com/stratakit/strata"
	"github.com/stratakit/strata/internal/tenancytest"
	"github.com/stratakit/strata/recipients"
	"github.com/stratakit/strata/recipients/phone"
	"github.com/stratakit/strata/recipients/sms"
)

// One line adds the product; the list of recipients then has its columns.
func Example() {
	scratch := &tenancytest.Scratch{}
	defer scratch.Close()
	env := tenancytest.Open(scratch) // a migrated database with a company
	ctx := env.A.Ctx

	registry := recipients.NewRegistry()
	texts, err := sms.Register(registry, &sms.Config{DefaultRegion: "DE"})
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := registry.Migrate(ctx, env.Direct(scratch)); err != nil { // or strata.MigrateConfig.Extensions
		fmt.Println(err)
		return
	}
	s, err := strata.New(ctx, env.Pool, env.Redis, &strata.Config{Extensions: registry})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = s.Stop(context.Background()) }()

	ada, _ := s.Recipients.Create(ctx, recipients.New{Email: "ada@example.com"})
	fmt.Println(texts.Enroll(ctx, ada.ID, &sms.SMS{Contact: phone.Contact{Phone: "030 123456 ext. 7"}}))
	fmt.Println(texts.Enroll(ctx, ada.ID, &sms.SMS{Contact: phone.Contact{Phone: "030 123456"}}))
	row, err := texts.OptIn(ctx, ada.ID, "form on example.com", time.Time{})
	fmt.Println(row.Phone, row.OptedIn, err)

	page, err := s.Recipients.List(ctx, recipients.Query{Filter: `sms.opted_in && sms.phone.startsWith("+49")`, With: []string{"sms"}})
	for _, r := range page.Items {
		row, _ := texts.From(r)
		fmt.Println(r.Email, row.Phone)
	}
	fmt.Println(err)
	// Output:
	// invalid input: phone: has the extension 7, which no message reaches: leave it out
	// <nil>
	// +4930123456 true <nil>
	// ada@example.com +4930123456
	// <nil>
}
