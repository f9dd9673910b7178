package attribute

import (
	"strings"
	"testing"
	"time"
)

// Connections of the tests on what is to be asked, at one endpoint.
const (
	inferredYes  = "C:hello S:hello13 " + flight1 + " C:23/61 C:23/53"
	inferredNo   = "C:hello S:hello13 S:23/36 S:23/94 S:23/286 S:23/53 C:23/53 C:23/100 S:23/100"
	seenYes      = "C:hello S:hello12 S:cert S:ske S:req S:done C:cert0 C:cke C:20/1 C:22/40 S:20/1 S:22/40"
	seenNo       = "C:hello S:hello12 S:cert S:ske S:done C:cke C:20/1 C:22/40 S:20/1 S:22/40"
	cannotTell   = "C:hello S:hello13 S:23/36 C:fin"
	resumed13    = "C:hello+psk S:hello13+psk S:23/36 S:23/53 C:23/53"
	noServer     = "C:hello+pha"
	renegotiated = "C:hello S:hello12 S:cert S:ske S:done C:cke C:20/1 C:22/40 S:20/1 S:22/40 C:23/100 round S:22/24 C:22/200 S:22/2000 C:22/40 C:22/100"
)

// asker counts connections at one endpoint.
func asker(t *testing.T, lines ...string) *Asker {
	t.Helper()
	b := NewBook()
	for i, line := range lines {
		c := begun(t, uint64(i+1), float64(i), line)
		c.ClientHello.Random[0] = byte(i + 1)
		b.Add(c)
	}
	all := b.Askers()
	if len(all) != 1 {
		t.Fatalf("%d askers", len(all))
	}
	return &all[0]
}

// TestOpen: an endpoint is worth asking where the traffic leaves its answer to
// inference or open, and not where something was read, or a handshake shows no more.
func TestOpen(t *testing.T) {
	for _, tt := range []struct {
		name  string
		lines []string
		basis Basis
		want  bool
	}{
		{"inferred", []string{inferredYes}, Inferred, true},
		{"inferred, and not asked", []string{inferredYes, inferredNo}, Inferred, true},
		{"inferred once, seen once", []string{inferredYes, seenYes}, Seen, false},
		{"seen", []string{seenYes}, Seen, false},
		{"unknown", []string{cannotTell}, NoBasis, true},
		{"resumed", []string{resumed13}, NoBasis, true},
		{"not asked, inferred", []string{inferredNo}, Inferred, false},
		{"not asked, inferred, and unknown", []string{inferredNo, cannotTell}, Inferred, true},
		{"not asked, seen, and unknown", []string{seenNo, cannotTell}, Seen, false},
		{"not asked, inferred, and resumed", []string{inferredNo, resumed13}, Inferred, false},
		{"no answer of the server", []string{noServer}, NoBasis, false},
		{"unknown behind the handshake", []string{renegotiated}, NoBasis, false},
	} {
		a := asker(t, tt.lines...)
		if a.Open() != tt.want || a.Basis() != tt.basis {
			t.Errorf("%s: open %t, basis %q, want %t, %q (%+v)", tt.name, a.Open(), a.Basis(), tt.want, tt.basis, a.Reasons)
		}
	}
	passes := asker(t, inferredYes)
	if passes.Passes = 1; passes.Open() {
		t.Error("who passes TLS through is to be asked")
	}
}

// TestOpenAgain: a verdict that is corrected, or a sighting that tells more, counts
// as it is now.
func TestOpenAgain(t *testing.T) {
	b := NewBook()
	c := begun(t, 1, 0, cannotTell)
	c.ClientHello.Random[0] = 1
	b.Add(c)
	before := c.Verdict
	full := begun(t, 1, 0, inferredYes)
	full.ClientHello.Random[0] = 1
	c.Handshake, c.Verdict = full.Handshake, full.Verdict
	if !b.Correct(c, &before) {
		t.Fatal("not corrected")
	}
	if a := b.Asker(c); a.Basis() != Inferred || !a.Open() {
		t.Errorf("basis %v, open %t", a.Basis(), a.Open())
	}
	read := *c
	read.ID, read.Verdict.Basis = 2, Unsealed
	b.Add(&read)
	if a := b.Asker(c); a.Asked != 1 || a.Basis() != Unsealed || a.Open() {
		t.Errorf("%d asked, basis %v, open %t", a.Asked, a.Basis(), a.Open())
	}
}

