package domainproof

import "net/netip"

// Public reports whether a can be reached in the public internet: it is a unicast address,
// of 2000::/3 when it is one of IPv6, from which alone IANA assigns them (RFC 4291 section
// 2.4), and none of the special ones that its registries call not globally reachable (RFC
// 6890; iana-ipv4-special-registry, iana-ipv6-special-registry), nor one that a translator
// would turn into such a one.
func Public(a netip.Addr) bool {
	a = a.Unmap().WithZone("")
	if !a.IsGlobalUnicast() || a.IsPrivate() || a.Is6() && a.As16()[0]>>5 != 0b001 {
		return false
	}
	for _, p := range special() {
		if p.Contains(a) {
			return false
		}
	}
	return true
}

// special lists the prefixes beside loopback, link-local, multicast and private addresses,
// which netip knows: in IPv6 those inside 2000::/3.
func special() []netip.Prefix {
	v4 := func(a, b, c byte, bits int) netip.Prefix {
		return netip.PrefixFrom(netip.AddrFrom4([4]byte{a, b, c}), bits)
	}
	v6 := func(bits int, head ...byte) netip.Prefix {
		var a [16]byte
		copy(a[:], head)
		return netip.PrefixFrom(netip.AddrFrom16(a), bits)
	}
	return []netip.Prefix{
		v4(0, 0, 0, 8),                 // this network
		v4(100, 64, 0, 10),             // shared by the customers of a carrier
		v4(192, 0, 0, 24),              // protocol assignments
		v4(192, 0, 2, 24),              // documentation
		v4(198, 18, 0, 15),             // benchmarks
		v4(198, 51, 100, 24),           // documentation
		v4(203, 0, 113, 24),            // documentation
		v4(240, 0, 0, 4),               // reserved
		v6(23, 0x20, 0x01),             // protocol assignments, Teredo
		v6(32, 0x20, 0x01, 0x0d, 0xb8), // documentation
		v6(20, 0x3f, 0xff),             // documentation
		v6(16, 0x20, 0x02),             // 6to4
	}
}
