//go:build linux

package lab

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"whoasked/attribute"
	"whoasked/capture"
	"whoasked/capture/file"
	"whoasked/parse"
)

// judged is a connection of the capture with the product's answer.
type judged struct {
	*parse.Handshake
	attribute.Verdict
}

// judgeAll runs the line of the product over a file: packets, chunks, facts,
// verdicts; keys may be nil.
func judgeAll(t *testing.T, pcap string, keys *parse.Keys) map[connKey]judged {
	t.Helper()
	r, err := file.Open(pcap)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	open := parse.NewParser(parse.Options{Keys: keys}).NewConns()
	var done []*parse.Handshake
	for ch, err := range file.NewSource(r, capture.Limits{}).Chunks(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		c, _ := open.Feed(ch)
		if ch.End != parse.Open {
			done = append(done, c.Handshake())
			for in := c.Handshake().Inner; in != nil && in.TLS; in = in.Inner {
				done = append(done, in)
			}
		}
	}
	slices.SortStableFunc(done, func(a, b *parse.Handshake) int { return a.Start.Compare(b.Start) })
	all := map[connKey]judged{}
	for _, h := range done {
		if h.ClientHello == nil {
			t.Errorf("%v: no ClientHello", h.Flow.Addrs)
			continue
		}
		k := connKey{sni: h.ClientHello.ServerName}
		for all[k].Handshake != nil {
			k.nth++
		}
		all[k] = judged{h, attribute.Judge(h)}
	}
	return all
}

// tally counts answers; an unknown that the truth excuses stands apart.
type tally struct{ right, wrong, unknown, excused int }

func (c tally) String() string {
	s := fmt.Sprintf("%d connections, %d right, %d wrong, %d unknown", c.right+c.wrong+c.unknown+c.excused, c.right, c.wrong, c.unknown)
	if c.excused > 0 {
		s += fmt.Sprintf(", %d unknown with good reason", c.excused)
	}
	return s
}

// checkVerdicts compares every verdict with the truth and prints the counts.
func checkVerdicts(t *testing.T, l *Lab, pcap string, truth []Truth) {
	t.Helper()
	got := judgeAll(t, pcap, nil)
	cells := map[string]*tally{}
	count := func(tr Truth, answer attribute.Answer, problems []string) {
		version := pick(tr.tls13(), " TLS 1.3", " TLS 1.2")
		for _, cell := range []string{"all", "server " + tr.Server + version, "client " + tr.Client + version} {
			if cells[cell] == nil {
				cells[cell] = &tally{}
			}
			cells[cell].add(tr, answer, problems)
		}
	}
	for _, tr := range truth {
		j, ok := got[connKey{tr.SNI, tr.Nth}]
		if !ok {
			t.Errorf("%v: not found in the capture", tr)
			count(tr, attribute.Unknown, nil)
			continue
		}
		delete(got, connKey{tr.SNI, tr.Nth})
		problems := compare(l, tr, j)
		if len(problems) > 0 {
			t.Errorf("%v: %s\n  evidence %v reason %q\n  %s", tr, strings.Join(problems, "; "), j.Evidence, j.Reason, tapes(j.Handshake))
		}
		count(tr, j.Asked, problems)
	}
	for k, j := range got {
		t.Errorf("%v: a connection that nobody made, %v", k, j.Flow.Addrs)
	}
	for _, cell := range slices.Sorted(maps.Keys(cells)) {
		t.Logf("%-24s %v", cell, *cells[cell])
	}
}

func (c *tally) add(tr Truth, answer attribute.Answer, problems []string) {
	switch {
	case answer == attribute.Unknown && tr.Unknown == "":
		c.unknown++
	case len(problems) > 0:
		c.wrong++
	case answer == attribute.Unknown:
		c.excused++
	default:
		c.right++
	}
}

// compare returns what is wrong with a verdict.
func compare(l *Lab, tr Truth, j judged) (problems []string) {
	expect := func(what string, got, want any) {
		if got != want {
			problems = append(problems, fmt.Sprintf("%s is %v, want %v", what, got, want))
		}
	}
	want := attribute.No
	if tr.Asked {
		want = attribute.Yes
	}
	if j.Asked != attribute.Unknown || tr.Unknown == "" {
		expect("asked", j.Asked, want)
	}
	expect("resumed", j.Resumed, tr.Resumed)
	if j.ServerHello == nil {
		return append(problems, "no ServerHello")
	}
	expect("version", j.ServerHello.Version, parse.Version(tr.Version))
	if suite := tr.Suite(); suite != 0 {
		expect("suite", j.ServerHello.Cipher, parse.CipherSuite(suite))
	}
	if !tr.Asked || j.Asked != attribute.Yes {
		return problems
	}
	expect("by", j.By, netip.AddrPortFrom(l.Net.Server.Addr, uint16(tr.Port)))
	expect("when", j.When.String(), tr.When)
	if tr.Unknown == "" {
		expect("reply", j.Reply.String(), tr.Reply)
	}
	// Only a client that sends none shows whether a certificate was required.
	if tr.Reply == "empty" && j.Required != attribute.Unknown {
		expect("required", j.Required == attribute.Yes, tr.Required)
	}
	return problems
}

// tapes prints what the verdict had to go by.
func tapes(h *parse.Handshake) string {
	var b strings.Builder
	for _, m := range h.Messages {
		fmt.Fprintf(&b, "%v:%d ", m.From, m.Type)
	}
	records := func(name string, tape parse.Tape) {
		fmt.Fprintf(&b, "\n  %s:", name)
		for _, r := range tape.Records {
			fmt.Fprintf(&b, " %v:%d/%d", r.From, r.Type, r.Len)
		}
	}
	records("sealed", h.Tape)
	for _, r := range h.Rounds {
		records(fmt.Sprintf("round %d", r.Kind), r.Tape)
	}
	return b.String()
}