// TestStanding: a probe that agrees makes the basis, one that does not is told as a
// contradiction and changes no answer.
func TestStanding(t *testing.T) {
	for _, tt := range []struct {
		name     string
		lines    []string
		probe    Answer
		standing Standing
		basis    Basis
		asks     Answer
		says     string
	}{
		{"yes, yes", []string{inferredYes}, Yes, StandsConfirms, ByProbe, Yes, ""},
		{"yes, no", []string{inferredYes, inferredYes}, No, StandsContradicts, Inferred, Yes, "asked in 2 of 2 full handshakes"},
		{"yes, unknown", []string{inferredYes}, Unknown, StandsOpen, Inferred, Yes, ""},
		{"some, no", []string{inferredYes, inferredNo}, No, StandsOpen, Inferred, Yes, ""},
		{"some, yes", []string{inferredYes, inferredNo}, Yes, StandsConfirms, ByProbe, Yes, ""},
		{"unknown, yes", []string{cannotTell}, Yes, StandsTells, ByProbe, Yes, ""},
		{"unknown, no", []string{cannotTell, resumed13}, No, StandsTells, ByProbe, No, ""},
		{"unknown, unknown", []string{cannotTell}, Unknown, StandsOpen, NoBasis, Unknown, ""},
		{"no, no", []string{inferredNo, cannotTell}, No, StandsConfirms, ByProbe, No, ""},
		{"no, yes", []string{inferredNo, cannotTell}, Yes, StandsContradicts, Inferred, No, "not to have asked in 1 full handshake"},
		{"seen, yes", []string{seenYes}, Yes, StandsConfirms, Seen, Yes, ""},
	} {
		a := asker(t, tt.lines...)
		a.Probe = &Confirmation{At: bookStart.Add(time.Hour), Asked: tt.probe}
		says := a.Contradiction()
		if a.Standing() != tt.standing || a.Basis() != tt.basis || a.Asks() != tt.asks || (says == "") != (tt.says == "") || !strings.Contains(says, tt.says) {
			t.Errorf("%s: %v, basis %q, asks %v, %q", tt.name, a.Standing(), a.Basis(), a.Asks(), says)
		}
	}
}

// TestManner: of several connections the first that leaves most to be asked says
// how to ask.
func TestManner(t *testing.T) {
	b := NewBook()
	for i, tt := range []struct {
		line, alpn, preamble string
	}{
		{resumed13, "h3", ""},
		{"C:hello+firefox S:hello13 " + flight1 + " C:23/61 C:23/53", "http/1.1", "proxy-v1"},
		{cannotTell, "spdy/3", "smtp"},
		{inferredYes, "h2", ""},
	} {
		c := begun(t, uint64(i+1), float64(i), tt.line)
		c.ClientHello.Random[0], c.ClientHello.ALPN, c.Preamble = byte(i+1), []string{tt.alpn, "x"}, tt.preamble
		b.Add(c)
	}
	m := b.Askers()[0].Manner
	if m.Browser != "Firefox" || m.ALPN != "http/1.1" || m.Preamble != "proxy-v1" || m.Version != 0x0304 || m.Inside != "" {
		t.Errorf("%+v", m)
	}
}

// TestExplainProbed: who is known to ask by a probe alone has causes, which say so.
func TestExplainProbed(t *testing.T) {
	for answer, want := range map[Answer]bool{Yes: true, No: false, Unknown: false} {
		a := asker(t, cannotTell)
		a.Hop, a.Probe = "gateway", &Confirmation{At: bookStart, Asked: answer, Version: "TLS 1.3"}
		all := []Asker{*a}
		Explain(all, Hops{{Name: "gateway", Kind: "apim"}})
		if got := all[0].Causes; (len(got) > 0) != want {
			t.Errorf("%v: %+v", answer, got)
		} else if want && (got[0].ID != "apim-hostname" || !strings.Contains(got[0].Why, "asked when probed")) {
			t.Errorf("%+v", got[0])
		}
		if all[0].Asked != 0 || all[0].Full != 1 {
			t.Errorf("%v: the counts changed: %+v", answer, all[0])
		}
	}
}
