package access

// maxPermissions is how many permissions a Catalog can have.
const maxPermissions = 256

// Bit is the place of a permission in a Set. It is the Catalog's own: never store it.
type Bit uint8

// Set is a set of the permissions of one Catalog. It is a small value: copy it. Nothing
// here allocates. The zero Set holds none.
type Set [maxPermissions / 64]uint64

// Has reports whether b is in s.
func (s Set) Has(b Bit) bool { return s[b/64]&(1<<(b%64)) != 0 }

// Add returns s with b.
func (s Set) Add(b Bit) Set {
	s[b/64] |= 1 << (b % 64)
	return s
}

// Union returns what is in s or in other.
func (s Set) Union(other Set) Set {
	for i := range s {
		s[i] |= other[i]
	}
	return s
}

// Intersect returns what is in both.
func (s Set) Intersect(other Set) Set {
	for i := range s {
		s[i] &= other[i]
	}
	return s
}

// Minus returns what is in s and not in other.
func (s Set) Minus(other Set) Set {
	for i := range s {
		s[i] &^= other[i]
	}
	return s
}

// IsEmpty reports whether nothing is in s.
func (s Set) IsEmpty() bool { return s == Set{} }

// everything is what platform actors have, also of catalogs that this process does not know.
func everything() Set { return Set{^uint64(0), ^uint64(0), ^uint64(0), ^uint64(0)} }
