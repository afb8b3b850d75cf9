package indexes

import "github.com/stratakit/strata/internal/fault"

// The package's sentinel errors. Test for them with errors.Is.
var (
	// ErrNotOwner is returned when there is something to build or drop and the login owns the
	// table not: only its owner may. The text around it holds what to run or to grant.
	ErrNotOwner error = fault.New(fault.Unavailable, "not_owner", "only the owner of a table may change its indexes")

	// ErrPooler is returned when there is something to build or drop and a pooler such as
	// PgBouncer stands before PostgreSQL: the lock that lets one process build at a time
	// would outlive its owner. Set Config.Owner to a direct pool.
	ErrPooler error = fault.New(fault.Unavailable, "pooler", "a pooler such as PgBouncer stands before PostgreSQL: indexes are built through a direct connection, set indexes.Config.Owner")

	// ErrUnknownTable is returned for a table that Config.Tables does not list.
	ErrUnknownTable error = fault.New(fault.NotFound, "unknown_table", "the table is not one of those whose indexes are looked after: list it in indexes.Config.Tables")

	// ErrInvalidField is returned for a slot that can be none, and for a type that needs none.
	ErrInvalidField error = fault.New(fault.Invalid, "invalid_field", "want the slot of a field that is neither a boolean nor a multi_select")

	// ErrNotFound is returned by Drop for an index that is not there.
	ErrNotFound error = fault.New(fault.NotFound, "not_found", "there is no such index")

	// ErrTooMany is returned by Create when the table has Config.MaxPerTable of them.
	ErrTooMany error = fault.New(fault.Conflict, "too_many_indexes", "the table has as many indexes over fields as it may have: drop one, or raise indexes.Config.MaxPerTable")
)
