package persons

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"

	"github.com/stratakit/strata/recipients"
	"github.com/stratakit/strata/tenancy"
)

// CompletionID identifies a Completion.
type CompletionID = tenancy.ID[Completion]

// The bounds of a completion.
const (
	// MaxCompletions is how many CompleteMany takes, at most. More of one thing are work for
	// Completer.CompleteAll.
	MaxCompletions = recipients.MaxBatch
	// MaxDetails is how many bytes of JSON Details may be.
	MaxDetails = 4096

	maxKey = 200 // characters
)

// Topic is what can be completed: something of a product's.
type Topic struct {
	// Product is who says so, such as "training": a lower-case letter, then up to 62 letters,
	// digits and underscores.
	Product string `json:"product" required:"true"`
	// Key is the product's own name for it, such as "course:fire-safety-2026", with up to 200
	// characters. It is shown in every workspace that a credit goes to, and in audit entries:
	// no personal data.
	Key string `json:"key" required:"true"`
}

// NewCompletion says that a recipient has completed something.
type NewCompletion struct {
	Ref
	Topic

	// OccurredAt is when, to the microsecond.
	OccurredAt time.Time `json:"occurredAt" required:"true"`
	// Details are what the product wants to have in the credits, such as a score: a JSON object
	// of at most MaxDetails bytes, {} when there are none. Whoever sees a credit sees them.
	Details json.RawMessage `json:"details,omitempty"`
}

// Completion is a NewCompletion that was recorded.
type Completion struct {
	ID CompletionID `json:"completionId"`
	NewCompletion

	RecordedAt time.Time `json:"recordedAt"`
	// WithdrawnAt is set when it does not count any more.
	WithdrawnAt *time.Time `json:"withdrawnAt"`
}

// Complete records that a recipient has completed something, and credits the other recipients
// of its person with it: those who have not completed it themselves, each once, also those
// that are linked later. What is recorded in the scope of a workspace counts in it; in the
// scope of a company it counts in all its workspaces, as far as the company has linked
// persons across them.
//
// It may be repeated: the same again changes nothing and returns what is there, also when that
// was withdrawn meanwhile. Only a company that repeats what a workspace had recorded has it
// count in all workspaces from then on. Something else under the same product and key is a
// *CompletionConflictError, until the one before is withdrawn. Errors:
// *tenancy.ValidationError, recipients.ErrNotFound, tenancy.ErrMoving while the domain of the
// recipient or of one that is to be credited is being moved.
func (s *Store) Complete(ctx context.Context, in NewCompletion) (Completion, error) {
	return oneOf(s.completeMany(ctx, s.inTx, []NewCompletion{in}, ""))
}

// CompleteTx is Complete in the caller's transaction: after an error, tx goes on as before the
// call. As with LinkTx, call it before anything that locks a recipient.
func (s *Store) CompleteTx(ctx context.Context, tx *tenancy.Tx, in NewCompletion) (Completion, error) {
	return oneOf(s.completeMany(ctx, s.inTxOf(tx), []NewCompletion{in}, ""))
}

// CompleteMany is Complete for up to MaxCompletions in one transaction: all or none. What it
// returns is in the order of in.
func (s *Store) CompleteMany(ctx context.Context, in []NewCompletion) ([]Completion, error) {
	return s.completeMany(ctx, s.inTx, in, "completions[%d].")
}

// CompleteManyTx is CompleteMany in the caller's transaction, as CompleteTx is.
func (s *Store) CompleteManyTx(ctx context.Context, tx *tenancy.Tx, in []NewCompletion) ([]Completion, error) {
	return s.completeMany(ctx, s.inTxOf(tx), in, "completions[%d].")
}

func oneOf(all []Completion, err error) (Completion, error) {
	if err != nil {
		return Completion{}, err
	}
	return all[0], nil
}

// inner runs a change in a transaction.
type inner func(ctx context.Context, fn func(ctx context.Context, c *change) error) error

// inTxOf is inCallersTx for tx.
func (s *Store) inTxOf(tx *tenancy.Tx) inner {
	return func(ctx context.Context, fn func(ctx context.Context, c *change) error) error {
		return s.inCallersTx(ctx, tx, fn)
	}
}

// completeMany does what in says, whose fields errors name behind at with the index.
func (s *Store) completeMany(ctx context.Context, in inner, all []NewCompletion, at string) ([]Completion, error) {
	checked, err := checkCompletions(all, at)
	if err != nil || len(checked) == 0 {
		return []Completion{}, err
	}
	refs := make([]Ref, len(checked))
	for i, n := range checked {
		refs[i] = n.Ref
	}
	var out []Completion
	err = in(ctx, func(ctx context.Context, c *change) error {
		members, err := c.live(ctx, refs)
		if err != nil {
			return err
		}
		done, err := c.complete(ctx, workspacesOf(members), checked)
		if err != nil {
			return err
		}
		if len(done.differing) > 0 {
			return &CompletionConflictError{done.differing}
		}
		out = done.all
		return nil
	})
	return out, err
}

