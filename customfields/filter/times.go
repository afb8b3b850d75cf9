package filter

import (
	"errors"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
)

// inYears reports whether a time has a year of four digits: what CEL, and a custom field,
// can hold.
func inYears(t time.Time) bool { y := t.UTC().Year(); return y >= 1 && y <= 9999 }

var errYears = errors.New("the time is not between the years 1 and 9999")

// later is a time and a duration after it.
func later(t types.Timestamp, d time.Duration) ref.Val {
	out := t.Time.Add(d)
	if !inYears(out) {
		return types.WrapErr(errYears)
	}
	return types.Timestamp{Time: out}
}

// between is how long after b a is, which a duration can hold up to 292 years.
func between(a, b types.Timestamp) ref.Val {
	d := a.Time.Sub(b.Time)
	if d == math.MaxInt64 || d == math.MinInt64 { // Sub saturates
		return types.WrapErr(errors.New("the times are more than 292 years apart"))
	}
	return types.Duration{Duration: d}
}

// maxDays is the most days a duration can hold.
const maxDays = 106_000

func days(n float64) time.Duration {
	return time.Duration(math.Round(n*24*3600*1e6)) * time.Microsecond
}

// parts are the functions that take a time apart, with CEL's names and origins, and the
// SQL that does the same to a timestamp without a zone. West of Greenwich the first hours of
// the year 1 are in the year 0, which PostgreSQL calls -1:
// https://github.com/google/cel-spec/blob/master/doc/langdef.md#timezones.
var parts = map[string]struct {
	of  func(time.Time) int
	sql string
}{
	"getFullYear":     {time.Time.Year, "extract(year FROM %s + interval '400 years') - 400"},
	"getMonth":        {func(t time.Time) int { return int(t.Month()) - 1 }, "extract(month FROM %s) - 1"},
	"getDate":         {time.Time.Day, "extract(day FROM %s)"},
	"getDayOfMonth":   {func(t time.Time) int { return t.Day() - 1 }, "extract(day FROM %s) - 1"},
	"getDayOfWeek":    {func(t time.Time) int { return int(t.Weekday()) }, "extract(dow FROM %s)"},
	"getDayOfYear":    {func(t time.Time) int { return t.YearDay() - 1 }, "extract(doy FROM %s) - 1"},
	"getHours":        {time.Time.Hour, "extract(hour FROM %s)"},
	"getMinutes":      {time.Time.Minute, "extract(minute FROM %s)"},
	"getSeconds":      {time.Time.Second, "floor(extract(second FROM %s))"},
	"getMilliseconds": {func(t time.Time) int { return t.Nanosecond() / 1e6 }, "mod(floor(extract(milliseconds FROM %s)), 1000)"},
}

// isAnniversary reports whether a date has the day and month of today. Who was born on
// 29 February has theirs on the 28th where there is no 29th.
func isAnniversary(date, today time.Time) bool {
	for _, day := range anniversaries(today) {
		if date.Format("01-02") == day {
			return true
		}
	}
	return false
}

// anniversaries are the days and months, as "01-02", whose anniversary is on a day.
func anniversaries(today time.Time) []string {
	out := []string{today.Format("01-02")}
	if out[0] == "02-28" && today.AddDate(0, 0, 1).Day() == 1 {
		out = append(out, "02-29")
	}
	return out
}

var (
	offsetForm = regexp.MustCompile(`^([+-]?)([01]\d|2[0-3]):([0-5]\d)$`)
	// The areas of https://data.iana.org/time-zones/tzdb/: what else there is, such as
	// US/Eastern or EST, some servers no longer have.
	zoneForm = regexp.MustCompile(`^(Africa|America|Antarctica|Asia|Atlantic|Australia|Europe|Indian|Pacific)/[A-Za-z0-9_+/-]+$`)
)

// zoneOf reads a time zone: "UTC", an offset such as "+02:00", or a name of the IANA
// database such as "Europe/Oslo".
func zoneOf(s string) (*time.Location, error) {
	if s == "UTC" {
		return time.UTC, nil
	}
	if m := offsetForm.FindStringSubmatch(s); m != nil {
		hours, _ := strconv.Atoi(m[2])
		minutes, _ := strconv.Atoi(m[3])
		seconds := hours*3600 + minutes*60
		if m[1] == "-" {
			seconds = -seconds
		}
		return time.FixedZone(s, seconds), nil
	}
	if zoneForm.MatchString(s) && !strings.Contains(s, "..") {
		if at, err := time.LoadLocation(s); err == nil {
			return at, nil
		}
	}
	return nil, fmt.Errorf("there is no time zone %q: give UTC, an offset such as +02:00, or a name such as Europe/Oslo", clipText(s, 80))
}

// startOfDay is the day of t in a zone, as a date without a time of day is stored: at
// midnight UTC.
func startOfDay(t time.Time, at *time.Location) time.Time {
	y, m, d := t.In(at).Date()
	return time.Date(y, m, d, 0, 0, 0, 0, time.UTC)
}
