package relay

import (
	"sync"
	"time"

	"whoasked/parse"
)

// tap is the queue between forwarding and parsing. Two batches take turns: one
// is filled while the consumer empties the other, so that a full relay costs two
// batches and no allocation.
type tap struct {
	limit int           // bytes in a batch
	wake  chan struct{} // something was put in
	full  chan struct{} // a quarter of the limit

	mu      sync.Mutex
	filling *batch
	spare   *batch
	table   []*session // by number; nil is free
	free    []int
	lost    int64 // bytes that found the queue full
	untold  int64 // troubles that did
}

type batch struct {
	items []item
	data  []byte
}

// item is a chunk to be, or a trouble.
type item struct {
	s       *session
	trouble *Trouble
	at      time.Time
	off, n  int // in the batch's data
	lost    int
	skipped int
	from    parse.Side
	fin     bool
	keys    bool // the data is lines of a key log
	end     parse.End
}

// pending is what is to be told of a direction with its next item.
type pending struct {
	sieve         parse.Sieve
	lost, skipped int
}

// maxItems bounds the items of a batch, those aside that tell an end: there are
// at most four for each connection.
const maxItems = 32 << 10

func (t *tap) init(limit int) {
	t.limit, t.wake, t.full = limit, make(chan struct{}, 1), make(chan struct{}, 1)
	t.filling, t.spare = &batch{}, &batch{}
}

// open numbers a session.
func (t *tap) open(s *session) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if n := len(t.free); n > 0 {
		s.number, t.free = t.free[n-1], t.free[:n-1]
		t.table[s.number] = s
		return
	}
	s.number = len(t.table)
	t.table = append(t.table, s)
}

// release frees the number of a session whose end the consumer has seen.
func (t *tap) release(s *session) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.table[s.number] = nil
	t.free = append(t.free, s.number)
}

func (t *tap) session(number int) *session {
	t.mu.Lock()
	defer t.mu.Unlock()
	if number < len(t.table) {
		return t.table[number]
	}
	return nil
}

// data copies bytes that one side sent. It does not wait.
func (t *tap) data(s *session, from parse.Side, b []byte) {
	p := &s.pending[from]
	now := time.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	whole := (s.r.opts.WholeRecords || s.whole.Load()) && !s.headers.Load()
	if whole { // the sieve has to know where records begin
		for rest := b; len(rest) > 0; {
			n, _ := p.sieve.Next(rest)
			rest = rest[n:]
		}
	}
	for len(b) > 0 {
		n, skip := len(b), false
		if !whole {
			n, skip = p.sieve.Next(b)
		}
		if skip {
			p.skipped += n
		} else {
			t.put(s, from, now, b[:n])
		}
		b = b[n:]
	}
}

// said copies what was said in front of a stream.
func (t *tap) said(s *session, from parse.Side, b []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.put(s, from, time.Now(), b)
}

// put enters data if there is room for it.
func (t *tap) put(s *session, from parse.Side, now time.Time, b []byte) {
	p, q := &s.pending[from], t.filling
	if len(q.items) >= maxItems || len(q.data)+len(b) > t.limit {
		p.lost += len(b)
		t.lost += int64(len(b))
		return
	}
	q.items = append(q.items, item{
		s: s, from: from, at: now, lost: p.lost, skipped: p.skipped, off: len(q.data), n: len(b),
	})
	q.data = append(q.data, b...)
	p.lost, p.skipped = 0, 0
	t.ring()
	if len(q.data) > t.limit/4 || len(q.items) > maxItems/4 {
		select {
		case t.full <- struct{}{}:
		default:
		}
	}
}

// gather waits for more, but not until there is too much.
func (t *tap) gather(d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-t.full:
	}
}

// keys copies secrets. They are few and short, and without them the rest was in
// vain: they go in however full the queue is.
func (t *tap) keys(s *session, line []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	q := t.filling
	q.items = append(q.items, item{s: s, keys: true, off: len(q.data), n: len(line)})
	q.data = append(q.data, line...)
	t.ring()
}

// fin tells that a side has closed its direction.
func (t *tap) fin(s *session, from parse.Side) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.mark(s, item{from: from, fin: true})
}

// end tells that a connection is over, and what is pending on either side.
func (t *tap) end(s *session, from parse.Side, end parse.End) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if p := s.pending[from.Other()]; p.lost+p.skipped > 0 {
		t.mark(s, item{from: from.Other()})
	}
	t.mark(s, item{from: from, end: end})
}

// mark enters an item without data, however full the queue is.
func (t *tap) mark(s *session, it item) {
	p := &s.pending[it.from]
	it.s, it.at, it.lost, it.skipped = s, time.Now(), p.lost, p.skipped
	p.lost, p.skipped = 0, 0
	t.filling.items = append(t.filling.items, it)
	t.ring()
}

func (t *tap) trouble(tr *Trouble) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.filling.items) >= maxItems {
		t.untold++
		return
	}
	t.filling.items = append(t.filling.items, item{trouble: tr})
	t.ring()
}

func (t *tap) ring() {
	select {
	case t.wake <- struct{}{}:
	default:
	}
}

// take returns what has gathered, nil for nothing.
func (t *tap) take() *batch {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.filling.items) == 0 {
		return nil
	}
	b := t.filling
	if t.filling = t.spare; t.filling == nil {
		t.filling = &batch{}
	}
	t.spare = nil
	return b
}

// recycle takes a batch back whose items are done with.
func (t *tap) recycle(b *batch) {
	clear(b.items)
	b.items, b.data = b.items[:0], b.data[:0]
	t.mu.Lock()
	t.spare = b
	t.mu.Unlock()
}
