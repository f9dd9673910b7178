package attribute

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"whoasked/parse"
)

// TestPrompts: each case is the connections of one browser in order of time,
// "start=script" with start in seconds, and what a person saw of them.
func TestPrompts(t *testing.T) {
	const (
		chromium = "C:hello+chromium S:hello13 " + flight5
		firefox  = "C:hello+firefox S:hello13 " + flight5
		drop     = chromium + " C:fin S:fin"
		empty    = chromium + " C:20/1 C:23/61 S:23/250 C:23/80 S:23/900"
		cert     = chromium + " C:20/1 C:23/1022 S:23/900"
		idle     = firefox + " C:fin S:fin"
		// What comes with an answer: a certificate, and connections that it makes needless.
		slowCert = chromium + " @0.25 C:20/1 C:23/1022 S:23/900"
		needless = chromium + " @0.251 C:fin S:fin"
		// Firefox without credentials: never used, and used.
		unused    = firefox + " C:20/1 C:23/61 S:23/250 C:23/19 S:fin C:rst"
		anonymous = firefox + " C:20/1 C:23/61 S:23/250 C:23/80 S:23/900 C:fin S:fin"
		// Renegotiation, in which the server sends one message more than before.
		used     = clear0 + " C:cke C:20/1 C:22/40 S:20/1 S:22/40 C:23/300 round S:22/28 C:22/500 S:22/100 S:22/800 S:22/324 S:22/106 S:22/28"
		dropUsed = "C:hello+chromium " + used + " C:fin"
		heldUsed = "C:hello+firefox " + used + " @7"
	)
	tests := []struct {
		name  string
		conns []string
		want  []string // outcome seconds ids
	}{
		{"cancelled", []string{"0=" + drop, "0.05=" + drop, "8.4=" + empty}, []string{"cancelled 8.4 1,2,3"}},
		{"chosen", []string{"0=" + drop, "13.6=" + cert}, []string{"certificate 13.6 1,2"}},
		{"no certificate matches", []string{"0=" + drop, "0.03=" + drop, "0.08=" + empty}, []string{"none-shown 0.0 1,2,3"}},
		{"policy chooses", []string{"0=" + drop, "0.02=" + cert}, []string{"none-shown 0.0 1,2"}},
		{"left open, or connected in advance", []string{"0=" + drop, "0.02=" + drop}, []string{"unknown 0.0 1,2"}},
		{"remembered choice", []string{"0=" + empty, "5=" + empty}, nil},
		{"twice", []string{"0=" + drop, "4=" + empty, "60=" + drop, "65=" + cert}, []string{"cancelled 4.0 1,2", "certificate 5.0 3,4"}},
		{"connected in advance, then a dialog", []string{"0=" + drop, "8=" + drop, "12=" + empty}, []string{"cancelled 4.0 1,2,3"}},
		{"tries again while the dialog is up", []string{"0=" + drop, "3=" + drop, "6=" + drop, "8.8=" + slowCert, "8.8=" + needless, "8.81=" + needless}, []string{"certificate 9.0 1,2,3,4,5,6"}},
		{"tries again right before the answer", []string{"0=" + drop, "3=" + drop, "6=" + drop, "6.5=" + needless, "6.5=" + slowCert, "6.5=" + needless}, []string{"certificate 6.7 1,2,3,4,5,6"}},
		{"tries again, and remembers", []string{"0=" + drop, "3=" + drop, "5=" + empty, "5.001=" + empty, "9=" + empty}, []string{"cancelled 5.0 1,2,3"}},
		{"connected in advance, then no certificate matches two requests", []string{"0=" + drop, "8=" + drop, "8=" + drop, "8.1=" + empty, "8.1=" + empty}, []string{"none-shown 0.0 1,2,3,4"}},
		{"drops what the answer makes needless, and remembers", []string{"0=" + drop, "4=" + slowCert, "4.001=" + needless, "9=" + cert}, []string{"certificate 4.2 1,2,3"}},
		{"long forgotten", []string{"0=" + drop, "1200=" + empty}, []string{"unknown 0.0 1"}},
		{"Firefox holds and answers", []string{"0=" + firefox + " @11 C:23/61"}, []string{"cancelled 11.0 1"}},
		{"Firefox holds and chooses", []string{"0=" + idle, "0.1=" + firefox + " @6 C:23/856"}, []string{"certificate 6.0 1,2"}},
		{"Firefox holds to the end", []string{"0=" + firefox + " @11.3 C:fin"}, []string{"open 0.0 1"}},
		{"Firefox connects in advance", []string{"0=" + idle, "0.02=" + idle}, []string{"none-shown 0.0 1,2"}},
		{"Firefox remembers, long after it connected in advance", []string{"0=" + idle, "8=" + firefox + " C:23/856"}, []string{"none-shown 0.0 1,2"}},
		{"Firefox connects in advance without credentials", []string{"0=" + idle, "0.3=" + unused, "0.4=" + firefox + " @4 C:23/856"}, []string{"certificate 4.0 1,2,3"}},
		{"Firefox connects in advance only without credentials", []string{"0=" + idle, "0.3=" + unused}, []string{"none-shown 0.0 1,2"}},
		{"Firefox requests something without credentials before its dialog", []string{"0=" + idle, "0.3=" + anonymous, "0.4=" + firefox + " @4 C:23/856"}, []string{"certificate 4.0 1,2,3"}},
		{"Firefox requests something without credentials meanwhile", []string{"0=" + firefox + " @4 C:23/856", "1=" + anonymous, "2=" + idle}, []string{"certificate 4.0 1,3"}},
		{"Firefox remembers a choice made before", []string{"0=" + firefox + " @4 C:23/856", "5.5=" + idle, "5.6=" + anonymous}, []string{"certificate 4.0 1", "none-shown 0.0 2,3"}},
		{"Firefox remembers, and leaves one unused", []string{"0=" + unused, "0.02=" + unused, "0.04=" + anonymous}, nil},
		{"Firefox shows one dialog after the other", []string{"0=" + firefox + " @4 C:23/856", "1=" + firefox + " @9 C:23/61"}, []string{"certificate 4.0 1", "cancelled 6.0 2"}},
		{"Chromium is slow to drop, then shows its dialog", []string{"0=" + chromium + " @3 C:fin", "8=" + cert}, []string{"certificate 5.0 1,2"}},
		{"gives up before it is asked", []string{"0=C:hello+chromium @0.001 C:fin @0.03 S:hello12 S:cert S:ske S:req S:done C:rst", "0.04=" + drop, "5=" + cert}, []string{"certificate 5.0 2,3"}},
		{"Chromium is slow to drop", []string{"0=" + chromium + " @3 C:fin"}, []string{"unknown 0.0 1"}},
		{"two browsers", []string{"0=" + drop, "4=" + firefox + " C:23/61"}, []string{"unknown 0.0 1"}},
		{"a connection in use is dropped", []string{"0=" + dropUsed}, []string{"open 0.0 1"}},
		{"a connection in use is held", []string{"0=" + heldUsed}, []string{"open 0.0 1"}},
		{"no browser", []string{"0=C:hello S:hello13 " + flight5 + " C:fin", "9=C:hello S:hello13 " + flight5 + " C:23/61"}, nil},
		{"nobody asks", []string{"0=C:hello+chromium S:hello13 " + flight4 + " C:23/53"}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := NewBook()
			for i, line := range tt.conns {
				at, text, _ := strings.Cut(line, "=")
				delay, err := time.ParseDuration(at + "s")
				if err != nil {
					t.Fatal(err)
				}
				b.Add(connection(t, uint64(i+1), text, delay))
			}
			prompts, askers := b.Finish()
			var got []string
			shown := 0
			for _, p := range prompts {
				var ids []string
				for _, id := range p.Connections {
					ids = append(ids, fmt.Sprint(id))
				}
				length := 0.0
				if p.Outcome == OutcomeCertificate || p.Outcome == OutcomeCancelled {
					length = p.Closed.Sub(p.Opened).Seconds()
				}
				if p.Outcome.Shown() {
					shown++
				}
				got = append(got, fmt.Sprintf("%s %.1f %s", p.Outcome, length, strings.Join(ids, ",")))
				if p.Evidence == "" || p.Opened.IsZero() || p.Closed.IsZero() && p.Outcome > OutcomeOpen && p.Outcome != OutcomeNoneShown {
					t.Errorf("incomplete: %+v", p)
				}
			}
			if fmt.Sprint(got) != fmt.Sprint(tt.want) {
				t.Errorf("got  %q\nwant %q", got, tt.want)
			}
			if len(askers) != 1 || askers[0].Prompts != shown {
				t.Errorf("askers %+v", askers)
			}
		})
	}
}

