package parse

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"hash"

	"golang.org/x/crypto/chacha20"
	"golang.org/x/crypto/chacha20poly1305"
)

// opener13 opens the records of one direction under one TLS 1.3 traffic secret
// (RFC 8446 §5.2, §5.3).
type opener13 struct {
	secret []byte
	aead   cipher.AEAD
	iv     [12]byte
	// block makes single blocks of the key stream: AES, or nil for ChaCha20,
	// which key is for.
	block cipher.Block
	ccm   bool
	key   []byte
	draft uint8 // of TLS 1.3, 0 for the final version
}

// newOpener13 returns nil for a suite that records cannot be opened under, or a
// secret that is not as long as its hash.
func newOpener13(suite CipherSuite, v Version, secret []byte) *opener13 {
	newHash := hash13(suite)
	if newHash == nil || len(secret) != newHash().Size() {
		return nil
	}
	o := &opener13{secret: secret}
	if v>>8 == 0x7f {
		o.draft = uint8(v)
	}
	keyLen := 16
	if suite == 0x1302 || suite == 0x1303 {
		keyLen = 32
	}
	o.key = o.expand(newHash, "key", keyLen)
	copy(o.iv[:], o.expand(newHash, "iv", len(o.iv)))
	var err error
	if suite == 0x1303 {
		o.aead, err = chacha20poly1305.New(o.key)
	} else if o.block, err = aes.NewCipher(o.key); err == nil {
		switch suite {
		case 0x1304:
			o.aead, o.ccm = &ccm{o.block, 16}, true
		case 0x1305:
			o.aead, o.ccm = &ccm{o.block, 8}, true
		default:
			o.aead, err = cipher.NewGCM(o.block)
		}
	}
	if err != nil {
		return nil
	}
	return o
}

// expand is HKDF-Expand-Label with the prefix of the version: drafts up to 19
// had another.
func (o *opener13) expand(newHash func() hash.Hash, label string, n int) []byte {
	if 0 < o.draft && o.draft < 20 {
		return expandPrefixed(newHash, o.secret, "TLS 1.3, ", label, n)
	}
	return expandLabel(newHash, o.secret, label, n)
}

// next returns the opener behind a KeyUpdate (RFC 8446 §7.2).
func (o *opener13) next(suite CipherSuite, v Version) *opener13 {
	newHash := hash13(suite)
	return newOpener13(suite, v, o.expand(newHash, "traffic upd", newHash().Size()))
}

// nonce is the IV and the sequence number added up (RFC 8446 §5.3).
func (o *opener13) nonce(seq uint64) (n [12]byte) {
	binary.BigEndian.PutUint64(n[4:], seq)
	for i := range n {
		n[i] ^= o.iv[i]
	}
	return n
}

// open appends the content of a record without its padding to dst. ok is false
// if the record is not of this key and sequence number.
func (o *opener13) open(dst []byte, seq uint64, hdr [headerLen]byte, body []byte) (t ContentType, content []byte, ok bool) {
	nonce := o.nonce(seq)
	aad := hdr[:]
	if 0 < o.draft && o.draft < 25 {
		aad = nil
	}
	content, err := o.aead.Open(dst, nonce[:], body, aad)
	if err != nil {
		return 0, nil, false
	}
	for n := len(content) - 1; n >= len(dst); n-- {
		if content[n] != 0 {
			return ContentType(content[n]), content[:n], true
		}
	}
	return 0, content[:len(dst)], true // all padding: against the rules, but authentic
}

// peek decrypts as little of a record from its end as it takes to see the type
// of its content, and checks nothing: under a wrong key any type comes out.
func (o *opener13) peek(seq uint64, body []byte) ContentType {
	nonce := o.nonce(seq)
	var stream [64]byte
	size := 16
	if o.block == nil {
		size = len(stream)
	}
	for end := len(body) - o.aead.Overhead(); end > 0; {
		i := (end - 1) / size
		o.keyStream(&stream, nonce, i)
		for ; end > i*size; end-- {
			if b := body[end-1] ^ stream[end-1-i*size]; b != 0 {
				return ContentType(b)
			}
		}
	}
	return 0
}

// keyStream makes block i of the key stream: 16 bytes under AES, 64 under
// ChaCha20.
func (o *opener13) keyStream(dst *[64]byte, nonce [12]byte, i int) {
	switch {
	case o.block == nil:
		c, err := chacha20.NewUnauthenticatedCipher(o.key, nonce[:])
		if err != nil {
			return
		}
		clear(dst[:])
		c.SetCounter(uint32(i) + 1) // RFC 8439 §2.8: block 0 is the key of the tag
		c.XORKeyStream(dst[:], dst[:])
	case o.ccm:
		a := (&ccm{}).counter(nonce[:])
		a[13], a[14], a[15] = byte((i+1)>>16), byte((i+1)>>8), byte(i+1)
		o.block.Encrypt(dst[:16], a[:])
	default:
		var a [16]byte
		copy(a[:], nonce[:])
		binary.BigEndian.PutUint32(a[12:], uint32(i)+2) // SP 800-38D §7.1: 1 is the tag's
		o.block.Encrypt(dst[:16], a[:])
	}
}
