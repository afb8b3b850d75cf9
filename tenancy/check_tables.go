package tenancy

import (
	"fmt"
	"slices"
	"strings"

	"github.com/stratakit/strata/internal/catalog"
)

func tableProblem(t *catalog.Table, s Severity, message, want string) Problem {
	return Problem{Severity: s, Subject: t.String(), Schema: t.Schema, Message: message, Want: want}
}

// tableProblems says what is wrong with one table.
func tableProblems(t *catalog.Table, c *catalog.Catalog, schema string) []Problem {
	var all []Problem
	add := func(s Severity, message, want string) { all = append(all, tableProblem(t, s, message, want)) }
	if t.Foreign {
		add(Refuse, "it is a foreign table, to which no policy can be applied: every row of every tenant", "REVOKE ALL ON "+t.SQL()+" FROM "+RoleApp)
		return all
	}
	if !t.Enabled {
		add(Refuse, "row-level security is not enabled", "ALTER TABLE "+t.SQL()+" ENABLE ROW LEVEL SECURITY")
	}
	if !t.Forced {
		add(Refuse, "row-level security is not forced, so it does not bind the table's owner", "ALTER TABLE "+t.SQL()+" FORCE ROW LEVEL SECURITY")
	}
	if t.AppMayBecomeOwner {
		add(Refuse, fmt.Sprintf("%s is a member of its owner %s and can take its walls down", RoleApp, t.Owner), "ALTER TABLE "+t.SQL()+" OWNER TO another role")
	}
	for _, grant := range t.Excess {
		privilege, role, _ := strings.Cut(grant, " to ")
		add(Refuse, privilege+" is granted to "+role+": no policy restrains it", fmt.Sprintf("REVOKE %s ON %s FROM %s", privilege, t.SQL(), role))
	}
	all = append(all, policyProblems(t)...)
	for _, x := range t.Indexes {
		all = append(all, indexProblems(t, x, schema)...)
	}
	for _, f := range t.ForeignKeys {
		if p := c.Table(f.Parent); p != nil && !confined(f, p, schema) {
			all = append(all, foreignKeyProblem(t, f, p))
		}
	}
	return all
}

func policyProblems(t *catalog.Table) []Problem {
	var all []Problem
	add := func(s Severity, p catalog.Policy, format string, args ...any) {
		all = append(all, tableProblem(t, s, fmt.Sprintf("policy %s ", p.Name)+fmt.Sprintf(format, args...), t.WantPolicy()))
	}
	permissive := 0
	for _, p := range t.Policies {
		if !p.Permissive {
			continue // it only takes away
		}
		permissive++
		if p.Public {
			add(Warn, p, "is for every role, %s included", RoleQuery)
		}
		if slices.ContainsFunc(t.Policies, func(r catalog.Policy) bool { return restrains(t, r, p) }) {
			continue
		}
		for _, e := range p.Expressions() {
			column, level, ok := catalog.Compared(e)
			poor := false
			if !ok {
				column, level, poor = catalog.ComparedPoorly(e)
			}
			switch {
			case p.Command == "r" && t.OfNobody(e):
				// it is shown to everybody, and that is all
			case !ok && !poor:
				add(Refuse, p, "lets through %s: %s", e, flaw(e))
			case !t.Tells(column, level):
				add(Refuse, p, "compares %s with a setting of another level: %s", column, e)
			case level < t.Level:
				add(Refuse, p, "goes by %s, but its rows are of a %s: others of the same %s see them", column, Level(t.Level), Level(level))
			case poor:
				add(Warn, p, "keeps tenants apart by %s: %s", e, flaw(e))
			}
		}
	}
	if permissive == 0 { // which shows nobody anything
		all = append(all, tableProblem(t, Warn, "it has no policy for "+RoleApp, t.WantPolicy()))
	}
	return slices.CompactFunc(all, func(a, b Problem) bool { return a == b })
}

// restrains reports whether r, which has to let a row through as well, keeps what p lets
// through to one tenant.
func restrains(t *catalog.Table, r, p catalog.Policy) bool {
	if r.Permissive || r.Command != "*" && r.Command != p.Command || len(r.Expressions()) == 0 {
		return false
	}
	return !slices.ContainsFunc(r.Expressions(), func(e string) bool {
		column, level, ok := catalog.Compared(e)
		return !ok || !t.Tells(column, level) || level < t.Level
	})
}

