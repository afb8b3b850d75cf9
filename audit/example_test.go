package audit_test

import (
	"fmt"

	"github.com/stratakit/strata/audit"
	"github.com/stratakit/strata/internal/tenancytest"
	"github.com/stratakit/strata/tenancy"
)

// A change and its entry commit together; what fails leaves an entry of its own.
func Example() {
	s := &tenancytest.Scratch{}
	defer s.Close()
	env := tenancytest.Open(s) // a migrated database with a company
	db, recorder, ctx := env.DB, env.Audit, env.A.Ctx

	err := db.InTx(ctx, func(tx *tenancy.Tx) error {
		// ... send the invoice ...
		return recorder.RecordTx(ctx, tx, audit.Entry{
			Action: "invoice.sent", ResourceType: "invoice", ResourceID: "42",
			Metadata: map[string]any{"lines": 3},
		})
	})
	if err != nil {
		fmt.Println(err)
	}
	err = recorder.Record(ctx, audit.Entry{
		Action: "invoice.sent", ResourceType: "invoice", ResourceID: "43",
		Status: audit.Failure, ErrorMessage: "there is no such invoice",
	})
	if err != nil {
		fmt.Println(err)
	}

	page, err := recorder.List(ctx, audit.Query{ResourceType: "invoice"})
	if err != nil {
		fmt.Println(err)
	}
	for _, e := range page.Items {
		fmt.Println(e.ActorID, e.Action, e.ResourceID, e.Status, e.ErrorMessage)
	}
	// Output:
	// user-1 invoice.sent 43 failure there is no such invoice
	// user-1 invoice.sent 42 success
}
