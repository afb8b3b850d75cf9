package azurefiles_test

import (
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"
	"github.com/stretchr/testify/require"
	"gocloud.dev/blob"
	"gocloud.dev/blob/azureblob"

	"github.com/stratakit/strata/imports/azurefiles"
)

// A URL permits to create an object, and not to write one that is there.
func TestWhatIsSigned(t *testing.T) {
	t.Parallel()
	credential, err := container.NewSharedKeyCredential("account", "c2VjcmV0")
	require.NoError(t, err)
	client, err := container.NewClientWithSharedKeyCredential("https://account.blob.example/uploads", credential, nil)
	require.NoError(t, err)
	bucket, err := azureblob.OpenBucket(t.Context(), client, nil)
	require.NoError(t, err)
	defer func() { require.NoError(t, bucket.Close()) }()

	o := &blob.SignedURLOptions{Method: http.MethodPut, Expiry: 15 * time.Minute, ContentType: "text/csv"}
	require.Equal(t, map[string]string{"X-Ms-Blob-Type": "BlockBlob"}, azurefiles.SignUpload(o, 1234))
	signed, err := bucket.SignedURL(t.Context(), "imports/a", o)
	require.NoError(t, err)
	u, err := url.Parse(signed)
	require.NoError(t, err)
	require.Equal(t, "/uploads/imports/a", u.Path)
	require.Equal(t, []string{"c", "b"}, []string{u.Query().Get("sp"), u.Query().Get("sr")})
	from, err := time.Parse(time.RFC3339, u.Query().Get("st"))
	require.NoError(t, err)
	until, err := time.Parse(time.RFC3339, u.Query().Get("se"))
	require.NoError(t, err)
	require.Equal(t, 15*time.Minute, until.Sub(from))
}
