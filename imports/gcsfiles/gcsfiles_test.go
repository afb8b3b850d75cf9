package gcsfiles_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"gocloud.dev/blob"
	"gocloud.dev/blob/gcsblob"
	"gocloud.dev/gcp"

	"github.com/stratakit/strata/imports/gcsfiles"
)

// A URL is signed for one length, one content type and a new object.
func TestWhatIsSigned(t *testing.T) {
	t.Parallel()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	private, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	bucket, err := gcsblob.OpenBucket(t.Context(), gcp.NewAnonymousHTTPClient(http.DefaultTransport), "uploads", &gcsblob.Options{
		GoogleAccessID: "uploader@project.example", PrivateKey: pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}),
	})
	require.NoError(t, err)
	defer func() { require.NoError(t, bucket.Close()) }()

	o := &blob.SignedURLOptions{Method: http.MethodPut, Expiry: 15 * time.Minute, ContentType: "text/csv"}
	headers := gcsfiles.SignUpload(o, 1234)
	require.Equal(t, map[string]string{"X-Goog-If-Generation-Match": "0", "X-Goog-Content-Length-Range": "1234,1234"}, headers)
	signed, err := bucket.SignedURL(t.Context(), "imports/a", o)
	require.NoError(t, err)
	u, err := url.Parse(signed)
	require.NoError(t, err)
	require.Equal(t, "/uploads/imports/a", u.Path)
	require.Equal(t, "GOOG4-RSA-SHA256", u.Query().Get("X-Goog-Algorithm"))
	require.Equal(t, "content-type;host;x-goog-content-length-range;x-goog-if-generation-match", u.Query().Get("X-Goog-SignedHeaders"))
	require.Contains(t, []string{"899", "900"}, u.Query().Get("X-Goog-Expires"))
}
