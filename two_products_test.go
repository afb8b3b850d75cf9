package strata_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"github.com/stratakit/strata"
	"github.com/stratakit/strata/internal/dbtest"
	"github.com/stratakit/strata/internal/tenancytest"
	"github.com/stratakit/strata/recipients"
	"github.com/stratakit/strata/tenancy"
	"github.com/stratakit/strata/tenancy/access"
	"github.com/stratakit/strata/tenancy/move"
)

// productVariable makes this test binary the process of a product, "mailer" or "academy", over
// the database that it names: it does what it reads, a line of JSON each, and answers so.
const productVariable = "STRATA_PRODUCT_CHILD"

// Mail is what the mailer adds to recipients, in a table that the library makes.
type Mail struct {
	bun.BaseModel `bun:"table:mailer.mail"`
	recipients.Enrollment

	SubscriptionStatus string `bun:"subscription_status" strata:"filterable,options:subscribed|unsubscribed"`
}

// Course is what the academy adds, in a table of its own migrations.
type Course struct {
	bun.BaseModel `bun:"table:academy.courses"`
	recipients.Enrollment

	Progress int `bun:"progress" strata:"filterable"`
}

const academySQL = `CREATE SCHEMA IF NOT EXISTS academy; GRANT USAGE ON SCHEMA academy TO strata_app, strata_query;
	CREATE TABLE IF NOT EXISTS academy.courses (
		domain_id uuid NOT NULL, recipient_id uuid NOT NULL, company_id uuid NOT NULL, workspace_id uuid NOT NULL,
		version bigint NOT NULL DEFAULT 1, created_at timestamptz NOT NULL DEFAULT now(), updated_at timestamptz NOT NULL DEFAULT now(),
		progress integer NOT NULL,
		PRIMARY KEY (domain_id, recipient_id),
		FOREIGN KEY (domain_id, recipient_id) REFERENCES strata.recipients (domain_id, id) ON DELETE CASCADE);
	ALTER TABLE academy.courses ENABLE ROW LEVEL SECURITY;
	ALTER TABLE academy.courses FORCE ROW LEVEL SECURITY;
	CREATE POLICY tenant ON academy.courses TO strata_app
		USING (domain_id = (SELECT nullif(current_setting('strata.domain_id', true), '')::uuid))
		WITH CHECK (domain_id = (SELECT nullif(current_setting('strata.domain_id', true), '')::uuid));
	CREATE POLICY trusted ON academy.courses FOR SELECT TO strata_query USING (true);
	GRANT SELECT, INSERT, UPDATE, DELETE ON academy.courses TO strata_app;
	GRANT SELECT ON academy.courses TO strata_query;
	CREATE TRIGGER count_inserted AFTER INSERT ON academy.courses
		REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION strata.count_enrollments('course');
	CREATE TRIGGER count_deleted AFTER DELETE ON academy.courses
		REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION strata.count_enrollments('course');`

// task is what a product is told to do for a domain, with the recipient that has an address.
type task struct {
	Tenant tenancy.Tenant
	Do     string // "enroll", "list", "purge" or "move"
	Email  string
	Value  string              // of the row to enroll
	Filter string              // of the list
	To     tenancy.WorkspaceID // of the move
}

// done is the answer. Seen are the addresses of a list with their rows of both products.
type done struct {
	Error string
	Seen  map[string]string
}

