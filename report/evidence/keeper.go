// Package evidence keeps the packets of connections worth another look: for each
// one a small pcapng file with a comment that says why, which Wireshark shows.
//
// A [Keeper] remembers packets in memory, within bounds, until a connection is
// answered; a goroutine of its own writes the files, so that a slow or full disk
// holds nothing up.
package evidence

import (
	"bytes"
	"net/netip"
	"slices"
	"sync"

	"whoasked/capture"
	"whoasked/parse"
)

// Bounds of what is kept in memory.
const (
	headBytes = 64 << 10 // from the start of a connection
	tailBytes = 32 << 10 // and, twice this at most, from its latest packets
	// fixedBytes bounds what stays of a connection whose answer changes as it goes on.
	fixedBytes = 4 * headBytes
	// memoryBytes bounds the packets of all connections together, quietFlows the
	// connections that have carried no payload: a flood of SYNs costs nothing else.
	memoryBytes = 24 << 20
	quietFlows  = 4096
	allFlows    = 65536
	maxLinks    = 64
)

// key is both ends of a connection, the lesser first.
type key struct {
	a, b  [16]byte
	ap, p uint16
	via   uint32
}

func keyOf(t *capture.Tuple) key {
	if c := bytes.Compare(t.Src[:], t.Dst[:]); c > 0 || c == 0 && t.SrcPort > t.DstPort {
		return key{t.Dst, t.Src, t.DstPort, t.SrcPort, t.Via}
	}
	return key{t.Src, t.Dst, t.SrcPort, t.DstPort, t.Via}
}

// flow is what is kept of one connection: blocks of pcapng, packet after packet.
//
//	head ┌first 64 KiB──────┐ … ┌before┐┌latest┐
//
// When it is answered, all of them become its head.
type flow struct {
	key            key
	head           []byte
	before, latest []byte // two halves of a ring
	first          int64  // time of the first packet
	packets        int
	left           int  // packets that are in neither
	payload        bool // was seen
	settled        bool // nothing more is needed
	written        int  // packets, when last written
	name           string
	comment        string
	leftOut        []capture.LeftOut

	prev, next *flow
	in         *list
	// back has what the accepter sent, where it came by other tunnels.
	back *flow
}

// all counts the packets of both ways.
func (f *flow) all() int {
	if f.back != nil {
		return f.packets + f.back.packets
	}
	return f.packets
}

func (f *flow) bytes() int { return cap(f.head) + cap(f.before) + cap(f.latest) }

// Keeper keeps packets. Its methods may be called by any goroutine.
type Keeper struct {
	writer  *writer
	viaName func(uint32) string

	mu    sync.Mutex
	flows map[key]*flow
	vias  map[string]uint32
	links []capture.LinkType
	quiet list // without payload, the longest unheard of first
	heard list
	bytes int
	stats Stats
}

// Stats counts what became of connections.
type Stats struct {
	Files   int64 // written, those written again included
	Bytes   int64 // in the folder now
	Removed int64 // to stay within size and age
	Failed  int64 // attempts to write
	Lost    int64 // connections whose packets could not be kept or written
	Cut     int64 // packets beyond what is kept of one connection
}

// Options says where evidence goes.
type Options struct {
	Dir string
	Limits
	// ViaName names encapsulations, as [capture.Decoder.ViaName].
	ViaName func(uint32) string
	// Log is told when writing begins to fail and when it works again.
	Log func(text string)
}

// Open makes the folder if need be, takes stock of it, and removes what an
// earlier run left unfinished.
func Open(o Options) (*Keeper, error) {
	w, err := openWriter(o)
	if err != nil {
		return nil, err
	}
	k := &Keeper{writer: w, viaName: o.ViaName, flows: make(map[key]*flow), vias: make(map[string]uint32)}
	go w.run()
	return k, nil
}

