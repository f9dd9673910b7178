package trace

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"slices"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// link sends over the network to one endpoint.
type link struct {
	tracer *Tracer
	to     netip.AddrPort
	v6     bool
	heard  *hearing       // nil where raw sockets are not permitted
	own    []netip.Prefix // addresses of this host
}

func newLink(t *Tracer, to netip.AddrPort) (*link, error) {
	l := &link{tracer: t, to: to, v6: to.Addr().Is6()}
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return nil, err
	}
	for _, a := range addrs {
		if p, err := netip.ParsePrefix(a.String()); err == nil {
			l.own = append(l.own, p)
		}
	}
	l.heard = hear(l.v6)
	return l, nil
}

func (l *link) close() { l.heard.close() }

func (l *link) send(ctx context.Context, k Kind, ttl int) Reply {
	r := Reply{Kind: k, TTL: ttl}
	switch k {
	case SYN:
		l.syn(ctx, &r)
	case Hello:
		l.hello(ctx, &r)
	case Address:
		l.datagram(ctx, &r)
	}
	return r
}

// ordinary is the TTL that the system gives any packet.
const ordinary = -1

// limit sets the TTL of a socket, and has it tell of ICMP errors at once.
func (l *link) limit(fd, ttl int) error {
	if l.v6 {
		return errors.Join(
			unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_UNICAST_HOPS, ttl),
			unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_RECVERR, 1))
	}
	return errors.Join(
		unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_TTL, ttl),
		unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_RECVERR, 1))
}

// syn opens a connection whose packets have a TTL.
func (l *link) syn(ctx context.Context, r *Reply) {
	// The socket's error queue outlives a failed Dial by a second descriptor.
	spare := -1
	d := net.Dialer{Timeout: l.tracer.wait(), Control: func(_, _ string, c syscall.RawConn) error {
		var failed error
		err := c.Control(func(fd uintptr) {
			if failed = l.limit(int(fd), r.TTL); failed == nil {
				spare, failed = unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, 0)
			}
		})
		return errors.Join(err, failed)
	}}
	start := time.Now()
	conn, err := d.DialContext(ctx, "tcp", l.to.String())
	r.RTT = time.Since(start)
	if spare >= 0 {
		defer unix.Close(spare)
		l.resent(r, spare)
	}
	switch {
	case err == nil:
		r.Outcome = Answered
		abort(conn)
	case errors.Is(err, syscall.ECONNRESET): // it stood, for a moment
		r.Outcome = Answered
	default:
		l.failed(r, err, spare)
	}
}

// resent notes how often the kernel sent again what was not acknowledged.
func (l *link) resent(r *Reply, fd int) {
	info, err := unix.GetsockoptTCPInfo(fd, unix.SOL_TCP, unix.TCP_INFO)
	if err != nil || info.Total_retrans == 0 {
		return
	}
	r.Resent, r.RTT = int(info.Total_retrans), 0
}

// abort closes a connection by RST, which leaves nothing behind on either side.
func abort(c net.Conn) {
	if t, ok := c.(*net.TCPConn); ok {
		t.SetLinger(0)
	}
	c.Close()
}

// failed tells what an error of a socket means; fd is the socket, or -1.
func (l *link) failed(r *Reply, err error, fd int) {
	var ne net.Error
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded), errors.As(err, &ne) && ne.Timeout():
		r.Outcome, r.RTT = Silent, 0
	case l.queued(r, fd):
	case errors.Is(err, syscall.ECONNREFUSED) && r.Kind != Address:
		r.Outcome = Refused
	case errors.Is(err, syscall.EHOSTUNREACH) && r.Kind != Address:
		// Older kernels queue no errors of a SYN, and none does so on a connection
		// that stands. It may also be that a neighbour was not found.
		r.Outcome = Discarded
	default:
		r.Outcome, r.Err, r.RTT = Failed, err, 0
	}
}

// hello sends a ClientHello with a TTL on a connection that stands.
func (l *link) hello(ctx context.Context, r *Reply) {
	t := l.tracer
	d := net.Dialer{Timeout: 2 * t.wait()}
	conn, err := d.DialContext(ctx, "tcp", l.to.String())
	if err != nil {
		l.undialed(ctx, r, err)
		return
	}
	defer abort(conn)
	defer context.AfterFunc(ctx, func() { conn.SetDeadline(time.Now()) })()
	conn.SetDeadline(time.Now().Add(5 * t.wait()))
	if t.Before != nil {
		if err := t.Before(conn); err != nil {
			l.undialed(ctx, r, err)
			return
		}
	}
	data, err := t.Hello()
	if err == nil {
		err = control(conn, func(fd int) error { return l.limit(fd, r.TTL) })
	}
	if err != nil {
		r.Outcome, r.Err = Failed, err
		return
	}
	// The kernel sends a ClientHello again that was not acknowledged, with the same
	// TTL. The RST that ends the connection has to arrive.
	defer control(conn, func(fd int) error { l.resent(r, fd); return l.limit(fd, ordinary) })
	start := time.Now()
	conn.SetDeadline(start.Add(2 * t.wait()))
	buf := make([]byte, 16)
	n := 0
	if _, err = conn.Write(data); err == nil {
		n, err = conn.Read(buf)
	}
	r.RTT = time.Since(start)
	switch {
	case n > 0:
		more, _ := io.ReadAtLeast(conn, buf[n:], max(0, wanted-n)) // what is missing is not told
		r.Outcome, r.Data = Answered, buf[:n+more]
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE), errors.Is(err, io.EOF):
		r.Outcome = Refused
	default:
		l.failed(r, err, -1)
		l.explain(r, conn)
	}
}

