// Package pushhttp serves the devices of recipients, beside the rows of the extension push, which
// package recipientshttp serves. A token goes in and never comes out: devices are called by their
// push.Device.ID.
package pushhttp

import (
	"net/http"
	"time"

	"github.com/stratakit/strata/internal/web"
	"github.com/stratakit/strata/recipients"
	"github.com/stratakit/strata/recipients/push"
	"github.com/stratakit/strata/tenancy"
	"github.com/stratakit/strata/tenancy/access"
)

// API is the routes of devices.
type API struct{ push *push.Enrollments }

var _ web.API = (*API)(nil)

// New returns the routes over enrollments; strata.Strata.Handler takes them.
func New(enrollments *push.Enrollments) *API { return &API{enrollments} }

type addRequest struct {
	Token      string        `json:"token"    required:"true"` // Device says what must be right of all
	Platform   push.Platform `json:"platform" enum:"ios,android,web"                                  required:"true"`
	LastSeenAt *time.Time    `description:"Default now." json:"lastSeenAt"`
}

// device is a push.Device without its token.
type device struct {
	ID         string        `json:"id"`
	Platform   push.Platform `json:"platform"`
	CreatedAt  time.Time     `json:"createdAt"`
	LastSeenAt time.Time     `json:"lastSeenAt"`
}

func shown(d push.Device) device { return device{d.ID(), d.Platform, d.CreatedAt, d.LastSeenAt} }

// Routes returns the routes.
func (a *API) Routes() []web.Route {
	const base = "/domains/{domainID}/recipients/{id}/enrollments/push/devices"
	read, manage := string(access.RecipientsRead), string(access.RecipientsManage)
	return []web.Route{
		{
			Method: http.MethodGet, Path: base, Name: "listDevices", Summary: "List the devices of a recipient, the one seen last first, without their tokens",
			Permission: read, Response: web.List[device]{}, Handle: a.list,
		},
		{
			Method: http.MethodPost, Path: base, Name: "addDevice", Summary: "Give a recipient a device, or note that one that it has was seen",
			Permission: manage, Request: addRequest{}, Response: web.Data[device]{}, Handle: a.add,
		},
		{
			Method: http.MethodDelete, Path: base + "/{deviceID}", Name: "removeDevice", Summary: "Take a device from a recipient",
			Permission: manage, Status: http.StatusNoContent, Handle: a.remove,
		},
	}
}

// id is the recipient that the path names; anything that is no id names none.
func id(r *http.Request) (recipients.ID, error) {
	parsed, err := tenancy.ParseID[recipients.Recipient](r.PathValue("id"))
	if err != nil {
		return recipients.ID{}, recipients.ErrNotFound
	}
	return parsed, nil
}

func (a *API) list(w http.ResponseWriter, r *http.Request) error {
	recipientID, err := id(r)
	if err != nil {
		return err
	}
	devices, err := a.push.Devices(r.Context(), recipientID)
	if err != nil {
		return err
	}
	out := make([]device, len(devices))
	for i, d := range devices {
		out[i] = shown(d)
	}
	return web.WriteList(w, out, web.Meta{Total: web.Total(int64(len(out))), Page: 1, PageSize: len(out)})
}

func (a *API) add(w http.ResponseWriter, r *http.Request) error {
	recipientID, err := id(r)
	if err != nil {
		return err
	}
	var in addRequest
	if err := web.DecodeJSON(r, &in); err != nil {
		return err
	}
	add := push.Device{Token: in.Token, Platform: in.Platform}
	if in.LastSeenAt != nil {
		add.LastSeenAt = *in.LastSeenAt
	}
	var out push.Device
	err = a.push.InTx(r.Context(), func(tx *tenancy.Tx) error {
		if _, err := a.push.AddDeviceTx(r.Context(), tx, recipientID, add); err != nil {
			return err
		}
		devices, err := a.push.DevicesTx(r.Context(), tx, recipientID)
		for _, d := range devices {
			if d.Token == add.Token {
				out = d
			}
		}
		return err
	})
	if err != nil {
		return err
	}
	return web.WriteData(w, http.StatusOK, shown(out))
}

func (a *API) remove(w http.ResponseWriter, r *http.Request) error {
	recipientID, err := id(r)
	if err != nil {
		return err
	}
	err = a.push.InTx(r.Context(), func(tx *tenancy.Tx) error {
		devices, err := a.push.DevicesTx(r.Context(), tx, recipientID)
		if err != nil {
			return err
		}
		for _, d := range devices {
			if d.ID() == r.PathValue("deviceID") {
				_, err := a.push.RemoveDeviceTx(r.Context(), tx, recipientID, d.Token)
				return err
			}
		}
		return push.ErrNoDevice
	})
	if err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}
