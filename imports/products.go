package imports

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/stratakit/strata/bulk"
	"github.com/stratakit/strata/customfields"
	"github.com/stratakit/strata/internal/suggest"
	"github.com/stratakit/strata/recipients"
)

// products are what a file can have columns of beside the recipient's own: the extensions of the
// products of this process. A target is called as the extension, and its column in JSON.
type products struct {
	columns   map[string]productColumn // by target
	targets   []string                 // that a cell can be, in the order of their names
	names     []string                 // of the extensions
	elsewhere []string                 // extensions that options name and other processes have
}

// productColumn is a column of an extension.
type productColumn struct {
	recipients.ExtensionColumn

	of *recipients.AnyEnrollments
}

// products returns those of this process, and finds out of which others the options speak.
func (im *Importer) products(ctx context.Context, o ProcessOptions) (p products, err error) {
	p.columns = map[string]productColumn{}
	for _, x := range im.store.Registered() {
		p.names = append(p.names, x.Name())
		for _, c := range x.Columns() {
			target := x.Name() + "." + c.Name
			p.columns[target] = productColumn{c, x}
			if c.Type != "" && !c.ReadOnly {
				p.targets = append(p.targets, target)
			}
		}
	}
	for _, target := range o.targets() {
		name, _, ok := cutTarget(target)
		if !ok || slices.Contains(p.names, name) || slices.Contains(p.elsewhere, name) {
			continue
		}
		if _, err := im.store.Extension(ctx, name); err == nil {
			p.elsewhere = append(p.elsewhere, name)
		} else if !errors.Is(err, recipients.ErrUnknownExtension) {
			return p, err
		}
	}
	return p, nil
}

// targets are all that the options name.
func (o ProcessOptions) targets() (all []string) {
	for _, t := range o.Mapping {
		if t != nil {
			all = append(all, *t)
		}
	}
	for t := range o.Constants {
		all = append(all, t)
	}
	for t := range o.Join {
		all = append(all, t)
	}
	for _, list := range o.Split {
		all = append(all, list...)
	}
	return all
}

// cutTarget returns the extension and the column of a target that may be one of an extension.
func cutTarget(target string) (extension, column string, ok bool) {
	extension, column, ok = strings.Cut(target, ".")
	return extension, column, ok && !strings.HasPrefix(target, fieldPrefix)
}

// refuse says why a target cannot be had, with what there is.
func (p products) refuse(target string, known []string) (code, message, suggestion string) {
	name, _, _ := cutTarget(target)
	c, there := p.columns[target]
	suggestion = suggest.Closest(target, known)
	switch {
	case there && c.ReadOnly:
		return "read_only", "is set by " + name + " alone", ""
	case there:
		return "not_allowed", "a cell cannot say it: only columns with texts, numbers, true or false, and times can be imported", ""
	case slices.Contains(p.elsewhere, name):
		return "other_product", fmt.Sprintf("%s is kept by another product, whose own program imports its columns", name), ""
	case slices.Contains(p.names, name):
		own := slices.DeleteFunc(slices.Clone(p.targets), func(t string) bool { return !strings.HasPrefix(t, name+".") })
		return "unknown_target", name + " has no such column: must be one of " + suggest.Quoted(own), suggestion
	case len(p.targets) > 0:
		return "unknown_target", "must be " + targetForms + ", one of " + suggest.Quoted(p.targets) + " or null", suggestion
	}
	return "unknown_target", "must be " + targetForms + " or null", suggestion
}

// extensions are the names of those that the plan has columns of, in the order of their names.
func (p plan) extensions() (names []string) {
	for _, t := range p.Targets {
		if name, _, ok := cutTarget(t); ok && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// enrollers returns the extensions that a plan has columns of, for a run. Where another process has
// one, that may take the run.
func (im *Importer) enrollers(ctx context.Context, p plan) (all []*recipients.AnyEnrollments, err error) {
	for _, name := range p.extensions() {
		x, err := im.store.Extension(ctx, name)
		if err == nil {
			err = bulk.Elsewhere(x.Here())
		}
		if err != nil {
			return nil, err
		}
		all = append(all, x)
	}
	return all, nil
}

// Fields that read what a column of an extension can be.
var productFields = map[customfields.Type]*customfields.Field{
	customfields.Number: anyField(customfields.Number), customfields.Boolean: anyField(customfields.Boolean), customfields.Date: isoField,
}

// phoneWords are what the name of a column of phone numbers has in it, as key makes it.
var phoneWords = []string{"phone", "mobil", "cell", "tel", "handy", "gsm", "msisdn", "sms", "whatsapp"}

// phone returns the target of an extension that a column of phone numbers may be for: of the one
// that it names, else of that for text messages, else of the first.
func (g *guess) phone(i int, name string) (target string) {
	name = key(name)
	speaks := func(word string) bool { return strings.Contains(name, word) }
	if !slices.ContainsFunc(phoneWords, speaks) || g.share(i, isPhone) < mostly {
		return ""
	}
	best := 0
	for _, t := range g.products.targets {
		extension, column, _ := cutTarget(t)
		worth := 1
		switch {
		case column != "phone":
			continue
		case speaks(extension):
			worth = 3
		case extension == "sms":
			worth = 2
		}
		if worth > best {
			target, best = t, worth
		}
	}
	return target
}

// isPhone reports whether a cell looks like a phone number, of whichever country.
func isPhone(cell string) bool {
	digits := 0
	for _, r := range cell {
		switch {
		case r >= '0' && r <= '9':
			digits++
		case !strings.ContainsRune("+-./() \u00a0", r):
			return false
		}
	}
	return digits >= 6 && digits <= 17
}
