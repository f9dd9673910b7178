package parse

import (
	"bytes"
	"encoding/hex"
	"iter"
)

// keyLabel is what a secret of a key log opens. Values are internal; the names
// of the NSS key log format are in keyLabels.
type keyLabel uint8

const (
	keyIgnored      keyLabel = iota // known, and of no use here
	keyMaster                       // master_secret by client random, TLS ≤ 1.2 (48 bytes)
	keyPremaster                    // pre_master_secret by client random
	keyPremasterRSA                 // pre_master_secret by the first 8 bytes of its RSA encryption
	keyMasterByID                   // master_secret by session id
	keyEarly                        // client_early_traffic_secret (RFC 8446 §7.1)
	keyClientHandshake
	keyServerHandshake
	keyClientTraffic // client_application_traffic_secret_N, any N
	keyServerTraffic
)

// keyLabels lists the labels of the key log format
// (draft-ietf-tls-keylogfile §2, and what older writers and OpenSSL use).
var keyLabels = []struct {
	name   string
	label  keyLabel
	prefix bool // a number follows: the generation of a key update
}{
	{"CLIENT_RANDOM", keyMaster, false},
	{"CLIENT_HANDSHAKE_TRAFFIC_SECRET", keyClientHandshake, false},
	{"SERVER_HANDSHAKE_TRAFFIC_SECRET", keyServerHandshake, false},
	{"CLIENT_TRAFFIC_SECRET_", keyClientTraffic, true},
	{"SERVER_TRAFFIC_SECRET_", keyServerTraffic, true},
	{"CLIENT_EARLY_TRAFFIC_SECRET", keyEarly, false},
	{"EXPORTER_SECRET", keyIgnored, false},
	{"EARLY_EXPORTER_SECRET", keyIgnored, false},
	{"EARLY_EXPORTER_MASTER_SECRET", keyIgnored, false},
	{"ECH_SECRET", keyIgnored, false},
	{"ECH_CONFIG", keyIgnored, false},
	{"PMS_CLIENT_RANDOM", keyPremaster, false},
	{"RSA", keyPremasterRSA, false},
}

// Bounds of a Keys.
const (
	// maxCandidates is how many secrets of one kind one client random may have.
	maxCandidates = 16
	// maxKeyBytes bounds the memory of secrets, unless Keys.Limit does.
	maxKeyBytes = 64 << 20
	// maxKeyLine is above the longest line that holds a secret.
	maxKeyLine = 4 << 10
	// maxSecret is the longest secret: a Diffie-Hellman pre_master_secret is the
	// size of its group, at most 8192 bits in use (RFC 7919 §A.5).
	maxSecret = 1 << 10
)

// KeyStats counts what key logs held. Lines that are empty or comments are not
// counted.
type KeyStats struct {
	Secrets int64 // taken, each once
	Ignored int64 // lines with a label that opens no record
	Bad     int64 // lines that are not of the key log format
	Dropped int64 // secrets beyond a bound
}

// Keys holds the secrets of key logs, to open sealed records with. It is not
// safe for concurrent use. Secrets never leave it but into ciphers.
type Keys struct {
	// Growing says that secrets may still come while connections run, so that
	// sealed records are worth keeping for a while; see Conn.
	Growing bool
	// Limit bounds the memory of secrets, in bytes; 0 stands for 64 MiB. Half of it
	// is filled, then the older half is dropped, so that a log without end keeps
	// its latest part.
	Limit int

	// Secrets by what the line names: a client random, or, padded with zeros, a
	// session id or the beginning of an encrypted pre_master_secret.
	young, old map[[32]byte]secrets
	size       int    // of young
	version    uint64 // grows with every secret taken
	premasters int64  // how many pre_master_secrets were taken
	rsa        int64  // how many of them by their RSA encryption
	stats      KeyStats
}

// secrets packs secrets one behind the other: label, length in two bytes, bytes.
// What is there never changes, so that slices of it may be kept.
type secrets []byte

// all goes over the secrets in their order.
func (s secrets) all() iter.Seq2[keyLabel, []byte] {
	return func(yield func(keyLabel, []byte) bool) {
		for len(s) > 0 {
			end := 3 + int(s[1])<<8 + int(s[2])
			if !yield(keyLabel(s[0]), s[3:end:end]) {
				return
			}
			s = s[end:]
		}
	}
}

// NewKeys returns an empty Keys.
func NewKeys() *Keys { return &Keys{young: make(map[[32]byte]secrets)} }

// Stats returns the counts so far.
func (k *Keys) Stats() KeyStats { return k.stats }

// add takes a secret and reports whether it is a new one.
func (k *Keys) add(id [32]byte, label keyLabel, secret []byte) bool {
	n := 0
	for _, gen := range []map[[32]byte]secrets{k.old, k.young} {
		for l, s := range gen[id].all() {
			if l != label {
				continue
			}
			if n++; bytes.Equal(s, secret) {
				return false
			}
		}
	}
	if n >= maxCandidates {
		k.stats.Dropped++
		return false
	}
	const overhead = 96 // of an entry of the map
	cost := 3 + len(secret)
	if k.young[id] == nil {
		cost += overhead
	}
	if k.size+cost > k.limit()/2 {
		for _, s := range k.old {
			for range s.all() {
				k.stats.Dropped++
			}
		}
		k.old, k.young, k.size = k.young, make(map[[32]byte]secrets), 0
		cost = 3 + len(secret) + overhead
	}
	k.size += cost
	k.young[id] = append(append(k.young[id], byte(label), byte(len(secret)>>8), byte(len(secret))), secret...)
	k.version++
	return true
}

func (k *Keys) limit() int {
	if k.Limit > 0 {
		return k.Limit
	}
	return maxKeyBytes
}

