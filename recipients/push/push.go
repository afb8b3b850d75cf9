// Package push is the product of those who send to devices: which a recipient has, with the
// token of each, and whether they are muted. Filters know it as push:
//
//	push.devices > 0 && !push.muted && withinLast(push.last_seen_at, days(30))
//
// It is a model for an extension of your own with a second table that hangs on the rows of the
// first: both are made by the package's migrations, registered for moves of a domain
// (recipients.Extension.Tables), and purged by their foreign keys. What concerns both is done
// inside UpdateTx, which holds the row.
package push

import (
	"context"
	"embed"
	"time"

	"github.com/uptrace/bun"

	"github.com/stratakit/strata/recipients"
	"github.com/stratakit/strata/tenancy"
)

// Name is how filters, lists and routes call the extension.
const Name = "push"

// Push is the row of a recipient whose devices may be sent to.
type Push struct {
	bun.BaseModel `bun:"table:strata.recipient_push"`
	recipients.Enrollment

	// Muted is that they do not want to be disturbed. An import takes it back of nobody: a file does
	// not say since when it knows.
	Muted bool `bun:"muted" strata:"filterable"`

	// Devices is how many there are, and LastSeenAt when one of them was last seen. AddDevice and
	// RemoveDevice set them; what else is written there counts for nothing.
	Devices    int64      `bun:"devices"      strata:"filterable,readonly"`
	LastSeenAt *time.Time `bun:"last_seen_at" strata:"filterable,readonly"`
}

//go:embed migrations/*.sql
var migrations embed.FS

// Config configures the product. The zero value, and nil, are legal.
type Config struct {
	// MaxDevices is how many devices a recipient may have; those that have not been seen for the
	// longest time make room for a new one. Default 20.
	MaxDevices int
}

// Enrollments enrolls recipients, and keeps their devices: those of one who is withdrawn go with
// the row. It is safe for concurrent use.
type Enrollments struct {
	*recipients.Enrollments[Push]

	maxDevices int
}

// Register adds the extension to a registry, before that is given to strata.Migrate, which makes
// the tables recipient_push and recipient_push_devices, and to a Store.
func Register(r *recipients.Registry, cfg *Config) (*Enrollments, error) {
	c := Config{MaxDevices: 20}
	if cfg != nil && cfg.MaxDevices > 0 {
		c.MaxDevices = cfg.MaxDevices
	}
	e := &Enrollments{maxDevices: c.MaxDevices}
	var err error
	e.Enrollments, err = recipients.Register(r, recipients.Extension[Push]{
		Name: Name, Product: "strata", Migrations: migrations, Tables: []string{"strata.recipient_push_devices"}, CheckOver: checkOver,
	})
	if err != nil {
		return nil, err
	}
	return e, nil
}

// checkOver keeps an old file from disturbing who has said since that they do not want to be.
func checkOver(_ context.Context, stored, row *Push) error {
	v := &tenancy.ValidationError{}
	if stored.Muted && !row.Muted {
		v.Add("muted", "muted", "they do not want to be disturbed, and a file does not say that this has changed: leave it empty, or say true")
	}
	return v.OrNil()
}
