package phone

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/stratakit/strata/recipients"
	"github.com/stratakit/strata/tenancy"
)

// Config configures a product. The zero value, and nil, are legal.
type Config struct {
	// DefaultRegion is the country of numbers that do not begin with +, as two capital letters
	// of ISO 3166, such as "DE". Default none: such numbers are refused.
	DefaultRegion string
}

// Enrollments are those of a model that embeds Contact. Opting in and out changes nothing but
// that, whatever the numbering plans have become since the number was stored.
type Enrollments[T any] struct {
	*recipients.Enrollments[T]
}

// Register adds an extension whose rows are T, which embeds Contact. Numbers and agreements are
// checked before e.Check is called.
func Register[T any](r *recipients.Registry, e recipients.Extension[T], cfg *Config) (*Enrollments[T], error) {
	var c Config
	if cfg != nil {
		c = *cfg
	}
	if _, ok := any(new(T)).(interface{ contact() *Contact }); !ok {
		return nil, fmt.Errorf("phone: the model %T does not embed phone.Contact", *new(T))
	}
	if err := checkRegion(c.DefaultRegion); err != nil {
		return nil, err
	}
	more := e.Check
	e.Check = func(ctx context.Context, row *T) error {
		v := &tenancy.ValidationError{}
		if ctx.Value(keptKey{}) == nil {
			contactOf(row).checkPhone(v, c.DefaultRegion)
		}
		contactOf(row).checkOptIn(v, now())
		if more == nil {
			return v.OrNil()
		}
		err := more(ctx, row)
		var wrong *tenancy.ValidationError
		if err != nil && !errors.As(err, &wrong) {
			return err
		}
		if wrong != nil {
			v.Fields = append(v.Fields, wrong.Fields...)
		}
		return v.OrNil()
	}
	over := e.CheckOver
	e.CheckOver = func(ctx context.Context, stored, row *T) error {
		contactOf(row).keepOptOut(contactOf(stored))
		if over == nil {
			return nil
		}
		return over(ctx, stored, row)
	}
	registered, err := recipients.Register(r, e)
	if err != nil {
		return nil, err
	}
	return &Enrollments[T]{registered}, nil
}

func contactOf[T any](row *T) *Contact { return any(row).(interface{ contact() *Contact }).contact() }

// now is as precise as PostgreSQL.
func now() time.Time { return time.Now().UTC().Truncate(time.Microsecond) }

// keptKey marks calls that leave the number as it is stored.
type keptKey struct{}

// Keep marks a context for an Update that leaves the number as it is: what was right when it was
// stored is not looked at again.
func Keep(ctx context.Context) context.Context { return context.WithValue(ctx, keptKey{}, true) }

// OptIn notes that a recipient agreed to be written to: how, and when; a zero time is now.
// Of several calls what was said last counts, in whichever order they come, and the same one
// twice changes nothing. The row that is stored afterwards is returned. Errors:
// recipients.ErrNotFound, recipients.ErrNotEnrolled, *tenancy.ValidationError.
func (e *Enrollments[T]) OptIn(ctx context.Context, id recipients.ID, source string, at time.Time) (*T, error) {
	return e.Update(Keep(ctx), id, 0, change[T]((*Contact).optIn, source, at))
}

// OptInTx is OptIn in the caller's transaction: after an error, tx goes on as before the call.
func (e *Enrollments[T]) OptInTx(ctx context.Context, tx *tenancy.Tx, id recipients.ID, source string, at time.Time) (*T, error) {
	return e.UpdateTx(Keep(ctx), tx, id, 0, change[T]((*Contact).optIn, source, at))
}

// OptOut notes that a recipient does not want to be written to, as OptIn does the contrary. The
// source may be empty.
func (e *Enrollments[T]) OptOut(ctx context.Context, id recipients.ID, source string, at time.Time) (*T, error) {
	return e.Update(Keep(ctx), id, 0, change[T]((*Contact).optOut, source, at))
}

// OptOutTx is OptOut in the caller's transaction: after an error, tx goes on as before the call.
func (e *Enrollments[T]) OptOutTx(ctx context.Context, tx *tenancy.Tx, id recipients.ID, source string, at time.Time) (*T, error) {
	return e.UpdateTx(Keep(ctx), tx, id, 0, change[T]((*Contact).optOut, source, at))
}

func change[T any](do func(c *Contact, source string, at time.Time), source string, at time.Time) func(row *T) error {
	if at.IsZero() {
		at = now()
	}
	return func(row *T) error {
		do(contactOf(row), source, at.UTC().Truncate(time.Microsecond))
		return nil
	}
}
