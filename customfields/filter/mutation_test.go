package filter_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// go test ./customfields/filter -run TestMutants -filter.mutants . -v -timeout 1h
var someMutants = flag.String("filter.mutants", "", "the faults, by a regular expression, that the differential test is to find: each takes half a minute")

// mutant is a fault that somebody could make in the compiler: in one of its files a text that
// stands there once is replaced.
type mutant struct{ name, file, old, new string }

// seeded is the file with the fault.
func (m mutant) seeded(t *testing.T) []byte {
	t.Helper()
	source, err := os.ReadFile(m.file)
	require.NoError(t, err)
	require.Equal(t, 1, strings.Count(string(source), m.old), "%s: %s must have once:\n%s", m.name, m.file, m.old)
	return []byte(strings.Replace(string(source), m.old, m.new, 1))
}

// caughtBy is what the differential test says of the filter that it has found.
var caughtBy = regexp.MustCompile(`(?s)(expression \d+ of seed \d+): .*?\n\s*the smallest part of it: (.*?)\n\s*(is \w+ to CEL and [a-z ]+ to PostgreSQL|raises)`)

// kill runs the differential test on a copy of the package with the fault, and returns the
// filter that has found it, or "".
func (m mutant) kill(t *testing.T, expressions int) string {
	t.Helper()
	dir := t.TempDir()
	changed := filepath.Join(dir, m.file)
	require.NoError(t, os.WriteFile(changed, m.seeded(t), 0o600))
	here, err := filepath.Abs(m.file)
	require.NoError(t, err)
	overlay, err := json.Marshal(map[string]any{"Replace": map[string]string{here: changed}})
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "overlay.json"), overlay, 0o600))
	cmd := exec.CommandContext(t.Context(), "go", "test", "-overlay", filepath.Join(dir, "overlay.json"), "-count=1", "-vet=off", "-run", "^TestSQLAgreesWithCEL$", ".",
		"-args", fmt.Sprintf("-filter.expressions=%d", expressions))
	out, err := cmd.CombinedOutput()
	if err == nil {
		return ""
	}
	found := caughtBy.FindStringSubmatch(string(out))
	require.NotNil(t, found, "%s: it failed for another reason:\n%s", m.name, out)
	return fmt.Sprintf("%s: %s %s", found[1], strings.ReplaceAll(found[2], "\n", " "), found[3])
}

// A test that finds no fault proves nothing. One fault is seeded in every run of the suite.
func TestAMutantIsFound(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("go"); err != nil {
		t.Skip("there is no go command")
	}
	for _, m := range mutants {
		m.seeded(t) // all can be
	}
	m := mutants[slices.IndexFunc(mutants, func(m mutant) bool { return m.name == cheapMutant })]
	require.NotEmpty(t, m.kill(t, 200), m.name)
}

func TestMutantsAreFound(t *testing.T) {
	if *someMutants == "" {
		t.Skip("with -filter.mutants")
	}
	wanted := regexp.MustCompile(*someMutants)
	alive := 0
	for _, m := range mutants {
		if !wanted.MatchString(m.name) {
			continue
		}
		found := m.kill(t, 4000)
		t.Logf("| %s | %s |", m.name, found)
		if found == "" {
			alive++
		}
	}
	require.Zero(t, alive, "faults that the differential test does not find")
}