func productChild() int {
	name, database, _ := strings.Cut(os.Getenv(productVariable), "\n")
	pooled, direct, _ := strings.Cut(database, "\n")
	if err := runProduct(context.Background(), name, pooled, direct); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

func runProduct(ctx context.Context, name, pooled, direct string) error {
	registry := recipients.NewRegistry()
	owner, err := pgxpool.New(ctx, direct)
	if err != nil {
		return err
	}
	defer owner.Close()
	var mail *recipients.Enrollments[Mail]
	var courses *recipients.Enrollments[Course]
	if name == "mailer" {
		mail, err = recipients.Register(registry, recipients.Extension[Mail]{Name: "email", Product: name})
	} else {
		if _, err = owner.Exec(ctx, academySQL); err == nil {
			courses, err = recipients.Register(registry, recipients.Extension[Course]{Name: "course", Product: name, OwnTable: true})
		}
	}
	if err != nil {
		return err
	}
	quiet := slog.New(slog.DiscardHandler)
	if err := strata.Migrate(ctx, owner, &strata.MigrateConfig{Extensions: registry, Log: quiet}); err != nil {
		return err
	}
	pool, err := pgxpool.New(ctx, pooled)
	if err != nil {
		return err
	}
	defer pool.Close()
	s, err := strata.New(ctx, pool, nil, &strata.Config{Extensions: registry, Log: quiet, Move: move.Config{Queue: name}})
	if err != nil {
		return err
	}
	if err := s.Start(ctx); err != nil {
		return err
	}
	out := json.NewEncoder(os.Stdout)
	if err := out.Encode(done{}); err != nil {
		return err
	}
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		var t task
		if err := json.Unmarshal(in.Bytes(), &t); err != nil {
			return err
		}
		var answer done
		ctx := tenancy.WithActor(tenancy.WithTenant(ctx, t.Tenant), tenancy.Actor{ID: name, Type: tenancy.ActorUser, CompanyID: t.Tenant.CompanyID, Role: access.CompanyOwner})
		if err := answer.do(ctx, s, mail, courses, t); err != nil {
			answer.Error = err.Error()
		}
		if err := out.Encode(answer); err != nil {
			return err
		}
	}
	return s.Stop(ctx)
}

func (d *done) do(ctx context.Context, s *strata.Strata, mail *recipients.Enrollments[Mail], courses *recipients.Enrollments[Course], t task) error {
	if t.Do == "list" {
		page, err := s.Recipients.List(ctx, recipients.Query{Filter: t.Filter, With: []string{"email", "course"}})
		d.Seen = map[string]string{}
		for _, r := range page.Items {
			data, err := json.Marshal([]any{r.Extensions["email"].Values()["subscriptionStatus"], r.Extensions["course"].Values()["progress"]})
			if err != nil {
				return err
			}
			d.Seen[r.Email] = string(data)
		}
		return err
	}
	if t.Do == "move" {
		if _, err := s.Mover.Start(ctx, t.To); err != nil {
			return err
		}
		for poll := time.NewTicker(20 * time.Millisecond); ; <-poll.C {
			m, err := s.Mover.Get(ctx)
			if err != nil || m.State == move.Done {
				return err
			}
			if m.State == move.Failed || m.State == move.Cancelled {
				return fmt.Errorf("the move is %s: %s", m.State, m.Error)
			}
		}
	}
	page, err := s.Recipients.List(ctx, recipients.Query{Search: t.Email})
	if err != nil || len(page.Items) != 1 {
		return errors.Join(err, fmt.Errorf("%d recipients are called %s", len(page.Items), t.Email))
	}
	id := page.Items[0].ID
	switch {
	case t.Do == "purge":
		return s.Recipients.Purge(ctx, []recipients.ID{id})
	case mail != nil:
		return mail.Enroll(ctx, id, &Mail{SubscriptionStatus: t.Value})
	}
	var progress int
	if _, err := fmt.Sscan(t.Value, &progress); err != nil {
		return err
	}
	return courses.Enroll(ctx, id, &Course{Progress: progress})
}

// product starts the process of a product, and returns how it does a task.
func product(t *testing.T, e *tenancytest.Env, name string) func(task) map[string]string {
	t.Helper()
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), os.Args[0])
	cmd.Env = append(os.Environ(), productVariable+"="+name+"\n"+dbtest.PoolURL(t, e.Pool)+"\n"+dbtest.DirectURL(t, e.Pool))
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		require.NoError(t, in.Close())
		require.NoError(t, cmd.Wait())
	})
	answers := json.NewDecoder(out)
	require.NoError(t, answers.Decode(&done{}), "%s has started", name)
	return func(do task) map[string]string {
		require.NoError(t, json.NewEncoder(in).Encode(do))
		var answer done
		require.NoError(t, answers.Decode(&answer))
		require.Empty(t, answer.Error, "%s: %s %s", name, do.Do, do.Email)
		return answer.Seen
	}
}

