package parse

import (
	"crypto/cipher"
	"crypto/subtle"
	"encoding/binary"
	"errors"
)

// ccm is AES-CCM (RFC 3610) as TLS uses it: a nonce of 12 bytes, a length field
// of 3 (RFC 6655 §3, RFC 8446 §5.3).
type ccm struct {
	block cipher.Block
	tag   int // 16 or 8
}

const ccmNonce = 12

var errOpen = errors.New("message authentication failed")

func (c *ccm) NonceSize() int { return ccmNonce }
func (c *ccm) Overhead() int  { return c.tag }

// Seal encrypts and authenticates; only tests do.
func (c *ccm) Seal(dst, nonce, plain, aad []byte) []byte {
	at := len(dst)
	dst = append(dst, plain...)
	tag := c.mac(nonce, plain, aad)
	c.stream(nonce).XORKeyStream(dst[at:], dst[at:])
	return append(dst, tag[:c.tag]...)
}

// Open decrypts and checks.
func (c *ccm) Open(dst, nonce, sealed, aad []byte) ([]byte, error) {
	n := len(sealed) - c.tag
	if n < 0 || len(nonce) != ccmNonce {
		return nil, errOpen
	}
	at := len(dst)
	dst = append(dst, sealed[:n]...)
	c.stream(nonce).XORKeyStream(dst[at:], dst[at:])
	tag := c.mac(nonce, dst[at:], aad)
	if subtle.ConstantTimeCompare(tag[:c.tag], sealed[n:]) != 1 {
		return nil, errOpen
	}
	return dst, nil
}

// counter is A_i of RFC 3610 §2.3 for i = 0.
func (c *ccm) counter(nonce []byte) (a [16]byte) {
	a[0] = 2 // length of the length field, less 1
	copy(a[1:], nonce)
	return a
}

func (c *ccm) stream(nonce []byte) cipher.Stream {
	a := c.counter(nonce)
	a[15] = 1
	return cipher.NewCTR(c.block, a[:])
}

// mac is the encrypted CBC-MAC of RFC 3610 §2.2.
func (c *ccm) mac(nonce, plain, aad []byte) (tag [16]byte) {
	tag[0] = 1<<6 | byte(c.tag-2)/2<<3 | 2 // with additional data
	copy(tag[1:], nonce)
	tag[13], tag[14], tag[15] = byte(len(plain)>>16), byte(len(plain)>>8), byte(len(plain))
	c.block.Encrypt(tag[:], tag[:])
	var head [16]byte
	binary.BigEndian.PutUint16(head[:], uint16(len(aad))) // TLS has 5 or 13 bytes
	n := copy(head[2:], aad)
	c.chain(&tag, head[:])
	c.chain(&tag, aad[n:])
	c.chain(&tag, plain)
	a := c.counter(nonce)
	c.block.Encrypt(a[:], a[:])
	subtle.XORBytes(tag[:], tag[:], a[:])
	return tag
}

// chain adds b to the MAC, padded to whole blocks.
func (c *ccm) chain(x *[16]byte, b []byte) {
	for len(b) > 0 {
		n := subtle.XORBytes(x[:], x[:], b)
		c.block.Encrypt(x[:], x[:])
		b = b[n:]
	}
}
