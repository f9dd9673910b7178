package live

import (
	"fmt"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"

	"whoasked/capture"
)

// Sizes of a ring, in bytes. A block holds the largest packet: 64 KiB, or 512
// KiB where IPv6 jumbograms are put together (BIG TCP), which are then cut.
const (
	blockSize = 128 << 10
	frameSize = 2 << 10 // only a unit of account in TPACKET_V3
	// headroom is what the kernel leaves free in front of each packet, for the
	// link header that is written there.
	headroom = 32

	sllLen  = 16 // LINKTYPE_LINUX_SLL
	vlanLen = 4
	linkSLL = capture.LinkType(113)
)

// ring is a packet socket and the memory it shares with the kernel:
//
//	block 0        block 1        block 2
//	┌──────────────┬──────────────┬──────────────┐
//	│h p p p p p   │h p p p p p p │h             │   h: header, p: packet
//	└──────────────┴──────────────┴──────────────┘
//	  ours: read,    ours           the kernel's:
//	  then given back               being filled
//
// The socket is cooked (SOCK_DGRAM): a packet begins with its network header
// whatever the link, and its link header is written in front of it.
type ring struct {
	fd     int
	name   string // of the interface
	index  int    // of the interface, 0 for any
	mem    []byte
	blocks int
	next   int // block to read

	state link // of the interface, as last told

	packets, dropped, freezes int64
}

func htons(v uint16) uint16 { return v<<8 | v>>8 }

// openRing opens a socket that captures nothing until bind is called.
func openRing(name string, index int, o *Options) (r *ring, err error) {
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("open a packet socket: %w", err)
	}
	r = &ring{fd: fd, name: name, index: index, blocks: max(o.Ring/blockSize, 2)}
	defer func() {
		if err != nil {
			r.close()
		}
	}()
	if err := unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_VERSION, unix.TPACKET_V3); err != nil {
		return nil, fmt.Errorf("ask for TPACKET_V3: %w", err)
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_RESERVE, headroom); err != nil {
		return nil, fmt.Errorf("reserve room for link headers: %w", err)
	}
	req := unix.TpacketReq3{
		Block_size: blockSize, Block_nr: uint32(r.blocks),
		Frame_size: frameSize, Frame_nr: uint32(r.blocks * (blockSize / frameSize)),
		Retire_blk_tov: uint32(retireAfter.Milliseconds()),
	}
	if err := unix.SetsockoptTpacketReq3(fd, unix.SOL_PACKET, unix.PACKET_RX_RING, &req); err != nil {
		return nil, fmt.Errorf("allocate a ring of %d MiB: %w", r.blocks*blockSize>>20, err)
	}
	r.mem, err = unix.Mmap(fd, 0, r.blocks*blockSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("map the ring: %w", err)
	}
	if o.Promiscuous && index != 0 {
		if err := r.promiscuous(index); err != nil {
			return nil, fmt.Errorf("make %s promiscuous: %w", name, err)
		}
	}
	return r, nil
}

func (r *ring) promiscuous(index int) error {
	m := unix.PacketMreq{Ifindex: int32(index), Type: unix.PACKET_MR_PROMISC}
	return unix.SetsockoptPacketMreq(r.fd, unix.SOL_PACKET, unix.PACKET_ADD_MEMBERSHIP, &m)
}

// bind begins capturing, on another interface than before if need be; it takes
// no privilege.
func (r *ring) bind(index int) error {
	r.index = index
	return unix.Bind(r.fd, &unix.SockaddrLinklayer{Protocol: htons(unix.ETH_P_ALL), Ifindex: index})
}

// rebind goes on capturing at an interface that was gone and has come back.
func (r *ring) rebind(index int, promiscuous bool) error {
	if promiscuous {
		if err := r.promiscuous(index); err != nil {
			return err
		}
	}
	return r.bind(index)
}

func (r *ring) close() {
	if r.mem != nil {
		_ = unix.Munmap(r.mem)
	}
	_ = unix.Close(r.fd)
}

