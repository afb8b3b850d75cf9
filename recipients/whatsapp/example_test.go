package whatsapp_test

import (
	"context"
	"fmt"
	"time"

	"github.com/stratakit/strata"
	"github.com/stratakit/strata/internal/tenancytest"
	"github.com/stratakit/strata/recipients"
	"github.com/stratakit/strata/recipients/phone"
	"github.com/stratakit/strata/recipients/whatsapp"
)

// A webhook says that somebody wrote: who it was is found by what WhatsApp calls them, and for
// 24 hours they may be answered without a template.
func Example() {
	scratch := &tenancytest.Scratch{}
	defer scratch.Close()
	env := tenancytest.Open(scratch) // a migrated database with a company
	ctx := env.A.Ctx

	registry := recipients.NewRegistry()
	chats, err := whatsapp.Register(registry, &whatsapp.Config{DefaultRegion: "DE"})
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
	fmt.Println(chats.Enroll(ctx, ada.ID, &whatsapp.WhatsApp{Contact: phone.Contact{Phone: "030 123456"}, WaID: "4930123456"}))

	who, err := s.Recipients.List(ctx, recipients.Query{Filter: `whatsapp.wa_id in ["4930123456", "4930654321"]`})
	fmt.Println(len(who.Items), err)
	n, err := chats.RecordInbound(ctx, []whatsapp.Inbound{{RecipientID: who.Items[0].ID, At: time.Now()}})
	fmt.Println(n, err)

	row, err := chats.Get(ctx, ada.ID)
	fmt.Println(row.WindowOpen(time.Now()), row.WindowOpen(time.Now().Add(whatsapp.Window)), err)
	// Output:
	// <nil>
	// 1 <nil>
	// 1 <nil>
	// true false <nil>
}
