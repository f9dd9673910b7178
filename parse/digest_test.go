package parse

import (
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"
)

// TestDigests: two hellos have one digest exactly if they have one fingerprint,
// whatever the order of suites and extensions.
func TestDigests(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	list16 := func(v ...uint16) []byte {
		b := []byte{0, byte(2 * len(v))}
		for _, x := range v {
			b = append(b, byte(x>>8), byte(x))
		}
		return b
	}
	clients, servers := make(map[string]uint64), make(map[string]uint64)
	agree := func(of map[string]uint64, mark string, digest uint64) {
		t.Helper()
		before, known := of[mark]
		if known && before != digest {
			t.Errorf("%s has two digests", mark)
		}
		for other, d := range of {
			if d == digest && other != mark {
				t.Errorf("%s and %s share a digest", mark, other)
			}
		}
		of[mark] = digest
	}
	for range 3000 {
		suites := []uint16{0x1301, 0x1302, 0xc02f, 0xc030, 0x2f}[rng.IntN(3):]
		extensions := []testExtension{{23, nil}, {43, append([]byte{4}, list16(0x0304, 0x0303)[2:]...)}, {35, nil}}[rng.IntN(3):]
		schemes := []uint16{0x0403, 0x0804, 0x0401}[rng.IntN(2):]
		if rng.IntN(2) == 0 {
			slices.Reverse(schemes)
		}
		extensions = append(extensions, testExtension{13, list16(schemes...)})
		if rng.IntN(2) == 0 {
			extensions = append(extensions, testExtension{16, []byte{0, 3, 2, 'h', byte('1' + rng.IntN(2))}})
		}
		if rng.IntN(2) == 0 {
			suites = append([]uint16{0x1a1a}, suites...) // GREASE
		}
		rng.Shuffle(len(suites), func(i, k int) { suites[i], suites[k] = suites[k], suites[i] })
		rng.Shuffle(len(extensions), func(i, k int) { extensions[i], extensions[k] = extensions[k], extensions[i] })
		body := buildClientHello([]uint16{0x0301, 0x0303}[rng.IntN(2)], suites, extensions)
		exact, _ := parseClientHello(body, true)
		fast, _ := parseClientHello(body, false)
		if exact.digest != fast.digest {
			t.Fatal("the digest depends on the option")
		}
		agree(clients, exact.JA4, fast.digest)

		answer := []testExtension{{0xff01, []byte{0}}, {23, nil}, {35, nil}}[rng.IntN(3):]
		rng.Shuffle(len(answer), func(i, k int) { answer[i], answer[k] = answer[k], answer[i] })
		server := buildServerHello(0x0303, make([]byte, 32), false, suites[0], answer)
		h, _, _ := parseServerHello(server, true)
		agree(servers, h.JA3S, h.digest)
	}
	if len(clients) < 50 || len(servers) < 20 {
		t.Errorf("only %d and %d fingerprints", len(clients), len(servers))
	}
}

// TestMarkCache: without Options.Fingerprints a hello has the fingerprints that it
// has with it, and the cache stays within its bound.
func TestMarkCache(t *testing.T) {
	var m markCache
	for i := range 3 * maxMarks {
		body := buildClientHello(0x0303, []uint16{uint16(i), 0x2f}, nil)
		want, _ := parseClientHello(body, true)
		for range 2 {
			h, _ := parseClientHello(body, false)
			if m.client(h, body); h.JA4 != want.JA4 {
				t.Fatalf("%s, want %s", h.JA4, want.JA4)
			}
		}
		answer := buildServerHello(0x0303, make([]byte, 32), false, uint16(i), nil)
		exact, _, _ := parseServerHello(answer, true)
		h, _, _ := parseServerHello(answer, false)
		if m.server(h, answer); h.JA3S != exact.JA3S {
			t.Fatalf("%s, want %s", h.JA3S, exact.JA3S)
		}
	}
	if len(m.ja4) > maxMarks || len(m.ja3s) > maxMarks {
		t.Errorf("%d and %d are remembered", len(m.ja4), len(m.ja3s))
	}
}

// TestDigestsOfCaptures is TestDigests with hellos of real programs.
func TestDigestsOfCaptures(t *testing.T) {
	marks, digests := make(map[string]uint64), make(map[uint64]string)
	for _, file := range []string{"br.pcap", "one.pcap", "res.pcap"} {
		for _, hello := range tsharkHellos(t, filepath.Join(captures, "matrix", file)) {
			typ, body, ok := wholeMessage(hello.payload)
			if !ok || typ != TypeClientHello {
				continue
			}
			h, _ := parseClientHello(body, true)
			if d, known := marks[h.JA4]; known && d != h.digest {
				t.Errorf("%s: %s has two digests", file, h.JA4)
			}
			if m, known := digests[h.digest]; known && m != h.JA4 {
				t.Errorf("%s: %s and %s share a digest", file, m, h.JA4)
			}
			marks[h.JA4], digests[h.digest] = h.digest, h.JA4
		}
	}
	t.Logf("%d fingerprints", len(marks))
}
