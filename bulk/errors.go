package bulk

import (
	"errors"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/stratakit/strata/internal/fault"
)

// The package's sentinel errors.
var (
	// ErrNotFound is returned for a run that is not there or is another domain's.
	ErrNotFound error = fault.New(fault.NotFound, "not_found", "not found")

	// ErrState is returned for what a run's state does not allow, such as pausing one
	// that has completed.
	ErrState error = fault.New(fault.Conflict, "wrong_state", "the job's state does not allow this")

	// ErrBusy is returned for a change to a run that would wait for longer than 3 s, such as
	// for a long batch.
	ErrBusy error = fault.New(fault.Unavailable, "job_busy", "the job is in the middle of a batch: try again")

	// ErrAlreadyRunning is what every *AlreadyRunningError is.
	ErrAlreadyRunning error = fault.New(fault.Conflict, "already_running", "the same job is already running")

	// ErrSelectTimeout is returned when finding the rows of a Request takes too long.
	ErrSelectTimeout error = fault.New(fault.Unavailable, "select_timeout", "finding the rows took too long: make the filter narrower")

	// errLeaseLost stops work on a run that somebody else has taken over, or that ended.
	errLeaseLost = errors.New("bulk: the lease is lost")

	// errAsked ends an Open because its run is to be paused or cancelled.
	errAsked = errors.New("bulk: the run is to be paused or cancelled")

	// errHung is the failure of an attempt whose Open told nothing for too long.
	errHung = errors.New("bulk: Open has told nothing for too long (Config.Hang)")

	// errDied is the failure of a run whose process never came back to it.
	errDied = errors.New("bulk: the process that worked on it died")

	// errUnknownKind is what an orphan fails with.
	errUnknownKind error = fault.New(fault.Conflict, "unknown_kind", "no process does runs of this kind")

	// errDomainGone ends the runs of a domain that was deleted.
	errDomainGone error = fault.New(fault.NotFound, "domain_gone", "the domain does not exist any more")
)

// taken reports whether PostgreSQL refused an active run because another one has its
// dedup key.
func taken(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && pg.Code == "23505" && pg.ConstraintName == "runs_dedup"
}

// lockTimeout reports whether a lock was waited for too long.
func lockTimeout(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && pg.Code == "55P03"
}

// AlreadyRunningError is returned for a run whose dedup key an active run has.
type AlreadyRunningError struct {
	// RunID is the active one.
	RunID RunID
}

// Error names the active run.
func (e *AlreadyRunningError) Error() string {
	return ErrAlreadyRunning.Error() + ": " + e.RunID.String()
}

// Is makes errors.Is(err, ErrAlreadyRunning) true.
func (e *AlreadyRunningError) Is(target error) bool { return target == ErrAlreadyRunning }

// Kind is fault.Conflict.
func (e *AlreadyRunningError) Kind() fault.Kind { return fault.Conflict }

// Code is "already_running".
func (e *AlreadyRunningError) Code() string { return "already_running" }

// Details are the members an HTTP answer has beside code and message.
func (e *AlreadyRunningError) Details() map[string]any {
	return map[string]any{"jobId": e.RunID.String()}
}

type permanentError struct{ error }

// Unwrap returns what went wrong.
func (e *permanentError) Unwrap() error { return e.error }

// Permanent wraps an error that trying again cannot help: the run fails at once.
func Permanent(err error) error {
	if err == nil {
		return nil
	}
	return &permanentError{err}
}

func isElsewhere(err error) bool {
	var elsewhere *elsewhereError
	return errors.As(err, &elsewhere)
}

type elsewhereError struct{ error }

// Unwrap returns what is missing here.
func (e *elsewhereError) Unwrap() error { return e.error }

// Elsewhere wraps an error of Open or Batch for a run that this process cannot do and another one may: it
// counts as no failure before the run has waited for that one for Config.OrphanAfter.
func Elsewhere(err error) error {
	if err == nil {
		return nil
	}
	return &elsewhereError{err}
}

// lastError is what a run says went wrong last.
type lastError struct{ text, code string }

// Error returns the text.
func (e *lastError) Error() string { return e.text }

// kept is what a run keeps of an error; of its own last one, what it has kept already.
func kept(err error) (text, code string) {
	var last *lastError
	if errors.As(err, &last) {
		return last.text, last.code
	}
	return fault.Kept(err)
}
