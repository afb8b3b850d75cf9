// Package gcsfiles keeps the files of imports in Google Cloud Storage.
//
//	bucket, err := gcsblob.OpenBucket(ctx, client, "uploads", &gcsblob.Options{ // gocloud.dev/blob/gcsblob
//		GoogleAccessID: account, MakeSignBytes: signer, // or PrivateKey
//	})
//	...
//	config.Imports.SignUpload = gcsfiles.SignUpload
//
// A browser also needs a CORS rule of the bucket that allows PUT with the headers Content-Type,
// X-Goog-If-Generation-Match and X-Goog-Content-Length-Range.
package gcsfiles

import (
	"fmt"

	"cloud.google.com/go/storage"
	"gocloud.dev/blob"

	"github.com/stratakit/strata/imports"
)

var _ imports.SignUpload = SignUpload

// SignUpload makes a V4 URL to which one object of size bytes and of the content type can be
// PUT, once: Cloud Storage answers another length with 400, another type with 403 and a second
// PUT with 412 (Cloud Storage documentation, "HTTP headers and query string parameters for the
// XML API").
func SignUpload(o *blob.SignedURLOptions, size int64) map[string]string {
	headers := map[string]string{
		"X-Goog-If-Generation-Match":  "0",
		"X-Goog-Content-Length-Range": fmt.Sprintf("%d,%d", size, size),
	}
	o.BeforeSign = func(as func(any) bool) error {
		var in *storage.SignedURLOptions
		if as(&in) {
			in.Scheme = storage.SigningSchemeV4
			for name, value := range headers {
				in.Headers = append(in.Headers, name+":"+value)
			}
		}
		return nil
	}
	return headers
}
