// Package exportshttp serves exports of recipients: what is small in the answer itself, what is
// large as a job that writes a file, and the file where those are kept in a local directory.
//
// The jobId of an answer is that of the export and of the job that works on it: its progress
// streams from /domains/{domainID}/jobs/{jobID}/progress (package bulkhttp).
package exportshttp

import (
	"net/http"
	"strconv"
	"time"

	"github.com/stratakit/strata/bulk"
	"github.com/stratakit/strata/imports"
	"github.com/stratakit/strata/internal/web"
	"github.com/stratakit/strata/recipients/exports"
	"github.com/stratakit/strata/tenancy"
	"github.com/stratakit/strata/tenancy/access"
)

// API is the routes of exports.
type API struct {
	exporter *exports.Exporter
	local    *imports.LocalStore
}

var _ web.API = (*API)(nil)

// New returns the routes over exporter. local gives out the files when they are kept in a
// directory; nil when clients fetch them from an object store.
func New(exporter *exports.Exporter, local *imports.LocalStore) *API { return &API{exporter, local} }

type exportRequest struct {
	Filter  string         `json:"filter"`
	Search  string         `json:"search"`
	Deleted bool           `json:"deleted"`
	With    []string       `json:"with"`
	Columns []string       `json:"columns"`
	Format  exports.Format `json:"format"  enum:"csv,xlsx,jsonl" required:"true"`
	BOM     bool           `json:"bom"`
}

type started struct {
	JobID     exports.ID `json:"jobId"`
	Status    bulk.State `json:"status" enum:"queued"`
	Estimated int64      `json:"estimated"`
}

// Routes returns the routes.
func (a *API) Routes() []web.Route {
	const base = "/domains/{domainID}/recipients"
	permission := string(access.RecipientsExport)
	routes := []web.Route{{
		// It reads, and gives a company its own data also while it does not pay.
		Method: http.MethodPost, Path: base + "/export", Name: "exportRecipients", Summary: "Export recipients as CSV, XLSX or JSON lines: 200 with the file when there are few, else 202 with a job",
		Permission: permission, Read: true, WhenBlocked: true, Request: exportRequest{}, Response: started{}, Status: http.StatusAccepted, Handle: a.export,
	}}
	if a.exporter.KeepsFiles() {
		routes = append(routes, web.Route{
			Method: http.MethodGet, Path: base + "/exports/{jobID}", Name: "getExport", Summary: "State of an export, and once it is completed the URL of its file",
			Permission: permission, WhenBlocked: true, Response: web.Data[exports.Export]{}, Handle: a.get,
		})
		if a.local != nil {
			routes = append(routes, web.Route{
				Method: http.MethodGet, Path: imports.FilesPath, Name: "downloadFile", Summary: "Fetch a file at a signed URL",
				Public: true, Untenanted: true, Long: true, ContentType: "application/octet-stream", Response: "", Handle: a.download,
			})
		}
	}
	return routes
}

func (a *API) export(w http.ResponseWriter, r *http.Request) error {
	var in exportRequest
	if err := web.DecodeJSON(r, &in); err != nil {
		return err
	}
	answer, err := a.exporter.Export(r.Context(), exports.Request{
		Filter: in.Filter, Search: in.Search, Deleted: in.Deleted, With: in.With, Columns: in.Columns, Format: in.Format, BOM: in.BOM,
	})
	if err != nil {
		return err
	}
	if answer.File == nil {
		return web.WriteJSON(w, http.StatusAccepted, started{answer.ID, bulk.StateQueued, answer.Estimated})
	}
	attach(w.Header(), answer.File.Name, answer.File.ContentType)
	w.Header().Set("Content-Length", strconv.Itoa(len(answer.File.Body)))
	w.WriteHeader(http.StatusOK)
	_, _ = w.Write(answer.File.Body) // that the client is gone is no error
	return nil
}

// attach says that what comes is a file to be kept, and nothing to be shown or guessed at.
func attach(h http.Header, name, contentType string) {
	h.Set("Content-Type", contentType)
	h.Set("Content-Disposition", exports.Disposition(name))
	h.Set("X-Content-Type-Options", "nosniff")
}

func (a *API) get(w http.ResponseWriter, r *http.Request) error {
	id, err := tenancy.ParseID[exports.Export](r.PathValue("jobID"))
	if err != nil {
		return exports.ErrNotFound
	}
	e, err := a.exporter.Get(r.Context(), id)
	if err != nil {
		return err
	}
	return web.WriteData(w, http.StatusOK, e)
}

func (a *API) download(w http.ResponseWriter, r *http.Request) error {
	key, ok := a.local.DownloadKey(r.Context(), r.URL)
	if !ok {
		return exports.ErrURL
	}
	f, err := a.exporter.Open(r.Context(), key)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	attach(w.Header(), f.Name, f.ContentType)
	w.Header().Set("ETag", `"`+f.SHA256+`"`)
	http.ServeContent(w, r, "", time.Time{}, f)
	return nil
}
