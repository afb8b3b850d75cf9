package personshttp

import (
	"net/http"

	"github.com/stratakit/strata/bulk"
	"github.com/stratakit/strata/internal/web"
	"github.com/stratakit/strata/recipients"
	"github.com/stratakit/strata/recipients/persons"
	"github.com/stratakit/strata/tenancy"
	"github.com/stratakit/strata/tenancy/access"
)

type completionsRequest struct {
	Completions []persons.NewCompletion `json:"completions" required:"true"` // the store checks them
}

type withdrawRequest struct {
	persons.Ref
	persons.Topic
}

// completedAll is what became of a request for many: done, or a job that does it.
type completedAll struct {
	Affected  *int        `description:"How many had not completed it before, when that is done."               json:"affected,omitempty"`
	Differing int         `description:"How many have completed it at another time or with other details: they stay." json:"differing,omitempty"`
	JobID     *bulk.RunID `description:"The job that does it, of the domain."                                   json:"jobId,omitempty"`
	Status    string      `enum:"completed,queued"                                                              json:"status"`
	Estimated int64       `description:"How many the job has to look at."                                       json:"estimated,omitempty"`
}

type creditsQuery struct {
	DomainID    string `description:"With recipientId: the recipient whose credits are listed." query:"domainId"`
	RecipientID string `query:"recipientId"`
	PersonID    string `description:"The person whose recipients' credits are listed, instead." query:"personId"`
	Product     string `description:"Only those of one product."                                query:"product"`
	Revoked     string `description:"true for those that were revoked too."                     enum:"true,false" query:"revoked"`
	PageSize    int    `default:"50"   description:"Items in a page." maximum:"500" minimum:"1" query:"pageSize"`
	Cursor      string `description:"meta.nextCursor of the page before."                       query:"cursor"`
}

type creditsSinceQuery struct {
	Product  string `description:"Only those of one product."                                query:"product"`
	PageSize int    `default:"50"   description:"Items in a page." maximum:"500" minimum:"1" query:"pageSize"`
	Cursor   string `description:"meta.nextCursor of the last page that was read: it is there always." query:"cursor"`
}

// credits returns the routes of completions and credits.
func (a *API) credits() []web.Route {
	inside := a.creditRoutes("/workspaces/{workspaceID}/persons", "", " inside a workspace", access.RecipientsManage, access.RecipientsRead)
	across := a.creditRoutes("/companies/{companyID}/persons", "Company", " across the workspaces of a company", access.PersonsLinkAcross, access.PersonsLinkAcross)
	return append(append(inside, across...), web.Route{
		Method: http.MethodGet, Path: "/domains/{domainID}/credits", Name: "listCreditsSince", Summary: "Read on in what became of the credits of a domain", Permission: string(access.RecipientsRead),
		Query: creditsSinceQuery{}, Response: web.List[persons.Credit]{}, Handle: a.creditsSince,
	})
}

func (a *API) creditRoutes(base, of, where string, change, read access.Permission) []web.Route {
	return []web.Route{
		{
			Method: http.MethodPost, Path: base + "/completions", Name: "complete" + of + "Recipient", Summary: "Say that a recipient has completed something, and credit its person" + where,
			Permission: string(change), Request: persons.NewCompletion{}, Response: web.Data[persons.Completion]{}, Handle: a.complete,
		},
		{
			Method: http.MethodPost, Path: base + "/completions/bulk", Name: "complete" + of + "Recipients", Summary: "Say what up to 1,000 recipients have completed" + where,
			Permission: string(change), Request: completionsRequest{}, Response: web.List[persons.Completion]{}, Handle: a.completeMany,
		},
		{
			Method: http.MethodPost, Path: base + "/completions/all", Name: "completeAll" + of + "Recipients", Summary: "Say that all recipients of a domain that match have completed something: at once, or as a job when they are more than 1,000" + where,
			Permission: string(change), Request: persons.CompleteAll{}, Response: completedAll{}, Handle: a.completeAll,
		},
		{
			Method: http.MethodPost, Path: base + "/completions/withdraw", Name: "withdraw" + of + "Completion", Summary: "Take back that a recipient has completed something" + where,
			Permission: string(change), Request: withdrawRequest{}, Status: http.StatusNoContent, Handle: a.withdraw,
		},
		{
			Method: http.MethodGet, Path: base + "/credits", Name: "list" + of + "Credits", Summary: "List the credits of a recipient or of a person" + where,
			Permission: string(read), Query: creditsQuery{}, Response: web.List[persons.Credit]{}, Handle: a.listCredits,
		},
	}
}

