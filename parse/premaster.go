package parse

import (
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"hash"
	"slices"
	"strings"
)

// Bounds and lengths of what becomes of a pre_master_secret.
const (
	// maxTranscript bounds what is kept of one side of a handshake.
	maxTranscript = 64 << 10
	// masterLen is the length of a master_secret (RFC 5246 §8.1).
	masterLen = 48
	// rsaIDLen is how many bytes of an encrypted pre_master_secret a log names.
	rsaIDLen = 8
)

// transcript keeps of a handshake of TLS ≤ 1.2 what it takes to make a
// master_secret of a pre_master_secret. It is on only while there are any of
// the latter when the ClientHello comes.
type transcript struct {
	on     bool
	client Side
	hello  []byte // the ClientHello
	// Of each side: its messages behind the ClientHello, up to ServerHelloDone and
	// ClientKeyExchange.
	piles  [2][]byte
	broken [2]bool // a part of them was lost, or is beyond the bound
	done   [2]bool
	// exchange is how the body of ClientKeyExchange begins: with RSA, a length of
	// two bytes and the encrypted pre_master_secret (RFC 5246 §7.4.7.1).
	exchange []byte
}

// begin starts over with a ClientHello.
func (t *transcript) begin(p *Parser, on bool, client Side, body []byte) {
	t.release(p)
	*t = transcript{on: on, client: client}
	if on {
		n := len(body)
		t.hello = append([]byte{byte(TypeClientHello), byte(n >> 16), byte(n >> 8), byte(n)}, body...)
	}
}

// release gives the buffers back.
func (t *transcript) release(p *Parser) {
	for s := range t.piles {
		if t.piles[s] != nil {
			p.putBuffer(t.piles[s])
			t.piles[s] = nil
		}
	}
}

// keeps reports whether a message belongs into the transcript (RFC 5246 §7.4.9,
// RFC 7627 §3).
func (t *transcript) keeps(from Side, typ HandshakeType) bool {
	return t.on && !t.done[from] && typ != TypeClientHello && typ != TypeHelloRequest
}

// header takes the header of a message. What may be missing in front of it
// breaks the transcript.
func (t *transcript) header(p *Parser, from Side, typ HandshakeType, hdr []byte, gap bool) {
	if t.keeps(from, typ) {
		t.broken[from] = t.broken[from] || gap
		t.add(p, from, hdr)
	}
}

// body takes bytes of a message's body.
func (t *transcript) body(p *Parser, from Side, typ HandshakeType, b []byte) {
	if !t.keeps(from, typ) {
		return
	}
	if typ == TypeClientKeyExchange {
		t.exchange = append(t.exchange, b[:min(len(b), 2+rsaIDLen-len(t.exchange))]...)
	}
	t.add(p, from, b)
}

func (t *transcript) add(p *Parser, from Side, b []byte) {
	if len(t.piles[from])+len(b) > maxTranscript {
		t.broken[from] = true
	}
	if t.broken[from] {
		return
	}
	if t.piles[from] == nil {
		t.piles[from] = p.buffer()
	}
	t.piles[from] = append(t.piles[from], b...)
}

// end takes note of the end of a message; holed says that a part of it was lost.
func (t *transcript) end(from Side, typ HandshakeType, holed bool) {
	if !t.keeps(from, typ) {
		return
	}
	if holed {
		t.broken[from], t.exchange = true, nil
	}
	t.done[from] = typ == TypeServerHelloDone || typ == TypeClientKeyExchange
}

// sessionHash is the hash that extended_master_secret takes (RFC 7627 §3), nil
// if it is not known.
func (t *transcript) sessionHash(h hello12) []byte {
	if t.done != [2]bool{true, true} || t.broken != [2]bool{} {
		return nil
	}
	sum := func(newHash func() hash.Hash) []byte {
		m := newHash()
		m.Write(t.hello)
		m.Write(t.piles[t.client.Other()])
		m.Write(t.piles[t.client])
		return m.Sum(nil)
	}
	switch {
	case h.version < TLS12:
		return slices.Concat(sum(md5.New), sum(sha1.New))
	case h.sha384():
		return sum(sha512.New384)
	}
	return sum(sha256.New)
}

// rsa reports whether the pre_master_secret goes encrypted with RSA.
func (h hello12) rsa() bool { return strings.HasPrefix(h.suite.name(), "TLS_RSA_WITH_") }

// sha384 reports whether the PRF of TLS 1.2 is made of SHA-384.
func (h hello12) sha384() bool { return strings.HasSuffix(h.suite.name(), "_SHA384") }

// premasters returns the pre_master_secrets that logs give for the handshake
// that the transcript is of.
func (u *unsealing) premasters(h hello12) [][]byte {
	k := u.c.p.opts.Keys
	found := k.find(h.client, keyPremaster)
	if id, ok := u.script.rsaID(h); ok {
		found = append(found, k.find(id, keyPremasterRSA)...)
	}
	return found
}

// rsaID returns what a log names the RSA-encrypted pre_master_secret by, padded
// with zeros.
func (t *transcript) rsaID(h hello12) (id [32]byte, ok bool) {
	if !h.rsa() || len(t.exchange) < 2+rsaIDLen {
		return id, false
	}
	copy(id[:], t.exchange[2:])
	return id, true
}

// mayFindRSA reports whether a log has a pre_master_secret that goes with the
// ClientKeyExchange, or may go with the one to come.
func (u *unsealing) mayFindRSA() bool {
	k := u.c.p.opts.Keys
	if !u.script.on || k.rsa == 0 || !u.next.rsa() {
		return false
	}
	id, ok := u.script.rsaID(u.next)
	return !u.script.done[u.script.client] || ok && k.has(id)
}

// ended takes note of the end of a message. Behind the ClientKeyExchange it is
// known whether a log has what was encrypted in it.
func (u *unsealing) ended(from Side, typ HandshakeType, holed bool) {
	u.script.end(from, typ, holed)
	if u.script.on && typ == TypeClientKeyExchange && u.c.h.Unsealing {
		u.c.h.Unsealing = u.hopefulNow12()
	}
}

// masters makes master_secrets of the pre_master_secrets for a handshake
// (RFC 5246 §8.1, RFC 7627 §4). missing says that there are some, and that too
// little of the handshake was captured, or has come yet, to use them.
func (u *unsealing) masters(h hello12) (masters [][]byte, missing bool) {
	if !u.script.on || u.next.client != h.client { // the transcript is of another handshake
		return nil, false
	}
	found := u.premasters(h)
	if len(found) == 0 {
		return nil, false
	}
	label, seed := "master secret", [][]byte{h.client[:], h.server[:]}
	if h.ems {
		hash := u.script.sessionHash(h)
		if hash == nil {
			return nil, true
		}
		label, seed = "extended master secret", [][]byte{hash}
	}
	for _, premaster := range found {
		masters = append(masters, prf(h.version, h.sha384(), premaster, label, masterLen, seed...))
	}
	return masters, false
}
