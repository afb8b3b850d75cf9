package tenancy

import (
	"fmt"
	"math"

	"github.com/stratakit/strata/internal/fault"
)

// The bounds of a page.
const (
	DefaultPageSize = 50
	MaxPageSize     = 500
)

// PageRequest asks for one page of a list, either by number or by the cursor that
// the page before returned. A cursor survives inserts; a number does not.
type PageRequest struct {
	// Page counts from 1; 0 means 1. It is ignored when Cursor is set.
	Page int
	// PageSize is the number of items, 1 to MaxPageSize; 0 means DefaultPageSize.
	PageSize int
	// Cursor is Page.NextCursor of the page before.
	Cursor string
}

// Page is one page of a list.
type Page[T any] struct {
	Items []T
	// Total is how many items there are in all, or -1 when that was not counted.
	Total int64
	// TotalIsEstimate is set when counting stopped at a cap.
	TotalIsEstimate bool
	// Page and PageSize are those of the request with the defaults filled in.
	Page, PageSize int
	// HasMore tells whether another page follows, NextCursor how to ask for it.
	HasMore    bool
	NextCursor string
}

// ErrInvalidCursor is returned for a cursor that this list did not make.
var ErrInvalidCursor error = fault.New(fault.Malformed, "invalid_cursor", "the cursor is not one this list returned: start again without it")

// Normalize fills in the defaults, or returns a *ValidationError that names the bounds.
func (p PageRequest) Normalize() (PageRequest, error) {
	var v ValidationError
	if p.Page == 0 {
		p.Page = 1
	}
	if p.PageSize == 0 {
		p.PageSize = DefaultPageSize
	}
	if p.Page < 1 {
		v.Add("page", "out_of_range", "counts from 1")
	}
	if p.PageSize < 1 || p.PageSize > MaxPageSize {
		v.Add("pageSize", "out_of_range", fmt.Sprintf("must be between 1 and %d", MaxPageSize))
	}
	return p, v.OrNil()
}

// Offset is the number of items before the page of a normalized request.
func (p PageRequest) Offset() int {
	if p.Page-1 > math.MaxInt/p.PageSize {
		return math.MaxInt
	}
	return (p.Page - 1) * p.PageSize
}
