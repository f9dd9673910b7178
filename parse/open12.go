package parse

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/des"
	"crypto/hmac"
	"crypto/md5"
	"crypto/rc4"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/binary"
	"hash"
	"strings"

	"golang.org/x/crypto/chacha20poly1305"
)

// opener12 opens the records of one direction under the keys of one handshake
// of TLS 1.0 to 1.2.
type opener12 interface {
	// open appends the content of a record to dst. If it fails, nothing has
	// changed.
	open(dst []byte, seq uint64, hdr [headerLen]byte, body []byte) ([]byte, bool)
	// skip passes over a record of n bytes that was not opened; body is nil if it
	// was lost.
	skip(n int, body []byte)
	// chained reports whether what passed matters for the next record.
	chained() bool
}

// protections12 lists the ciphers of TLS ≤ 1.2 by what their suite's name has
// behind _WITH_; the first row that fits decides.
var protections12 = []struct {
	name string
	protection12
}{
	{"AES_128_GCM", protection12{key: 16, fixed: 4, make: newGCM12}},
	{"AES_256_GCM", protection12{key: 32, fixed: 4, make: newGCM12}},
	{"AES_128_CCM_8", protection12{key: 16, fixed: 4, make: newCCM8x12}},
	{"AES_256_CCM_8", protection12{key: 32, fixed: 4, make: newCCM8x12}},
	{"AES_128_CCM", protection12{key: 16, fixed: 4, make: newCCM12}},
	{"AES_256_CCM", protection12{key: 32, fixed: 4, make: newCCM12}},
	{"CHACHA20_POLY1305", protection12{key: 32, fixed: 12, make: newChaCha12}},
	{"AES_128_CBC", protection12{key: 16, fixed: 16, block: aes.NewCipher}},
	{"AES_256_CBC", protection12{key: 32, fixed: 16, block: aes.NewCipher}},
	{"3DES_EDE_CBC", protection12{key: 24, fixed: 8, block: des.NewTripleDESCipher}},
	{"RC4_128", protection12{key: 16, stream: true}},
	{"NULL", protection12{stream: true}},
}

// protection12 is how a suite protects records: by an AEAD, which make makes,
// or a block or stream cipher with an HMAC.
type protection12 struct {
	key, fixed int // lengths in bytes of the key and of the IV out of the key block
	make       func(key, fixed []byte) opener12
	block      func(key []byte) (cipher.Block, error)
	stream     bool
	mac        func() hash.Hash
}

// protect12 returns how records are protected, nil if they cannot be opened.
func protect12(h hello12) *protection12 {
	_, name, ok := strings.Cut(h.suite.name(), "_WITH_")
	if !ok || h.version < TLS10 || h.version > TLS12 || !h.complete {
		return nil
	}
	for _, row := range protections12 {
		rest, ok := strings.CutPrefix(name, row.name)
		if !ok {
			continue
		}
		p := row.protection12
		if p.make != nil {
			return &p
		}
		switch rest {
		case "_MD5":
			p.mac = md5.New
		case "_SHA":
			p.mac = sha1.New
		case "_SHA256":
			p.mac = sha256.New
		case "_SHA384":
			p.mac = sha512.New384
		default:
			return nil
		}
		return &p
	}
	return nil
}

// newOpener12 derives the keys of one direction from a master secret
// (RFC 5246 §6.3). It returns nil if the suite's records cannot be opened.
func newOpener12(h hello12, master []byte, client bool) opener12 {
	p := protect12(h)
	if p == nil {
		return nil
	}
	mac := 0
	if p.mac != nil {
		mac = p.mac().Size()
	}
	keys := prf(h.version, h.sha384(), master, "key expansion", 2*(mac+p.key+p.fixed), h.server[:], h.client[:])
	cut := func(n int) []byte { // the client's comes first
		c, s := keys[:n], keys[n:2*n]
		keys = keys[2*n:]
		if client {
			return c
		}
		return s
	}
	macKey, key, fixed := cut(mac), cut(p.key), cut(p.fixed)
	if p.make != nil {
		return p.make(key, fixed)
	}
	m := mac12{hmac.New(p.mac, macKey)}
	if p.stream {
		return newStream12(m, key)
	}
	block, err := p.block(key)
	if err != nil {
		return nil
	}
	return &cbc12{block: block, mac: m, etm: h.etm, explicit: h.version >= TLS11, iv: fixed}
}

// additional12 is what a MAC or AEAD covers beside a content of n bytes
// (RFC 5246 §6.2.3).
func additional12(seq uint64, hdr [headerLen]byte, n int) []byte {
	b := binary.BigEndian.AppendUint64(make([]byte, 0, 13), seq)
	return append(b, hdr[0], hdr[1], hdr[2], byte(n>>8), byte(n))
}

// aead12 opens records of AEAD suites.
type aead12 struct {
	cipher.AEAD
	fixed    []byte
	explicit bool // the record begins with 8 bytes of the nonce (RFC 5288 §3, RFC 6655 §3)
}

func newGCM12(key, fixed []byte) opener12 {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return nil
	}
	return &aead12{aead, fixed, true}
}

