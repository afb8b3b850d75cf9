package s3files_test

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/stretchr/testify/require"
	"gocloud.dev/blob"
	"gocloud.dev/blob/s3blob"

	"github.com/stratakit/strata"
	"github.com/stratakit/strata/bulk"
	"github.com/stratakit/strata/imports"
	"github.com/stratakit/strata/imports/s3files"
	"github.com/stratakit/strata/internal/dbtest"
	"github.com/stratakit/strata/internal/tenancytest"
)

func TestMain(m *testing.M) { dbtest.Main(m) }

const (
	within = time.Minute // bounds a wait; no measurement
	people = "email,name\nada@example.com,Ada\nbo@example.com,Bo\n"
)

// store is a bucket of a server that speaks S3, and how clients reach it.
type store struct {
	bucket *blob.Bucket
	client *http.Client
}

// serve starts the VersityGW that is on the PATH, over a directory, and makes a bucket. Where
// there is none the test is skipped.
func serve(t *testing.T) *store {
	t.Helper()
	program, err := exec.LookPath("versitygw")
	if err != nil {
		t.Skip("needs a server that speaks S3: go install github.com/versity/versitygw/cmd/versitygw@v1.8.0")
	}
	dir, err := os.MkdirTemp("", "s3") //nolint:usetesting // the path of a socket has to be short
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	for _, name := range []string{"objects", "attributes"} {
		require.NoError(t, os.Mkdir(filepath.Join(dir, name), 0o700))
	}
	socket := filepath.Join(dir, "s")
	var log bytes.Buffer
	server := exec.CommandContext(context.WithoutCancel(t.Context()), program, "--port", socket, "--access", "key", "--secret", "secret", "--quiet",
		"posix", "--sidecar", filepath.Join(dir, "attributes"), filepath.Join(dir, "objects"))
	server.Stdout, server.Stderr = &log, &log
	require.NoError(t, server.Start())
	t.Cleanup(func() {
		_ = server.Process.Kill()
		_ = server.Wait()
		if t.Failed() {
			t.Log(log.String())
		}
	})
	s := &store{client: &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", socket)
		},
	}}}
	client := s3.New(s3.Options{
		BaseEndpoint: aws.String("http://s3.example"), UsePathStyle: true, Region: "us-east-1", HTTPClient: s.client,
		Credentials:                credentials.NewStaticCredentialsProvider("key", "secret", ""),
		RequestChecksumCalculation: aws.RequestChecksumCalculationWhenRequired,
	})
	require.Eventually(t, func() bool {
		_, err := client.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: aws.String("uploads")})
		return err == nil
	}, within, 20*time.Millisecond)
	s.bucket, err = s3blob.OpenBucketV2(t.Context(), client, "uploads", nil)
	require.NoError(t, err)
	t.Cleanup(func() { _ = s.bucket.Close() })
	return s
}

// put does what a client does with an Upload, and returns the status.
func (s *store) put(t *testing.T, up imports.Upload, body string, change func(h http.Header)) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, up.URL, strings.NewReader(body))
	require.NoError(t, err)
	for name, value := range up.Headers {
		req.Header.Set(name, value)
	}
	if change != nil {
		change(req.Header)
	}
	resp, err := s.client.Do(req)
	require.NoError(t, err)
	defer func() { _ = resp.Body.Close() }()
	answer, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	t.Logf("%d %s", resp.StatusCode, answer)
	return resp.StatusCode
}

// keys are those of all objects.
func (s *store) keys(t *testing.T) (keys []string) {
	t.Helper()
	for it := s.bucket.List(nil); ; {
		o, err := it.Next(t.Context())
		if err == io.EOF { //nolint:errorlint // as the package says
			return keys
		}
		require.NoError(t, err)
		keys = append(keys, o.Key)
	}
}