// Packet takes a packet with a segment or datagram of some connection.
func (k *Keeper) Packet(at int64, link capture.LinkType, wireLen int, data []byte, seg *capture.Segment) {
	k.mu.Lock()
	defer k.mu.Unlock()
	id := keyOf(&seg.Tuple)
	f := k.flows[id]
	payload := len(seg.Payload)+seg.Missing > 0
	begins := seg.Flags&(capture.FlagSYN|capture.FlagACK) == capture.FlagSYN
	if f != nil && begins && (f.payload || f.settled) {
		k.drop(f) // the ports are used again
		f = nil
	}
	if f == nil {
		if !payload && seg.Flags&capture.FlagSYN == 0 {
			return
		}
		f = k.begin(id, at)
	}
	if f.settled {
		return
	}
	l := f.in
	l.remove(f)
	if payload && !f.payload {
		f.payload = true
		l = &k.heard
	}
	l.push(f)
	was := f.bytes()
	k.add(f, at, link, wireLen, data)
	k.bytes += f.bytes() - was
	for k.bytes > memoryBytes || k.quiet.n > quietFlows || k.quiet.n+k.heard.n > allFlows {
		k.evict(f)
	}
}

// LeftOut is told of a part of a connection whose packets did not come, as they hold
// nothing but application data.
func (k *Keeper) LeftOut(t *capture.Tuple, part capture.LeftOut) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if f := k.flows[keyOf(t)]; f != nil && !f.settled && len(f.leftOut) < capture.MaxLeftOut {
		f.leftOut = append(f.leftOut, part)
	}
}

func (k *Keeper) begin(id key, at int64) *flow {
	f := &flow{key: id, first: at}
	k.flows[id] = f
	k.quiet.push(f)
	if id.via != 0 && k.viaName != nil {
		k.vias[k.viaName(id.via)] = id.via
	}
	return f
}

// add puts a packet behind the others of its connection.
func (k *Keeper) add(f *flow, at int64, link capture.LinkType, wireLen int, data []byte) {
	n := k.link(link)
	if n < 0 || len(data) > tailBytes && f.head != nil && len(f.head)+len(data) > headBytes {
		f.left++
		k.stats.Cut++
		return
	}
	f.packets++
	size := packetSize(len(data), "")
	if f.before == nil && f.latest == nil && len(f.head)+size <= headBytes || len(f.head) == 0 {
		f.head = appendPacket(f.head, n, at, wireLen, data, "")
		return
	}
	if f.latest == nil {
		f.latest = make([]byte, 0, tailBytes+packetOverhead)
	}
	if len(f.latest)+size > cap(f.latest) {
		lost := countPackets(f.before)
		f.left += lost
		k.stats.Cut += int64(lost)
		f.before, f.latest = f.latest, f.before[:0]
		if cap(f.latest) == 0 {
			f.latest = make([]byte, 0, tailBytes+packetOverhead)
		}
	}
	f.latest = appendPacket(f.latest, n, at, wireLen, data, "")
}

// link returns the number of a link type in files, negative if there are too many.
func (k *Keeper) link(link capture.LinkType) int {
	for i, l := range k.links {
		if l == link {
			return i
		}
	}
	if len(k.links) == maxLinks {
		return -1
	}
	k.links = append(k.links, link)
	return len(k.links) - 1
}

// evict forgets the connection unheard of for the longest time, but not except.
func (k *Keeper) evict(except *flow) {
	l := &k.heard
	if k.quiet.n > quietFlows || l.n == 0 {
		l = &k.quiet
	}
	f := l.head
	if f == except {
		f = f.next
	}
	if f == nil {
		f = k.quiet.head
	}
	k.drop(f)
}

func (k *Keeper) drop(f *flow) {
	f.in.remove(f)
	delete(k.flows, f.key)
	k.bytes -= f.bytes()
}

// find returns what is kept of a connection that began at start; nil if nothing is.
func (k *Keeper) find(pf *parse.Flow, start int64) *flow {
	there, back := capture.CutVias(pf.Via)
	f := k.oneWay(pf, there, start)
	if there == back {
		return f
	}
	g := k.oneWay(pf, back, start)
	if f == nil {
		return g
	}
	f.back = g
	return f
}

