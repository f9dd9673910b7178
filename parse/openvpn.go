package parse

import "encoding/binary"

// OpenVPN's control channel carries TLS in packets that are numbered and
// acknowledged: opcode and key id, session id, with tls-auth an HMAC and a
// replay counter, acknowledgments, a message id, and a piece of the stream of
// records. Over TCP the length of each packet stands in front of it.

// MethodOpenVPN is the [Handshake.Method] of OpenVPN.
const MethodOpenVPN = "openvpn"

// openvpnOp is the opcode of a packet.
type openvpnOp uint8

// The opcodes that matter. Packets of other kinds, and with data, are passed
// over.
const (
	openvpnSoftReset    openvpnOp = 3  // the next session of TLS begins
	openvpnControl      openvpnOp = 4  // a piece of the stream
	openvpnAck          openvpnOp = 5  // nothing but acknowledgments
	openvpnData1        openvpnOp = 6  // data
	openvpnClientReset  openvpnOp = 7  // a client begins
	openvpnServerReset  openvpnOp = 8  // its server answers
	openvpnData2        openvpnOp = 9  // data, with the number of the peer
	openvpnClientReset3 openvpnOp = 10 // a client begins, with a key of its own (tls-crypt-v2)
	openvpnKeyAgain     openvpnOp = 11 // and brings that along once more
)

const (
	openvpnHeader = 1 + 8 // opcode and key id, session id
	openvpnReplay = 4 + 4 // counter and time
	// maxOpenVPNAcks is how many packets one can acknowledge.
	maxOpenVPNAcks = 8
	// unknownHMAC stands for an HMAC of a length not known yet.
	unknownHMAC = -1
)

// openvpnHMACs are the lengths of the HMAC that tls-auth may put in front of the
// rest: of none, MD5, SHA-1, SHA-2. Nothing in a packet tells which.
var openvpnHMACs = [...]int{0, 16, 20, 28, 32, 48, 64}

// DataOfOpenVPN reports whether a datagram to or from a server of OpenVPN is of
// the data channel, which has keys of its own.
func DataOfOpenVPN(b []byte) bool {
	op, _, _, ok := openvpnHead(b)
	return ok && (op == openvpnData1 || op == openvpnData2)
}

// controls tells the packets that are read.
func (op openvpnOp) controls() bool {
	switch op {
	case openvpnSoftReset, openvpnControl, openvpnAck, openvpnClientReset, openvpnServerReset, openvpnClientReset3, openvpnKeyAgain:
		return true
	}
	return false
}

// openvpnPacket is a packet of the control channel.
type openvpnPacket struct {
	op      openvpnOp
	key     uint8 // 0 to 7, of the session of TLS
	session uint64
	peer    uint64 // the other side's session id; valid iff acks > 0
	acks    int
	id      uint32 // numbers the messages of a session of TLS; 0 is its reset's
	payload []byte
}

// openvpnHead reads what all packets begin with.
func openvpnHead(b []byte) (op openvpnOp, key uint8, session uint64, ok bool) {
	if len(b) < openvpnHeader {
		return 0, 0, 0, false
	}
	return openvpnOp(b[0] >> 3), b[0] & 7, binary.BigEndian.Uint64(b[1:]), true
}

// read takes a packet of the control channel apart, as one whose HMAC is that
// long. It reports whether it can be one.
func (p *openvpnPacket) read(b []byte, hmac int) (ok bool) {
	*p = openvpnPacket{}
	p.op, p.key, p.session, ok = openvpnHead(b)
	if !ok {
		return false
	}
	b = b[openvpnHeader:]
	if hmac > 0 {
		if len(b) < hmac+openvpnReplay || !openvpnCounts(b[hmac:]) {
			return false
		}
		b = b[hmac+openvpnReplay:]
	}
	if len(b) == 0 || b[0] > maxOpenVPNAcks {
		return false
	}
	p.acks = int(b[0])
	b = b[1:]
	if p.acks > 0 {
		n := 4 * p.acks
		if len(b) < n+8 {
			return false
		}
		p.peer = binary.BigEndian.Uint64(b[n:])
		b = b[n+8:]
	}
	if p.op == openvpnAck {
		return p.acks > 0 && len(b) == 0
	}
	if len(b) < 4 {
		return false
	}
	p.id, p.payload = binary.BigEndian.Uint32(b), b[4:]
	switch p.op {
	case openvpnSoftReset, openvpnClientReset, openvpnServerReset:
		return p.id == 0 && len(p.payload) == 0
	case openvpnControl:
		return p.id > 0 && len(p.payload) > 0
	}
	return false
}

