//go:build linux

package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"

	"whoasked/lab/bench/traffic"
)

// told is what watch or read told: of each connection the latest line.
type told struct {
	conns map[string]answer // by client
	notes map[string]int64  // latest count by kind
	lines int
}

// answer is what a connection is compared by.
type answer struct {
	Client, Server, Version, Asked, By, Reason, Basis, Reply string
	Resumed                                                  bool
}

// read reads JSON Lines. No client of a capture uses a port twice.
func readTold(path string) (*told, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	t := &told{conns: make(map[string]answer), notes: make(map[string]int64)}
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 4<<20)
	for lines.Scan() {
		t.lines++
		var kind struct {
			Kind, Note string
			Count      int64
		}
		if err := json.Unmarshal(lines.Bytes(), &kind); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		switch kind.Kind {
		case "note":
			t.notes[kind.Note] = kind.Count
		case "connection":
			var a struct {
				answer
				AskedBy string `json:"asked_by"`
			}
			if err := json.Unmarshal(lines.Bytes(), &a); err != nil {
				return nil, fmt.Errorf("%s: %w", path, err)
			}
			a.By = a.AskedBy
			t.conns[a.Client] = a.answer
		}
	}
	return t, lines.Err()
}

// score holds answers against the truth.
type score struct {
	right, wrong, unknown, missing int
	first                          string // that is wrong
}

func (s score) String() string {
	text := fmt.Sprintf("%d right", s.right)
	for _, n := range []struct {
		n    int
		word string
	}{{s.wrong, "WRONG"}, {s.unknown, "unknown"}, {s.missing, "missing"}} {
		if n.n > 0 {
			text += fmt.Sprintf(", %d %s", n.n, n.word)
		}
	}
	return text + s.first
}

// against compares with the truth about the capture that was replayed.
func (t *told) against(truth *traffic.Truth) (s score) {
	seen := make([]int, len(truth.Scenarios))
	for _, a := range t.conns {
		addr, err := netip.ParseAddrPort(a.Server)
		if err != nil {
			s.wrong++
			continue
		}
		i := truth.Find(addr.Addr())
		if i < 0 {
			continue // no TLS
		}
		seen[i]++
		x := &truth.Scenarios[i]
		want := "no"
		if x.Asked {
			want = "yes"
		}
		switch {
		case a.Asked == "unknown":
			s.unknown++
		case a.Asked == want && (want == "no" || a.By == a.Server):
			s.right++
		default:
			s.wrong++
			s.first = fmt.Sprintf("; %s: %+v", x.Name, a)
		}
	}
	for i := range seen {
		s.missing += max(0, truth.Scenarios[i].Connections-seen[i])
	}
	return s
}

// unlike counts the connections that two tell differently, or one alone.
func (t *told) unlike(o *told) (n int, first string) {
	for client, a := range t.conns {
		if b := o.conns[client]; a != b {
			n++
			first = fmt.Sprintf("\n  %+v\n  %+v", a, b)
		}
	}
	for client := range o.conns {
		if _, ok := t.conns[client]; !ok {
			n++
		}
	}
	return n, first
}
