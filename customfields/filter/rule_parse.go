package filter

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"

	"github.com/stratakit/strata/internal/suggest"
)

// ruleMembers are the members of a rule in JSON.
var ruleMembers = []string{"all", "any", "not", "field", "event", "within", "op", "value", "set", "cel"}

// ParseRule reads a rule from JSON and refuses what encoding/json would let pass: a member
// that there is not, and null. Everything that is wrong with it is in a *[RuleError], each
// problem with its path. Whether the rule can be written as a filter is for [FromRule].
func ParseRule(data []byte) (*Rule, error) {
	p := &ruleParser{}
	r := p.rule(data, "", 0)
	if err := p.orNil(); err != nil {
		return nil, err
	}
	return &r, nil
}

// ruleParser reads rules and collects what is wrong with them.
type ruleParser struct {
	RuleError
	rules int // so far
}

func (p *ruleParser) rule(data []byte, path string, depth int) Rule {
	p.rules++
	var r Rule
	var members map[string]json.RawMessage
	switch {
	case depth > maxDepth:
		p.add(path, "the rule is too large: at most %d levels", maxDepth)
		return r
	case p.rules > maxNodes:
		p.add(path, "the rule is too large: at most %d rules", maxNodes)
		return r
	case json.Unmarshal(data, &members) != nil || members == nil:
		p.add(path, "must be an object")
		return r
	}
	for _, name := range slices.Sorted(maps.Keys(members)) {
		raw, at := members[name], below(path, name)
		if bytes.Equal(raw, []byte("null")) {
			p.add(at, "must not be null: leave it out")
			continue
		}
		switch name {
		case "all":
			r.All = p.list(raw, at, depth)
		case "any":
			r.Any = p.list(raw, at, depth)
		case "not":
			inner := p.rule(raw, at, depth+1)
			r.Not = &inner
		case "field":
			p.text(raw, at, &r.Field)
		case "event":
			p.text(raw, at, &r.Event)
		case "within":
			p.text(raw, at, &r.Within)
		case "op":
			p.text(raw, at, &r.Op)
		case "cel":
			p.text(raw, at, &r.CEL)
		case "value":
			if json.Unmarshal(raw, &r.Value) != nil {
				p.add(at, "must be a text, a number, true or false, a list or an object")
			}
		case "set":
			if json.Unmarshal(raw, &r.Set) != nil {
				p.add(at, "must be true or false")
			}
		default:
			p.problem(RuleProblem{at, "is no member of a rule", suggest.Closest(name, ruleMembers)})
		}
	}
	return r
}

func (p *ruleParser) list(data []byte, path string, depth int) []Rule {
	var list []json.RawMessage
	if json.Unmarshal(data, &list) != nil || list == nil {
		p.add(path, "must be a list of rules")
		return nil
	}
	out := make([]Rule, len(list))
	for i, raw := range list {
		if len(p.Problems) == maxRuleProblems || p.rules > maxNodes {
			break
		}
		out[i] = p.rule(raw, item(path, i), depth+1)
	}
	return out
}

func (p *ruleParser) text(data []byte, path string, into *string) {
	if json.Unmarshal(data, into) != nil || *into == "" {
		p.add(path, "must be a text that is not empty")
	}
}