// openvpnCounts judges a replay counter, which starts at 1 and goes with a time
// in seconds since 1970.
func openvpnCounts(b []byte) bool {
	const (
		most     = 1 << 20 // control packets of one run
		earliest = 1 << 29 // in 1987: clocks may be wrong, but no time is that small
	)
	n := binary.BigEndian.Uint32(b)
	return n > 0 && n < most && binary.BigEndian.Uint32(b[4:]) >= earliest
}

// openvpnReset reads a packet that resets and acknowledges nothing, or, of a
// server, the client's reset: its length tells that of the HMAC.
func openvpnReset(b []byte) (p openvpnPacket, hmac int, ok bool) {
	op, key, _, ok := openvpnHead(b)
	if !ok || key == 0 != (op != openvpnSoftReset) {
		return p, unknownHMAC, false
	}
	rest := openvpnHeader + 1 + 4
	switch op {
	case openvpnClientReset, openvpnSoftReset:
	case openvpnServerReset:
		rest += 4 + 8
	default:
		return p, unknownHMAC, false
	}
	for _, n := range openvpnHMACs {
		total := rest + n
		if n > 0 {
			total += openvpnReplay
		}
		if total == len(b) && p.read(b, n) && (p.acks == 1) == (op == openvpnServerReset) {
			return p, n, true
		}
	}
	return p, unknownHMAC, false
}

// openvpnCovered reports whether b is the first packet of a client whose control
// channel is encrypted with a key that both ends hold (tls-crypt), or with one
// that the packet brings along, sealed for the server, its length at the end
// (tls-crypt-v2).
func openvpnCovered(b []byte) bool {
	const (
		tag   = 32
		early = 0x0a000000 // version 2 counts from about here, to show what the client can
		whole = openvpnHeader + openvpnReplay + tag + 1 + 4
		least = 256 + tag + 2 // of the key brought along
	)
	op, key, _, ok := openvpnHead(b)
	if !ok || key != 0 || len(b) < whole {
		return false
	}
	switch op {
	case openvpnClientReset:
		_, _, open := openvpnReset(b)
		return !open && len(b) == whole && openvpnCounts(b[openvpnHeader:])
	case openvpnClientReset3:
		n := binary.BigEndian.Uint32(b[openvpnHeader:])
		brought := int(binary.BigEndian.Uint16(b[len(b)-2:]))
		return n > 0 && n < 2*early && brought >= least && brought == len(b)-whole
	}
	return false
}

// openvpnOpening is OpeningOf for OpenVPN.
func openvpnOpening(b []byte) Opening {
	switch openvpnOp(b[0] >> 3) {
	case openvpnClientReset, openvpnClientReset3:
		if _, _, ok := openvpnReset(b); ok || openvpnCovered(b) {
			return Begins
		}
	case openvpnSoftReset:
		if _, _, ok := openvpnReset(b); ok {
			return Begins
		}
	case openvpnServerReset:
		if _, _, ok := openvpnReset(b); ok {
			return Underway
		}
	case openvpnControl:
		if openvpnByContent(b) != unknownHMAC {
			return Underway
		}
	}
	return NoOpening
}

// openvpnByContent finds the length of the HMAC of a packet by the handshake
// record that its piece of the stream begins with.
func openvpnByContent(b []byte) int {
	const most = 64 // messages, of a handshake
	var p openvpnPacket
	for _, n := range openvpnHMACs {
		if p.read(b, n) && p.id <= most && len(p.payload) > headerLen && p.payload[0] == byte(HandshakeRecord) && plausibleHeader(p.payload) {
			return n
		}
	}
	return unknownHMAC
}

// openvpnNames names the session of TLS that a reset begins. Either side may
// begin the next one.
func openvpnNames(b []byte) (n Names) {
	p, _, ok := openvpnReset(b)
	switch {
	case ok && p.op == openvpnSoftReset:
		return Names{To: hashName(b[:1]), Fresh: true, Mutual: true}
	case ok && p.op == openvpnClientReset || openvpnCovered(b):
		return Names{To: hashName(b[1:openvpnHeader]), Fresh: true}
	}
	return n
}
