package bulk

import "math"

// Progress is how far a run is.
type Progress struct {
	JobID         RunID   `json:"jobId"`
	Kind          string  `json:"kind"`
	Status        State   `json:"status"`
	Processed     int64   `json:"processed"`
	Total         int64   `json:"total"`
	Percentage    float64 `json:"percentage"`
	RatePerSecond float64 `json:"ratePerSecond"`
	// EtaSeconds is how long what is left takes at that rate, without the time in which the
	// run is not worked on. Null while it is not known.
	EtaSeconds *float64 `json:"etaSeconds"`

	// Version is that of the run: of two, the larger is the newer.
	Version int64 `json:"-"`

	started int64 // when, in microseconds since 1970; another when the run's id was submitted again
}

// Progress returns how far r is, with what Open has told of itself (Run.Report).
func (r Run) Progress() Progress {
	p := Progress{
		JobID: r.ID, Kind: r.Kind, Status: r.State, Processed: r.Processed + r.Opened, Total: r.Total, RatePerSecond: r.Rate, Version: r.Version,
	}
	if r.StartedAt != nil {
		p.started = r.StartedAt.UnixMicro()
	}
	switch {
	case r.State == StateCompleted:
		p.Percentage = 100
	case r.Total > 0:
		p.Percentage = min(100, 100*float64(p.Processed)/float64(r.Total))
	}
	if r.State == StateProcessing && r.Rate > 0 && r.Total > 0 {
		eta := max(0, float64(r.Total-p.Processed)/r.Rate)
		p.EtaSeconds = &eta
	}
	return p
}

// rateSpan is over how many seconds of work the rate of a run is averaged.
const rateSpan = 30

// averaged returns the rate of a run, in which a batch did so much in so many seconds after
// processed had been done at rate. What is older weighs less: 1/e of what it weighed 30
// seconds of work before. Of a run that is younger it is the plain average. How long it was
// worked on is not kept but follows from processed and rate, so that the row needs nothing
// else to go on in another slice or process.
//
// It is the exponentially weighted average for samples at irregular times, divided by the
// sum of its weights, as Adam's is (Kingma and Ba, 2015, section 3) for regular ones.
func averaged(rate float64, processed, did int64, seconds float64) float64 {
	if seconds <= 0 {
		return rate
	}
	fade := math.Exp(-seconds / rateSpan)
	before := 0.0
	if rate > 0 {
		before = fade * (1 - math.Exp(-float64(processed)/rate/rateSpan))
	}
	return (before*rate + (1-fade)*float64(did)/seconds) / (before + 1 - fade)
}
