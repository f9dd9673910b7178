package traffic

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"time"
)

// maker turns recordings into flows, no two alike.
type maker struct {
	rng    *rand.Rand
	recs   []Recording
	weight int // sum over recs
	made   int
	// body is a run of TLS records of application data, 16 KiB of content each,
	// in the two lengths that AES-GCM gives them: TLS 1.2 carries an explicit
	// nonce (RFC 5288 §3), TLS 1.3 a content type (RFC 8446 §5.2).
	body12, body13 []byte
	// file is content without any structure, for what is not TLS.
	file []byte
}

// bodyRecords is how many records body12 and body13 hold.
const bodyRecords = 256

func newMaker(p Profile, recs []Recording) *maker {
	m := &maker{rng: rand.New(rand.NewPCG(p.Seed, 0)), recs: recs}
	for i := range recs {
		m.weight += recs[i].Weight
	}
	m.body12 = m.records(16384 + 8 + 16)
	m.body13 = m.records(16384 + 1 + 16)
	m.file = m.noise(nil, max(p.PlainBytes, mtu))
	return m
}

func (m *maker) records(length int) []byte {
	var b []byte
	for range bodyRecords {
		b = append(b, 23, 3, 3, byte(length>>8), byte(length))
		b = m.noise(b, length)
	}
	return b
}

// noise appends n bytes that look sealed.
func (m *maker) noise(b []byte, n int) []byte {
	for ; n >= 8; n -= 8 {
		b = binary.LittleEndian.AppendUint64(b, m.rng.Uint64())
	}
	for ; n > 0; n-- {
		b = append(b, byte(m.rng.Uint32()))
	}
	return b
}

// pick chooses a scenario by weight.
func (m *maker) pick() int {
	n := m.rng.IntN(m.weight)
	for i := range m.recs {
		if n -= m.recs[i].Weight; n < 0 {
			return i
		}
	}
	return 0
}

// pickLasting chooses a scenario whose handshake succeeds, of a version unless
// that is 0.
func (m *maker) pickLasting(version uint16) int {
	for {
		if i := m.pick(); !m.recs[i].refused() && (version == 0 || m.recs[i].Version == version) {
			return i
		}
	}
}

// tls returns a connection of the i-th scenario; that many records of bulk data
// follow the recorded response.
func (m *maker) tls(i, records int) *flow {
	rec := &m.recs[i]
	f, g := m.begin(netip.AddrPortFrom(m.host(serverNet(i)), 443))
	g.open()
	for n, w := range rec.writes {
		if n == 0 {
			w.data = m.hello(w.data)
		}
		if n == rec.tail {
			if records > 0 {
				g.pace = bulkPace
				for _, w := range m.transfer(rec, records) {
					g.write(w)
				}
			}
			g.delay = time.Duration(m.rng.Int64N(int64(2 * lingering)))
		} else if n > 0 && w.from != rec.writes[n-1].from {
			g.delay = roundTrip/2 + time.Duration(m.rng.Int64N(int64(roundTrip)))
		}
		g.write(w)
	}
	return m.end(f, g)
}

// clientRandom is where the random stands in the first record of a ClientHello:
// behind the record header, the handshake header and the version.
const clientRandom = 5 + 4 + 2

func (m *maker) hello(recorded []byte) []byte {
	b := bytes.Clone(recorded)
	m.noise(b[:clientRandom], 32)
	return b
}

// transfer is a bulk transfer; one in four is an upload.
func (m *maker) transfer(rec *Recording, records int) (out []write) {
	body := m.body13
	if rec.Version < 0x0304 {
		body = m.body12
	}
	from := server
	if m.rng.IntN(4) == 0 {
		from = client
	}
	for ; records > 0; records -= bodyRecords {
		out = append(out, write{from: from, data: body[:min(records, bodyRecords)*(len(body)/bodyRecords)]})
	}
	return out
}

// plain returns a connection without TLS: HTTP or, one in three, a protocol
// where the server speaks first.
func (m *maker) plain() *flow {
	body := write{server, m.file}
	port, writes := uint16(80), []write{
		{client, []byte("GET /file HTTP/1.1\r\nHost: files.contoso.test\r\n\r\n")},
		{server, []byte("HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nConnection: close\r\n\r\n")},
		body,
	}
	if m.rng.IntN(3) == 0 {
		port, writes = 5900, []write{{server, []byte("RFB 003.008\n")}, {client, []byte("RFB 003.008\n")}, body}
	}
	f, g := m.begin(netip.AddrPortFrom(m.host(plainNet()), port))
	g.open()
	g.pace = bulkPace
	for _, w := range writes {
		g.write(w)
		g.delay = roundTrip
	}
	return m.end(f, g)
}

// plainNet holds the servers without TLS.
func plainNet() netip.Prefix { return serverNet(255) }

// host draws one of the sixty hosts of a /24.
func (m *maker) host(net netip.Prefix) netip.Addr {
	a := net.Addr().As4()
	a[3] = byte(1 + m.rng.IntN(60))
	return netip.AddrFrom4(a)
}

// clients is how many hosts open connections.
const clients = 4000

// begin draws a flow's addresses. No client uses a port twice, up to 100
// million connections.
func (m *maker) begin(to netip.AddrPort) (*flow, *segmenter) {
	n := m.made % clients
	from := netip.AddrFrom4([4]byte{198, 19, byte(n / 250), byte(1 + n%250)})
	f := &flow{
		ends:   [2]netip.AddrPort{netip.AddrPortFrom(from, uint16(32768+m.made/clients%28000)), to},
		stamps: m.rng.IntN(2) == 0,
		order:  m.made,
	}
	m.made++
	return f, newSegmenter(m.rng, f.stamps)
}

func (m *maker) end(f *flow, g *segmenter) *flow {
	g.close()
	g.blemish()
	f.steps = g.steps
	return f
}
