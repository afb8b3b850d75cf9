package filter

import "slices"

// Uses returns in which ways the filter uses which custom fields, each once.
func (f *Filter) Uses() []Use {
	var uses []Use
	add := func(x operand, form UseForm) {
		if x.field == nil {
			return
		}
		if u := (Use{x.field.Key, x.field.Type, form}); !slices.Contains(uses, u) {
			uses = append(uses, u)
		}
	}
	var walk func(n node)
	walk = func(n node) {
		switch n := n.(type) {
		case and:
			for _, t := range n.terms {
				walk(t)
			}
		case or:
			for _, t := range n.terms {
				walk(t)
			}
		case not:
			walk(n.term)
		case isSet:
			add(n.ref, UseOther)
		case flag:
			add(n.ref, UseEqual)
		case equal:
			add(n.ref, UseEqual)
		case same:
			add(n.a, UseOther)
			add(n.b, UseOther)
		case among:
			add(n.ref, UseEqual)
		case member:
			add(n.ref, UseEqual)
		case compare:
			add(n.ref, UseRange)
		case order:
			add(n.a, UseOther)
			add(n.b, UseOther)
		case match:
			if n.how == startsWith {
				add(n.ref, UsePrefix)
			} else {
				add(n.ref, UseOther)
			}
		}
	}
	walk(f.root)
	return uses
}
