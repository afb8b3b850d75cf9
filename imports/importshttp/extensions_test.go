package importshttp_test

import (
	"encoding/csv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/imports"
	"github.com/stratakit/strata/internal/tenancytest"
	"github.com/stratakit/strata/recipients"
	"github.com/stratakit/strata/recipients/sms"
)

func TestColumnsOfExtensions(t *testing.T) {
	t.Parallel()
	env, registry := tenancytest.Open(t), recipients.NewRegistry()
	texts, err := sms.Register(registry, &sms.Config{DefaultRegion: "DE"})
	require.NoError(t, err)
	require.NoError(t, registry.Migrate(t.Context(), env.Direct(t)))
	w := openIn(t, env, imports.Config{}, registry)
	require.NoError(t, w.s.Start(t.Context()))
	foreign, err := w.s.Recipients.Create(w.B.Ctx, recipients.New{Email: "ada@example.com"})
	require.NoError(t, err)
	job := w.upload(t, "Email,Phone\nada@example.com,030 12345678\nbo@example.com,4.91701E+11\ncy@example.com,\n")

	refused(t, w.do(t, "a", "POST", job+"/process", `{"mapping":{"Email":"email","Phone":"sms.fone"}}`), 422, "validation_failed", "mapping.Phone unknown_target")
	require.Equal(t, 202, w.do(t, "a", "POST", job+"/process", `{"mapping":{"Email":"email","Phone":"sms.phone"}}`).Code)
	w.follow(t, job)
	p := decode[imports.Preview](t, w.do(t, "a", "GET", job+"/preview", ""), 200)
	require.Equal(t, []int64{3, 2, 1}, []int64{p.TotalRows, p.New, p.ErrorRows})
	require.Equal(t, "sms.phone", *p.Mapping["Phone"])
	require.Equal(t, map[string]any{"sms": map[string]any{"phone": "+493012345678"}}, p.SampleData[0].Data["extensions"])
	require.Equal(t, []string{"Phone", "sms.phone", "invalid_phone"}, []string{p.SampleErrors[0].Errors[0].Column, p.SampleErrors[0].Errors[0].Field, p.SampleErrors[0].Errors[0].Code})
	require.Equal(t, 404, w.do(t, "b", "GET", job+"/preview", "").Code)
	require.Equal(t, 404, w.do(t, "b", "POST", job+"/commit", "").Code)

	w.work(t, job, "commit", imports.Processing)
	page, err := w.s.Recipients.List(w.A.Ctx, recipients.Query{Filter: `sms.phone == "+493012345678"`, With: []string{"sms"}})
	require.NoError(t, err)
	require.Len(t, page.Items, 1)
	require.Equal(t, "ada@example.com", page.Items[0].Email)
	_, err = texts.Get(w.B.Ctx, foreign.ID)
	require.ErrorIs(t, err, recipients.ErrNotEnrolled)

	records, err := csv.NewReader(strings.NewReader(w.do(t, "a", "GET", job+"/errors.csv", "").Body.String())).ReadAll()
	require.NoError(t, err)
	require.Len(t, records, 2)
	require.Equal(t, []string{"bo@example.com", "4.91701E+11", "3"}, records[1][:3])
	require.Contains(t, records[1][3], "sms.phone: is a number as a spreadsheet shortens it")

	w.work(t, job, "undo", imports.Undoing)
	n, err := w.s.Recipients.Count(w.A.Ctx, "")
	require.NoError(t, err)
	require.Zero(t, n)
}