func open(t *testing.T, s *store, now func() time.Time) (*tenancytest.Env, *strata.Strata) {
	t.Helper()
	env := tenancytest.Open(t)
	st, err := strata.New(t.Context(), env.Pool, env.Redis, &strata.Config{
		Bucket:  s.bucket,
		Imports: imports.Config{SignUpload: s3files.SignUpload, Now: now, Keep: time.Hour},
		Log:     slog.New(slog.DiscardHandler),
	})
	require.NoError(t, err)
	t.Cleanup(func() { _ = st.Stop(context.WithoutCancel(t.Context())) })
	require.NoError(t, st.Start(t.Context()))
	return env, st
}

func await(t *testing.T, ctx context.Context, s *strata.Strata, id imports.ID) imports.Import {
	t.Helper()
	require.Eventually(t, func() bool {
		run, err := s.Runner.Get(ctx, bulk.RunID(id))
		return err == nil && run.State.Final()
	}, within, 20*time.Millisecond)
	imp, err := s.Imports.Get(ctx, id)
	require.NoError(t, err)
	require.Empty(t, imp.Error)
	return imp
}

// A file goes from the client to S3 and from there to recipients; its URL takes it once and as
// it was announced.
func TestUpload(t *testing.T) {
	t.Parallel()
	s := serve(t)
	env, st := open(t, s, nil)
	ctx := env.A.Ctx
	up, err := st.Imports.CreateUpload(ctx, imports.NewUpload{FileName: "people.csv", Size: int64(len(people))})
	require.NoError(t, err)

	_, err = st.Imports.Process(ctx, up.ID, imports.ProcessOptions{})
	require.ErrorIs(t, err, imports.ErrNotUploaded)
	require.Equal(t, http.StatusForbidden, s.put(t, up, people+"cy@example.com,Cy\n", nil), "longer than announced")
	require.Equal(t, http.StatusForbidden, s.put(t, up, people, func(h http.Header) { h.Set("Content-Type", "text/html") }))
	require.Equal(t, http.StatusForbidden, s.put(t, up, people, func(h http.Header) { h.Del("If-None-Match") }))
	require.Empty(t, s.keys(t))

	require.Equal(t, http.StatusOK, s.put(t, up, people, nil))
	other := strings.ReplaceAll(people, "Ada", "Eve")
	require.Equal(t, http.StatusPreconditionFailed, s.put(t, up, other, nil), "once")

	_, err = st.Imports.Process(ctx, up.ID, imports.ProcessOptions{})
	require.NoError(t, err)
	require.EqualValues(t, 2, await(t, ctx, st, up.ID).New)
	_, err = st.Imports.Commit(ctx, up.ID)
	require.NoError(t, err)
	require.EqualValues(t, 2, await(t, ctx, st, up.ID).Inserted)

	_, err = st.Imports.Get(env.B.Ctx, up.ID)
	require.ErrorIs(t, err, imports.ErrNotFound)
}

// A file that somebody with keys to the bucket replaces is not the one that was previewed.
func TestReplacedFile(t *testing.T) {
	t.Parallel()
	s := serve(t)
	env, st := open(t, s, nil)
	ctx := env.A.Ctx
	imp, err := st.Imports.CreateFromReader(ctx, "people.csv", strings.NewReader(people))
	require.NoError(t, err)
	_, err = st.Imports.Process(ctx, imp.ID, imports.ProcessOptions{})
	require.NoError(t, err)
	await(t, ctx, st, imp.ID)
	keys := s.keys(t)
	require.Len(t, keys, 1)
	require.NoError(t, s.bucket.WriteAll(ctx, keys[0], []byte(strings.ReplaceAll(people, "Ada", "Eve")), nil))
	_, err = st.Imports.Commit(ctx, imp.ID)
	require.ErrorIs(t, err, imports.ErrFileChanged)
}

// What was announced, uploaded and left is deleted.
func TestSweep(t *testing.T) {
	t.Parallel()
	s := serve(t)
	env, st := open(t, s, func() time.Time { return time.Now().Add(2 * time.Hour) })
	up, err := st.Imports.CreateUpload(env.A.Ctx, imports.NewUpload{FileName: "people.csv", Size: int64(len(people))})
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, s.put(t, up, people, nil))
	require.Len(t, s.keys(t), 1)
	_, err = st.Imports.Sweep(t.Context())
	require.NoError(t, err)
	require.Empty(t, s.keys(t))
}
