package live

import (
	"context"
	"errors"
	"fmt"
	"iter"
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
	seg     capture.Segment // of the packet at hand

	clock   *clock
	step    int64 // by which the clock was set last
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
	s := &Source{opts: o.withDefaults(), decoder: capture.NewDecoder(), clock: newClock(), wake: -1}
	s.stats.Store(&Stats{})
	if err := s.open(); err != nil {
		s.close()
		return nil, err
	}
	s.tracker = capture.NewTracker(s.opts.Limits, s.decoder.ViaName, nil)
	if s.kernel != nil {
		s.tracker.Withhold(s.withhold)
		if s.kernel.walks != nil {
			s.tracker.Walk(s.kernel, s.leftOut)
		}
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

// ViaName is [capture.Decoder.ViaName].
func (s *Source) ViaName(via uint32) string { return s.decoder.ViaName(via) }

// Extended reports whether the filter in the kernel is an eBPF program.
func (s *Source) Extended() bool { return s.kernel != nil }

// Skip tells that no more is needed of one side of an open connection, so that
// its bulk can be left to the kernel. It may be called while a chunk is held.
func (s *Source) Skip(conn int, from parse.Side) { s.tracker.Skip(conn, from) }

// Follow is [capture.Tracker.Follow]: the bulk of such a stream can be left to the
// kernel.
func (s *Source) Follow(conn int, from parse.Side, rest int) { s.tracker.Follow(conn, from, rest) }

// leftOut is told what the kernel kept in front of the segment at hand.
func (s *Source) leftOut(l capture.LeftOut) {
	if s.opts.LeftOut != nil {
		s.opts.LeftOut(&s.seg.Tuple, l)
	}
}

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
func (s *Source) Chunks(ctx context.Context) iter.Seq2[*parse.Chunk, error] {
	return func(yield func(*parse.Chunk, error) bool) {
		defer s.close()
		defer s.count()
		wake := s.wake
		defer context.AfterFunc(ctx, func() { _, _ = unix.Write(wake, []byte{1, 0, 0, 0, 0, 0, 0, 0}) })()
		s.tracker.Emit(func(c *parse.Chunk) bool { return yield(c, nil) })
		err := s.run(ctx)
		if err == errStopped {
			return
		}
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		if yield(nil, err) {
			s.tracker.Flush(parse.CaptureEnd)
		}
	}
}

var errStopped = errors.New("the consumer stopped")

// packet takes a packet, and returns false once the consumer stopped.
func (s *Source) packet(p *Packet) bool {
	if far(p.Time, s.latest) {
		s.checkClock()
		if far(p.Time, s.latest) && !far(p.Time+s.step, s.latest) {
			p.Time += s.step // it was stamped just before
		}
	}
	s.latest = p.Time
	s.bytes += int64(p.WireLen)
	out := s.decoder.Decode(p.Link, p.Data, p.WireLen, &s.seg)
	if out == capture.EAPOL {
		return s.tracker.EAPOL(p.Time, &s.seg)
	}
	if out != capture.TCP && out != capture.UDP || !s.opts.Narrow.Keeps(&s.seg.Tuple) {
		return true
	}
	if s.opts.Tap != nil {
		s.opts.Tap(p, &s.seg)
	}
	if out == capture.UDP {
		return s.tracker.Datagram(p.Time, &s.seg)
	}
	return s.tracker.Segment(p.Time, &s.seg)
}

// checkClock has connections live through it if the clock was set.
func (s *Source) checkClock() {
	by := s.clock.set()
	if by == 0 {
		return
	}
	word := " forward"
	if by < 0 {
		word = " back"
	}
	s.opts.Log("clock", "the clock of this machine was set"+word+" by "+time.Duration(max(by, -by)).Round(time.Millisecond).String())
	s.step = by
	s.tracker.Shift(by)
	if s.latest != 0 {
		s.latest += by
	}
}

// run reads blocks in the order of their first packets until ctx is done or the
// consumer stops.
func (s *Source) run(ctx context.Context) error {
	use := s.packet
	for ctx.Err() == nil {
		first, _ := s.first()
		if time.Since(s.counted) >= countEvery {
			s.count()
			s.links.read(s.changed) // which waiting does, where there is time for that
		}
		if first != nil {
			if !first.read(use) {
				return errStopped
			}
			s.opts.Pause()
			continue
		}
		if !s.quiet() {
			return errStopped
		}
		s.opts.Pause()
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
	s.checkClock()
	day, _ := s.clock.read()
	now := day - int64(3*retireAfter)
	if now < s.latest && s.latest-now < leastStep {
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
		s.links.read(s.changed)
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