func workspacesOf(members []member) map[tenancy.DomainID]tenancy.WorkspaceID {
	out := map[tenancy.DomainID]tenancy.WorkspaceID{}
	for _, m := range members {
		out[m.DomainID] = m.workspace
	}
	return out
}

var productForm = regexp.MustCompile(`^[a-z][a-z0-9_]{0,62}$`)

// checkCompletions returns completions in the form in which they are compared and kept, or
// everything that is wrong with them.
func checkCompletions(in []NewCompletion, at string) ([]NewCompletion, error) {
	var v tenancy.ValidationError
	if len(in) > MaxCompletions {
		v.Add("completions", "too_long", fmt.Sprintf("must have at most %d", MaxCompletions))
		return nil, &v
	}
	out := make([]NewCompletion, len(in))
	for i, n := range in {
		before := ""
		if at != "" {
			before = fmt.Sprintf(at, i)
		}
		if n.DomainID.IsZero() {
			v.Add(before+"domainId", "required", "must be set")
		}
		if n.RecipientID.IsZero() {
			v.Add(before+"recipientId", "required", "must be set")
		}
		out[i] = n.checked(before, &v)
	}
	return out, v.OrNil()
}

// checked returns what n says in the form in which it is kept, and notes in v what is wrong.
func (n NewCompletion) checked(before string, v *tenancy.ValidationError) NewCompletion {
	n.check(before, v)
	switch {
	case n.OccurredAt.IsZero():
		v.Add(before+"occurredAt", "required", "must be set")
	case n.OccurredAt.Year() < 1 || n.OccurredAt.Year() > 9999:
		v.Add(before+"occurredAt", "out_of_range", "must be in the years 1 to 9999")
	}
	n.OccurredAt = n.OccurredAt.UTC().Truncate(time.Microsecond)
	details, problem := checkDetails(n.Details)
	if problem != "" {
		v.Add(before+"details", "invalid_details", problem)
	}
	n.Details = details
	return n
}

func (t Topic) check(before string, v *tenancy.ValidationError) {
	if !productForm.MatchString(t.Product) {
		v.Add(before+"product", "invalid_product", "must be a lower-case letter and then up to 62 lower-case letters, digits and underscores")
	}
	switch n := utf8.RuneCountInString(t.Key); {
	case t.Key == "":
		v.Add(before+"key", "required", "must be set")
	case n > maxKey:
		v.Add(before+"key", "too_long", fmt.Sprintf("must have at most %d characters", maxKey))
	case !utf8.ValidString(t.Key) || strings.ContainsFunc(t.Key, unicode.IsControl):
		v.Add(before+"key", "invalid_text", "must be UTF-8 without control characters")
	}
}

// checkDetails returns details with their names in order, or what is wrong with them.
func checkDetails(in json.RawMessage) (json.RawMessage, string) {
	if len(in) == 0 {
		return json.RawMessage(`{}`), ""
	}
	const want = "must be a JSON object"
	if len(in) > MaxDetails {
		return nil, fmt.Sprintf("must have at most %d bytes", MaxDetails)
	}
	var readable map[string]any // with numbers that fit into a float64
	if err := json.Unmarshal(in, &readable); err != nil || readable == nil {
		return nil, want
	}
	var exact map[string]any
	dec := json.NewDecoder(bytes.NewReader(in))
	dec.UseNumber() // as they are written
	if err := dec.Decode(&exact); err != nil {
		return nil, want
	}
	out, err := json.Marshal(exact)
	if err != nil {
		return nil, want
	}
	if strings.Contains(strings.ReplaceAll(string(out), `\\`, ""), `\u0000`) {
		return nil, `must not have the character \u0000 in text`
	}
	return out, ""
}

// completed is what complete did.
type completed struct {
	all       []Completion     // as they are now, in the order of what was asked
	changed   int              // how many were not there before
	differing []DifferingTopic // those for which something else was there
}

// identity is what a completion is told from others by.
type identity struct {
	Ref
	Topic
}

// complete records completions of recipients that are locked, and sees to the credits. What
// differs from what is there it leaves.
func (c *change) complete(ctx context.Context, workspaces map[tenancy.DomainID]tenancy.WorkspaceID, in []NewCompletion) (done completed, err error) {
	asked, differing := map[identity]NewCompletion{}, map[identity]bool{}
	var refs []Ref
	for _, n := range in {
		id := identity{n.Ref, n.Topic}
		before, twice := asked[id]
		if twice {
			differing[id] = differing[id] || !before.OccurredAt.Equal(n.OccurredAt) || !bytes.Equal(before.Details, n.Details)
			continue
		}
		asked[id] = n
		refs = append(refs, n.Ref)
	}
	of := map[tenancy.DomainID][]NewCompletion{}
	for _, n := range asked {
		of[n.DomainID] = append(of[n.DomainID], n)
	}
	found := map[identity]Completion{}
	err = byDomain(refs, func(domain tenancy.DomainID, _ []recipients.ID) error {
		in := tenancy.Tenant{CompanyID: c.scope.CompanyID, WorkspaceID: workspaces[domain], DomainID: domain}
		return c.tx.As(ctx, in, func(ctx context.Context, _ *tenancy.Tx) error {
			n, err := c.writeCompletions(ctx, in, of[domain], found, differing)
			done.changed += n
			return err
		})
	})
	if err != nil {
		return done, err
	}
	for _, n := range in {
		id := identity{n.Ref, n.Topic}
		if differing[id] {
			differing[id] = false // once is enough
			done.differing = append(done.differing, DifferingTopic(id))
		}
		done.all = append(done.all, found[id])
	}
	return done, nil
}