// connection judges a script that began some time after the others.
func connection(t *testing.T, id uint64, text string, delay time.Duration) *Connection {
	t.Helper()
	h := script(t, text)
	shift(h, delay)
	return &Connection{ID: id, Client: h.Flow.Addrs[0], Server: h.Flow.Addrs[1], Handshake: h, Verdict: Judge(h)}
}

func TestBookCounts(t *testing.T) {
	b := NewBook()
	for i, text := range []string{
		"C:hello " + clear1 + " C:cert0 C:cke", "C:hello " + clear0 + " C:cke", "C:hello S:hello12+echo",
		"C:hello S:hello13 S:23/1427", "C:hello", "C:hello",
	} {
		b.Add(connection(t, uint64(i+1), text, time.Duration(i)*time.Second))
	}
	_, askers := b.Finish()
	if len(askers) != 1 {
		t.Fatalf("askers %+v", askers)
	}
	a := askers[0]
	if a.Full != 3 || a.Asked != 1 || a.NotAsked != 1 || a.Resumed != 1 || a.Unknown != 3 || len(a.Reasons) != 2 || a.SNI != "portal.contoso.test" {
		t.Errorf("%+v", a)
	}
	if got := a.Last.Sub(a.First); got < 5*time.Second || got > 6*time.Second {
		t.Errorf("first to last %v", got)
	}
}