// oneWay is find for what came by some tunnels.
func (k *Keeper) oneWay(pf *parse.Flow, via string, start int64) *flow {
	t := capture.Tuple{
		Src: pf.Addrs[0].Addr().As16(), Dst: pf.Addrs[1].Addr().As16(),
		SrcPort: pf.Addrs[0].Port(), DstPort: pf.Addrs[1].Port(), Via: k.vias[via],
	}
	f := k.flows[keyOf(&t)]
	if f == nil || f.first > start {
		return nil // or of an earlier connection on the same ports
	}
	return f
}

// Answered has the packets so far written, with the comment on the first.
func (k *Keeper) Answered(h *parse.Handshake, client, server netip.AddrPort, comment string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	f := k.find(&h.Flow, h.Start.UnixNano())
	if f == nil || len(f.head) == 0 {
		k.stats.Lost++
		return
	}
	if f.name == "" {
		f.name = fileName(h.Start, client, server)
	}
	f.comment = comment
	k.write(f)
	k.fix(f)
	if f.back != nil {
		k.fix(f.back)
	}
}

// fix has what an answer was made of stay, whatever comes behind it.
func (k *Keeper) fix(f *flow) {
	if f.latest == nil || len(f.head)+len(f.before)+len(f.latest) > fixedBytes {
		return
	}
	was := f.bytes()
	f.head = slices.Concat(f.head, f.before, f.latest)
	f.before, f.latest = nil, nil
	k.bytes += f.bytes() - was
}

// Dismissed takes back an answer that a file was written for.
func (k *Keeper) Dismissed(h *parse.Handshake) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if f := k.find(&h.Flow, h.Start.UnixNano()); f != nil && f.name != "" {
		k.writer.remove(f.name)
		f.name, f.comment = "", ""
	}
}

// Settled tells that no more packets of a connection are needed.
func (k *Keeper) Settled(h *parse.Handshake) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if f := k.find(&h.Flow, h.Start.UnixNano()); f != nil {
		k.rewrite(f)
		for ; f != nil; f = f.back {
			k.bytes -= f.bytes()
			f.head, f.before, f.latest, f.settled = nil, nil, nil, true
		}
	}
}

// Ended tells that a connection is over.
func (k *Keeper) Ended(h *parse.Handshake) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if f := k.find(&h.Flow, h.Start.UnixNano()); f != nil {
		k.rewrite(f)
		for ; f != nil; f = f.back {
			k.drop(f)
		}
	}
}

// rewrite completes the file of a connection that went on after it was written.
func (k *Keeper) rewrite(f *flow) {
	if f.name != "" && f.all() > f.written && len(f.head) > 0 {
		k.write(f)
	}
}

func (k *Keeper) write(f *flow) {
	f.written = f.all()
	k.writer.put(f.name, k.encode(f))
}

// Stats returns the counts so far.
func (k *Keeper) Stats() Stats {
	k.mu.Lock()
	s := k.stats
	k.mu.Unlock()
	k.writer.count(&s)
	return s
}

// Close writes what is waiting, as far as that can be written.
func (k *Keeper) Close() { k.writer.close() }

// list is a list of flows.
type list struct {
	head, tail *flow
	n          int
}

func (l *list) push(f *flow) {
	f.prev, f.next, f.in = l.tail, nil, l
	if l.tail == nil {
		l.head = f
	} else {
		l.tail.next = f
	}
	l.tail = f
	l.n++
}

func (l *list) remove(f *flow) {
	if f.prev == nil {
		l.head = f.next
	} else {
		f.prev.next = f.next
	}
	if f.next == nil {
		l.tail = f.prev
	} else {
		f.next.prev = f.prev
	}
	f.prev, f.next, f.in = nil, nil, nil
	l.n--
}
