package imports

import (
	"context"
	"fmt"

	"gocloud.dev/blob"
	"gocloud.dev/gcerrors"

	"github.com/stratakit/strata/bulk"
	"github.com/stratakit/strata/internal/fault"
)

// attributes looks at an uploaded file.
func (im *Importer) attributes(ctx context.Context, objectKey string) (*blob.Attributes, error) {
	if objectKey == "" {
		return nil, ErrSwept
	}
	attrs, err := im.bucket.Attributes(ctx, objectKey)
	if gcerrors.Code(err) == gcerrors.NotFound {
		return nil, ErrNotUploaded
	}
	if err != nil {
		return nil, fmt.Errorf("imports: look at the file: %w", err)
	}
	return attrs, nil
}

// checkFile returns ErrFileChanged unless the file is the one whose processing began.
func (im *Importer) checkFile(ctx context.Context, i Import, s stored) error {
	attrs, err := im.attributes(ctx, s.objectKey)
	switch {
	case fault.KindOf(err) == fault.Conflict:
		return fmt.Errorf("%w: it is not there any more", ErrFileChanged)
	case err != nil:
		return err
	case attrs.ETag != s.etag || attrs.Size != i.Size:
		return fmt.Errorf("%w: it was replaced since", ErrFileChanged)
	}
	return nil
}

// permanent marks an error that trying again cannot help: one of a kind that a user can
// do something about.
func permanent(err error) error {
	if fault.Passing(err) {
		return err
	}
	return bulk.Permanent(err)
}
