// Package bulkhttp serves the jobs of a domain, as runs are called outside, and their
// progress as it happens.
package bulkhttp

import (
	"net/http"
	"time"

	"github.com/stratakit/strata/bulk"
	"github.com/stratakit/strata/internal/web"
	"github.com/stratakit/strata/tenancy"
	"github.com/stratakit/strata/tenancy/access"
)

// API is the routes of jobs.
type API struct {
	runner *bulk.Runner
	pace   pace
	frames frames
}

var _ web.API = (*API)(nil)

// New returns the routes over runner.
func New(runner *bulk.Runner) *API { return &API{runner: runner, pace: defaultPace()} }

// Job is a run as clients see it.
type Job struct {
	JobID      bulk.RunID `json:"jobId"`
	Kind       string     `json:"kind"`
	Status     bulk.State `enum:"queued,processing,paused,completed,failed,cancelled" json:"status"`
	Processed  int64      `json:"processed"`
	Total      int64      `json:"total"`
	Percentage float64    `json:"percentage"`
	// Counters are what the job counts: of an operation on many rows changed, unchanged,
	// missing and failed.
	Counters map[string]int64 `json:"counters"`
	// Attempts counts those since the job last got anywhere, with the one that goes on.
	Attempts   int        `json:"attempts"`
	Error      string     `json:"error"`
	CreatedAt  time.Time  `json:"createdAt"`
	StartedAt  *time.Time `json:"startedAt"`
	FinishedAt *time.Time `json:"finishedAt"`
}

// JobOf returns run as clients see it.
func JobOf(run bulk.Run) Job {
	attempts := run.Failures
	if run.State == bulk.StateProcessing || run.State == bulk.StateCompleted {
		attempts++
	}
	p := run.Progress()
	return Job{
		JobID: run.ID, Kind: run.Kind, Status: run.State, Processed: p.Processed, Total: p.Total, Percentage: p.Percentage, Counters: run.Counters,
		Attempts: attempts, Error: run.PublicError(), CreatedAt: run.CreatedAt, StartedAt: run.StartedAt, FinishedAt: run.FinishedAt,
	}
}

// query documents what list reads.
type query struct {
	web.PageQuery

	Kind   string `query:"kind"`
	Status string `enum:"queued,processing,paused,completed,failed,cancelled" query:"status"`
}

const (
	jobs = "/domains/{domainID}/jobs"
	job  = jobs + "/{jobID}"
)

// Routes returns the routes.
func (a *API) Routes() []web.Route {
	read := func(path, name, summary string, handle func(http.ResponseWriter, *http.Request) error) web.Route {
		return web.Route{Method: http.MethodGet, Path: path, Name: name, Summary: summary, Permission: string(access.JobsRead), Handle: handle}
	}
	manage := func(verb, summary string, do action) web.Route {
		return web.Route{
			Method: http.MethodPost, Path: job + "/" + verb, Name: verb + "Job", Summary: summary,
			Permission: string(access.JobsManage), Response: web.Data[Job]{}, Handle: a.one(do),
		}
	}
	list := read(jobs, "listJobs", "List the jobs of a domain, newest first", a.list)
	list.Query, list.Response = query{}, web.List[Job]{}
	get := read(job, "getJob", "Get a job", a.one(a.runner.Get))
	get.Response = web.Data[Job]{}
	failures := read(job+"/failures", "listJobFailures", "List the rows that a job could not do, with the reasons", a.failures)
	failures.Query, failures.Response = web.PageQuery{}, web.List[bulk.Failure]{}
	follow := read(job+"/progress", "followJob", "Follow the progress of a job as server-sent events until it ends", a.follow)
	followAll := read(jobs+"/progress", "followJobs", "Follow the progress of all jobs of a domain as server-sent events", a.followAll)
	for _, rt := range []*web.Route{&follow, &followAll} {
		rt.Response, rt.ContentType, rt.Long = "", "text/event-stream", true
	}
	return append(a.logRoutes(),
		list, get, failures, follow, followAll,
		manage("cancel", "Cancel a job; what it has done stays", a.runner.Cancel),
		manage("pause", "Hold a job", a.runner.Pause),
		manage("resume", "Let a paused job go on", a.runner.Resume),
		manage("retry", "Let a failed job go on where it failed", a.runner.Retry),
	)
}

func (a *API) list(w http.ResponseWriter, r *http.Request) error {
	v := web.Query(r)
	var p tenancy.PageRequest
	p.Page, p.PageSize, p.Cursor = v.Page()
	q := bulk.ListQuery{PageRequest: p, Kind: v.String("kind"), State: bulk.State(v.OneOf("status",
		string(bulk.StateQueued), string(bulk.StateProcessing), string(bulk.StatePaused),
		string(bulk.StateCompleted), string(bulk.StateFailed), string(bulk.StateCancelled)))}
	if err := v.Err(); err != nil {
		return err
	}
	page, err := a.runner.List(r.Context(), q)
	if err != nil {
		return err
	}
	items := make([]Job, len(page.Items))
	for i, run := range page.Items {
		items[i] = JobOf(run)
	}
	return web.WriteList(w, items, web.Meta{
		Total: web.Total(page.Total), TotalIsEstimate: page.TotalIsEstimate,
		Page: page.Page, PageSize: page.PageSize, HasMore: page.HasMore, NextCursor: page.NextCursor,
	})
}

func (a *API) failures(w http.ResponseWriter, r *http.Request) error {
	runID, err := jobID(r)
	if err != nil {
		return err
	}
	v := web.Query(r)
	var p tenancy.PageRequest
	p.Page, p.PageSize, p.Cursor = v.Page()
	if err := v.Err(); err != nil {
		return err
	}
	page, err := a.runner.Failures(r.Context(), runID, p)
	if err != nil {
		return err
	}
	return web.WriteList(w, page.Items, web.Meta{
		Total: web.Total(page.Total), Page: page.Page, PageSize: page.PageSize, HasMore: page.HasMore, NextCursor: page.NextCursor,
	})
}
