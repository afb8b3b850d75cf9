package indexes

import (
	"context"
	"fmt"
	"time"

	"github.com/stratakit/strata/customfields"
)

// Verb is what an Action does.
type Verb string

// The verbs.
const (
	DoCreate Verb = "create"
	DoDrop   Verb = "drop"
)

// Action is something that Step would do.
type Action struct {
	Do    Verb   `json:"do"`
	Index Index  `json:"index"`
	Why   string `json:"why"`
	// SQL is the statement that takes long, for those who want to see it.
	SQL string `json:"sql"`

	table Table
}

// Plan returns what Step would do now, and why. It changes nothing and needs no special
// login. Like List it is for those who run the installation.
func (a *Advisor) Plan(ctx context.Context) ([]Action, error) {
	f, err := a.facts(ctx)
	if err != nil {
		return nil, err
	}
	return a.decide(f), nil
}

// day is how long an index is kept whose field is gone: its purge may be under way still.
const day = 24 * time.Hour

// decide makes the plan: what has been left half done first, then what frees a place, then
// the field on which most time is spent.
func (a *Advisor) decide(f facts) []Action {
	var plan []Action
	have, count := map[key]Index{}, map[Table]int{}
	for _, x := range f.indexes {
		have[x.key()] = x
		t, err := a.table(x.Schema, x.Table)
		if _, there := f.rows[t]; err != nil || !there {
			continue // of another product, which looks after it, or gone with its table
		}
		idle := a.cfg.Idle
		if f.dead[x.Slot] {
			idle = min(idle, day)
		}
		unused := x.Automatic && !a.cfg.Manual && f.now.Sub(x.UsedAt) > idle
		switch {
		case x.State == Building:
			plan = append(plan, create(t, x, "its build was broken off"))
			count[t]++
		case x.State == Dropping:
			plan = append(plan, drop(t, x, "its removal was broken off"))
		case unused:
			plan = append(plan, drop(t, x, "unused since "+x.UsedAt.UTC().Format(time.DateOnly)))
		case x.State == Failed:
			if x.RetryAt != nil && !x.RetryAt.After(f.now) && !f.dead[x.Slot] {
				plan = append(plan, create(t, x, "its build failed before"))
			}
			count[t]++
		case !x.valid:
			plan = append(plan, create(t, x, "it was dropped, or made invalid, by somebody else"))
			count[t]++
		default:
			count[t]++
		}
	}
	if a.cfg.Manual {
		return plan
	}
	for _, u := range f.uses {
		t, err := a.table(u.schema, u.table)
		if err != nil {
			continue
		}
		_, there := have[u.key]
		if there || !customfields.ValidSlot(u.slot) || f.dead[u.slot] || f.rows[t] < a.cfg.MinRows ||
			u.uses < a.cfg.MinUses || u.slow*20 < u.uses || count[t] >= a.cfg.MaxPerTable {
			continue
		}
		x := newIndex(t, u.slot, u.form)
		x.Automatic = true
		plan = append(plan, create(t, x, fmt.Sprintf("%d uses in ranges, prefixes and orders in a day, %d of them took %s or longer, on %d rows", u.uses, u.slow, a.cfg.Slow, f.rows[t])))
		count[t]++
	}
	return plan
}

func create(t Table, x Index, why string) Action {
	return Action{DoCreate, x, why, x.createSQL(t), t}
}

func drop(t Table, x Index, why string) Action { return Action{DoDrop, x, why, x.dropSQL(), t} }
