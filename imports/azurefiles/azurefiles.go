// Package azurefiles keeps the files of imports in Azure Blob Storage.
//
//	bucket, err := azureblob.OpenBucket(ctx, client, nil) // gocloud.dev/blob/azureblob; a client with the account's key
//	...
//	config.Imports.SignUpload = azurefiles.SignUpload
//
// A browser also needs a CORS rule of the account that allows PUT with the headers Content-Type and
// X-Ms-Blob-Type.
package azurefiles

import (
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/sas"
	"gocloud.dev/blob"

	"github.com/stratakit/strata/imports"
)

var _ imports.SignUpload = SignUpload

// SignUpload makes a URL to which a new object can be PUT, once: it permits to create and not
// to write, so that Azure answers a second PUT with 403 (Azure Storage documentation, "Create a
// service SAS"). Azure cannot sign a length or a content type: Importer.Process refuses a file
// that is not of the announced size.
func SignUpload(o *blob.SignedURLOptions, _ int64) map[string]string {
	o.ContentType = "" // the driver refuses it
	o.BeforeSign = func(as func(any) bool) error {
		var permitted *sas.BlobPermissions
		if as(&permitted) {
			*permitted = sas.BlobPermissions{Create: true}
		}
		return nil
	}
	return map[string]string{"X-Ms-Blob-Type": "BlockBlob"}
}