// block returns the header of a block.
func (r *ring) block(i int) *unix.TpacketHdrV1 {
	desc := (*unix.TpacketBlockDesc)(unsafe.Pointer(&r.mem[i*blockSize]))
	return (*unix.TpacketHdrV1)(unsafe.Pointer(&desc.Hdr))
}

// ready tells whether the next block is ours, and when its first packet came.
func (r *ring) ready() (at int64, ok bool) {
	h := r.block(r.next)
	if atomic.LoadUint32(&h.Block_status)&unix.TP_STATUS_USER == 0 {
		return 0, false
	}
	return int64(h.Ts_first_pkt.Sec)*1e9 + int64(tsNanos(&h.Ts_first_pkt)), true
}

func tsNanos(ts *unix.TpacketBDTS) uint32 { return ts.Usec } // nanoseconds in TPACKET_V3

// read hands over the packets of the next block and gives it back. It returns
// false once use does.
func (r *ring) read(use func(p *Packet) bool) bool {
	h := r.block(r.next)
	block := r.mem[r.next*blockSize : (r.next+1)*blockSize]
	var p Packet
	more := true
	for off, n := h.Offset_to_first_pkt, h.Num_pkts; n > 0 && more; n-- {
		hdr := (*unix.Tpacket3Hdr)(unsafe.Pointer(&block[off]))
		if cook(block[off:], hdr, &p) {
			more = use(&p)
		}
		off += hdr.Next_offset
	}
	r.packets += int64(h.Num_pkts)
	atomic.StoreUint32(&h.Block_status, unix.TP_STATUS_KERNEL)
	r.next = (r.next + 1) % r.blocks
	return more
}

// cook writes the link header of a packet in front of it, its VLAN tag put back.
// It reports false for a packet that will come, or has come, in another way.
func cook(frame []byte, hdr *unix.Tpacket3Hdr, p *Packet) bool {
	const addrAt = unix.SizeofTpacket3Hdr
	sll := (*unix.RawSockaddrLinklayer)(unsafe.Pointer(&frame[addrAt]))
	if sll.Pkttype == unix.PACKET_OUTGOING && sll.Hatype == unix.ARPHRD_LOOPBACK {
		return false // it comes back as incoming
	}
	head := sllLen
	tagged := hdr.Status&unix.TP_STATUS_VLAN_VALID != 0 || hdr.Hv1.Vlan_tci != 0
	if tagged {
		head += vlanLen
	}
	start := int(hdr.Net) - head
	b := frame[start : int(hdr.Net)+int(hdr.Snaplen)]
	put16 := func(at int, v uint16) { b[at], b[at+1] = byte(v>>8), byte(v) }
	put16(0, uint16(sll.Pkttype))
	put16(2, sll.Hatype)
	put16(4, uint16(sll.Halen))
	copy(b[6:14], sll.Addr[:])
	proto := htons(sll.Protocol)
	if tagged {
		tpid := uint16(unix.ETH_P_8021Q)
		if hdr.Status&unix.TP_STATUS_VLAN_TPID_VALID != 0 && hdr.Hv1.Vlan_tpid != 0 {
			tpid = hdr.Hv1.Vlan_tpid
		}
		put16(14, tpid)
		put16(16, uint16(hdr.Hv1.Vlan_tci))
		put16(18, proto)
	} else {
		put16(14, proto)
	}
	*p = Packet{
		Time: int64(hdr.Sec)*1e9 + int64(hdr.Nsec), Link: linkSLL,
		WireLen: head + int(hdr.Len), Data: b,
	}
	return true
}

// count takes over what the kernel has counted since the last call.
func (r *ring) count() {
	s, err := unix.GetsockoptTpacketStatsV3(r.fd, unix.SOL_PACKET, unix.PACKET_STATISTICS)
	if err != nil {
		return
	}
	r.dropped += int64(s.Drops)
	r.freezes += int64(s.Freeze_q_cnt)
}

// fill is how many blocks wait to be read, in percent.
func (r *ring) fill() int {
	n := 0
	for n < r.blocks && atomic.LoadUint32(&r.block((r.next+n)%r.blocks).Block_status)&unix.TP_STATUS_USER != 0 {
		n++
	}
	return 100 * n / r.blocks
}
