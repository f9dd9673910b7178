package parse

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/binary"
	"hash"

	"golang.org/x/crypto/chacha20"
	"golang.org/x/crypto/chacha20poly1305"
)

// quicKeys opens the packets of one side at one encryption level (RFC 9001 §5).
type quicKeys struct {
	aead cipher.AEAD
	iv   [12]byte
	// Header protection is by AES or, where that is nil, by ChaCha20 (§5.4).
	block  cipher.Block
	chacha []byte
	// largest is the packet number expected next (RFC 9000 §A.3).
	next uint64
}

// newQUICKeys derives the keys of a traffic secret; nil if the suite is none
// that QUIC can use.
func newQUICKeys(v *quicVersion, suite CipherSuite, newHash func() hash.Hash, secret []byte) *quicKeys {
	k := &quicKeys{}
	derive := func(label string, n int) []byte { return expandLabel(newHash, secret, v.label+label, n) }
	size := 16
	if suite == 0x1302 || suite == 0x1303 {
		size = 32
	}
	key, hp := derive("key", size), derive("hp", size)
	copy(k.iv[:], derive("iv", len(k.iv)))
	var err error
	switch suite {
	case 0x1301, 0x1302:
		var block cipher.Block
		if block, err = aes.NewCipher(key); err == nil {
			k.aead, err = cipher.NewGCM(block)
		}
		if err == nil {
			k.block, err = aes.NewCipher(hp)
		}
	case 0x1303:
		k.aead, err = chacha20poly1305.New(key)
		k.chacha = hp
	default:
		return nil
	}
	if err != nil {
		return nil
	}
	return k
}

// quicInitialKeys derives the keys of Initial packets, of the client and of the
// server, from the Destination Connection ID that the client began with
// (RFC 9001 §5.2).
func quicInitialKeys(v *quicVersion, dcid []byte) (client, server *quicKeys) {
	initial, err := hkdf.Extract(sha256.New, dcid, []byte(v.salt))
	if err != nil {
		return nil, nil
	}
	of := func(label string) *quicKeys {
		return newQUICKeys(v, 0x1301, sha256.New, expandLabel(sha256.New, initial, label, sha256.Size))
	}
	return of("client in"), of("server in")
}

// mask is what protects a header whose packet has that sample (§5.4).
func (k *quicKeys) mask(sample []byte) (m [5]byte) {
	if k.block != nil {
		var out [16]byte
		k.block.Encrypt(out[:], sample)
		copy(m[:], out[:])
		return m
	}
	c, err := chacha20.NewUnauthenticatedCipher(k.chacha, sample[4:16])
	if err != nil {
		return m
	}
	c.SetCounter(binary.LittleEndian.Uint32(sample))
	c.XORKeyStream(m[:], m[:])
	return m
}

// open removes the protection of a packet whose number begins at a place, and
// returns its frames in memory appended to buf, ok false if the keys do not
// fit. whole stays as it is.
func (k *quicKeys) open(whole []byte, number int, buf []byte) (frames []byte, ok bool) {
	const sampleLen, longestNumber = 16, 4
	if number+longestNumber+sampleLen > len(whole) {
		return nil, false
	}
	mask := k.mask(whole[number+longestNumber:][:sampleLen])
	first := whole[0]
	if first&quicLong != 0 {
		first ^= mask[0] & 0x0f
	} else {
		first ^= mask[0] & 0x1f
	}
	n := int(first&3) + 1
	at := len(buf)
	buf = append(buf, whole[:number+n]...)
	head := buf[at:]
	head[0] = first
	var truncated uint64
	for i := range n {
		head[number+i] ^= mask[1+i]
		truncated = truncated<<8 | uint64(head[number+i])
	}
	full := fullNumber(k.next, truncated, uint(8*n))
	nonce := k.iv
	for i := range 8 {
		nonce[4+i] ^= byte(full >> (56 - 8*i))
	}
	at = len(buf)
	buf, err := k.aead.Open(buf, nonce[:], whole[number+n:], head)
	if err != nil {
		return nil, false
	}
	k.next = max(k.next, full+1)
	return buf[at:], true
}

// fullNumber returns the packet number closest to the one expected that ends in
// the bits sent (RFC 9000 §A.3).
func fullNumber(expected, truncated uint64, bits uint) uint64 {
	window := uint64(1) << bits
	candidate := expected&^(window-1) | truncated
	switch {
	case candidate+window/2 <= expected && candidate < 1<<62-window:
		return candidate + window
	case candidate > expected+window/2 && candidate >= window:
		return candidate - window
	}
	return candidate
}

// retryIsGenuine reports whether the tag of a Retry packet fits the Destination
// Connection ID that it answers (RFC 9001 §5.8). It is true of versions whose
// keys for it are not known.
func (p *quicPacket) retryIsGenuine(original []byte) bool {
	if p.spec.retryKey == "" {
		return true
	}
	const tag = 16
	if len(p.whole) < tag {
		return false
	}
	block, err := aes.NewCipher([]byte(p.spec.retryKey))
	if err != nil {
		return false
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return false
	}
	body := len(p.whole) - tag
	pseudo := append([]byte{byte(len(original))}, original...)
	pseudo = append(pseudo, p.whole[:body]...)
	_, err = aead.Open(nil, []byte(p.spec.retryNonce), p.whole[body:], pseudo)
	return err == nil
}
