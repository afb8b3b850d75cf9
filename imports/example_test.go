package imports_test

import (
	"context"
	"fmt"
	"io"
	"strings"

	"gocloud.dev/blob/memblob"

	"github.com/stratakit/strata"
	"github.com/stratakit/strata/bulk"
	"github.com/stratakit/strata/imports"
	"github.com/stratakit/strata/internal/tenancytest"
)

const members = `E-mail address,Full name
ada@example.com,Ada
bo@example.com,Bo
nobody,Cy
Ada@example.com,Ada L
`

// A file goes four steps: upload, process, preview, commit.
func Example() {
	scratch := &tenancytest.Scratch{}
	defer scratch.Close()
	env := tenancytest.Open(scratch) // a migrated database with a company
	ctx := env.A.Ctx

	bucket := memblob.OpenBucket(nil) // yours outlives the process
	defer func() { _ = bucket.Close() }()
	s, err := strata.New(ctx, env.Pool, env.Redis, &strata.Config{Bucket: bucket})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = s.Stop(context.Background()) }()
	if err := s.Start(ctx); err != nil {
		fmt.Println(err)
		return
	}
	if err := importFile(ctx, s, strings.NewReader(members)); err != nil {
		fmt.Println(err)
	}
	// Output:
	// of 4 rows 2 are new, 1 is there twice, 1 cannot be imported
	// row 4: email: must be one address of the form name@example.com
	// done: 2 inserted
}

func importFile(ctx context.Context, s *strata.Strata, file io.Reader) error {
	imp, err := s.Imports.CreateFromReader(ctx, "members.csv", file)
	if err != nil {
		return err
	}
	if _, err := s.Imports.Process(ctx, imp.ID, imports.ProcessOptions{}); err != nil {
		return err
	}
	if err := wait(ctx, s, imp.ID); err != nil {
		return err
	}
	p, err := s.Imports.Preview(ctx, imp.ID)
	if err != nil {
		return err
	}
	fmt.Printf("of %d rows %d are new, %d is there twice, %d cannot be imported\n", p.TotalRows, p.New, p.Duplicate, p.ErrorRows)
	for _, row := range p.SampleErrors {
		fmt.Printf("row %d: %s: %s\n", row.Row, row.Errors[0].Field, row.Errors[0].Message)
	}
	if _, err := s.Imports.Commit(ctx, imp.ID); err != nil {
		return err
	}
	if err := wait(ctx, s, imp.ID); err != nil {
		return err
	}
	imp, err = s.Imports.Get(ctx, imp.ID)
	fmt.Printf("%s: %d inserted\n", imp.Status, imp.Inserted)
	return err
}

// wait returns when the work on an import has ended, here or in another process.
func wait(ctx context.Context, s *strata.Strata, id imports.ID) error {
	progress, err := s.Runner.Watch(ctx, bulk.RunID(id))
	if err != nil {
		return err
	}
	for p := range progress {
		if p.Status == bulk.StateFailed {
			return fmt.Errorf("import %s failed", id)
		}
	}
	return ctx.Err()
}
