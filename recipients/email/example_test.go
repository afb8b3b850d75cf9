package email_test

import (
	"context"
	"fmt"
	"time"

	"github.com/stratakit/strata"
	"github.com/stratakit/strata/internal/tenancytest"
	"github.com/stratakit/strata/recipients"
	"github.com/stratakit/strata/recipients/email"
	"github.com/stratakit/strata/tenancy"
)

// One line adds the product. What happens to letters is recorded for many recipients at once,
// and an unsubscription from everything is said twice, in one transaction.
func Example() {
	scratch := &tenancytest.Scratch{}
	defer scratch.Close()
	env := tenancytest.Open(scratch) // a migrated database with a company
	ctx := env.A.Ctx

	registry := recipients.NewRegistry()
	mail, err := email.Register(registry, nil)
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
	fmt.Println(mail.Enroll(ctx, ada.ID, &email.Email{SubscriptionStatus: email.Subscribed}))
	ids, noon := []recipients.ID{ada.ID}, time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	fmt.Println(mail.RecordSent(ctx, ids, noon))
	fmt.Println(mail.RecordBounced(ctx, ids, email.Soft, noon.Add(time.Minute)))

	page, err := s.Recipients.List(ctx, recipients.Query{Filter: `email.subscription_status == "subscribed" && email.hard_bounces == 0`, With: []string{"email"}})
	for _, r := range page.Items {
		row, _ := mail.From(r)
		fmt.Println(r.Email, row.SoftBounces, row.LastBounceKind, row.LastSentAt.Format(time.DateOnly))
	}
	fmt.Println(err)

	everything, why := recipients.Unsubscribed, "letter to the company"
	err = mail.InTx(ctx, func(tx *tenancy.Tx) error {
		if _, err := mail.UnsubscribeTx(ctx, tx, ids, time.Time{}); err != nil {
			return err
		}
		_, err := s.Recipients.UpdateTx(ctx, tx, ada.ID, recipients.Change{Status: &everything, StatusReason: &why})
		return err
	})
	fmt.Println(err)
	// Output:
	// <nil>
	// 1 <nil>
	// 1 <nil>
	// ada@example.com 1 soft 2026-03-01
	// <nil>
	// <nil>
}
