package capture

import (
	"errors"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
)

// foreign opens encapsulations with gopacket, beginning with first and ending
// at the next EtherType that the decoder walks itself.
func foreign(first gopacket.Decoder) peel {
	return func(d *Decoder, data []byte, at place) (in inner) {
		d.stats.Foreign++
		defer func() {
			// gopacket's decoders index beyond short headers. A packet must not
			// end the program.
			if recover() != nil {
				d.stats.Panics++
				in = inner{out: Bad}
			}
		}()
		b := builder{decoder: d, found: inner{via: at.via, out: NotTCP}}
		// An error is most often a protocol gopacket does not know either.
		err := first.Decode(data, &b)
		if err != nil && b.truncated || b.empty && at.cut > 0 {
			b.found.out = at.short()
		}
		return b.found
	}
}

// ForgetNames clears two tables of gopacket with a row for each of 65,536 EtherTypes
// and of as many protocols of PPP, of which the garbage collector would follow all
// 400,000 pointers each time. They are not used here: NextDecoder stops at an
// EtherType, and what is opened with gopacket leads to PPP by way of one alone. It is
// for a main to call, before anything is decoded.
func ForgetNames() {
	clear(layers.EthernetTypeMetadata[:])
	clear(layers.PPPTypeMetadata[:])
}

// maxLayers bounds the recursion of gopacket within one packet: MPLS labels
// follow each other as long as the packet lasts.
const maxLayers = 16

var errTooDeep = errors.New("too many layers")

// builder is the gopacket.PacketBuilder that keeps no packet: it notes the
// layers by which connections differ and stops at the first bytes that the
// decoder's own code can read, before gopacket would go on to IP, TCP and the
// application.
type builder struct {
	decoder   *Decoder
	last      gopacket.Layer
	layers    int
	truncated bool
	empty     bool // a layer holds nothing
	found     inner
}

// AddLayer notes what tells otherwise equal addresses apart.
func (b *builder) AddLayer(l gopacket.Layer) {
	b.last = l
	if _, ok := l.(*layers.EtherIP); ok {
		b.note(viaEtherIP, 0)
	}
}

func (b *builder) note(kind viaKind, number uint32) {
	b.found.via = b.decoder.inside(b.found.via, kind, number)
}

// NextDecoder stops where next is a protocol of ours and recurses elsewhere.
func (b *builder) NextDecoder(next gopacket.Decoder) error {
	data := b.last.LayerPayload()
	b.empty = len(data) == 0
	if b.empty {
		return nil
	}
	etherType, known := uint16(0), true
	switch next := next.(type) {
	case layers.EthernetType:
		etherType = uint16(next)
	case layers.LinkType:
		known = next == layers.LinkTypeEthernet
		etherType = etherBridged
	case gopacket.LayerType:
		etherType, known = layerEtherType(next)
	default:
		known = false
	}
	if known {
		b.found.etherType, b.found.data = etherType, data
		return nil
	}
	if b.layers++; b.layers > maxLayers {
		return errTooDeep
	}
	return next.Decode(data, b)
}

func layerEtherType(t gopacket.LayerType) (uint16, bool) {
	switch t {
	case layers.LayerTypeIPv4:
		return etherIPv4, true
	case layers.LayerTypeIPv6:
		return etherIPv6, true
	case layers.LayerTypeEthernet:
		return etherBridged, true
	case layers.LayerTypeDot11:
		return etherWiFi, true
	}
	return 0, false
}

// SetTruncated is how gopacket says that a header was cut.
func (b *builder) SetTruncated() { b.truncated = true }

// The rest of the interface serves packets that are kept.

func (b *builder) SetLinkLayer(gopacket.LinkLayer)               {}
func (b *builder) SetNetworkLayer(gopacket.NetworkLayer)         {}
func (b *builder) SetTransportLayer(gopacket.TransportLayer)     {}
func (b *builder) SetApplicationLayer(gopacket.ApplicationLayer) {}
func (b *builder) SetErrorLayer(gopacket.ErrorLayer)             {}
func (b *builder) DumpPacketData()                               {}

func (b *builder) DecodeOptions() *gopacket.DecodeOptions {
	return &gopacket.DecodeOptions{Lazy: true, NoCopy: true}
}
