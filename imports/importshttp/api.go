// Package importshttp serves imports: the upload URL, the upload itself when files are
// kept in a local directory, processing, preview, commit, cancel, undo and the reports.
//
// The jobId of every answer is the import's id, and also the id of the job that works on
// it: its progress streams from /domains/{domainID}/jobs/{jobID}/progress (package
// bulkhttp), once while the file is read and again while it is committed.
//
// A corrected errors.csv is announced and uploaded like any file, and then processed with
// {"corrects": "<jobId of the import>"} and, of the options, only delimiter, encoding, sheet and
// headerRow. When its job is done its status is "merged", and its rows are those of the import that
// it corrects: whose preview is then to be looked at, and committed.
package importshttp

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"slices"
	"strings"

	"github.com/stratakit/strata/imports"
	"github.com/stratakit/strata/internal/web"
	"github.com/stratakit/strata/tenancy"
	"github.com/stratakit/strata/tenancy/access"
)

// API is the routes of imports.
type API struct {
	importer *imports.Importer
	local    *imports.LocalStore
	guard    *access.Guard
}

var _ web.API = (*API)(nil)

// New returns the routes over importer. local receives the uploads when files are kept
// in a directory; nil when clients upload to an object store. guard says who may have custom
// fields created; nil goes by the built-in role that the product says an actor has.
func New(importer *imports.Importer, local *imports.LocalStore, guard *access.Guard) *API {
	if guard == nil {
		guard = access.RolesOnly(nil)
	}
	return &API{importer, local, guard}
}

// UploadPath is where uploads to a LocalStore are received, below the server's prefix.
const UploadPath = imports.FilesPath

type uploadRequest struct {
	FileName    string `json:"fileName"    validate:"required"`
	Size        int64  `json:"size"        validate:"required,min=1"`
	ContentType string `json:"contentType"`
}

type processRequest struct {
	Corrects string `json:"corrects"`

	Mapping map[string]*string `json:"mapping"`
	Options struct {
		Delimiter string           `json:"delimiter"`
		Encoding  string           `json:"encoding"`
		HeaderRow int              `json:"headerRow" validate:"min=0"`
		Conflict  imports.Conflict `json:"conflict" enum:"update,skip,fill_empty"`
		Sheet     string           `json:"sheet"`

		Formats      map[string]string   `json:"formats"`
		Join         map[string][]string `json:"join"`
		Split        map[string][]string `json:"split"`
		Constants    map[string]string   `json:"constants"`
		CreateFields bool                `json:"createFields"`
	} `json:"options"`
}

type state struct {
	ID     imports.ID     `json:"jobId"`
	Status imports.Status `json:"status"`
}

