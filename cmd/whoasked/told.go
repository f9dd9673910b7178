package main

import (
	"net/netip"

	"whoasked/attribute"
	"whoasked/parse"
)

// told counts what a run without an end has told. Counts only grow, but for
// open, so that those who read them from time to time miss nothing.
type told struct {
	open     int64                      // connections
	tls      int64                      // that have ended and were of TLS
	verdicts map[attribute.Answer]int64 // one that changed counts again
	prompts  map[attribute.Outcome]int64
	events   map[parse.EventKind]int64
	askers   map[asking]int64
	others   int64 // connections asked by those beyond maxTold
}

// asking is an endpoint that asked, and its name.
type asking struct {
	by  netip.AddrPort
	hop string
}

// maxTold bounds the askers that are counted each by itself.
const maxTold = 100

func newTold() told {
	return told{
		verdicts: make(map[attribute.Answer]int64), prompts: make(map[attribute.Outcome]int64),
		events: make(map[parse.EventKind]int64), askers: make(map[asking]int64),
	}
}

// verdict counts the verdict on a connection, and who asked once for each.
func (t *told) verdict(a *attribute.Connection, before *attribute.Verdict) {
	v := &a.Verdict
	if before == nil || before.Asked != v.Asked {
		t.verdicts[v.Asked]++
	}
	if v.Asked != attribute.Yes || before != nil && before.Asked == attribute.Yes {
		return
	}
	key := asking{v.By, a.Hop}
	if _, known := t.askers[key]; !known && len(t.askers) >= maxTold {
		t.others++
		return
	}
	t.askers[key]++
}

// notes counts what the parser found to be not as it should be.
func (t *told) notes(events []parse.Event) {
	for i := range events {
		switch k := events[i].Kind; k {
		case parse.EventLost, parse.EventConflict, parse.EventMalformed:
			t.events[k]++
		}
	}
}