// wanted is what tells a message of TLS: the header of a record (RFC 8446 §5.1)
// and the type of the message in it.
const wanted = 6

// explain finds out who discarded a ClientHello, which the kernel keeps to itself.
func (l *link) explain(r *Reply, conn net.Conn) {
	if r.Outcome != Discarded {
		return
	}
	s, ok := l.heard.about(addrPort(conn.LocalAddr()), l.to)
	if !ok {
		return
	}
	if o, _, ok := outcomeOf(l.v6, s.kind, s.code); ok {
		l.reported(r, o, s.by)
	}
}

// undialed is for a connection on which no ClientHello was sent.
func (l *link) undialed(ctx context.Context, r *Reply, err error) {
	r.Outcome, r.Err = Failed, err
	if ctx.Err() != nil {
		r.Outcome, r.Err = Silent, nil
	}
}

// firstPort is where traceroute begins, for want of ports on which surely nobody
// listens.
const firstPort = 33434

// datagram sends UDP to a port where nothing is likely to listen.
func (l *link) datagram(ctx context.Context, r *Reply) {
	d := net.Dialer{Control: func(_, _ string, c syscall.RawConn) error {
		var failed error
		err := c.Control(func(fd uintptr) { failed = l.limit(int(fd), r.TTL) })
		return errors.Join(err, failed)
	}}
	to := netip.AddrPortFrom(l.to.Addr(), uint16(firstPort+r.TTL))
	conn, err := d.DialContext(ctx, "udp", to.String())
	if err != nil {
		l.undialed(ctx, r, err)
		return
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.SetDeadline(time.Now()) })()
	start := time.Now()
	conn.SetDeadline(start.Add(l.tracer.wait()))
	buf := make([]byte, 32)
	if _, err = conn.Write(buf); err == nil {
		_, err = conn.Read(buf)
	}
	r.RTT = time.Since(start)
	if err == nil {
		r.Outcome = Answered
		return
	}
	if control(conn, func(fd int) error { l.failed(r, err, fd); return nil }) != nil {
		l.failed(r, err, -1)
	}
}

// queued reads the socket's error queue: which ICMP message came, and from whom.
func (l *link) queued(r *Reply, fd int) bool {
	if fd < 0 {
		return false
	}
	oob := make([]byte, 512)
	for range 4 { // one is ours; what else there is must not hold us up
		_, n, _, _, err := unix.Recvmsg(fd, make([]byte, 64), oob, unix.MSG_ERRQUEUE|unix.MSG_DONTWAIT)
		if err != nil {
			return false
		}
		e, ok := parseQueued(oob[:n])
		if !ok {
			continue
		}
		o, port, ok := outcomeOf(l.v6, e.kind, e.code)
		if !ok {
			continue
		}
		if r.Kind == Address && port && e.from == l.to.Addr().WithZone("") {
			o = Answered
		}
		l.reported(r, o, e.from)
		return true
	}
	return false
}

// reported takes an ICMP message into account.
func (l *link) reported(r *Reply, o Outcome, from netip.Addr) {
	r.Outcome, r.From = o, from
	if o == Unreachable && from != l.to.Addr() && l.isOwn(from) {
		r.Outcome, r.From, r.Err, r.RTT = Failed, netip.Addr{}, errOwn, 0
	}
}

// errOwn: the kernel sends itself Destination Unreachable.
var errOwn = errors.New("this host does not send it: no neighbour answers, or a rule of its own refuses it")

func (l *link) isOwn(a netip.Addr) bool {
	return slices.ContainsFunc(l.own, func(p netip.Prefix) bool { return p.Addr() == a })
}

// control runs f on the descriptor of a connection.
func control(c net.Conn, f func(fd int) error) error {
	raw, err := c.(syscall.Conn).SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = raw.Control(func(fd uintptr) { failed = f(int(fd)) })
	return errors.Join(err, failed)
}

func addrPort(a net.Addr) netip.AddrPort {
	if t, ok := a.(*net.TCPAddr); ok {
		ap := t.AddrPort()
		return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
	}
	return netip.AddrPort{}
}