// Routes returns the routes.
func (a *API) Routes() []web.Route {
	const base, mappings = "/domains/{domainID}/recipients/imports", "/workspaces/{workspaceID}/import-mappings"
	read, manage := string(access.RecipientsRead), string(access.RecipientsManage)
	routes := []web.Route{
		{
			Method: http.MethodPost, Path: base + "/upload-url", Name: "createImportUpload", Summary: "Announce a file and get the URL to PUT it to",
			Permission: manage, Request: uploadRequest{}, Response: imports.Upload{}, Status: http.StatusCreated, Handle: a.upload,
		},
		{
			Method: http.MethodPost, Path: base + "/{jobID}/process", Name: "processImport", Summary: "Read and check the uploaded file; one that corrects another import is merged into it",
			Permission: manage, Request: processRequest{}, Response: state{}, Status: http.StatusAccepted, Handle: a.process,
		},
		{
			Method: http.MethodGet, Path: base + "/{jobID}", Name: "getImport", Summary: "State and counters of an import",
			Permission: read, Response: web.Data[imports.Import]{}, Handle: a.get,
		},
		{
			Method: http.MethodGet, Path: base + "/{jobID}/preview", Name: "previewImport", Summary: "What a commit would do",
			Permission: read, Response: imports.Preview{}, Handle: a.preview,
		},
		{
			Method: http.MethodPost, Path: base + "/{jobID}/commit", Name: "commitImport", Summary: "Write the previewed rows",
			Permission: manage, Response: state{}, Status: http.StatusAccepted, Handle: a.commit,
		},
		{
			Method: http.MethodPost, Path: base + "/{jobID}/cancel", Name: "cancelImport", Summary: "Stop an import; what is committed stays",
			Permission: manage, Response: web.Data[imports.Import]{}, Handle: a.cancel,
		},
		{
			Method: http.MethodPost, Path: base + "/{jobID}/undo", Name: "undoImport", Summary: "Take back what an import has committed, but for what was edited since",
			Permission: manage, Response: state{}, Status: http.StatusAccepted, Handle: a.undo,
		},
		{
			Method: http.MethodGet, Path: base + "/{jobID}/undo.csv", Name: "importUndoReport", Summary: "The recipients that an undo has left alone, with the reasons",
			Permission: read, ContentType: "text/csv", Response: "", Long: true, Handle: a.undoReport,
		},
		{
			Method: http.MethodGet, Path: base + "/{jobID}/errors.csv", Name: "importErrors", Summary: "The rows that cannot be imported, with the reasons",
			Permission: read, ContentType: "text/csv", Response: "", Long: true, Handle: a.errors,
		},
		{
			Method: http.MethodGet, Path: mappings, Name: "listImportMappings", Summary: "What the columns of committed files were: it is suggested for the next with the same columns",
			Permission: read, Response: web.List[imports.SavedMapping]{}, Handle: a.mappings,
		},
		{
			Method: http.MethodDelete, Path: mappings + "/{mappingID}", Name: "deleteImportMapping", Summary: "Forget a mapping",
			Permission: manage, Status: http.StatusNoContent, Handle: a.deleteMapping,
		},
	}
	if a.local != nil {
		routes = append(routes, web.Route{
			Method: http.MethodPut, Path: UploadPath, Name: "uploadFile", Summary: "Receive a file at a signed URL", Public: true, Long: true, Status: http.StatusCreated, Handle: a.receive,
		})
	}
	return routes
}

// id is the import that the path names; anything that is no id names none.
func id(r *http.Request) (imports.ID, error) {
	parsed, err := tenancy.ParseID[imports.Import](r.PathValue("jobID"))
	if err != nil {
		return imports.ID{}, imports.ErrNotFound
	}
	return parsed, nil
}

func (a *API) upload(w http.ResponseWriter, r *http.Request) error {
	var in uploadRequest
	if err := web.DecodeJSON(r, &in); err != nil {
		return err
	}
	u, err := a.importer.CreateUpload(r.Context(), imports.NewUpload{FileName: in.FileName, Size: in.Size, ContentType: in.ContentType})
	if err != nil {
		return err
	}
	return web.WriteJSON(w, http.StatusCreated, u)
}

func (a *API) receive(w http.ResponseWriter, r *http.Request) error {
	if err := a.importer.Receive(r.Context(), a.local, r.URL, r.Header.Get("Content-Type"), r.ContentLength, r.Body); err != nil {
		return err
	}
	w.WriteHeader(http.StatusCreated)
	return nil
}

func (a *API) process(w http.ResponseWriter, r *http.Request) error {
	importID, err := id(r)
	if err != nil {
		return err
	}
	var in processRequest
	body, err := web.ReadBody(r)
	if err != nil {
		return err
	}
	if len(bytes.TrimSpace(body)) > 0 { // it may be left out, also by a client that does not say how long it is
		r.Body = io.NopCloser(bytes.NewReader(body))
		if err := web.DecodeJSON(r, &in); err != nil {
			return err
		}
	}
	o := in.Options
	if in.Corrects != "" {
		return a.correct(w, r, importID, in)
	}
	if o.CreateFields { // which is more than to manage recipients
		if err := a.guard.Require(r.Context(), access.FieldsManage); err != nil {
			return err
		}
	}
	imp, err := a.importer.Process(r.Context(), importID, imports.ProcessOptions{
		Mapping: in.Mapping, Delimiter: o.Delimiter, Encoding: o.Encoding, Sheet: o.Sheet, HeaderRow: o.HeaderRow, Conflict: o.Conflict,
		Formats: o.Formats, Join: o.Join, Split: o.Split, Constants: o.Constants, CreateFields: o.CreateFields,
	})
	if err != nil {
		return err
	}
	return web.WriteJSON(w, http.StatusAccepted, state{imp.ID, imp.Status})
}

