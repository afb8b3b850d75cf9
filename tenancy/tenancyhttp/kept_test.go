package tenancyhttp_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/internal/web"
	"github.com/stratakit/strata/tenancy/tenancyhttp"
)

// The next attempt gets a chance after an answer that says "not now".
func TestAnswersThatInviteARetryAreNotKept(t *testing.T) {
	t.Parallel()
	var answer func(http.ResponseWriter) error
	w := open(t, tenancyhttp.Config{}, web.Route{
		Method: http.MethodPost, Path: "/domains/{domainID}/things", Name: "things",
		Handle: func(w http.ResponseWriter, _ *http.Request) error { return answer(w) },
	})
	p := path("/domains/{domainID}/things", w.A)
	write := func(status int) func(http.ResponseWriter) error {
		return func(w http.ResponseWriter) error { return web.WriteData(w, status, status) }
	}
	for i, c := range []struct {
		fails  func(http.ResponseWriter) error
		status int
	}{
		{write(408), 408},
		{write(423), 423},
		{write(425), 425},
		{write(429), 429},
		{write(503), 503},
		{func(http.ResponseWriter) error { return errors.New("secret") }, 500},
		{func(http.ResponseWriter) error { return context.DeadlineExceeded }, 503},
		{func(w http.ResponseWriter) error {
			_, _ = w.Write([]byte("half"))
			return errors.New("secret")
		}, 500},
		{func(w http.ResponseWriter) error {
			_, _ = w.Write([]byte("half"))
			panic("secret")
		}, 500},
	} {
		key := fmt.Sprint("k-", i)
		answer = c.fails
		got := w.keyed(t, "a", key, p, `{}`)
		require.Equal(t, c.status, got.Code, "%d %s", i, got.Body.String())
		require.NotContains(t, got.Body.String(), "half")
		answer = write(202)
		first := w.keyed(t, "a", key, p, `{}`)
		require.Equal(t, 202, first.Code, "%d %s", i, first.Body.String())
		require.Empty(t, first.Header().Get("Idempotency-Replayed"))
		requireReplayed(t, first, w.keyed(t, "a", key, p, `{}`))
	}
}

func TestWhatIsKeptOfAnAnswer(t *testing.T) {
	t.Parallel()
	const large = 1<<20 + 1
	post := func(path string, handle func(http.ResponseWriter, *http.Request) error) web.Route {
		return web.Route{Method: http.MethodPost, Path: "/domains/{domainID}" + path, Name: path, Handle: handle}
	}
	w := open(t, tenancyhttp.Config{},
		post("/nothing", func(http.ResponseWriter, *http.Request) error { return nil }),
		post("/none", func(w http.ResponseWriter, _ *http.Request) error {
			w.WriteHeader(http.StatusNoContent)
			return nil
		}),
		post("/tagged", func(w http.ResponseWriter, _ *http.Request) error {
			w.Header().Set("ETag", `"7"`)
			return web.WriteData(w, http.StatusCreated, 7)
		}),
		post("/large", func(w http.ResponseWriter, _ *http.Request) error {
			_, err := w.Write(make([]byte, large))
			return err
		}))
	for p, status := range map[string]int{"/nothing": 200, "/none": 204, "/tagged": 201} {
		first := w.keyed(t, "a", "k", path("/domains/{domainID}"+p, w.A), "")
		require.Equal(t, status, first.Code, p)
		requireReplayed(t, first, w.keyed(t, "a", "k", path("/domains/{domainID}"+p, w.A), ""))
	}
	first := w.keyed(t, "a", "k", path("/domains/{domainID}/large", w.A), "")
	require.Equal(t, large, first.Body.Len())
	requireError(t, w.keyed(t, "a", "k", path("/domains/{domainID}/large", w.A), ""), 409, "idempotency_answer_lost")
}
