package customfieldshttp_test

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/customfields"
	"github.com/stratakit/strata/customfields/customfieldshttp"
	"github.com/stratakit/strata/customfields/lifecycle"
	"github.com/stratakit/strata/internal/tenancytest"
)

func TestChanges(t *testing.T) {
	t.Parallel()
	w := open(t)
	var err error
	w.manager, err = lifecycle.NewManager(w.DB, w.registry, w.Audit, &lifecycle.Config{Poll: 10 * time.Millisecond, Settle: time.Millisecond})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = w.manager.Work(ctx)
	}()
	defer func() { cancel(); <-ended }()
	runs := strings.TrimSuffix(w.fields, "custom-fields") + "custom-field-runs"
	await := func(run customfieldshttp.Run) {
		t.Helper()
		require.Eventually(t, func() bool {
			got := tenancytest.RequireData[customfieldshttp.Run](t, w.Do(t, "a", "GET", runs+"/"+run.ID.String()), http.StatusOK)
			return got.State == lifecycle.Done
		}, time.Minute, 10*time.Millisecond)
	}
	w.define(t, `{"key":"level","type":"text"}`)
	w.define(t, `{"key":"tier","type":"select","options":["gold","silver"]}`)

	f := tenancytest.RequireData[customfields.Field](t, w.Do(t, "a", "POST", w.fields+"/level/rename", `{"key":"rank"}`), http.StatusOK)
	require.Equal(t, []string{"rank", "level"}, []string{f.Key, f.Slot})
	tenancytest.RequireError(t, w.Do(t, "a", "POST", w.fields+"/rank/rename", `{"key":"tier"}`), http.StatusConflict, "key_taken")
	tenancytest.RequireError(t, w.Do(t, "a", "POST", w.fields+"/rank/rename", `{}`), http.StatusUnprocessableEntity, "validation_failed")
	require.Empty(t, tenancytest.RequireList[lifecycle.Dependent](t, w.Do(t, "a", "GET", w.fields+"/rank/dependents")).Data)

	p := tenancytest.RequireData[struct{ Preview lifecycle.Preview }](t, w.Do(t, "a", "POST", w.fields+"/rank/convert", `{"type":"number","dryRun":true}`), http.StatusOK)
	require.Equal(t, customfields.Number, p.Preview.To)
	run := tenancytest.RequireData[customfieldshttp.Run](t, w.Do(t, "a", "POST", w.fields+"/rank/convert", `{"type":"number"}`), http.StatusAccepted)
	await(run)
	tenancytest.RequireError(t, w.Do(t, "a", "POST", runs+"/"+run.ID.String()+"/cancel"), http.StatusConflict, "too_late")
	tenancytest.RequireError(t, w.Do(t, "a", "POST", runs+"/"+run.ID.String()+"/retry"), http.StatusConflict, "wrong_state")
	tenancytest.RequireError(t, w.Do(t, "a", "POST", w.fields+"/rank/convert", `{"type":"date"}`), http.StatusUnprocessableEntity, "not_convertible")
	await(tenancytest.RequireData[customfieldshttp.Run](t, w.Do(t, "a", "POST", w.fields+"/tier/options/remove", `{"option":"gold","replacement":"silver"}`), http.StatusAccepted))
	tenancytest.RequireError(t, w.Do(t, "a", "POST", w.fields+"/rank/purge"), http.StatusConflict, "field_not_archived")
	require.Equal(t, http.StatusNoContent, w.Do(t, "a", "DELETE", w.fields+"/rank").Code)
	tenancytest.RequireData[customfields.Field](t, w.Do(t, "a", "POST", w.fields+"/rank/restore"), http.StatusOK)
	tenancytest.RequireError(t, w.Do(t, "a", "POST", w.fields+"/rank/restore"), http.StatusConflict, "field_not_archived")
	require.Equal(t, http.StatusNoContent, w.Do(t, "a", "DELETE", w.fields+"/rank?force=true").Code)
	await(tenancytest.RequireData[customfieldshttp.Run](t, w.Do(t, "a", "POST", w.fields+"/rank/purge"), http.StatusAccepted))
	tenancytest.RequireError(t, w.Do(t, "a", "GET", w.fields+"/rank"), http.StatusNotFound, "custom_field_not_found")

	list := tenancytest.RequireList[customfieldshttp.Run](t, w.Do(t, "a", "GET", runs+"?pageSize=2"))
	require.Len(t, list.Data, 2)
	require.Equal(t, customfields.KindPurge, list.Data[0].Kind)
	require.True(t, list.Meta.HasMore)
	list = tenancytest.RequireList[customfieldshttp.Run](t, w.Do(t, "a", "GET", runs+"?pageSize=2&cursor="+list.Meta.NextCursor))
	require.Len(t, list.Data, 1)
	tenancytest.RequireError(t, w.Do(t, "a", "GET", runs+"/nope"), http.StatusNotFound, "custom_field_run_not_found")
}
