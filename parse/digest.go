package parse

import "slices"

// markCache remembers fingerprints by a digest of what they are made of: most
// hellos are like others, and the digest costs far less than their hashes. The
// zero value is ready to use. Its memory is bounded; when full it starts anew.
type markCache struct {
	ja4, ja3s map[uint64]string // by digest
}

const maxMarks = 1024 // of each

// client fills JA4 of a hello that parseClientHello read from body without.
func (m *markCache) client(h *ClientHello, body []byte) {
	if h.JA4 == "" {
		h.JA4 = cached(&m.ja4, h.digest, func() string {
			whole, _ := parseClientHello(body, true)
			return whole.JA4
		})
	}
}

// server fills JA3S of a hello that parseServerHello read from body without.
func (m *markCache) server(h *ServerHello, body []byte) {
	if h.JA3S == "" {
		h.JA3S = cached(&m.ja3s, h.digest, func() string {
			whole, _, _ := parseServerHello(body, true)
			return whole.JA3S
		})
	}
}

func cached(of *map[uint64]string, digest uint64, compute func() string) string {
	if mark, known := (*of)[digest]; known {
		return mark
	}
	if *of == nil || len(*of) >= maxMarks {
		*of = make(map[uint64]string)
	}
	mark := compute()
	(*of)[digest] = mark
	return mark
}

// helloDigest sums up what JA4 is made of. Suites and extensions count in any
// order, as there; signature schemes in the order sent.
func helloDigest(h *ClientHello, p *helloParts) uint64 {
	const suite, extension = 1 << 16, 2 << 16 // keep equal values apart
	var sum uint64
	var v uint16
	for s := p.suites; s.ReadUint16(&v); {
		if !isGREASE(v) {
			sum += scatter(suite | uint64(v))
		}
	}
	for _, t := range h.Extensions {
		sum += scatter(extension | uint64(t))
	}
	digest := blend(sum, uint64(slices.MaxFunc(h.Versions, newer)))
	if n := len(p.alpn); n > 0 {
		digest = blend(digest, 1<<16|uint64(p.alpn[0])<<8|uint64(p.alpn[n-1]))
	}
	schemes := p.schemes
	for schemes.Skip(2); schemes.ReadUint16(&v); {
		if !isGREASE(v) {
			digest = blend(digest, uint64(v))
		}
	}
	return digest
}

// newer compares two versions of TLS or DTLS by age.
func newer(a, b Version) int { return int(a.TLS()) - int(b.TLS()) }

// blend adds a value to a digest in which the order counts.
func blend(digest, v uint64) uint64 { return scatter(digest*31 + v) }

// scatter spreads a value over 64 bits: the finalizer of MurmurHash3.
func scatter(x uint64) uint64 {
	x = (x ^ x>>33) * 0xff51afd7ed558ccd
	x = (x ^ x>>33) * 0xc4ceb9fe1a85ec53
	return x ^ x>>33
}
