package blueprint

import (
	"errors"

	"github.com/stratakit/strata/internal/fault"
)

// The package's sentinel errors. Test for them with errors.Is.
var (
	// ErrNotFound is returned for a blueprint, version, run or workspace that does not
	// exist or is not the caller's, and to a workspace for a blueprint that is not
	// deployed there. It never tells which.
	ErrNotFound error = fault.New(fault.NotFound, "blueprint_not_found", "blueprint, version, run or workspace not found")

	// ErrNameTaken is returned by Create for a name the company already uses.
	ErrNameTaken error = fault.New(fault.Conflict, "name_taken", "the company already has a blueprint of this name")

	// ErrCompanyLevel is returned when the context of what is the company's to do holds a
	// workspace or a domain.
	ErrCompanyLevel error = fault.New(fault.Forbidden, "company_level", "this is done at the level of the company: put the company's tenant into the context")

	// ErrUnknownKind is returned for a kind that was not given to NewStore in this process.
	ErrUnknownKind error = fault.New(fault.Invalid, "unknown_kind", "this process knows no blueprints of that kind")

	// ErrLocked is returned by Override for a field that the kind does not let a workspace
	// change.
	ErrLocked error = fault.New(fault.Forbidden, "field_locked", "this field cannot be overridden by a workspace")

	// ErrWorkspaceGone is what a deployment fails with when its workspace or company is deleted.
	ErrWorkspaceGone error = fault.New(fault.NotFound, "workspace_gone", "the workspace is deleted")

	// ErrDied is what a deployment fails with when each process that applied it has died.
	ErrDied error = fault.New(fault.Unavailable, "process_died", "each process that applied this died: see its log")

	// ErrTimeout is what an attempt fails with that took longer than Config.ApplyTimeout.
	ErrTimeout error = fault.New(fault.Unavailable, "apply_timeout", "Apply took longer than blueprint.Config.ApplyTimeout")
)

type permanentError struct{ error }

// Unwrap returns what went wrong.
func (e *permanentError) Unwrap() error { return e.error }

// Permanent wraps an error of Spec.Apply that trying again cannot help: the deployment
// fails at once.
func Permanent(err error) error {
	if err == nil {
		return nil
	}
	return &permanentError{err}
}

func permanent(err error) bool {
	var p *permanentError
	return errors.As(err, &p)
}