func (a *API) complete(w http.ResponseWriter, r *http.Request) error {
	var in persons.NewCompletion
	if err := web.DecodeJSON(r, &in); err != nil {
		return err
	}
	c, err := a.store.Complete(r.Context(), in)
	if err != nil {
		return err
	}
	return web.WriteData(w, http.StatusOK, c)
}

func (a *API) completeMany(w http.ResponseWriter, r *http.Request) error {
	var in completionsRequest
	if err := web.DecodeJSON(r, &in); err != nil {
		return err
	}
	all, err := a.store.CompleteMany(r.Context(), in.Completions)
	if err != nil {
		return err
	}
	n := int64(len(all))
	return web.WriteList(w, all, web.Meta{Total: &n, Page: 1, PageSize: len(all)})
}

func (a *API) completeAll(w http.ResponseWriter, r *http.Request) error {
	var in persons.CompleteAll
	if err := web.DecodeJSON(r, &in); err != nil {
		return err
	}
	did, err := a.completer.CompleteAll(r.Context(), in)
	if err != nil {
		return err
	}
	if did.Run != nil {
		return web.WriteJSON(w, http.StatusAccepted, completedAll{JobID: &did.Run.ID, Status: "queued", Estimated: did.Run.Total})
	}
	return web.WriteJSON(w, http.StatusOK, completedAll{Affected: &did.Completed, Differing: did.Differing, Status: "completed"})
}

func (a *API) withdraw(w http.ResponseWriter, r *http.Request) error {
	var in withdrawRequest
	if err := web.DecodeJSON(r, &in); err != nil {
		return err
	}
	return done(w, a.store.Withdraw(r.Context(), in.Ref, in.Topic))
}

func (a *API) listCredits(w http.ResponseWriter, r *http.Request) error {
	v := web.Query(r)
	q := persons.CreditQuery{
		Product: v.String("product"), Revoked: v.OneOf("revoked", "true", "false") == "true",
		PageSize: v.Int("pageSize", 0), Cursor: v.String("cursor"),
	}
	domain, recipient, person := v.String("domainId"), v.String("recipientId"), v.String("personId")
	if err := v.Err(); err != nil {
		return err
	}
	// Anything that is no id names nothing.
	var err error
	if domain != "" {
		if q.Recipient.DomainID, err = tenancy.ParseID[tenancy.Domain](domain); err != nil {
			return recipients.ErrNotFound
		}
	}
	if recipient != "" {
		if q.Recipient.RecipientID, err = tenancy.ParseID[recipients.Recipient](recipient); err != nil {
			return recipients.ErrNotFound
		}
	}
	if person != "" {
		if q.Person, err = tenancy.ParseID[recipients.Person](person); err != nil {
			return persons.ErrNotFound
		}
	}
	page, err := a.store.Credits(r.Context(), q)
	if err != nil {
		return err
	}
	return writeCredits(w, page)
}

func (a *API) creditsSince(w http.ResponseWriter, r *http.Request) error {
	v := web.Query(r)
	q := persons.CreditsSinceQuery{Product: v.String("product"), PageSize: v.Int("pageSize", 0), Cursor: v.String("cursor")}
	if err := v.Err(); err != nil {
		return err
	}
	page, err := a.store.CreditsSince(r.Context(), q)
	if err != nil {
		return err
	}
	return writeCredits(w, page)
}

func writeCredits(w http.ResponseWriter, page tenancy.Page[persons.Credit]) error {
	return web.WriteList(w, page.Items, web.Meta{
		Total: web.Total(page.Total), Page: page.Page, PageSize: page.PageSize, HasMore: page.HasMore, NextCursor: page.NextCursor,
	})
}
