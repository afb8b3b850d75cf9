package push_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/stratakit/strata"
	"github.com/stratakit/strata/internal/tenancytest"
	"github.com/stratakit/strata/recipients"
	"github.com/stratakit/strata/recipients/push"
	"github.com/stratakit/strata/tenancy"
)

// One line adds the product. A device that changes hands is taken from one recipient and given
// to the other in one transaction.
func Example() {
	scratch := &tenancytest.Scratch{}
	defer scratch.Close()
	env := tenancytest.Open(scratch) // a migrated database with a company
	ctx := env.A.Ctx

	registry := recipients.NewRegistry()
	devices, err := push.Register(registry, nil)
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
	bo, _ := s.Recipients.Create(ctx, recipients.New{Email: "bo@example.com"})
	fmt.Println(devices.Enroll(ctx, ada.ID, &push.Push{}), devices.Enroll(ctx, bo.ID, &push.Push{}))
	phone := push.Device{Token: "t-1", Platform: push.Android}
	row, err := devices.AddDevice(ctx, ada.ID, phone)
	fmt.Println(row.Devices, err)

	err = devices.InTx(ctx, func(tx *tenancy.Tx) error {
		_, err := devices.AddDeviceTx(ctx, tx, bo.ID, phone)
		var taken *push.TokenTakenError
		if !errors.As(err, &taken) {
			return err
		}
		if _, err := devices.RemoveDeviceTx(ctx, tx, taken.ID, phone.Token); err != nil {
			return err
		}
		_, err = devices.AddDeviceTx(ctx, tx, bo.ID, phone)
		return err
	})
	fmt.Println(err)

	page, err := s.Recipients.List(ctx, recipients.Query{Filter: `push.devices > 0 && !push.muted`})
	for _, r := range page.Items {
		fmt.Println(r.Email)
	}
	fmt.Println(err)
	// Output:
	// <nil> <nil>
	// 1 <nil>
	// <nil>
	// bo@example.com
	// <nil>
}
