package attribute

import (
	"net/netip"
	"slices"
	"time"
)

// A dialog may come again: after Cancel and a reload, for the next host of the
// same endpoint, for each connection that Firefox holds. To a person these are
// one nuisance.

// repeatWithin is how long after a dialog the next one is said to be a further one.
const repeatWithin = 24 * time.Hour

// Bounds of Repeats: clients of askers, and dialogs listed of each.
const (
	maxRepeats = 8192
	maxBefore  = 8
)

// Earlier is a dialog that was shown before another.
type Earlier struct {
	Opened time.Time
	SNI    string
}

// Repeats counts the dialogs that each client was shown for each asker, whatever
// the name. A client is an address, behind which there may be several people. The
// zero value is ready.
type Repeats struct{ of map[clientAsker]*shownDialogs }

type clientAsker struct {
	client netip.Addr
	asker  netip.AddrPort
}

// shownDialogs are those of one client and asker within repeatWithin of each other.
type shownDialogs struct {
	n       int
	latest  []Earlier // at most maxBefore and the last one
	ids     []uint64  // connections of the last one
	touched time.Time
}

// Mark sets Nth and Before of dialogs that were shown, which come in order of
// time. One that shares a connection with the one before is the same, told again.
func (r *Repeats) Mark(prompts []Prompt) {
	for i := range prompts {
		if p := &prompts[i]; p.Outcome.Shown() {
			r.mark(p)
		}
	}
}

func (r *Repeats) mark(p *Prompt) {
	key := clientAsker{p.Client, p.AskedBy}
	d := r.of[key]
	if d == nil || p.Opened.Sub(d.touched) > repeatWithin {
		if r.of == nil {
			r.of = make(map[clientAsker]*shownDialogs)
		}
		if len(r.of) == maxRepeats {
			r.forget()
		}
		d = &shownDialogs{}
		r.of[key] = d
	}
	if same := slices.ContainsFunc(p.Connections, func(id uint64) bool { return slices.Contains(d.ids, id) }); same {
		d.latest = d.latest[:len(d.latest)-1]
	} else {
		d.n++
	}
	p.Nth, p.Before = d.n, slices.Clone(d.latest[max(len(d.latest)-maxBefore, 0):])
	d.latest = append(p.Before[:len(p.Before):len(p.Before)], Earlier{p.Opened, p.SNI})
	d.ids, d.touched = slices.Clone(p.Connections), later(p.Opened, p.Closed)
}

// forget makes room: it forgets who was shown no dialog for longest.
func (r *Repeats) forget() {
	var oldest clientAsker
	for key, d := range r.of {
		if o := r.of[oldest]; o == nil || d.touched.Before(o.touched) {
			oldest = key
		}
	}
	delete(r.of, oldest)
}