// flaw says what is wrong with an expression that is not the comparison there must be.
func flaw(expression string) string {
	switch {
	case strings.TrimSpace(expression) == "true":
		return "every row of every tenant"
	case strings.Contains(expression, " OR "):
		return "OR opens it, and costs the index"
	case strings.Contains(expression, "_id)::") && strings.Contains(expression, "current_setting"):
		return "a cast of the column costs the index"
	case strings.Contains(expression, "current_setting") && !strings.Contains(expression, "NULLIF"):
		return "without a scope the setting is empty, which is no uuid: an error instead of no rows"
	}
	return "it does not compare a tenant column with the setting of the scope"
}

// indexProblems holds a unique index to this: whether a value is taken must not tell one
// tenant what another has.
func indexProblems(t *catalog.Table, x catalog.Index, schema string) []Problem {
	if t.Root(schema) == int(LevelCompany) || x.UUID || strings.HasPrefix(x.Comment, "global:") {
		return nil // the companies themselves are told apart by what is unique among them; ids are random
	}
	if slices.ContainsFunc(x.Columns, func(c string) bool { return catalog.LevelOf(c) >= t.Level }) {
		return nil
	}
	return []Problem{tableProblem(t, Warn, fmt.Sprintf("unique index %s (%s) is without %s: a tenant that inserts learns what another has, and takes values from it",
		x.Name, strings.Join(x.Columns, ", "), t.Column),
		fmt.Sprintf("UNIQUE (%s), or COMMENT ON INDEX %s.%s IS 'global: why it has to be'", strings.Join(append([]string{t.Column}, x.Columns...), ", "), t.Schema, x.Name))}
}

// confined reports whether a foreign key holds child and parent to one tenant: it contains
// a tenant column of both, at least at the level of the parent. PostgreSQL checks foreign
// keys and cascades without any policy.
func confined(f catalog.ForeignKey, parent *catalog.Table, schema string) bool {
	for i, c := range f.Columns {
		level := catalog.LevelOf(c)
		if level == 0 || level < parent.Level {
			continue
		}
		if f.ParentColumns[i] == c || f.ParentColumns[i] == "id" && parent.Root(schema) == level {
			return true
		}
	}
	return false
}

func foreignKeyProblem(t *catalog.Table, f catalog.ForeignKey, parent *catalog.Table) Problem {
	message := fmt.Sprintf("foreign key %s (%s) to %s is without %s: a tenant can point at another's rows, and learn which there are",
		f.Name, strings.Join(f.Columns, ", "), parent, parent.Column)
	switch f.OnDelete {
	case "c":
		message += "; ON DELETE CASCADE deletes rows of other tenants"
	case "n", "d":
		message += "; ON DELETE SET changes rows of other tenants"
	}
	return tableProblem(t, Refuse, message, fmt.Sprintf("FOREIGN KEY (%s) REFERENCES %s (%s)",
		strings.Join(append([]string{parent.Column}, f.Columns...), ", "), parent.SQL(), strings.Join(append([]string{parent.Column}, f.ParentColumns...), ", ")))
}

func viewProblems(c *catalog.Catalog) []Problem {
	var all []Problem
	for _, v := range c.Views {
		name := v.Schema + "." + v.Name
		p := Problem{Severity: Refuse, Subject: name, Schema: v.Schema}
		switch {
		case v.Materialized:
			p.Message = fmt.Sprintf("it keeps rows of every tenant of %s, materialised, where no policy is applied", v.Table)
			p.Want = "a view WITH (security_invoker = true), or REVOKE ALL ON " + name + " FROM " + RoleApp
		case v.Definer != "":
			p.Message = fmt.Sprintf("the view %s reads %s with the rights of its owner, not of %s", v.Definer, v.Table, RoleApp)
			p.Want = "ALTER VIEW " + v.Definer + " SET (security_invoker = true)"
			if c.Table(v.TableOID) == nil {
				p.Want += ", and the policy and grants on " + v.Table
			}
		default:
			continue
		}
		all = append(all, p)
	}
	return all
}

func openProblems(c *catalog.Catalog) []Problem {
	var all []Problem
	for _, o := range c.Open {
		name := o.Schema + "." + o.Name
		message := fmt.Sprintf("%s inherits from it and has rows of tenants: through it %s sees them all", o.Table, RoleApp)
		want := "REVOKE ALL ON " + name + " FROM " + RoleApp
		if o.ForeignKey != "" {
			message = fmt.Sprintf("its rows are of tenants, by foreign key %s to %s, but it has none of the columns company_id, workspace_id and domain_id: %s sees them all", o.ForeignKey, o.Table, RoleApp)
			want = "a tenant column in the table and its key"
		}
		all = append(all, Problem{
			Severity: Warn, Subject: name, Schema: o.Schema, Message: message,
			Want: want + ", row-level security and a policy, or COMMENT ON TABLE " + name + " IS 'global: why everybody may see it'",
		})
	}
	return all
}
