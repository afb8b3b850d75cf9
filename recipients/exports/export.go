package exports

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/stratakit/strata/audit"
	"github.com/stratakit/strata/bulk"
	"github.com/stratakit/strata/recipients"
	"github.com/stratakit/strata/tenancy"
)

// ID identifies an Export that is the work of a run, and is the id of the run too.
type ID = tenancy.ID[Export]

// Answer is what an export has come to: a File, or a run that will.
type Answer struct {
	// File is the whole file, when it is small; otherwise nil.
	File *File
	// ID is that of the run, and Estimated how many recipients matched when it was asked for;
	// 0 when that took too long to count.
	ID        ID
	Estimated int64
}

// File is a small export.
type File struct {
	Name, ContentType string
	Body              []byte
	Rows              int64
}

// Export writes the recipients of a Request: at once when there are at most
// Config.InlineLimit, else in a run, which Get follows. Either way the audit trail says what
// was asked for. While the run of the same Request goes on there is no second one. Errors:
// *filter.Error, *tenancy.ValidationError, ErrTooManyRows, ErrNoBucket,
// *bulk.AlreadyRunningError.
func (e *Exporter) Export(ctx context.Context, r Request) (Answer, error) {
	if _, err := tenancy.DomainFrom(ctx); err != nil {
		return Answer{}, err
	}
	p, err := e.plan(ctx, r)
	if err != nil {
		return Answer{}, err
	}
	n, err := e.store.CountOf(ctx, p.query())
	switch {
	case errors.Is(err, recipients.ErrTimeout): // more than work for a request, however many there are
		n = 0
	case err != nil:
		return Answer{}, err
	case n <= int64(e.cfg.InlineLimit):
		f, err := e.inline(ctx, p)
		if err == nil {
			return Answer{File: &f}, nil
		}
		if !errors.Is(err, errMore) {
			return Answer{}, err
		}
		n = int64(e.cfg.InlineLimit) + 1
	}
	if p.Format == XLSX && n > maxSheetRows {
		return Answer{}, ErrTooManyRows
	}
	if e.bucket == nil {
		return Answer{}, ErrNoBucket
	}
	id, err := e.submit(ctx, p, n)
	return Answer{ID: id, Estimated: n}, err
}

// errMore ends a small export that is none any more.
var errMore = errors.New("exports: there are more than were counted")

// inline writes a small export into memory. Nothing of it is sent before it is whole.
func (e *Exporter) inline(ctx context.Context, p plan) (File, error) {
	var body bytes.Buffer
	n, err := e.encode(ctx, &body, p, func(before int64) error {
		if before >= int64(e.cfg.InlineLimit) {
			return errMore
		}
		return nil
	})
	if err != nil {
		return File{}, err
	}
	err = e.db.InTx(ctx, func(tx *tenancy.Tx) error {
		return e.record(ctx, tx, "recipients.export.answered", tenancy.ID[Export]{}, p.metadata(map[string]any{"rows": n, "bytes": body.Len()}))
	})
	return File{Name: e.fileName(p), ContentType: p.Format.contentType(), Body: body.Bytes(), Rows: n}, err
}

func (e *Exporter) submit(ctx context.Context, p plan, n int64) (ID, error) {
	args, err := json.Marshal(p.Request)
	if err != nil {
		return ID{}, fmt.Errorf("exports: submit: %w", err)
	}
	sum := sha256.Sum256(args)
	id := tenancy.NewID[Export]()
	err = e.db.InTx(ctx, func(tx *tenancy.Tx) error {
		_, err := e.runner.SubmitTx(ctx, tx, bulk.Submission{Kind: Kind, ID: bulk.RunID(id), Args: p.Request, Total: n, DedupKey: hex.EncodeToString(sum[:])})
		if err != nil {
			return err
		}
		t := tx.Tenant()
		_, err = tx.Exec(ctx, tx.SQL(`INSERT INTO strata.recipient_exports (domain_id, id, company_id, workspace_id, format, file_name, object_prefix, requested_by, expires_at)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`),
			t.DomainID, id, t.CompanyID, t.WorkspaceID, string(p.Format), e.fileName(p), prefix(t, id), tenancy.ActorFrom(ctx).ID, e.cfg.Now().Add(e.cfg.Keep))
		if err != nil {
			return fmt.Errorf("exports: submit: %w", err)
		}
		return e.record(ctx, tx, "recipients.export.requested", id, p.metadata(map[string]any{"estimated": n}))
	})
	return id, err
}

// fileName is what whoever fetches the file is to call it.
func (e *Exporter) fileName(p plan) string {
	return fmt.Sprintf("recipients-%s.%s", e.cfg.Now().UTC().Format(time.DateOnly), p.Format)
}

// metadata is what the audit trail says of a Request.
func (r Request) metadata(more map[string]any) map[string]any {
	more["format"] = r.Format
	for name, v := range map[string]string{"filter": r.Filter, "search": r.Search} {
		if v != "" {
			more[name] = v
		}
	}
	for name, v := range map[string][]string{"with": r.With, "columns": r.Columns} {
		if len(v) > 0 {
			more[name] = v
		}
	}
	if r.Deleted {
		more["deleted"] = true
	}
	return more
}

func (e *Exporter) record(ctx context.Context, tx *tenancy.Tx, action string, id ID, metadata map[string]any) error {
	entry := audit.Entry{Action: action, ResourceType: "domain", ResourceID: tx.Tenant().DomainID.String(), Metadata: metadata}
	if !id.IsZero() {
		entry.ResourceType, entry.ResourceID = "export", id.String()
	}
	return e.audit.RecordTx(ctx, tx, entry)
}
