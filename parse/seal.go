package parse

// What record protection adds to a plaintext: the arithmetic behind reading
// sealed handshakes by their record lengths.

// Sealed13 returns the length of the unpadded TLS 1.3 record that holds n bytes
// of content: one byte of inner type and the tag (RFC 8446 §5.2). ok is false
// for a suite that is not one of TLS 1.3.
func (c CipherSuite) Sealed13(n int) (length int, ok bool) {
	tag, ok := c.TagLen()
	return n + 1 + tag, ok
}

// FinishedLen returns the length of the unpadded TLS 1.3 record that holds a
// Finished message alone: a header of four bytes and the hash of the suite
// (RFC 8446 §4.4.4).
func (c CipherSuite) FinishedLen() (length int, ok bool) {
	hash, ok := c.HashLen()
	if !ok {
		return 0, false
	}
	return c.Sealed13(4 + hash)
}

// Sealed12 returns the lengths that a TLS ≤ 1.2 record with n bytes of content
// can have under the suite (RFC 5246 §6.2.3, RFC 5288, RFC 6655, RFC 7905):
// two for CBC, which may encrypt before or after the MAC (RFC 7366). It returns
// nil for a suite whose arithmetic is not known.
func (c CipherSuite) Sealed12(v Version, n int) []int {
	cbc := func(block, mac int) []int {
		iv := block
		if v.TLS() < TLS11 {
			iv = 0 // the IV is the last block of the record before (RFC 2246 §6.2.3.2)
		}
		pad := func(n int) int { return (n/block + 1) * block } // at least the padding length byte
		return []int{iv + pad(n+mac), iv + pad(n) + mac}
	}
	switch c.Protection() {
	case ProtectGCM, ProtectCCM:
		return []int{8 + n + 16}
	case ProtectCCM8:
		return []int{8 + n + 8}
	case ProtectChaCha20:
		return []int{n + 16}
	case ProtectAESCBCSHA1:
		return cbc(16, 20)
	case ProtectAESCBCSHA256:
		return cbc(16, 32)
	case ProtectAESCBCSHA384:
		return cbc(16, 48)
	case Protect3DESCBCSHA1:
		return cbc(8, 20)
	case ProtectStreamSHA1:
		return []int{n + 20}
	case ProtectStreamMD5:
		return []int{n + 16}
	}
	return nil
}

// Protection is how a TLS ≤ 1.2 suite protects a record, as far as lengths go.
type Protection uint8

// Values of Protection; the zero value is unknown.
const (
	ProtectUnknown Protection = iota
	ProtectGCM
	ProtectCCM
	ProtectCCM8
	ProtectChaCha20
	ProtectAESCBCSHA1 // also Camellia, ARIA and SEED: blocks of 16 bytes
	ProtectAESCBCSHA256
	ProtectAESCBCSHA384
	Protect3DESCBCSHA1 // also DES and IDEA: blocks of 8 bytes
	ProtectStreamSHA1  // RC4 and NULL
	ProtectStreamMD5
)
