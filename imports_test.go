package strata_test

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const module = "github.com/stratakit/strata"

// layers is the import graph: a package may import packages of a lower layer, and of
// its own family (tenancy/access is of the family tenancy). The first match counts.
var layers = []struct {
	layer   int
	pattern *regexp.Regexp
	is      string
}{
	{9, regexp.MustCompile(`^/internal/(bench|tenancytest)$`), "benchmarks and this repository's own test kit"},
	{0, regexp.MustCompile(`^/internal/`), "internals: no public package of ours"},
	{7, regexp.MustCompile(`^/.*[a-z]http$`), "handlers of one package"},
	{1, regexp.MustCompile(`^/tenancy(/|$)`), "tenancy"},
	{2, regexp.MustCompile(`^/audit(/|$)`), "audit"},
	{3, regexp.MustCompile(`^/(billing|bulk)(/|$)`), "limits; long work"},
	{4, regexp.MustCompile(`^/(customfields|sso)(/|$)`), "custom fields; single sign-on"},
	{5, regexp.MustCompile(`^/recipients(/|$)`), "recipients"},
	{6, regexp.MustCompile(`^/imports(/|$)`), "imports"},
	{8, regexp.MustCompile(`^$`), "the root wires"},
	{9, regexp.MustCompile(`^/examples/`), "examples"},
}

// heavy lists what must not reach a program that uses the package, and why.
var heavy = []struct {
	packages *regexp.Regexp
	banned   *regexp.Regexp
	why      string
}{
	{
		regexp.MustCompile(`^/(tenancy|audit|billing|bulk|customfields|recipients|imports)(/|$)|^$`),
		regexp.MustCompile(`^github\.com/(testcontainers|docker|moby|fergusstrange|alicebob|stretchr)/|^testing$`),
		"test code and test servers stay out of users' binaries",
	},
	{
		regexp.MustCompile(`^/(tenancy|audit|billing|bulk|customfields|recipients)(/|$)|^/imports(/importshttp)?$|^$`),
		regexp.MustCompile(`^github\.com/(aws|Azure|crewjam|russellhaering)/|^cloud\.google\.com/`),
		"cloud and SAML libraries are for the adapter that needs them",
	},
	{
		regexp.MustCompile(`^/(tenancy|audit|customfields)$`),
		regexp.MustCompile(`^github\.com/riverqueue/|^gocloud\.dev/|^net/http/httptest$|^github\.com/miekg/`),
		"a team may use this package alone",
	},
	{
		regexp.MustCompile(`^/(tenancy|audit|billing|bulk|customfields|imports)(/|$)|^/recipients(/(persons|email|push|recipientshttp)(/|$)|$)|^$`),
		regexp.MustCompile(`^github\.com/nyaruka/`),
		"the numbering plans of the world are for products that write to phones",
	},
	{
		regexp.MustCompile(`^/(tenancy|audit|billing|bulk|customfields|imports)(/|$)|^/recipients(/(persons|email|sms|whatsapp|push|phone|recipientshttp)(/|$)|$)`),
		regexp.MustCompile(`^github\.com/(xuri|richardlehane|tiendc)/`),
		"spreadsheets are for exports",
	},
	{
		regexp.MustCompile(`^/(tenancy|audit|billing|bulk|customfields|recipients|imports)(/|$)|^$`),
		regexp.MustCompile(`^riverqueue\.com/|^github\.com/riverqueue/apiframe`),
		"a page for operators is for the program that mounts it",
	},
}

type goPackage struct {
	ImportPath string
	Imports    []string
	Deps       []string
	Standard   bool
}

func TestImportGraph(t *testing.T) {
	t.Parallel()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-deps", "-json=ImportPath,Imports,Deps,Standard", "./...")
	out, err := cmd.Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		t.Fatalf("go list: %s", exit.Stderr)
	}
	require.NoError(t, err)
	seen := 0
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p goPackage
		err := dec.Decode(&p)
		if errors.Is(err, io.EOF) {
			break
		}
		require.NoError(t, err)
		name, ours := strings.CutPrefix(p.ImportPath, module)
		if !ours {
			continue
		}
		seen++
		checkLayer(t, name, p.Imports)
		for _, h := range heavy {
			if !h.packages.MatchString(name) || strings.HasSuffix(name, "test") {
				continue
			}
			for _, dep := range p.Deps {
				if h.banned.MatchString(dep) {
					t.Errorf("%s depends on %s: %s", p.ImportPath, dep, h.why)
				}
			}
		}
	}
	require.GreaterOrEqual(t, seen, 5, "go list must have found our packages")
}

func checkLayer(t *testing.T, name string, imports []string) {
	t.Helper()
	from := layerOf(t, name)
	for _, imported := range imports {
		other, ours := strings.CutPrefix(imported, module)
		if !ours {
			continue
		}
		if to := layerOf(t, other); to < from || family(other) == family(name) {
			continue
		}
		t.Errorf("%s (layer %d) imports %s (layer %d): an arrow only points down", name, from, other, layerOf(t, other))
	}
}

func layerOf(t *testing.T, name string) int {
	t.Helper()
	for _, l := range layers {
		if l.pattern.MatchString(name) {
			return l.layer
		}
	}
	t.Errorf("%s%s has no place in the import graph", module, name)
	return 100
}

// family is the first folder. Examples stand alone, and handlers are a family
// each: a package never imports its own handlers.
func family(name string) string {
	parts := strings.Split(strings.TrimPrefix(name, "/"), "/")
	if parts[0] == "examples" || name == "/internal/bench" || name == "/internal/tenancytest" {
		return name
	}
	if strings.HasSuffix(name, "http") {
		return name
	}
	return parts[0]
}