// writeCompletions writes those of one domain that are not there, and puts what is there then
// into found, and what is not what was asked into differing.
func (c *change) writeCompletions(ctx context.Context, in tenancy.Tenant, asked []NewCompletion, found map[identity]Completion, differing map[identity]bool) (int, error) {
	n := len(asked)
	ids, of, products, keys := make([]CompletionID, n), make([]recipients.ID, n), make([]string, n), make([]string, n)
	times, details := make([]time.Time, n), make([]json.RawMessage, n)
	for i, a := range asked {
		ids[i], of[i], products[i], keys[i], times[i], details[i] = tenancy.NewID[Completion](), a.RecipientID, a.Product, a.Key, a.OccurredAt, a.Details
	}
	// What was withdrawn gives way to something else, and the company may widen what a workspace
	// had recorded. The rows are locked in one order by the lock of the company.
	written, err := collect(ctx, c, "record completions", func(row pgx.CollectableRow) (id identity, err error) {
		id.DomainID = in.DomainID
		err = row.Scan(&id.RecipientID, &id.Product, &id.Key)
		return id, err
	}, `INSERT INTO strata.person_completions AS p (domain_id, id, company_id, workspace_id, recipient_id, product, key, occurred_at, details, across, recorded_by)
		SELECT $1, n.id, $2, $3, n.recipient_id, n.product, n.key, n.occurred_at, n.details, $10, $11
		FROM unnest($4::uuid[], $5::uuid[], $6::text[], $7::text[], $8::timestamptz[], $9::jsonb[]) AS n (id, recipient_id, product, key, occurred_at, details)
		ON CONFLICT (domain_id, recipient_id, product, key) DO UPDATE SET occurred_at = excluded.occurred_at, details = excluded.details, across = excluded.across,
			recorded_by = CASE WHEN p.withdrawn_at IS NULL THEN p.recorded_by ELSE excluded.recorded_by END,
			recorded_at = CASE WHEN p.withdrawn_at IS NULL THEN p.recorded_at ELSE now() END,
			withdrawn_at = NULL, withdrawn_by = ''
		WHERE CASE WHEN (p.occurred_at, p.details) = (excluded.occurred_at, excluded.details)
			THEN p.withdrawn_at IS NULL AND excluded.across AND NOT p.across
			ELSE p.withdrawn_at IS NOT NULL END
		RETURNING recipient_id, product, key`,
		in.DomainID, in.CompanyID, in.WorkspaceID, ids, of, products, keys, times, details, c.scope.WorkspaceID.IsZero(), tenancy.ActorFrom(ctx).ID)
	if err != nil {
		return 0, err
	}
	_, err = collect(ctx, c, "read completions", func(row pgx.CollectableRow) (struct{}, error) {
		var r Completion
		var same bool
		r.DomainID = in.DomainID
		err := row.Scan(&r.ID, &r.RecipientID, &r.Product, &r.Key, &r.OccurredAt, &r.Details, &r.RecordedAt, &r.WithdrawnAt, &same)
		r.OccurredAt, r.RecordedAt, r.WithdrawnAt = r.OccurredAt.UTC(), r.RecordedAt.UTC(), utc(r.WithdrawnAt)
		id := identity{r.Ref, r.Topic}
		found[id] = r
		if !same {
			differing[id] = true
		}
		return struct{}{}, err
	}, `SELECT p.id, p.recipient_id, p.product, p.key, p.occurred_at, p.details, p.recorded_at, p.withdrawn_at, (p.occurred_at, p.details) = (n.occurred_at, n.details)
		FROM unnest($2::uuid[], $3::text[], $4::text[], $5::timestamptz[], $6::jsonb[]) AS n (recipient_id, product, key, occurred_at, details)
		JOIN strata.person_completions p USING (recipient_id, product, key) WHERE p.domain_id = $1`,
		in.DomainID, of, products, keys, times, details)
	if err != nil {
		return 0, err
	}
	for _, id := range written {
		c.credit(id.Ref, id.Topic)
	}
	return len(written), c.recordTopics(ctx, "recipient.completed", written)
}

func utc(t *time.Time) *time.Time {
	if t == nil {
		return nil
	}
	at := t.UTC()
	return &at
}