func newCCM12(key, fixed []byte) opener12   { return newCCM(key, fixed, 16) }
func newCCM8x12(key, fixed []byte) opener12 { return newCCM(key, fixed, 8) }

func newCCM(key, fixed []byte, tag int) opener12 {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil
	}
	return &aead12{&ccm{block, tag}, fixed, true}
}

func newChaCha12(key, fixed []byte) opener12 {
	aead, err := chacha20poly1305.New(key)
	if err != nil {
		return nil
	}
	return &aead12{aead, fixed, false} // RFC 7905 §2
}

func (a *aead12) open(dst []byte, seq uint64, hdr [headerLen]byte, body []byte) ([]byte, bool) {
	var nonce [12]byte
	copy(nonce[:], a.fixed)
	if a.explicit {
		if len(body) < 8 {
			return nil, false
		}
		copy(nonce[4:], body)
		body = body[8:]
	} else {
		binary.BigEndian.PutUint64(nonce[4:], seq)
		for i := range nonce {
			if i < 4 {
				nonce[i] = a.fixed[i]
			} else {
				nonce[i] ^= a.fixed[i]
			}
		}
	}
	n := len(body) - a.Overhead()
	if n < 0 {
		return nil, false
	}
	out, err := a.Open(dst, nonce[:], body, additional12(seq, hdr, n))
	return out, err == nil
}

func (a *aead12) skip(int, []byte) {}
func (a *aead12) chained() bool    { return false }

// mac12 is the HMAC of a record.
type mac12 struct{ hash.Hash }

// check reports whether tag is the MAC of content.
func (m mac12) check(tag []byte, seq uint64, hdr [headerLen]byte, content []byte) bool {
	m.Reset()
	m.Write(additional12(seq, hdr, len(content)))
	m.Write(content)
	return hmac.Equal(m.Sum(nil), tag)
}

// cbc12 opens records of block ciphers (RFC 5246 §6.2.3.2).
type cbc12 struct {
	block    cipher.Block
	mac      mac12
	etm      bool
	explicit bool   // each record begins with its IV; else it is the last block of the record before
	iv       []byte // of the next record, unless explicit
}

func (c *cbc12) open(dst []byte, seq uint64, hdr [headerLen]byte, body []byte) ([]byte, bool) {
	size, whole := c.block.BlockSize(), body
	if c.etm {
		n := len(body) - c.mac.Size()
		if n < 0 || !c.mac.check(body[n:], seq, hdr, body[:n]) {
			return nil, false
		}
		body = body[:n]
	}
	iv := c.iv
	if c.explicit {
		if len(body) < size {
			return nil, false
		}
		iv, body = body[:size], body[size:]
	}
	if len(body) == 0 || len(body)%size != 0 {
		return nil, false
	}
	at := len(dst)
	dst = append(dst, body...)
	plain := dst[at:]
	cipher.NewCBCDecrypter(c.block, iv).CryptBlocks(plain, plain)
	n := len(plain) - 1 - int(plain[len(plain)-1])
	if n < 0 {
		return nil, false
	}
	for _, b := range plain[n:] {
		if b != plain[len(plain)-1] {
			return nil, false
		}
	}
	if !c.etm {
		tag := n - c.mac.Size()
		if tag < 0 || !c.mac.check(plain[tag:n], seq, hdr, plain[:tag]) {
			return nil, false
		}
		n = tag
	}
	c.skip(len(whole), whole)
	return dst[:at+n], true
}

// skip takes the last block of what passed for the next IV. If it was lost, the
// next record will not open, but the one behind it will.
func (c *cbc12) skip(_ int, body []byte) {
	if c.explicit {
		return
	}
	if c.etm {
		body = body[:max(len(body)-c.mac.Size(), 0)]
	}
	if n := len(body) - c.block.BlockSize(); n >= 0 {
		c.iv = append([]byte(nil), body[n:]...)
	}
}

func (c *cbc12) chained() bool { return !c.explicit }

// stream12 opens records of RC4, and, without a cipher, of NULL
// (RFC 5246 §6.2.3.1).
type stream12 struct {
	rc4 *rc4.Cipher
	mac mac12
}

func newStream12(m mac12, key []byte) opener12 {
	s := &stream12{mac: m}
	if len(key) > 0 {
		var err error
		if s.rc4, err = rc4.NewCipher(key); err != nil {
			return nil
		}
	}
	return s
}

func (s *stream12) open(dst []byte, seq uint64, hdr [headerLen]byte, body []byte) ([]byte, bool) {
	at := len(dst)
	dst = append(dst, body...)
	plain := dst[at:]
	var after rc4.Cipher
	if s.rc4 != nil {
		after = *s.rc4
		after.XORKeyStream(plain, plain)
	}
	n := len(plain) - s.mac.Size()
	if n < 0 || !s.mac.check(plain[n:], seq, hdr, plain[:n]) {
		return nil, false
	}
	if s.rc4 != nil {
		*s.rc4 = after
	}
	return dst[:at+n], true
}

// skip moves the key stream on: it advances by length alone.
func (s *stream12) skip(n int, _ []byte) {
	if s.rc4 != nil {
		b := make([]byte, n)
		s.rc4.XORKeyStream(b, b)
	}
}

func (s *stream12) chained() bool { return s.rc4 != nil }
