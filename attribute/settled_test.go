package attribute

import (
	"testing"

	"whoasked/parse"
)

func TestSettled(t *testing.T) {
	const (
		no   = "C:hello S:hello13 " + flight4 + " "
		yes  = "C:hello S:hello13 " + flight5 + " "
		bulk = "S:23/9000 S:23/9000 S:23/9000 S:23/9000 S:23/9000 S:23/9000"
		keys = "C:20/1 C:22/40 S:20/1 S:22/40"
	)
	for _, c := range []struct {
		name, script     string
		decided, settled bool
	}{
		{"1.3 before the client's flight", no, false, false},
		{"1.3 not asked", no + "C:23/53", true, true},
		{"1.3 not asked, server flight of one record", "C:hello S:hello13 " + flight1 + " C:23/53", true, false},
		{"1.3 not asked, server flight of one record, then bulk", "C:hello S:hello13 " + flight1 + " C:23/53 " + bulk, true, false},
		{"1.3 not asked, server flight of one record, then data and bulk", "C:hello S:hello13 " + flight1 + " C:23/53 C:23/99 " + bulk, true, true},
		{"1.3 not asked, a browser, server flight of one record, then bulk", "C:hello+firefox S:hello13 " + flight1 + " C:23/53 " + bulk, true, true},
		{"1.3 not asked, may be later", "C:hello+pha S:hello13 " + flight4 + " C:23/53 " + bulk, true, false},
		{"1.3 asked, may be later", "C:hello+pha S:hello13 " + flight5 + " C:23/588 C:23/281 C:23/53", true, true},
		{"1.3 certificate, not all of it", yes + "C:23/588", false, false},
		{"1.3 certificate", yes + "C:23/588 C:23/281 C:23/53", true, true},
		{"1.3 empty, Finished to come", yes + "C:23/25", false, false},
		{"1.3 empty, not known to be required", yes + "C:23/25 C:23/53", true, false},
		{"1.3 empty, served", yes + "C:23/25 C:23/53 " + bulk, true, true},
		{"1.3 empty, refused", yes + "C:23/25 C:23/53 S:23/19", true, true},
		{"1.3 large record", yes + "C:23/955", false, false},
		{"1.3 large record, server goes on", yes + "C:23/955 S:23/250", true, false},
		{"1.3 resumed", "C:hello S:hello13+psk S:23/40 S:23/53 C:23/53", true, true},
		{"1.3 resumed, may be asked later", "C:hello+pha S:hello13+psk S:23/40 S:23/53 C:23/53", true, false},
		{"1.3 dropped by a browser", "C:hello+chromium S:hello13 " + flight5 + " C:fin", true, false},
		{"1.3 dropped by a browser, server flight of one record", "C:hello+chromium S:hello13 " + flight1 + " C:fin", false, false},
		{"1.3 dropped by another", "C:hello S:hello13 " + flight1 + " C:fin", false, false},
		{"1.3 loss", no + "C:hidden C:23/53", true, false},
		{"1.2 before the client's flight", "C:hello " + clear0, false, false},
		{"1.2 not asked, may be later", "C:hello " + clear0 + " C:cke " + keys + " C:23/99 " + bulk, true, false},
		{"1.2 asked, certificate", "C:hello " + clear1 + " C:cert C:cke " + keys, true, true},
		{"1.2 asked, empty, served", "C:hello " + clear1 + " C:cert0 C:cke " + keys + " C:23/99 " + bulk, true, true},
		{"1.2 asked, empty", "C:hello " + clear1 + " C:cert0 C:cke " + keys, true, false},
		{"1.2 asked, refused", "C:hello " + clear1 + " C:alert48", true, false},
		{"no TLS", "", false, false},
		{"hello only", "C:hello", false, false},
	} {
		h := script(t, c.script)
		h.End = parse.Open
		if got := Decided(h); got != c.decided {
			t.Errorf("%s: decided %v", c.name, got)
		}
		if got := Settled(h); got != c.settled {
			t.Errorf("%s: settled %v", c.name, got)
		}
		h.End = parse.FIN
		if !Settled(h) || !Decided(h) {
			t.Errorf("%s: neither at its end", c.name)
		}
	}
}

// TestSettledHTTP2: a connection that speaks HTTP/2 is not renegotiated.
func TestSettledHTTP2(t *testing.T) {
	h := script(t, "C:hello "+clear0+" C:cke C:20/1 C:22/40 S:20/1 S:22/40")
	h.End, h.ServerHello.ALPN = parse.Open, "h2"
	if Settled(h) {
		t.Error("settled before the connection preface")
	}
	h = script(t, "C:hello "+clear0+" C:cke C:20/1 C:22/40 S:20/1 S:22/40 C:23/60")
	h.End, h.ServerHello.ALPN = parse.Open, "h2"
	if !Settled(h) {
		t.Error("not settled behind it")
	}
}
