package traffic

import (
	"bufio"
	"container/heap"
	"errors"
	"io"
	"net/netip"
	"time"
)

// Write writes the capture that p describes, in pcap format, and returns what
// is right to say about it. Its memory use depends on how many connections are
// open at once, not on the length of the capture.
func Write(w io.Writer, p Profile, recs []Recording) (Truth, error) {
	if len(recs) == 0 {
		return Truth{}, errors.New("no recordings to replay")
	}
	m := newMix(w, p, recs)
	if err := m.run(); err != nil {
		return Truth{}, err
	}
	return m.truth, m.w.Flush()
}

// mix merges flows by time.
type mix struct {
	profile  Profile
	maker    *maker
	w        *bufio.Writer
	frame    framer
	tunnel   tunnel
	arrivals []arrival
	open     flows
	truth    Truth
}

// arrival is a kind of traffic that begins again and again at even distances.
type arrival struct {
	kind        kind
	count, done int
}

type kind uint8

const (
	short kind = iota
	bulk
	plain
	datagram
)

func (a *arrival) at(d time.Duration) time.Time {
	return epoch().Add(time.Duration(float64(d) * float64(a.done) / float64(a.count)))
}

func newMix(w io.Writer, p Profile, recs []Recording) *mix {
	m := &mix{
		profile:  p,
		maker:    newMaker(p, recs),
		tunnel:   tunnel{vni: p.VNI},
		w:        bufio.NewWriterSize(w, 1<<20),
		arrivals: []arrival{{short, p.Short, 0}, {bulk, p.Bulk, 0}, {plain, p.Plain, 0}, {datagram, p.Datagrams, 0}},
		truth:    Truth{Profile: p, Generator: Generator},
	}
	for i := range recs {
		m.truth.Scenarios = append(m.truth.Scenarios, recs[i].expected(i))
	}
	return m
}

func (m *mix) run() error {
	if err := m.put(fileHeader(), 0); err != nil {
		return err
	}
	for {
		a, at := m.nextArrival()
		var err error
		switch {
		case len(m.open) > 0 && (a == nil || !at.Before(m.open[0].at)):
			err = m.segment()
		case a != nil:
			err = m.arrive(a.kind, at)
			a.done++
		default:
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// nextArrival returns what begins next and when, nil for nothing.
func (m *mix) nextArrival() (next *arrival, at time.Time) {
	for i := range m.arrivals {
		a := &m.arrivals[i]
		if a.done == a.count {
			continue
		}
		if t := a.at(m.profile.Duration); next == nil || t.Before(at) {
			next, at = a, t
		}
	}
	return next, at
}

func (m *mix) arrive(k kind, at time.Time) error {
	var f *flow
	switch k {
	case short:
		f = m.tls(m.maker.pick(), 0)
	case bulk:
		n := m.profile.BulkRecords
		f = m.tls(m.maker.pickLasting(m.profile.Version), n/2+m.maker.rng.IntN(n+1))
	case plain:
		f = m.maker.plain()
		m.truth.Other++
	case datagram:
		from, to, data := m.maker.datagram()
		return m.put(m.frame.udp(at, from, to, data), 1)
	}
	f.at = at
	heap.Push(&m.open, f)
	m.truth.Peak = max(m.truth.Peak, len(m.open))
	return nil
}

func (m *mix) tls(scenario, records int) *flow {
	m.truth.TLS++
	m.truth.Scenarios[scenario].Connections++
	return m.maker.tls(scenario, records)
}

// segment writes the earliest segment among the open flows.
func (m *mix) segment() error {
	f := m.open[0]
	s := &f.steps[0]
	err := m.put(m.frame.tcp(f.at, f.ends[s.from], f.ends[s.from^1], s, f.stamps), 1)
	if f.steps = f.steps[1:]; len(f.steps) == 0 {
		heap.Pop(&m.open)
		return err
	}
	f.at = f.at.Add(f.steps[0].after)
	heap.Fix(&m.open, 0)
	return err
}

// put writes the file's header, or a packet.
func (m *mix) put(b []byte, packets int64) error {
	if packets > 0 && m.profile.VNI != 0 {
		b = m.tunnel.wrap(b)
	}
	m.truth.Packets += packets
	m.truth.Bytes += int64(len(b))
	_, err := m.w.Write(b)
	return err
}

// flows is a heap, the flow with the earliest next segment first.
type flows []*flow

func (f flows) Len() int      { return len(f) }
func (f flows) Swap(i, j int) { f[i], f[j] = f[j], f[i] }
func (f flows) Less(i, j int) bool {
	if c := f[i].at.Compare(f[j].at); c != 0 {
		return c < 0
	}
	return f[i].order < f[j].order
}
func (f *flows) Push(x any) { *f = append(*f, x.(*flow)) }
func (f *flows) Pop() any {
	last := len(*f) - 1
	x := (*f)[last]
	(*f)[last] = nil
	*f = (*f)[:last]
	return x
}

// datagram draws a UDP packet: a full-sized one as of QUIC, or one as of DNS.
func (m *maker) datagram() (from, to netip.AddrPort, data []byte) {
	from = netip.AddrPortFrom(netip.AddrFrom4([4]byte{198, 19, 200, byte(1 + m.rng.IntN(250))}), uint16(40000+m.rng.IntN(500)))
	port, n := uint16(443), 1252
	if m.rng.IntN(2) == 0 {
		port, n = 53, 60
	}
	off := m.rng.IntN(len(m.file) - n)
	return from, netip.AddrPortFrom(m.host(plainNet()), port), m.file[off : off+n]
}
