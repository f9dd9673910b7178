package parse

import "testing"

// FuzzDatagrams feeds foreign datagrams of every kind to a connection and
// demands that what is kept stays bounded.
func FuzzDatagrams(f *testing.F) {
	f.Add(uint8(UDP), unhex(f, `00 75 cf000000010008f067a5502a4262b5004075c0d95a482cd0991cd25b0aac406a
		5816b6394100f37a1c69797554780bb38cc5a99f5ede4cf73c3ec2493a1839b3dbcba3f6ea46c5b7684df3548e7ddeb9
		c3bf9c73cc3f3bded74b562bfb19fb84022f8ef4cdd93795d77d06edbb7aaf2f58891850abbdca3d20398c276456cbc4`))
	// A HelloVerifyRequest, a fragment of a CertificateRequest, a sealed record.
	f.Add(uint8(UDP), unhex(f, `01 1c 16feff0000000000000000000f 03 000003 0000 000000 000003 feff00
		01 1d 16fefd00000000000000010010 0d 000020 0001 000004 000004 01020304
		01 15 16fefd0001000000000000 0008 0102030405060708`))
	f.Add(uint8(EAPOL), unhex(f, `01 06 01 07 0006 0d20 00 08 02 07 0008 0d00 1603 01 08 01 08 0008 0d40 1603`))
	f.Add(uint8(RADIUS), unhex(f, `01 0c 01 07 000c 37 90 0000000400 01`))
	// OpenVPN: resets, a piece of the stream out of turn, one that acknowledges.
	f.Add(uint8(UDP), unhex(f, `00 0e 380102030405060708 00 00000000 01 1a 401112131415161718 01 00000000 0102030405060708 00000000
		00 16 200102030405060708 00 00000002 0000020303010203 00 23 200102030405060708 01 00000000 1112131415161718 00000001
		160303000401000000`))
	p := NewParser(Options{Fingerprints: true, Keys: NewKeys()})
	p.opts.Keys.Growing = true
	f.Fuzz(func(t *testing.T, proto uint8, script []byte) {
		flow := testFlow
		flow.Proto = Proto(proto%3) + UDP
		c := p.NewConn()
		for len(script) >= 2 {
			from, n := Side(script[0]&1), min(int(script[1]), len(script)-2)
			data := script[2 : 2+n]
			script = script[2+n:]
			OpeningOf(data)
			c.Feed(Chunk{Flow: flow, From: from, Time: testStart, Data: data})
		}
		checkDatagrams(t, c)
		h := c.Handshake()
		c.Feed(Chunk{Flow: flow, Time: testStart, End: Idle})
		if len(h.Messages) > MaxMessages || len(h.Rounds) > MaxRounds || len(h.Tape.Records) > MaxTape ||
			len(h.Alerts) > MaxAlerts || len(h.Requests) > MaxRequests {
			t.Fatal("a bound is exceeded")
		}
		p.Recycle(c)
	})
}

// checkDatagrams fails where a reader keeps more than it may.
func checkDatagrams(t *testing.T, c *Conn) {
	t.Helper()
	if c.grams == nil {
		return
	}
	if q := c.grams.quic; q != nil {
		if len(q.held) > maxQUICHeld || q.heldBytes > maxQUICHeldBytes || len(q.initial) > 4 {
			t.Fatalf("%d packets of %d bytes, %d keys", len(q.held), q.heldBytes, len(q.initial))
		}
		for level := range q.crypto {
			for s := range q.crypto[level] {
				if x := &q.crypto[level][s]; x.held > maxSorterHeld || len(x.runs) > maxSorterRuns {
					t.Fatalf("%d bytes in %d runs", x.held, len(x.runs))
				}
			}
		}
	}
	if v := c.grams.vpn; v != nil {
		for s := range v.sides {
			if n := len(v.sides[s].waiting); n > maxOpenVPNWaiting {
				t.Fatalf("%d messages wait", n)
			}
		}
	}
	if d := c.grams.dtls; d != nil {
		for s := range d.sides {
			if x := &d.sides[s]; len(x.waiting) > maxDTLSMessages || x.size > maxDTLSWaiting {
				t.Fatalf("%d messages of %d bytes", len(x.waiting), x.size)
			}
		}
	}
}

// FuzzQUICFrames reads foreign frames as those of an opened packet.
func FuzzQUICFrames(f *testing.F) {
	f.Add(uint8(0), unhex(f, "0200000000 06 00 04 02000000 1c 4174 06 00"))
	f.Add(uint8(2), unhex(f, "08 00 6869 0e 04 02 01 61 18 00 00 01 aa 00112233445566778899aabbccddeeff 1e"))
	p := NewParser(Options{})
	f.Fuzz(func(t *testing.T, level uint8, b []byte) {
		c := p.NewConn()
		c.h.Start = testStart
		c.grams = &datagrams{quic: newQUICReader(c)}
		c.grams.quic.frames(quicLevel(level%uint8(quicLevels)), Opener, b)
		checkDatagrams(t, c)
		p.Recycle(c)
	})
}
