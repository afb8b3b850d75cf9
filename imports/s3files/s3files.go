// Package s3files keeps the files of imports in S3, or in what speaks its protocol.
//
//	client := s3.NewFromConfig(cfg, func(o *s3.Options) {
//		o.RequestChecksumCalculation = aws.RequestChecksumCalculationWhenRequired
//	})
//	bucket, err := s3blob.OpenBucketV2(ctx, client, "uploads", nil) // gocloud.dev/blob/s3blob
//	...
//	config.Imports.SignUpload = s3files.SignUpload
//
// Without that setting the client signs a checksum of the empty body, which no upload has. A
// browser also needs a CORS rule of the bucket that allows PUT with the headers Content-Type and
// If-None-Match.
package s3files

import (
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"gocloud.dev/blob"

	"github.com/stratakit/strata/imports"
)

var _ imports.SignUpload = SignUpload

// SignUpload makes a URL to which one object of size bytes and of the content type can be PUT,
// once: S3 answers another length or type with 403, and a second PUT with 412 (Amazon S3 User
// Guide, "Conditional writes").
func SignUpload(o *blob.SignedURLOptions, size int64) map[string]string {
	contentType := o.ContentType
	o.ContentType = "" // the driver refuses it: the SDK signs that of the input
	o.BeforeSign = func(as func(any) bool) error {
		var in *s3.PutObjectInput
		if as(&in) {
			in.ContentType, in.ContentLength, in.IfNoneMatch = aws.String(contentType), aws.Int64(size), aws.String("*")
		}
		return nil
	}
	return map[string]string{"If-None-Match": "*"}
}
