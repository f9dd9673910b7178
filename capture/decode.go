package capture

import "maps"

// LinkType says what a captured packet begins with: a LINKTYPE_ value of the
// registry that pcap and pcapng share.
type LinkType uint16

// Outcome is what the Decoder made of one packet.
type Outcome uint8

const (
	// NotTCP is a packet that is sound as far as it was read and carries
	// nothing that is followed.
	NotTCP Outcome = iota
	// TCP is a packet whose segment was filled in.
	TCP
	// Truncated is a packet whose headers were cut by the snap length.
	Truncated
	// Bad is a packet whose headers contradict themselves.
	Bad
	// Fragment is a part of an IP packet that is not complete with it.
	Fragment
	// UDP is a datagram; Payload and Missing of its segment are the datagram's.
	UDP
	// EAPOL is a link-layer frame with an EAP packet (IEEE 802.1X), which is the
	// Payload of its segment, between link addresses.
	EAPOL
	// UnknownLink is a packet of a link type that has no row in the table.
	UnknownLink
	numOutcomes
)

var outcomeNames = [numOutcomes]string{"not-tcp", "tcp", "truncated", "bad", "fragment", "udp", "eapol", "unknown-link"}

func (o Outcome) String() string {
	if o < numOutcomes {
		return outcomeNames[o]
	}
	return "unknown"
}

// DecodeStats counts what a Decoder saw.
type DecodeStats struct {
	// Packets is the sum of Outcomes, which is indexed by Outcome.
	Packets  int64
	Outcomes [numOutcomes]int64
	// Cut counts the packets longer on the wire than in the capture, headers
	// complete or not; Longest is the wire length of the longest, in bytes.
	Cut     int64
	Longest int
	// Foreign counts encapsulations opened by gopacket, and Panics those of them
	// it could not bear. Such a packet is Bad.
	Foreign, Panics int64
	Fragments       FragmentStats
	// Opaque counts the packets of tunnels that cannot be looked into.
	Opaque [numOpaques]int64
	// ViaOverflow counts encapsulations that found the table of names full.
	ViaOverflow int64
	// UnknownLink is one of the link types without a row.
	UnknownLink LinkType
	// Oversize counts TCP packets longer than any frame; LongestTCP is the
	// longest, in bytes.
	Oversize   int64
	LongestTCP int
	// Summed counts TCP checksums looked at, a sample. Of these Unsummed are left
	// to the network card, and WrongSums fit nothing.
	Summed, Unsummed, WrongSums int64
}

// maxDepth bounds encapsulations within each other. Real ones stay below 4.
const maxDepth = 8

// Decoder finds the TCP segment or the datagram in a packet. The common link layers and IP are
// walked in place without allocating; whatever the tables list as foreign is
// opened by gopacket, whose result is again an EtherType and bytes to walk. A
// Decoder is for one goroutine.
type Decoder struct {
	stats      DecodeStats
	vias       vias
	udpTunnels portTable
	fragments  fragments
	now        int64
	pdus       map[Tuple]uint32 // next number of exported streams
	suspects   map[uint16]*suspect
	looked     int64 // datagrams that may be a tunnel's
}

// NewDecoder returns a Decoder that has seen nothing yet.
func NewDecoder() *Decoder { return &Decoder{vias: newVias(), udpTunnels: newPortTable(udpTunnels)} }

// VXLANPorts makes the Decoder look for VXLAN at UDP ports beside those it knows.
func (d *Decoder) VXLANPorts(ports []uint16) {
	rows := maps.Clone(udpTunnels)
	for _, p := range ports {
		rows[p] = vxlan
	}
	d.udpTunnels = newPortTable(rows)
}

// Stats returns the counts so far.
func (d *Decoder) Stats() DecodeStats {
	s := d.stats
	s.Fragments = d.fragments.count()
	return s
}

// Advance tells when the next packet was captured, in nanoseconds since the Unix
// epoch. Fragments are waited for by that clock, which may jump.
func (d *Decoder) Advance(at int64) { d.now = at }

// ViaName returns the name of the encapsulations with that index, outermost
// first: "vlan 12", "vlan 12/vxlan 800"; empty for none.
func (d *Decoder) ViaName(via uint32) string { return d.vias.name(via) }

// place is where in a packet decoding stands, apart from the bytes.
type place struct {
	// cut counts the bytes behind the captured ones that belong to the layer.
	cut   int
	via   uint32
	depth uint8
	ttl   uint8 // of the IP header walked last
}

// short is the outcome where a header ends behind the captured bytes: the snap
// length's fault if it cut, else the packet's own.
func (at place) short() Outcome {
	if at.cut > 0 {
		return Truncated
	}
	return Bad
}

// Decode looks for a TCP segment in data, the captured part of a packet that
// had wireLen bytes. With outcome TCP seg is valid as a whole, with UDP and
// EAPOL but for what only TCP has; its Payload is borrowed from data, or, where
// that completes a fragmented packet, from the Decoder until the next call.
func (d *Decoder) Decode(link LinkType, data []byte, wireLen int, seg *Segment) Outcome {
	var at place
	d.stats.Packets++
	if len(d.fragments.out) > 0 {
		d.fragments.release()
	}
	if wireLen > len(data) {
		at.cut = wireLen - len(data)
		d.stats.Cut++
		d.stats.Longest = max(d.stats.Longest, wireLen)
	}
	out := d.link(link, data, at, seg)
	switch {
	case out == EAPOL:
		linkAddresses(link, data, seg)
	case out == UnknownLink:
		d.stats.UnknownLink = link
	case wireLen > longestFrame && out == TCP && !isLoopback(&seg.Src):
		d.stats.Oversize++
		d.stats.LongestTCP = max(d.stats.LongestTCP, wireLen)
	}
	d.stats.Outcomes[out]++
	return out
}
