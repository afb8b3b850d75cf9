package recipientshttp

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	"github.com/stratakit/strata/internal/web"
	"github.com/stratakit/strata/recipients"
	"github.com/stratakit/strata/tenancy"
	"github.com/stratakit/strata/tenancy/access"
)

// enrollment is the body of a request: the columns of the extension, by their names in JSON.
type enrollment map[string]json.RawMessage

// enrollmentRoutes are those of the extensions, whichever the products have.
func (a *API) enrollmentRoutes() []web.Route {
	const base = "/domains/{domainID}/recipients/{id}/enrollments/{product}"
	// ServeMux would not take it beside /domains/{domainID}/recipients/imports/{jobID}/process.
	const pattern = "/domains/{domainID}/recipients/{id}/{collection}/{product}"
	read, manage := string(access.RecipientsRead), string(access.RecipientsManage)
	row := web.Data[map[string]any]{}
	return []web.Route{
		{
			Method: http.MethodPost, Path: base, Pattern: pattern, Name: "enrollRecipient", Summary: "Enroll a recipient in a product",
			Permission: manage, Request: map[string]any{}, Response: row, Status: http.StatusCreated, Handle: a.enroll,
		},
		{
			Method: http.MethodGet, Path: base, Pattern: pattern, Name: "getEnrollment", Summary: "Read what a product has of a recipient",
			Permission: read, Response: row, Handle: a.getEnrollment,
		},
		{
			Method: http.MethodPatch, Path: base, Pattern: pattern, Name: "updateEnrollment", Summary: "Change what a product has of a recipient; null clears",
			Permission: manage, Request: map[string]any{}, Response: row, Handle: a.updateEnrollment,
		},
		{
			Method: http.MethodDelete, Path: base, Pattern: pattern, Name: "withdrawRecipient", Summary: "Take a recipient out of a product, for good",
			Permission: manage, Status: http.StatusNoContent, Handle: a.withdraw,
		},
	}
}

// with are the extensions that a query asks for.
func with(list string) []string {
	var names []string
	for name := range strings.SplitSeq(list, ",") {
		if name = strings.TrimSpace(name); name != "" {
			names = append(names, name)
		}
	}
	return names
}

// enrolled finds what the path names. An extension that nobody has is not there after the
// recipient, of which no answer tells more than that.
func (a *API) enrolled(r *http.Request) (recipients.ID, *recipients.AnyEnrollments, error) {
	recipientID, err := id(r)
	if err != nil {
		return recipientID, nil, err
	}
	of, err := a.store.Extension(r.Context(), r.PathValue("product"))
	if err != nil {
		if _, missing := a.store.Get(r.Context(), recipientID); missing != nil {
			err = missing
		}
	}
	return recipientID, of, err
}

func writeRow(w http.ResponseWriter, status int, row *recipients.Row) error {
	w.Header().Set("ETag", fmt.Sprintf(`"%d"`, row.Version()))
	return web.WriteData(w, status, row.Values())
}

func (a *API) enroll(w http.ResponseWriter, r *http.Request) error {
	recipientID, of, err := a.enrolled(r)
	if err != nil {
		return err
	}
	var in enrollment
	if err := web.DecodeJSON(r, &in); err != nil {
		return err
	}
	row, err := of.Enroll(r.Context(), recipientID, in)
	if err != nil {
		return err
	}
	return writeRow(w, http.StatusCreated, row)
}

func (a *API) getEnrollment(w http.ResponseWriter, r *http.Request) error {
	recipientID, of, err := a.enrolled(r)
	if err != nil {
		return err
	}
	row, err := of.Get(r.Context(), recipientID)
	if err != nil {
		return err
	}
	return writeRow(w, http.StatusOK, row)
}

func (a *API) updateEnrollment(w http.ResponseWriter, r *http.Request) error {
	recipientID, of, err := a.enrolled(r)
	if err != nil {
		return err
	}
	var in enrollment
	if err := web.DecodeJSON(r, &in); err != nil {
		return err
	}
	version, err := in.version()
	if err != nil {
		return err
	}
	match, err := web.IfMatchVersion(r, recipients.ErrVersion, func() (int64, error) {
		now, err := of.Get(r.Context(), recipientID)
		if err != nil {
			return 0, err
		}
		return now.Version(), nil
	})
	if err != nil {
		return err
	}
	if match != 0 { // it goes before that of the body
		version = match
	}
	row, err := of.Update(r.Context(), recipientID, version, in)
	if err != nil {
		return err
	}
	return writeRow(w, http.StatusOK, row)
}

// version takes the version out of the body; 0 is none.
func (in enrollment) version() (version int64, err error) {
	given, ok := in["version"]
	if !ok {
		return 0, nil
	}
	if json.Unmarshal(given, &version) != nil || version < 1 {
		v := &tenancy.ValidationError{}
		v.Add("version", "wrong_type", "must be the version that was read, a whole number")
		return 0, v
	}
	delete(in, "version")
	return version, nil
}

func (a *API) withdraw(w http.ResponseWriter, r *http.Request) error {
	recipientID, of, err := a.enrolled(r)
	if err != nil {
		return err
	}
	versions, err := ifMatch(r)
	if err != nil {
		return err
	}
	if err := of.Withdraw(r.Context(), recipientID, versions...); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}
