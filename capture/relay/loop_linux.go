package relay

import (
	"encoding/binary"
	"errors"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"whoasked/parse"
)

// loop carries connections: one goroutine that waits for all their sockets at
// once. A goroutine for each direction, which the runtime would have to wake each
// time, costs as much as forwarding does.
type loop struct {
	r      *Relay
	epoll  int
	wakeFD int // an eventfd: there is something to do
	ended  chan struct{}

	mu    sync.Mutex // may be taken while the tap's lock is not held
	todo  []func()
	lines []*line // by number; nil is free
	free  []int32
	ages  uint32
	doors []*door
	done  bool // it does nothing any more

	// Of the loop alone.
	again []*line // have more to carry, though no event will tell
	buf   []byte
	quit  bool
}

// maxEvents is how many sockets are looked at before new ones are waited for.
const maxEvents = 128

// yieldEvery is how often the loop gives up its turn. The runtime takes a goroutine
// that goes on for 10 ms for one that keeps others from running, and then looks
// after it, by signals, at a cost of a fifth of all the CPU time of a busy relay.
const yieldEvery = 5 * time.Millisecond

// Events of no connection: the negative numbers.
const (
	eventWake = -1
	eventDoor = -2 // and below, by door
)

// newLoop starts a loop.
func newLoop(r *Relay) (*loop, error) {
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, err
	}
	wake, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		_ = unix.Close(epoll)
		return nil, err
	}
	l := &loop{r: r, epoll: epoll, wakeFD: wake, ended: make(chan struct{}), buf: make([]byte, bufferSize)}
	if err := unix.EpollCtl(epoll, unix.EPOLL_CTL_ADD, wake, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: eventWake}); err != nil {
		l.close()
		return nil, err
	}
	go l.run()
	return l, nil
}

func (l *loop) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.done = true
	_ = unix.Close(l.epoll)
	_ = unix.Close(l.wakeFD)
}

// stop ends the loop, which carries nothing any more, and waits until it has.
func (l *loop) stop() {
	l.post(func() { l.quit = true })
	<-l.ended
}

// post has the loop call f, unless it has ended.
func (l *loop) post(f func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.done {
		return
	}
	l.todo = append(l.todo, f)
	if len(l.todo) == 1 {
		var one [8]byte
		binary.NativeEndian.PutUint64(one[:], 1)
		_, _ = unix.Write(l.wakeFD, one[:])
	}
}

func (l *loop) run() {
	defer close(l.ended)
	defer l.close()
	var events [maxEvents]unix.EpollEvent
	var of [maxEvents]*line
	yielded := time.Now()
	for !l.quit {
		if now := time.Now(); now.Sub(yielded) >= yieldEvery {
			runtime.Gosched()
			yielded = now
		}
		patience := -1
		if len(l.again) > 0 {
			patience = 0
		}
		n, err := unix.EpollWait(l.epoll, events[:], patience)
		if err != nil && !errors.Is(err, unix.EINTR) {
			panic("epoll_wait: " + err.Error()) // a descriptor closed by mistake: nothing can be carried any more
		}
		l.resolve(events[:max(n, 0)], of[:])
		again := l.again
		l.again = nil
		for i := range max(n, 0) {
			switch id := events[i].Fd; {
			case of[i] != nil:
				of[i].event(parse.Side(id&1), events[i].Events)
			case id == eventWake:
				l.work()
			case id <= eventDoor:
				l.doors[eventDoor-id].event()
			}
		}
		for _, ln := range again {
			ln.queued = false
			ln.carry(parse.Opener)
			ln.carry(parse.Accepter)
		}
	}
}

// resolve finds the lines that events are of, nil for none any more.
func (l *loop) resolve(events []unix.EpollEvent, of []*line) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, e := range events {
		of[i] = nil
		if e.Fd >= 0 {
			if ln := l.lines[e.Fd>>1]; ln != nil && ln.age == uint32(e.Pad) {
				of[i] = ln
			}
		}
	}
}

// work calls what was posted.
func (l *loop) work() {
	var b [8]byte
	_, _ = unix.Read(l.wakeFD, b[:])
	l.mu.Lock()
	todo := l.todo
	l.todo = nil
	l.mu.Unlock()
	for _, f := range todo {
		f()
	}
}

// add has the loop carry a connection, whose sockets are the loop's from now on.
func (l *loop) add(ln *line) error {
	l.mu.Lock() // no event is looked at before both are in
	defer l.mu.Unlock()
	l.ages++
	ln.age = l.ages
	if n := len(l.free); n > 0 {
		ln.number, l.free = l.free[n-1], l.free[:n-1]
		l.lines[ln.number] = ln
	} else {
		ln.number = int32(len(l.lines))
		l.lines = append(l.lines, ln)
	}
	if ln.s == nil { // not connected yet
		return l.watch(ln, parse.Accepter)
	}
	for side := range ln.fd {
		if err := l.watch(ln, parse.Side(side)); err != nil {
			return err // it is to be aborted
		}
	}
	return nil
}

// watch has the loop told whenever something changes at a socket.
func (l *loop) watch(ln *line, side parse.Side) error {
	e := unix.EpollEvent{
		Events: unix.EPOLLIN | unix.EPOLLPRI | unix.EPOLLOUT | unix.EPOLLRDHUP | unix.EPOLLET,
		Fd:     ln.number<<1 | int32(side), Pad: int32(ln.age),
	}
	return unix.EpollCtl(l.epoll, unix.EPOLL_CTL_ADD, ln.fd[side], &e)
}

// remove frees the number of a line.
func (l *loop) remove(ln *line) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines[ln.number] = nil
	l.free = append(l.free, ln.number)
}

// all returns the lines there are.
func (l *loop) all() []*line {
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []*line
	for _, ln := range l.lines {
		if ln != nil {
			out = append(out, ln)
		}
	}
	return out
}

// sweep ends connections that have been silent for too long.
func (l *loop) sweep(now time.Time) {
	for _, ln := range l.all() {
		if ln.silent(now, l.r.opts.Limits.Idle) {
			l.r.counts.idle.Add(1)
			ln.abort(parse.Idle)
		}
	}
}

// abortAll tears down what is left.
func (l *loop) abortAll() {
	for _, ln := range l.all() {
		l.r.counts.aborted.Add(1)
		ln.abort(parse.CaptureEnd)
	}
}

// openLoops starts what carries connections.
func (r *Relay) openLoops() {
	r.mu.Lock() // for who looks at them meanwhile
	defer r.mu.Unlock()
	for range max(1, runtime.GOMAXPROCS(0)/2) {
		l, err := newLoop(r)
		if err != nil {
			return // goroutines do as well
		}
		r.loops = append(r.loops, l)
	}
}
