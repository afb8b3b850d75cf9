package bulkhttp

import (
	"encoding/json"
	"net/http"
	"time"

	"github.com/stratakit/strata/bulk"
	"github.com/stratakit/strata/internal/web"
	"github.com/stratakit/strata/tenancy"
	"github.com/stratakit/strata/tenancy/access"
)

// Log is what is known of the work on a job.
type Log struct {
	JobID bulk.RunID `json:"jobId"`
	Kind  string     `json:"kind"`
	// Args are those of the job, with secrets left out.
	Args json.RawMessage `json:"args"`
	// Attempts are the newest first, 500 at most.
	Attempts []Attempt `json:"attempts"`
}

// Attempt is the work of one process on a job.
type Attempt struct {
	Number  int        `json:"number"`
	Worker  string     `json:"worker"`
	BeganAt time.Time  `json:"beganAt"`
	EndedAt *time.Time `json:"endedAt"`
	// Outcome is absent while it goes on.
	Outcome   bulk.AttemptOutcome `enum:"sliced,completed,failed,paused,cancelled,interrupted,died" json:"outcome,omitempty"`
	Processed int64               `json:"processed"`
	Error     string              `json:"error"`
	// Stack is for administrators of the platform only.
	Stack string `json:"stack,omitempty"`
}

// attempts answers with the job log. The text of an internal error, the stack and the name of
// the process are the platform's business, and not that of whoever manages a workspace.
func (a *API) attempts(w http.ResponseWriter, r *http.Request) error {
	id, err := jobID(r)
	if err != nil {
		return err
	}
	run, err := a.runner.Get(r.Context(), id)
	if err != nil {
		return err
	}
	list, err := a.runner.Attempts(r.Context(), id)
	if err != nil {
		return err
	}
	platform := tenancy.ActorFrom(r.Context()).Platform()
	log := Log{JobID: run.ID, Kind: run.Kind, Args: run.PublicArgs(), Attempts: make([]Attempt, len(list))}
	for i, at := range list {
		log.Attempts[i] = Attempt{Number: at.Number, BeganAt: at.Began, EndedAt: at.Ended, Outcome: at.Outcome, Processed: at.Processed, Error: at.PublicError()}
		if platform {
			log.Attempts[i].Worker, log.Attempts[i].Error, log.Attempts[i].Stack = at.Worker, at.Error, at.Stack
		}
	}
	return web.WriteData(w, http.StatusOK, log)
}

// Retry asks for the failed jobs of a kind to be tried again. Without a kind: all.
type Retry struct {
	Kind string `json:"kind"`
}

// Retried is what was tried again.
type Retried struct {
	Affected  int        `json:"affected"`
	Status    string     `enum:"completed" json:"status"`
	HasMore   bool       `json:"hasMore"`
	Conflicts []Conflict `json:"conflicts"`
}

// Conflict is a failed job that was left alone, because the same is already running.
type Conflict struct {
	JobID        bulk.RunID `json:"jobId"`
	RunningJobID bulk.RunID `json:"runningJobId"`
}

func (a *API) retryAll(w http.ResponseWriter, r *http.Request) error {
	var in Retry
	if err := web.DecodeJSON(r, &in); err != nil {
		return err
	}
	done, err := a.runner.RetryAll(r.Context(), bulk.ListQuery{Kind: in.Kind})
	if err != nil {
		return err
	}
	out := Retried{Affected: len(done.Runs), Status: "completed", HasMore: done.More, Conflicts: []Conflict{}}
	for _, c := range done.Conflicts {
		out.Conflicts = append(out.Conflicts, Conflict{JobID: c.RunID, RunningJobID: c.Active})
	}
	return web.WriteJSON(w, http.StatusOK, out)
}

// Throttle limits how fast a job goes.
type Throttle struct {
	// PerSecond is how much may be processed in a second; 0 is no limit.
	PerSecond *int `json:"perSecond" validate:"required"`
}

func (a *API) throttle(w http.ResponseWriter, r *http.Request) error {
	id, err := jobID(r)
	if err != nil {
		return err
	}
	var in Throttle
	if err := web.DecodeJSON(r, &in); err != nil {
		return err
	}
	run, err := a.runner.Throttle(r.Context(), id, *in.PerSecond)
	if err != nil {
		return err
	}
	return web.WriteData(w, http.StatusOK, JobOf(run))
}

func (a *API) remove(w http.ResponseWriter, r *http.Request) error {
	id, err := jobID(r)
	if err != nil {
		return err
	}
	if err := a.runner.Delete(r.Context(), id); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// logRoutes are the routes of dead letters and of the job log.
func (a *API) logRoutes() []web.Route {
	manage := string(access.JobsManage)
	return []web.Route{
		{
			Method: http.MethodGet, Path: job + "/attempts", Name: "listJobAttempts", Summary: "What was done at a job, by attempts, newest first",
			Permission: manage, Response: web.Data[Log]{}, Handle: a.attempts,
		},
		{
			Method: http.MethodPost, Path: jobs + "/retry", Name: "retryJobs", Summary: "Let the failed jobs of a kind, or all, go on where they failed",
			Permission: manage, Request: Retry{}, Response: Retried{}, Handle: a.retryAll,
		},
		{
			Method: http.MethodPost, Path: job + "/throttle", Name: "throttleJob", Summary: "Limit how much of a job is done in a second",
			Permission: manage, Request: Throttle{}, Response: web.Data[Job]{}, Handle: a.throttle,
		},
		{
			Method: http.MethodDelete, Path: job, Name: "deleteJob", Summary: "Forget a job that has ended, with its log",
			Permission: manage, Status: http.StatusNoContent, Handle: a.remove,
		},
	}
}
