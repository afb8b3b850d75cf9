package pushhttp_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/internal/dbtest"
	"github.com/stratakit/strata/internal/tenancytest"
	"github.com/stratakit/strata/recipients"
	"github.com/stratakit/strata/recipients/push"
	"github.com/stratakit/strata/recipients/push/pushhttp"
	"github.com/stratakit/strata/recipients/recipientshttp"
)

func TestMain(m *testing.M) { dbtest.Main(m) }

type shown struct {
	ID, Platform          string
	CreatedAt, LastSeenAt time.Time
}

func TestDevicesOverHTTP(t *testing.T) {
	t.Parallel()
	env := tenancytest.Open(t)
	r := recipients.NewRegistry()
	devices, err := push.Register(r, nil)
	require.NoError(t, err)
	store := env.Extended(t, r)
	h := env.Serve(t, nil, recipientshttp.New(store), pushhttp.New(devices))
	ada, err := store.Create(env.A.Ctx, recipients.New{Email: "ada@example.com"})
	require.NoError(t, err)
	bo, err := store.Create(env.A.Ctx, recipients.New{Email: "bo@example.com"})
	require.NoError(t, err)
	of := func(id recipients.ID) string {
		return "/domains/" + env.A.DomainID.String() + "/recipients/" + id.String() + "/enrollments/push"
	}
	path := of(ada.ID) + "/devices"
	const phone = `{"token":"secret-1","platform":"ios","lastSeenAt":"2026-03-01T12:00:00Z"}`
	tenancytest.RequireError(t, h.Do(t, "a", "GET", path), 404, "not_enrolled")
	tenancytest.RequireError(t, h.Do(t, "a", "POST", path, phone), 404, "not_enrolled")
	for _, id := range []recipients.ID{ada.ID, bo.ID} {
		require.Equal(t, 201, h.Do(t, "a", "POST", of(id), `{}`).Code)
	}
	require.Empty(t, tenancytest.RequireList[shown](t, h.Do(t, "a", "GET", path)).Data)
	tenancytest.RequireError(t, h.Do(t, "member", "POST", path, phone), 403, "forbidden")

	added := h.Do(t, "a", "POST", path, phone)
	require.NotContains(t, added.Body.String(), "secret")
	first := tenancytest.RequireData[shown](t, added, 200)
	require.Equal(t, push.Device{Token: "secret-1"}.ID(), first.ID)
	require.Equal(t, "ios", first.Platform)
	require.Equal(t, time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC), first.LastSeenAt)
	require.Equal(t, first, tenancytest.RequireData[shown](t, h.Do(t, "a", "POST", path, phone), 200), "told again")
	tenancytest.RequireData[shown](t, h.Do(t, "a", "POST", path, `{"token":"secret-2","platform":"web"}`), 200)
	listed := h.Do(t, "member", "GET", path)
	require.NotContains(t, listed.Body.String(), "secret", "who may read cannot send to the device")
	list := tenancytest.RequireList[shown](t, listed)
	require.Len(t, list.Data, 2)
	require.EqualValues(t, 2, *list.Meta.Total)
	require.Equal(t, first, list.Data[1])

	for body, field := range map[string]string{
		`{"platform":"ios"}`: `"token"`, `{"token":"secret-3","platform":"androyd"}`: `"platform"`, `{"token":"secret-3","platform":"ios","lastSeenAt":"2999-01-01T00:00:00Z"}`: `"lastSeenAt"`,
	} {
		wrong := h.Do(t, "a", "POST", path, body)
		tenancytest.RequireError(t, wrong, 422, "validation_failed")
		require.Contains(t, wrong.Body.String(), field)
		require.NotContains(t, wrong.Body.String(), "secret")
	}
	taken := h.Do(t, "a", "POST", of(bo.ID)+"/devices", phone)
	tenancytest.RequireError(t, taken, 409, "token_taken")
	require.Contains(t, taken.Body.String(), `"recipientId":"`+ada.ID.String()+`"`)
	tenancytest.RequireError(t, h.Do(t, "a", "DELETE", of(bo.ID)+"/devices/"+first.ID), 404, "device_not_found")
	tenancytest.RequireError(t, h.Do(t, "member", "DELETE", path+"/"+first.ID), 403, "forbidden")

	env.RequireIsolation(t, tenancytest.Isolation{
		Handler: h.Handler, Routes: pushhttp.New(devices).Routes(), Values: map[string]string{"id": ada.ID.String(), "deviceID": first.ID},
		Bodies: map[string]string{"addDevice": `{"token":"secret-1","platform":"ios"}`},
	})
	require.Equal(t, list.Data, tenancytest.RequireList[shown](t, h.Do(t, "a", "GET", path)).Data)

	require.Equal(t, 204, h.Do(t, "a", "DELETE", path+"/"+first.ID).Code)
	tenancytest.RequireError(t, h.Do(t, "a", "DELETE", path+"/"+first.ID), 404, "device_not_found")
	require.Equal(t, 1.0, tenancytest.RequireData[map[string]any](t, h.Do(t, "a", "GET", of(ada.ID)), 200)["devices"])
}
