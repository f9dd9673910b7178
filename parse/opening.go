package parse

import (
	"fmt"
	"strings"
	"time"
)

// TCPOpening is what the packets that opened a TCP connection show beside its bytes
// (RFC 9293 §3.5), indexed by Side: it tells apart who ends TCP and who only passes
// packets on.
type TCPOpening [2]TCPSide

// Reply is the time from the SYN to the SYN-ACK, 0 where that is not known: one of them
// was not captured, or the SYN was sent again.
func (o *TCPOpening) Reply() time.Duration {
	if !o[Opener].SYN || !o[Accepter].SYN || o[Opener].Again {
		return 0
	}
	return max(o[Accepter].At.Sub(o[Opener].At), 0)
}

// TCPSide is what one side's packets show.
type TCPSide struct {
	// SYN: its SYN was captured, at At. Options, Seq, TTL and Stamp are of it.
	SYN bool
	At  time.Time
	// Again: it was captured more than once.
	Again   bool
	Options TCPOptions
	// Seq is the initial sequence number.
	Seq uint32
	// Stamp is the timestamp (RFC 7323 §3.2); valid iff Options has one.
	Stamp uint32
	// TTL is the IPv4 time to live or the IPv6 hop limit, 0 if not known; DataTTL
	// that of the first captured packet with payload.
	TTL, DataTTL uint8
	// Bare: the first packet with payload carried no timestamp, whatever was agreed.
	Bare bool
}

// TCPOptions are the options of a SYN, as far as they are of use to tell TCP
// implementations apart. It is comparable.
type TCPOptions struct {
	kinds uint32 // the first maxOptions in order, optionBits each, from the lowest on
	MSS   uint16 // RFC 9293 §3.7.1; 0 for none
	Scale uint8  // shift count (RFC 7323 §2)
}

const (
	optionBits = 3
	maxOptions = 10
)

// Options of TCP (IANA TCP Option Kind Numbers) by what TCPOptions calls them,
// from 1.
var optionNames = [1 << optionBits]string{"", "end", "nop", "mss", "wscale", "sack", "timestamps", "other"}

const (
	optionEnd = iota + 1
	optionNop
	optionMSS
	optionScale
	optionSACK
	optionStamps
	optionOther
)

// ReadTCPOptions reads the options of a SYN, which may be cut short, and the
// timestamp among them, 0 for none.
func ReadTCPOptions(b []byte) (o TCPOptions, stamp uint32) {
	for n := 0; len(b) > 0; n++ {
		kind, body, rest := optionOther, []byte(nil), []byte(nil)
		switch {
		case b[0] == 0:
			kind = optionEnd
		case b[0] == 1:
			kind, rest = optionNop, b[1:]
		case len(b) < 2 || b[1] < 2 || int(b[1]) > len(b):
			return o, stamp
		default:
			body, rest = b[2:b[1]], b[b[1]:]
		}
		switch {
		case b[0] == 2 && len(body) == 2:
			kind, o.MSS = optionMSS, uint16(body[0])<<8|uint16(body[1])
		case b[0] == 3 && len(body) == 1:
			kind, o.Scale = optionScale, body[0]
		case b[0] == 4 && len(body) == 0:
			kind = optionSACK
		case b[0] == 8 && len(body) == 8:
			kind = optionStamps
			stamp = uint32(body[0])<<24 | uint32(body[1])<<16 | uint32(body[2])<<8 | uint32(body[3])
		}
		if n < maxOptions {
			o.kinds |= uint32(kind) << (n * optionBits)
		}
		b = rest
	}
	return o, stamp
}

// Stamps reports whether the timestamps option is among them.
func (o TCPOptions) Stamps() bool {
	for k := o.kinds; k != 0; k >>= optionBits {
		if k&(1<<optionBits-1) == optionStamps {
			return true
		}
	}
	return false
}

// String lists the options in order: "mss 1460, sack, timestamps, nop, wscale 7".
func (o TCPOptions) String() string {
	var out []string
	for k := o.kinds; k != 0; k >>= optionBits {
		kind := k & (1<<optionBits - 1)
		switch kind {
		case optionMSS:
			out = append(out, fmt.Sprintf("mss %d", o.MSS))
		case optionScale:
			out = append(out, fmt.Sprintf("wscale %d", o.Scale))
		default:
			out = append(out, optionNames[kind])
		}
	}
	if len(out) == 0 {
		return "none"
	}
	return strings.Join(out, ", ")
}
