package live

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"whoasked/capture"
	"whoasked/parse"
)

// Source yields the chunks of the TCP connections at some interfaces. Its
// methods are for the goroutine that ranges over Chunks, except for Stats and
// Notes.
type Source struct {
	opts    Options
	rings   []*ring
	links   *links
	wake    int       // eventfd that ends a poll
	kernel  *withheld // nil where the filter is classic BPF
	decoder *capture.Decoder
	tracker *capture.Tracker

	latest  int64 // time of the latest packet
	counted time.Time
	bytes   int64
	marks   int64
	misses  int64
	stats   atomic.Pointer[Stats]
	notes   atomic.Pointer[[]capture.Note] // of the tracker
}

var _ capture.Source = (*Source)(nil)

// Open opens the interfaces; capturing begins at once. Afterwards the Source
// takes no privilege.
func Open(o Options) (*Source, error) {
	s := &Source{opts: o.withDefaults(), decoder: capture.NewDecoder(), wake: -1}
	s.stats.Store(&Stats{})
	if err := s.open(); err != nil {
		s.close()
		return nil, err
	}
	s.tracker = capture.NewTracker(s.opts.Limits, s.decoder.ViaName, nil)
	if s.kernel != nil {
		s.tracker.Withhold(s.withhold)
	}
	return s, nil
}

func (s *Source) open() error {
	var err error
	if s.wake, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
		return fmt.Errorf("make an eventfd: %w", err)
	}
	if s.links, err = openLinks(); err != nil {
		s.opts.Log("interface", "changes of interfaces will not be seen: "+err.Error())
	}
	for _, name := range s.opts.Interfaces {
		at, err := linkOf(name)
		if err != nil {
			return err
		}
		r, err := openRing(name, at.index, &s.opts)
		if err != nil {
			return err
		}
		r.state = at
		s.rings = append(s.rings, r)
	}
	if err := s.filter(); err != nil {
		return err
	}
	for _, r := range s.rings {
		if err := r.bind(r.index); err != nil {
			return fmt.Errorf("capture at %s: %w", r.name, err)
		}
	}
	return nil
}

// linkOf looks an interface up.
func linkOf(name string) (link, error) {
	if name == Any {
		return link{name: name}, nil
	}
	i, err := net.InterfaceByName(name)
	if err == nil {
		return link{index: i.Index, name: i.Name, mtu: i.MTU, up: i.Flags&net.FlagUp != 0}, nil
	}
	var names []string
	all, _ := net.Interfaces() // none if it fails
	for _, i := range all {
		names = append(names, i.Name)
	}
	slices.Sort(names)
	return link{}, &NoInterfaceError{Name: name, There: names}
}

// NoInterfaceError says that an interface does not exist, and which do.
type NoInterfaceError struct {
	Name  string
	There []string
}

func (e *NoInterfaceError) Error() string { return "there is no interface " + e.Name }

// Hint says what to do.
func (e *NoInterfaceError) Hint() string {
	return "there are: " + strings.Join(append(e.There, Any), ", ")
}

// filter puts the filter on all sockets, which do not capture yet.
func (s *Source) filter() error {
	ops := filterProgram(&s.opts.Narrow)
	if !s.opts.PlainFilter {
		var err error
		if s.kernel, err = extended(ops, s.opts.SnapLength); err == nil {
			for _, r := range s.rings {
				if err = unix.SetsockoptInt(r.fd, unix.SOL_SOCKET, unix.SO_ATTACH_BPF, s.kernel.program.FD()); err != nil {
					break
				}
			}
		}
		if err == nil {
			return nil
		}
		s.kernel.close()
		s.kernel = nil
		s.opts.Log("filter", "no eBPF filter, so that bulk data is read though it is not needed: "+firstLine(err))
	}
	raw, err := classic(ops, s.opts.SnapLength)
	if err != nil {
		return fmt.Errorf("the filter is too long for classic BPF: %w", err)
	}
	code := make([]unix.SockFilter, len(raw))
	for i, r := range raw {
		code[i] = unix.SockFilter{Code: r.Op, Jt: r.Jt, Jf: r.Jf, K: r.K}
	}
	prog := unix.SockFprog{Len: uint16(len(code)), Filter: &code[0]}
	for _, r := range s.rings {
		if err := unix.SetsockoptSockFprog(r.fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &prog); err != nil {
			return fmt.Errorf("set the filter: %w", err)
		}
	}
	return nil
}

func firstLine(err error) string {
	text, _, _ := strings.Cut(err.Error(), "\n")
	return text
}

// ViaName is [capture.Decoder.ViaName].
func (s *Source) ViaName(via uint32) string { return s.decoder.ViaName(via) }

// Extended reports whether the filter in the kernel is an eBPF program.
func (s *Source) Extended() bool { return s.kernel != nil }

// Skip tells that no more is needed of one side of an open connection, so that
// its bulk can be left to the kernel. It may be called while a chunk is held.
func (s *Source) Skip(conn int, from parse.Side) { s.tracker.Skip(conn, from) }

// withhold has the kernel keep the segments of a tuple, or no more. One that came
// in an encapsulation the kernel does not see into.
func (s *Source) withhold(t capture.Tuple, on bool) {
	if t.Via != 0 {
		return
	}
	if on {
		s.marks++
	}
	if err := s.kernel.set(&t, on); err != nil {
		s.misses++
	}
}

func (s *Source) close() {
	for _, r := range s.rings {
		r.close()
	}
	s.rings = nil
	if s.kernel != nil {
		s.kernel.close()
	}
	s.links.close()
	if s.wake >= 0 {
		_ = unix.Close(s.wake)
		s.wake = -1
	}
}