// correct processes the corrected error report of another import.
func (a *API) correct(w http.ResponseWriter, r *http.Request, report imports.ID, in processRequest) error {
	o := in.Options
	var v tenancy.ValidationError
	for field, given := range map[string]bool{
		"mapping": in.Mapping != nil, "options.conflict": o.Conflict != "", "options.formats": o.Formats != nil, "options.join": o.Join != nil,
		"options.split": o.Split != nil, "options.constants": o.Constants != nil, "options.createFields": o.CreateFields,
	} {
		if given {
			v.Add(field, "not_allowed", "must be left out: the rows of a report are read as those of the import that it corrects")
		}
	}
	slices.SortFunc(v.Fields, func(a, b tenancy.FieldError) int { return strings.Compare(a.Field, b.Field) })
	if err := v.OrNil(); err != nil {
		return err
	}
	of, err := tenancy.ParseID[imports.Import](in.Corrects)
	if err != nil {
		return imports.ErrNotFound
	}
	imp, err := a.importer.Correct(r.Context(), report, of, imports.CorrectOptions{Delimiter: o.Delimiter, Encoding: o.Encoding, Sheet: o.Sheet, HeaderRow: o.HeaderRow})
	if err != nil {
		return err
	}
	return web.WriteJSON(w, http.StatusAccepted, state{imp.ID, imp.Status})
}

func (a *API) get(w http.ResponseWriter, r *http.Request) error {
	importID, err := id(r)
	if err != nil {
		return err
	}
	imp, err := a.importer.Get(r.Context(), importID)
	if err != nil {
		return err
	}
	return web.WriteData(w, http.StatusOK, imp)
}

func (a *API) preview(w http.ResponseWriter, r *http.Request) error {
	importID, err := id(r)
	if err != nil {
		return err
	}
	p, err := a.importer.Preview(r.Context(), importID)
	if err != nil {
		return err
	}
	return web.WriteJSON(w, http.StatusOK, p)
}

func (a *API) commit(w http.ResponseWriter, r *http.Request) error {
	importID, err := id(r)
	if err != nil {
		return err
	}
	imp, err := a.importer.Commit(r.Context(), importID)
	if err != nil {
		return err
	}
	return web.WriteJSON(w, http.StatusAccepted, state{imp.ID, imp.Status})
}

func (a *API) cancel(w http.ResponseWriter, r *http.Request) error {
	importID, err := id(r)
	if err != nil {
		return err
	}
	imp, err := a.importer.Cancel(r.Context(), importID)
	if err != nil {
		return err
	}
	return web.WriteData(w, http.StatusOK, imp)
}

func (a *API) undo(w http.ResponseWriter, r *http.Request) error {
	importID, err := id(r)
	if err != nil {
		return err
	}
	imp, err := a.importer.Undo(r.Context(), importID)
	if err != nil {
		return err
	}
	return web.WriteJSON(w, http.StatusAccepted, state{imp.ID, imp.Status})
}

func (a *API) errors(w http.ResponseWriter, r *http.Request) error {
	return a.file(w, r, "errors.csv", a.importer.WriteErrorReport)
}

func (a *API) undoReport(w http.ResponseWriter, r *http.Request) error {
	return a.file(w, r, "undo.csv", a.importer.WriteUndoReport)
}

// file answers with a CSV file that write streams.
func (a *API) file(w http.ResponseWriter, r *http.Request, name string, write func(context.Context, imports.ID, io.Writer) error) error {
	importID, err := id(r)
	if err != nil {
		return err
	}
	if _, err := a.importer.Get(r.Context(), importID); err != nil { // before the first byte
		return err
	}
	w.Header().Set("Content-Type", "text/csv; charset=utf-8")
	w.Header().Set("Content-Disposition", `attachment; filename="`+name+`"`)
	return write(r.Context(), importID, w)
}

func (a *API) mappings(w http.ResponseWriter, r *http.Request) error {
	found, err := a.importer.Mappings(r.Context())
	if err != nil {
		return err
	}
	return web.WriteList(w, found, web.Meta{Total: web.Total(int64(len(found))), Page: 1, PageSize: len(found)})
}

func (a *API) deleteMapping(w http.ResponseWriter, r *http.Request) error {
	mapping, err := tenancy.ParseID[imports.SavedMapping](r.PathValue("mappingID"))
	if err != nil {
		return imports.ErrMappingNotFound
	}
	if err := a.importer.DeleteMapping(r.Context(), mapping); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}
