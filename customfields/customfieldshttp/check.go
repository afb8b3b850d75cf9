package customfieldshttp

import (
	"encoding/json"
	"errors"
	"net/http"

	"github.com/stratakit/strata/customfields/filter"
	"github.com/stratakit/strata/internal/web"
)

// checkRequest is a filter in one of its two forms.
type checkRequest struct {
	Filter string       `json:"filter" description:"A filter as text. Give this or rule."`
	Rule   *filter.Rule `json:"rule"   description:"A filter as visual builders edit it."`
}

// Check is the answer to a filter that is in order.
type Check struct {
	OK bool `json:"ok"`
	// Filter and Rule are its two forms, whichever was asked about.
	Filter string       `json:"filter"`
	Rule   *filter.Rule `json:"rule"`
	// References are the names of the columns, fields and events it reads.
	References []string `json:"references"`
	// TimeDependent says that its answer can change while nothing does, as time goes by.
	TimeDependent bool `json:"timeDependent"`
}

func (a *API) check(w http.ResponseWriter, r *http.Request) error {
	var in struct {
		Filter *string         `json:"filter"`
		Rule   json.RawMessage `json:"rule"` // read by itself, so that its errors have paths
	}
	if err := web.DecodeJSON(r, &in); err != nil {
		return err
	}
	switch {
	case in.Rule == nil && (in.Filter == nil || *in.Filter == ""):
		return web.Invalid(web.FieldError{Field: "filter", Code: "required", Message: "must not be empty, unless there is a rule"})
	case in.Rule != nil && in.Filter != nil:
		return web.Invalid(web.FieldError{Field: "rule", Code: "not_allowed", Message: "must not be there beside a filter"})
	case in.Rule != nil:
		return a.checkRule(w, r, in.Rule)
	}
	f, err := a.compile(r.Context(), *in.Filter)
	if err != nil {
		return placed(err, *in.Filter)
	}
	rule, err := filter.ToRule(*in.Filter)
	if err != nil {
		return placed(err, *in.Filter)
	}
	return writeCheck(w, f, rule)
}

func (a *API) checkRule(w http.ResponseWriter, r *http.Request, data []byte) error {
	rule, err := filter.ParseRule(data)
	if err != nil {
		return err
	}
	expr, err := filter.FromRule(rule)
	if err != nil {
		return err
	}
	f, err := a.compile(r.Context(), expr)
	if err != nil {
		return rule.Locate(err)
	}
	return writeCheck(w, f, rule)
}

func writeCheck(w http.ResponseWriter, f *filter.Filter, rule *filter.Rule) error {
	references := f.References()
	if references == nil {
		references = []string{}
	}
	return web.WriteData(w, http.StatusOK, Check{OK: true, Filter: f.String(), Rule: rule, References: references, TimeDependent: f.TimeDependent()})
}

// placedError is what is wrong with a filter, with the ends of what an editor underlines.
type placedError struct {
	wrong *filter.Error
	expr  string
}

// Error lists the problems.
func (e *placedError) Error() string { return e.wrong.Error() }

// Unwrap returns the error of the filter, which has the kind and the code.
func (e *placedError) Unwrap() error { return e.wrong }

func placed(err error, expr string) error {
	var wrong *filter.Error
	if !errors.As(err, &wrong) {
		return err
	}
	return &placedError{wrong, expr}
}

// FieldErrors are the problems as the answer lists them. EndColumn is behind the last
// character.
func (e *placedError) FieldErrors() any {
	type fieldError struct {
		Field string `json:"field"`
		filter.Problem
		EndLine   int `json:"endLine"`
		EndColumn int `json:"endColumn"`
	}
	out := make([]fieldError, len(e.wrong.Problems))
	for i, p := range e.wrong.Problems {
		end := p.End(e.expr)
		out[i] = fieldError{"filter", p, end.Line, end.Column}
	}
	return out
}
