package parse

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"hash"
)

// expandLabel is HKDF-Expand-Label with an empty context (RFC 8446 §7.1). label
// comes without its "tls13 ".
func expandLabel(newHash func() hash.Hash, secret []byte, label string, length int) []byte {
	return expandPrefixed(newHash, secret, "tls13 ", label, length)
}

func expandPrefixed(newHash func() hash.Hash, secret []byte, prefix, label string, length int) []byte {
	info := make([]byte, 0, 4+len(prefix)+len(label))
	info = append(info, byte(length>>8), byte(length), byte(len(prefix)+len(label)))
	info = append(append(append(info, prefix...), label...), 0)
	out, err := hkdf.Expand(newHash, secret, string(info), length)
	if err != nil {
		return nil // only for a length above 255 hashes, which nobody asks for
	}
	return out
}

// hash13 returns the hash of a TLS 1.3 suite that records can be opened under,
// nil for others.
func hash13(c CipherSuite) func() hash.Hash {
	switch c {
	case 0x1301, 0x1303, 0x1304, 0x1305:
		return sha256.New
	case 0x1302:
		return sha512.New384
	}
	return nil
}

// prf is the PRF of TLS 1.0 to 1.2 (RFC 2246 §5, RFC 5246 §5); sha384 is for
// suites that name SHA-384. seed comes in pieces.
func prf(v Version, sha384 bool, secret []byte, label string, length int, seed ...[]byte) []byte {
	out := make([]byte, length)
	switch {
	case v >= TLS12 && sha384:
		xorPHash(out, sha512.New384, secret, label, seed)
	case v >= TLS12:
		xorPHash(out, sha256.New, secret, label, seed)
	default:
		half := (len(secret) + 1) / 2
		xorPHash(out, md5.New, secret[:half], label, seed)
		xorPHash(out, sha1.New, secret[len(secret)-half:], label, seed)
	}
	return out
}

// xorPHash adds P_hash (RFC 5246 §5) to out.
func xorPHash(out []byte, newHash func() hash.Hash, secret []byte, label string, seed [][]byte) {
	mac := hmac.New(newHash, secret)
	write := func() {
		mac.Write([]byte(label))
		for _, s := range seed {
			mac.Write(s)
		}
	}
	write()
	a := mac.Sum(nil)
	for len(out) > 0 {
		mac.Reset()
		mac.Write(a)
		write()
		block := mac.Sum(nil)
		for i := range min(len(out), len(block)) {
			out[i] ^= block[i]
		}
		out = out[min(len(out), len(block)):]
		mac.Reset()
		mac.Write(a)
		a = mac.Sum(a[:0])
	}
}
