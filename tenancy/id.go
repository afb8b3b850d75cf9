package tenancy

import (
	"database/sql/driver"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgtype"
)

// ID is the identifier of one T: a UUIDv7 (RFC 9562 section 5.7), so that rows
// made one after the other lie beside each other in an index. T is a marker only:
// an ID[Company] cannot be passed where an ID[Domain] is wanted. The zero ID
// identifies nothing.
type ID[T any] uuid.UUID

// CompanyID identifies a Company.
type CompanyID = ID[Company]

// WorkspaceID identifies a Workspace.
type WorkspaceID = ID[Workspace]

// DomainID identifies a Domain.
type DomainID = ID[Domain]

// NewID returns a new UUIDv7. It panics only when the operating system has no
// randomness to give.
func NewID[T any]() ID[T] { return ID[T](uuid.Must(uuid.NewV7())) }

// ParseID reads the 36-character form. Any other form is ErrInvalidID.
func ParseID[T any](s string) (ID[T], error) {
	if len(s) != 36 {
		return ID[T]{}, fmt.Errorf("%q: %w", clip(s, 40), ErrInvalidID)
	}
	u, err := uuid.Parse(s)
	if err != nil {
		return ID[T]{}, fmt.Errorf("%q: %w", clip(s, 40), ErrInvalidID)
	}
	return ID[T](u), nil
}

// String returns the 36-character form.
func (id ID[T]) String() string { return uuid.UUID(id).String() }

// IsZero reports whether id identifies nothing.
func (id ID[T]) IsZero() bool { return id == ID[T]{} }

// MarshalText returns the 36-character form, or nothing for the zero ID.
func (id ID[T]) MarshalText() ([]byte, error) {
	if id.IsZero() {
		return []byte{}, nil
	}
	return uuid.UUID(id).MarshalText()
}

// UnmarshalText reads what MarshalText wrote.
func (id *ID[T]) UnmarshalText(b []byte) error {
	if len(b) == 0 {
		*id = ID[T]{}
		return nil
	}
	parsed, err := ParseID[T](string(b))
	if err != nil {
		return err
	}
	*id = parsed
	return nil
}

// Value makes an ID an argument of database/sql and bun; the zero ID is NULL.
func (id ID[T]) Value() (driver.Value, error) {
	if id.IsZero() {
		return nil, nil
	}
	return id.String(), nil
}

// Scan reads a uuid column through database/sql and bun; NULL is the zero ID.
func (id *ID[T]) Scan(src any) error {
	if src == nil {
		*id = ID[T]{}
		return nil
	}
	var u uuid.UUID
	if err := u.Scan(src); err != nil {
		return err
	}
	*id = ID[T](u)
	return nil
}

// UUIDValue makes an ID an argument of pgx; the zero ID is NULL.
func (id ID[T]) UUIDValue() (pgtype.UUID, error) {
	return pgtype.UUID{Bytes: id, Valid: !id.IsZero()}, nil
}

// ScanUUID reads a uuid column through pgx; NULL is the zero ID.
func (id *ID[T]) ScanUUID(v pgtype.UUID) error {
	*id = ID[T]{}
	if v.Valid {
		*id = v.Bytes
	}
	return nil
}

// clip shortens a value for an error message.
func clip(s string, n int) string {
	r := []rune(s)
	if len(r) <= n {
		return s
	}
	return string(r[:n]) + "…"
}