// TestBookIsBounded: a capture of any length costs a bounded book, and what did
// not fit is counted.
func TestBookIsBounded(t *testing.T) {
	b := NewBook()
	c := connection(t, 1, "C:hello+chromium S:hello13 "+flight5+" C:fin", 0)
	for i := range maxAskers + 10 {
		c.ClientHello.ServerName = fmt.Sprint(i)
		b.Add(c)
	}
	for range maxSights {
		b.Add(c)
	}
	if _, askers := b.Finish(); len(askers) != maxAskers {
		t.Errorf("%d askers", len(askers))
	}
	if b.Left() == 0 || b.sightCount > maxSights {
		t.Errorf("left %d, sights %d", b.Left(), b.sightCount)
	}
}

// TestPromptsOfPersons: behind one address, those that PROXY headers tell apart.
func TestPromptsOfPersons(t *testing.T) {
	const (
		drop  = "C:hello+chromium S:hello13 " + flight5 + " C:fin S:fin"
		empty = "C:hello+chromium S:hello13 " + flight5 + " C:20/1 C:23/61 S:23/250 C:23/80 S:23/900"
	)
	b := NewBook()
	for i, c := range []struct {
		at     time.Duration
		text   string
		person string
	}{{0, drop, "198.18.0.10:50001"}, {2 * time.Second, drop, "198.18.0.11:50001"}, {5 * time.Second, empty, "198.18.0.10:50002"}, {9 * time.Second, empty, "198.18.0.11:50002"}} {
		conn := connection(t, uint64(i+1), c.text, c.at)
		conn.Proxied = &parse.Proxied{Source: netip.MustParseAddrPort(c.person)}
		b.Add(conn)
	}
	prompts, _ := b.Finish()
	if len(prompts) != 2 || prompts[0].Client.String() != "198.18.0.10" || prompts[0].Closed.Sub(prompts[0].Opened).Round(time.Second) != 5*time.Second ||
		prompts[1].Client.String() != "198.18.0.11" || prompts[1].Closed.Sub(prompts[1].Opened).Round(time.Second) != 7*time.Second {
		t.Errorf("%+v", prompts)
	}
}