// Two products, each in a process of its own and with a table that the other does not know,
// share a database: both list and filter what both have, and what either does to a recipient
// or a domain reaches both tables.
func TestTwoProductsShareRecipients(t *testing.T) {
	t.Parallel()
	e := tenancytest.Open(t)
	mailer, academy := product(t, e, "mailer"), product(t, e, "academy")
	s, err := strata.New(t.Context(), e.Pool, nil, &strata.Config{Log: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Stop(context.WithoutCancel(t.Context()))) })
	for _, who := range []string{"ada", "bo", "cy"} {
		for _, c := range []*tenancytest.Company{e.A, e.B} {
			_, err := s.Recipients.Create(c.Ctx, recipients.New{Email: who + "@example.com"})
			require.NoError(t, err)
		}
	}
	here := tenancy.Tenant{CompanyID: e.A.CompanyID, WorkspaceID: e.A.WorkspaceID, DomainID: e.A.DomainID}
	theirs := tenancy.Tenant{CompanyID: e.B.CompanyID, WorkspaceID: e.B.WorkspaceID, DomainID: e.B.DomainID}
	for who, status := range map[string]string{"ada": "subscribed", "bo": "unsubscribed"} {
		mailer(task{Tenant: here, Do: "enroll", Email: who, Value: status})
	}
	for who, progress := range map[string]string{"ada": "80", "bo": "90", "cy": "70"} {
		academy(task{Tenant: here, Do: "enroll", Email: who, Value: progress})
	}
	mailer(task{Tenant: theirs, Do: "enroll", Email: "ada", Value: "subscribed"})

	all := map[string]string{"ada@example.com": `["subscribed",80]`, "bo@example.com": `["unsubscribed",90]`, "cy@example.com": `[null,70]`}
	for name, of := range map[string]func(task) map[string]string{"mailer": mailer, "academy": academy} {
		require.Equal(t, all, of(task{Tenant: here, Do: "list"}), name)
		both := of(task{Tenant: here, Do: "list", Filter: `email.subscription_status == "subscribed" && course.progress > 50`})
		require.Equal(t, map[string]string{"ada@example.com": all["ada@example.com"]}, both, name)
		foreign := of(task{Tenant: theirs, Do: "list", Filter: `email.enrolled`})
		require.Equal(t, map[string]string{"ada@example.com": `["subscribed",null]`}, foreign, "%s: another company's", name)
	}

	rows := func(workspace tenancy.WorkspaceID) []int {
		var mail, courses int
		require.NoError(t, e.DB.ReadTrusted(t.Context(), `SELECT (SELECT count(*) FROM mailer.mail WHERE domain_id = $1 AND workspace_id = $2),
			(SELECT count(*) FROM academy.courses WHERE domain_id = $1 AND workspace_id = $2)`, []any{here.DomainID, workspace}, func(rows pgx.Rows) error {
			rows.Next()
			return errors.Join(rows.Scan(&mail, &courses), rows.Err())
		}))
		return []int{mail, courses}
	}
	require.Equal(t, []int{2, 3}, rows(here.WorkspaceID))
	stats, err := s.Recipients.Stats(e.A.Ctx)
	require.NoError(t, err)
	require.Equal(t, map[string]int64{"email": 2, "course": 3}, stats.ByProduct)
	second, err := e.Store.CreateWorkspace(e.A.CompanyCtx, tenancy.NewWorkspace{Name: "Second", Slug: "second"})
	require.NoError(t, err)

	// Each moves the domain once, and purges one recipient.
	moved := here
	moved.WorkspaceID = second.ID
	academy(task{Tenant: here, Do: "move", To: second.ID})
	require.Equal(t, [][]int{{2, 3}, {0, 0}}, [][]int{rows(second.ID), rows(here.WorkspaceID)})
	mailer(task{Tenant: moved, Do: "purge", Email: "ada"})
	require.Equal(t, []int{1, 2}, rows(second.ID))
	mailer(task{Tenant: moved, Do: "move", To: here.WorkspaceID})
	require.Equal(t, [][]int{{1, 2}, {0, 0}}, [][]int{rows(here.WorkspaceID), rows(second.ID)})
	academy(task{Tenant: here, Do: "purge", Email: "bo"})
	require.Equal(t, []int{0, 1}, rows(here.WorkspaceID))
	require.Equal(t, map[string]string{"cy@example.com": all["cy@example.com"]}, mailer(task{Tenant: here, Do: "list"}))
}
