package tenancyhttp

import (
	"cmp"
	"fmt"
	"net/http"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/swaggest/jsonschema-go"
	"github.com/swaggest/openapi-go"
	"github.com/swaggest/openapi-go/openapi31"

	"github.com/stratakit/strata/internal/web"
)

// keyParameter documents the header of the routes that take a key.
type keyParameter struct {
	Key string `description:"Unique to this request, such as a UUID. For 24 hours a repeat with the same key does nothing and gets the same answer." header:"Idempotency-Key" maxLength:"255" minLength:"1"`
}

// security is the name of the scheme of all routes that want a principal.
const security = "principal"

var pathParameter = regexp.MustCompile(`\{(\w+)(\.\.\.)?\}`)

// document describes routes in OpenAPI 3.1. Paths are relative to the server's prefix.
func (s *Server) document(routes []web.Route) ([]byte, error) {
	reflector := openapi31.NewReflector()
	reflector.DefaultOptions = append(reflector.DefaultOptions, jsonschema.InterceptDefName(func(_ reflect.Type, name string) string {
		return strings.ReplaceAll(name, "GithubComStratakitStrata", "") // in the name of a generic type
	}), jsonschema.InterceptProp(require))
	spec := reflector.SpecEns()
	spec.Info.WithTitle("Strata").WithVersion("1")
	spec.WithServers(openapi31.Server{URL: cmp.Or(s.cfg.Prefix, "/")})
	spec.SetHTTPBearerTokenSecurity(security, "", "What the product takes as proof of who is asking; most often a bearer token.")
	for _, rt := range routes {
		if rt.Method == "" {
			continue
		}
		if err := describe(reflector, rt); err != nil {
			return nil, fmt.Errorf("tenancyhttp: describe %s %s: %w", rt.Method, rt.Path, err)
		}
	}
	document, err := spec.MarshalJSON()
	if err != nil {
		return nil, fmt.Errorf("tenancyhttp: write the OpenAPI document: %w", err)
	}
	return document, nil
}

// require takes over from the validator which fields a body must have.
func require(p jsonschema.InterceptPropParams) error {
	first, _, _ := strings.Cut(p.Field.Tag.Get("validate"), ",")
	if !p.Processed && first == "required" && !slices.Contains(p.ParentSchema.Required, p.Name) {
		p.ParentSchema.Required = append(p.ParentSchema.Required, p.Name)
	}
	return nil
}

func describe(reflector *openapi31.Reflector, rt web.Route) error {
	op, err := reflector.NewOperationContext(rt.Method, pathParameter.ReplaceAllString(rt.Path, "{$1}"))
	if err != nil {
		return err
	}
	op.SetID(rt.Name)
	op.SetSummary(rt.Summary)
	switch {
	case rt.Public:
		op.SetDescription("Needs no principal.")
	case rt.Permission != "":
		op.SetDescription("Needs the permission " + rt.Permission + ".")
	}
	if !rt.Public {
		op.AddSecurity(security)
	}
	if parameters := pathParameters(rt.Path); parameters != nil {
		op.AddReqStructure(parameters)
	}
	if takesKey(rt) {
		op.AddReqStructure(keyParameter{})
	}
	if rt.Query != nil {
		op.AddReqStructure(rt.Query)
	}
	if rt.Request != nil {
		op.AddReqStructure(rt.Request, openapi.WithContentType("application/json"))
	}
	status := rt.Status
	if status == 0 {
		status = http.StatusOK
	}
	if rt.Response != nil || rt.ContentType != "" {
		op.AddRespStructure(rt.Response, openapi.WithHTTPStatus(status), openapi.WithContentType(rt.ContentType))
	} else {
		op.AddRespStructure(nil, openapi.WithHTTPStatus(status))
	}
	if rt.Accepted != nil {
		op.AddRespStructure(rt.Accepted, openapi.WithHTTPStatus(http.StatusAccepted))
	}
	op.AddRespStructure(web.Error{}, func(cu *openapi.ContentUnit) {
		cu.IsDefault = true
		cu.Description = "An error. Some have more members."
	})
	return reflector.AddOperation(op)
}

// pathParameters returns a struct with one field for each parameter of path, tagged the
// way the reflector wants it, or nil when there are none.
func pathParameters(path string) any {
	var fields []reflect.StructField
	for i, name := range pathParameter.FindAllStringSubmatch(path, -1) {
		fields = append(fields, reflect.StructField{
			Name: fmt.Sprintf("P%d", i), Type: reflect.TypeFor[string](), Tag: reflect.StructTag(fmt.Sprintf(`path:"%s"%s`, name[1], format(name[1]))),
		})
	}
	if len(fields) == 0 {
		return nil
	}
	return reflect.New(reflect.StructOf(fields)).Interface()
}

// format says that parameters named like ids are UUIDs.
func format(parameter string) string {
	if strings.HasSuffix(strings.ToLower(parameter), "id") {
		return ` format:"uuid"`
	}
	return ""
}