// find returns the secrets of one kind that logs give for an id, in their
// order. It is nil-safe.
func (k *Keys) find(id [32]byte, label keyLabel) [][]byte {
	if k == nil {
		return nil
	}
	var out [][]byte
	for _, gen := range []map[[32]byte]secrets{k.old, k.young} {
		for l, s := range gen[id].all() {
			if l == label {
				out = append(out, s)
			}
		}
	}
	return out
}

// has reports whether there is any secret for an id.
func (k *Keys) has(id [32]byte) bool {
	return k != nil && (k.young[id] != nil || k.old[id] != nil)
}

// Log returns a writer for one key log; several may be written by turns.
func (k *Keys) Log() *KeyLog { return &KeyLog{keys: k} }

// KeyLog reads one log in the NSS key log format, written to it in pieces of
// any size.
type KeyLog struct {
	keys *Keys
	line []byte // the line still without an end
	long bool   // its beginning was given up
	some bool   // a line was of the format
}

// Some reports whether a line has been of the format.
func (l *KeyLog) Some() bool { return l.some }

// Write takes the next bytes of the log. It never fails.
func (l *KeyLog) Write(b []byte) (int, error) {
	n := len(b)
	for len(b) > 0 {
		end := bytes.IndexByte(b, '\n')
		piece := b[:max(end, 0)]
		if end < 0 {
			piece = b
		}
		b = b[len(piece):]
		switch {
		case l.long:
		case len(l.line)+len(piece) > maxKeyLine:
			l.long, l.line = true, l.line[:0]
		case end >= 0 && len(l.line) == 0:
			l.some = l.keys.read(piece) || l.some // in one piece: no copy
		default:
			l.line = append(l.line, piece...)
		}
		if end < 0 {
			break
		}
		if b = b[1:]; l.long {
			l.keys.stats.Bad++
		} else if len(l.line) > 0 {
			l.some = l.keys.read(l.line) || l.some
		}
		l.line, l.long = l.line[:0], false
	}
	return n, nil
}

// Flush takes a last line that has no end yet, if it is one already. More may
// still be written to it.
func (l *KeyLog) Flush() {
	if !l.long {
		before := l.keys.stats
		l.some = l.keys.read(l.line) || l.some
		if l.keys.stats.Secrets == before.Secrets {
			l.keys.stats = before // it will be counted when it is complete
		}
	}
}

// read takes one line and reports whether it, or its end, is of the format.
func (k *Keys) read(line []byte) bool {
	line = bytes.TrimSpace(bytes.TrimPrefix(line, []byte("\xef\xbb\xbf")))
	if len(line) == 0 || line[0] == '#' {
		return false
	}
	if k.readFrom(line) {
		return true
	}
	// Writers of one file may tear each other's lines: the rest of one may be
	// followed by a whole one.
	at := -1
	for _, l := range keyLabels {
		for from := 1; from < len(line); {
			i := bytes.Index(line[from:], []byte(l.name))
			if i < 0 {
				break
			}
			if at = max(at, from+i); k.readFrom(line[from+i:]) {
				k.stats.Bad++ // what stood in front
				return true
			}
			from += i + 1
		}
	}
	k.stats.Bad++
	return false
}

// readFrom takes a line without anything around it and reports whether it is
// of the format.
func (k *Keys) readFrom(line []byte) bool {
	name, rest, _ := bytes.Cut(bytes.ReplaceAll(line, []byte("\t"), []byte(" ")), []byte(" "))
	name = bytes.TrimPrefix(name, []byte("QUIC_")) // drafts of QUIC
	label, ok := labelOf(name)
	if !ok {
		return false
	}
	if label == keyIgnored {
		k.stats.Ignored++
		return true
	}
	idHex, secretHex, _ := bytes.Cut(bytes.TrimSpace(rest), []byte(" "))
	secretHex = bytes.TrimSpace(secretHex)
	if label == keyPremasterRSA {
		if id, found := bytes.CutPrefix(idHex, []byte("Session-ID:")); found { // as OpenSSL's and F5's tools print it
			label, idHex = keyMasterByID, id
			secretHex = bytes.TrimPrefix(secretHex, []byte("Master-Key:"))
		}
	}
	var id [32]byte
	var buf [maxSecret]byte
	if len(idHex) > 2*len(id) || len(secretHex) > 2*len(buf) {
		return false
	}
	n, err := hex.Decode(id[:], idHex)
	m, err2 := hex.Decode(buf[:], secretHex)
	if err != nil || err2 != nil || !label.fits(n, m) {
		return false
	}
	if !k.add(id, label, buf[:m]) {
		return true
	}
	k.stats.Secrets++
	switch label {
	case keyPremasterRSA:
		k.rsa++
		fallthrough
	case keyPremaster:
		k.premasters++
	}
	return true
}

func labelOf(name []byte) (keyLabel, bool) {
	for _, l := range keyLabels {
		if !l.prefix {
			if string(name) == l.name {
				return l.label, true
			}
			continue
		}
		number, ok := bytes.CutPrefix(name, []byte(l.name))
		if ok && len(number) > 0 && len(bytes.Trim(number, "0123456789")) == 0 {
			return l.label, true
		}
	}
	return 0, false
}

// fits reports whether an id and a secret have lengths that the label allows.
func (l keyLabel) fits(id, secret int) bool {
	switch l {
	case keyMaster:
		return id == 32 && secret == 48
	case keyMasterByID:
		return id > 0 && secret == 48
	case keyPremaster:
		return id == 32 && secret > 0
	case keyPremasterRSA:
		return id == rsaIDLen && secret == 48
	}
	return id == 32 && (secret == 32 || secret == 48) // the hash of the suite
}
