package parse

import "encoding/binary"

// Bounds of OpenVPN's packets over TCP.
const (
	// maxOpenVPNFirst is the longest packet a stream may begin with: one with a key
	// of 1 KiB.
	maxOpenVPNFirst = 1200
	// maxOpenVPNControl is the longest packet of the control channel that is read;
	// an end cuts the stream into pieces of at most 2 KiB.
	maxOpenVPNControl = 4 << 10
)

// openvpnFrames is how far a direction is in OpenVPN's packets over TCP.
type openvpnFrames struct {
	on   bool
	hdr  [2]byte
	hdrN uint8
	left int    // bytes of the packet still to come
	pass bool   // it is not read
	buf  []byte // what came of it, if in several pieces
}

// openingOpenVPN judges whether the first bytes of a stream are a reset of
// OpenVPN's and its length.
func (d *direction) openingOpenVPN(b []byte) sign {
	if d.c.h.Flow.Proto != TCP || b[0] > maxOpenVPNFirst>>8 {
		return signNo
	}
	if len(b) < 3 {
		return signNeedMore
	}
	n := int(binary.BigEndian.Uint16(b))
	switch op := openvpnOp(b[2] >> 3); {
	case op != openvpnClientReset && op != openvpnServerReset && op != openvpnClientReset3, b[2]&7 != 0, n < openvpnHeader, n > maxOpenVPNFirst:
		return signNo
	case len(b) < 2+n:
		return signNeedMore
	}
	first := b[2 : 2+n]
	if _, _, ok := openvpnReset(first); !ok && !openvpnCovered(first) {
		return signNo
	}
	if d.c.grams == nil {
		d.c.grams = &datagrams{vpn: newOpenVPNReader(d.c)}
	}
	d.vpn = openvpnFrames{on: true}
	return signYes
}

// unframe takes bytes of packets and returns the rest.
func (d *direction) unframe(data []byte) []byte {
	f := &d.vpn
	if f.left == 0 {
		n := copy(f.hdr[f.hdrN:], data)
		f.hdrN += uint8(n)
		if int(f.hdrN) < len(f.hdr) {
			return nil
		}
		f.hdrN, f.left, f.pass, f.buf = 0, int(binary.BigEndian.Uint16(f.hdr[:])), false, f.buf[:0]
		if f.left == 0 {
			d.c.malformed(d.from, "an OpenVPN packet without a byte")
			d.unframed()
		}
		return data[n:]
	}
	n := min(f.left, len(data))
	f.pass = f.pass || f.left > maxOpenVPNControl
	f.left -= n
	switch {
	case f.pass:
	case f.left > 0:
		f.buf = append(f.buf, data[:n]...)
	case len(f.buf) > 0:
		f.buf = append(f.buf, data[:n]...)
		d.c.grams.vpn.packet(d.from, f.buf, 0)
	default:
		d.c.grams.vpn.packet(d.from, data[:n], 0)
	}
	return data[n:]
}

// unframed gives a direction up in which nothing tells where a packet begins.
func (d *direction) unframed() {
	d.vpn = openvpnFrames{}
	d.mode = opaque
	d.hidden()
}

// loseFramed takes note of n bytes missing from packets.
func (d *direction) loseFramed(n int) {
	f := &d.vpn
	k := min(n, f.left)
	f.left -= k
	f.pass = f.pass || k > 0
	if n > k {
		d.unframed()
	}
}