// Chunks implements [capture.Source]. It can be called once, and ends with ctx
// or an error; then come the last chunks of connections still open.
func (s *Source) Chunks(ctx context.Context) iter.Seq2[parse.Chunk, error] {
	return func(yield func(parse.Chunk, error) bool) {
		defer s.close()
		defer s.count()
		wake := s.wake
		defer context.AfterFunc(ctx, func() { _, _ = unix.Write(wake, []byte{1, 0, 0, 0, 0, 0, 0, 0}) })()
		s.tracker.Emit(func(c parse.Chunk) bool { return yield(c, nil) })
		err := s.run(ctx)
		if err == errStopped {
			return
		}
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		if yield(parse.Chunk{}, err) {
			s.tracker.Flush(parse.CaptureEnd)
		}
	}
}

var errStopped = errors.New("the consumer stopped")

// run reads blocks in the order of their first packets until ctx is done or the
// consumer stops.
func (s *Source) run(ctx context.Context) error {
	var seg capture.Segment
	use := func(p *Packet) bool {
		s.latest = p.Time
		s.bytes += int64(p.WireLen)
		out := s.decoder.Decode(p.Link, p.Data, p.WireLen, &seg)
		if out == capture.EAPOL {
			return s.tracker.EAPOL(p.Time, &seg)
		}
		if out != capture.TCP && out != capture.UDP || !s.opts.Narrow.Keeps(&seg.Tuple) {
			return true
		}
		if s.opts.Tap != nil {
			s.opts.Tap(p, &seg)
		}
		if out == capture.UDP {
			return s.tracker.Datagram(p.Time, &seg)
		}
		return s.tracker.Segment(p.Time, &seg)
	}
	for ctx.Err() == nil {
		first, _ := s.first()
		if time.Since(s.counted) >= countEvery {
			s.count()
		}
		if first != nil {
			if !first.read(use) {
				return errStopped
			}
			continue
		}
		if !s.quiet() {
			return errStopped
		}
		if err := s.wait(); err != nil {
			return err
		}
	}
	return s.drain(use)
}

// first returns the ring whose next block is the earliest of those to be read,
// and when its first packet came; nil if none is.
func (s *Source) first() (first *ring, at int64) {
	for _, r := range s.rings {
		if t, ok := r.ready(); ok && (first == nil || t < at) {
			first, at = r, t
		}
	}
	return first, at
}

// drain reads what was captured until now, which the kernel hands over within
// retireAfter.
func (s *Source) drain(use func(*Packet) bool) error {
	stop := time.Now()
	for {
		switch r, at := s.first(); {
		case r != nil && at <= stop.UnixNano():
			if !r.read(use) {
				return errStopped
			}
		case time.Since(stop) > 3*retireAfter:
			return nil
		default:
			time.Sleep(retireAfter / 5)
		}
	}
}

// quiet moves the clock on while there are no packets: up to where none can be
// on its way any more.
func (s *Source) quiet() bool {
	now := time.Now().Add(-3 * retireAfter).UnixNano()
	if now < s.latest && s.latest-now < int64(time.Second) {
		return true // beyond that the clock was set back
	}
	s.latest = now
	return s.tracker.Advance(now)
}

// wait sleeps until there is something to do.
func (s *Source) wait() error {
	fds := []unix.PollFd{{Fd: int32(s.wake), Events: unix.POLLIN}, {Fd: int32(s.links.fd()), Events: unix.POLLIN}}
	for _, r := range s.rings {
		fds = append(fds, unix.PollFd{Fd: int32(r.fd), Events: unix.POLLIN})
	}
	limit := tick
	if s.tracker.Waiting() {
		limit = shortTick
	}
	if _, err := unix.Poll(fds, int(limit.Milliseconds())); err != nil && err != unix.EINTR {
		return fmt.Errorf("wait for packets: %w", err)
	}
	if fds[1].Revents != 0 {
		s.links.read(func(l link) { s.changed(&l) })
	}
	for i, r := range s.rings {
		if fds[2+i].Revents&unix.POLLERR == 0 {
			continue
		}
		// Reading the error clears it. With the interface down there is nothing
		// to do: the socket goes on when it is up again.
		e, err := unix.GetsockoptInt(r.fd, unix.SOL_SOCKET, unix.SO_ERROR)
		if err == nil && e != 0 && unix.Errno(e) != unix.ENETDOWN {
			return fmt.Errorf("capture at %s: %w", r.name, unix.Errno(e))
		}
	}
	return nil
}

// changed takes note of a change of an interface.
func (s *Source) changed(l *link) {
	for _, r := range s.rings {
		switch {
		case r.index == 0: // any
		case l.index == r.index && l.gone:
			s.opts.Log("interface", r.name+" is gone; it is captured again once it is back")
			r.index = -1
		case l.index == r.index:
			s.described(r, l)
		case r.index < 0 && l.name == r.name && !l.gone:
			if err := r.rebind(l.index, s.opts.Promiscuous); err != nil {
				r.index = -1
				s.opts.Log("interface", r.name+" is back, but cannot be captured: "+err.Error())
				continue
			}
			s.opts.Log("interface", r.name+" is back")
			s.described(r, l)
		}
	}
}

// described compares an interface with what was known of it.
func (s *Source) described(r *ring, l *link) {
	if l.name != "" && l.name != r.name {
		s.opts.Log("interface", r.name+" is now called "+l.name)
		r.name = l.name
	}
	if r.state.index == l.index {
		if was := r.state; was.up != l.up {
			word := map[bool]string{true: " is up", false: " is down"}
			s.opts.Log("interface", r.name+word[l.up])
		} else if was.mtu != l.mtu && l.mtu != 0 && was.mtu != 0 {
			s.opts.Log("interface", fmt.Sprintf("%s has an MTU of %d bytes now, %d before", r.name, l.mtu, was.mtu))
		}
	}
	r.state = *l
}
