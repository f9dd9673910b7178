package lab_test

import (
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"whoasked/attribute"
	"whoasked/capture"
	"whoasked/capture/file"
	"whoasked/lab/bench/traffic"
	"whoasked/parse"
)

// BenchmarkLine takes captures through the line, from the file to the judged
// connection, without report: time and allocations per packet.
//
//	go test -run '^$' -bench Line ./lab
func BenchmarkLine(b *testing.B) {
	recs, err := traffic.Record()
	if err != nil {
		b.Fatal(err)
	}
	for _, p := range []traffic.Profile{traffic.BulkProfile(0.05), traffic.HandshakeProfile(0.05)} {
		b.Run(p.Name, func(b *testing.B) {
			path, truth := benchCapture(b, p, recs)
			asked, _, _ := truth.Counts()
			b.SetBytes(truth.Bytes)
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			for b.Loop() {
				if tls, yes := judgeAll(b, path); tls != truth.TLS || yes != asked {
					b.Fatalf("%d of %d connections asked, want %d of %d", yes, tls, asked, truth.TLS)
				}
			}
			runtime.ReadMemStats(&after)
			packets := float64(truth.Packets) * float64(b.N)
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/packets, "ns/packet")
			b.ReportMetric(packets/b.Elapsed().Seconds(), "packets/s")
			b.ReportMetric(float64(after.Mallocs-before.Mallocs)/packets, "allocs/packet")
			b.ReportMetric(float64(after.TotalAlloc-before.TotalAlloc)/packets, "B/packet")
			b.ReportMetric(float64(after.Mallocs-before.Mallocs)/float64(b.N*truth.TLS), "allocs/connection")
		})
	}
}

func benchCapture(b *testing.B, p traffic.Profile, recs []traffic.Recording) (path string, truth traffic.Truth) {
	b.Helper()
	path = filepath.Join(b.TempDir(), p.Name+".pcap")
	f, err := os.Create(path)
	if err != nil {
		b.Fatal(err)
	}
	truth, err = traffic.Write(f, p, recs)
	if err != nil {
		b.Fatal(err)
	}
	if err := f.Close(); err != nil {
		b.Fatal(err)
	}
	return path, truth
}

// judgeAll counts the TLS connections of a capture and those with a request.
func judgeAll(tb testing.TB, path string) (tls, asked int) {
	tb.Helper()
	r, err := file.Open(path)
	if err != nil {
		tb.Fatal(err)
	}
	defer r.Close()
	src := file.NewSource(r, capture.Limits{})
	conns := parse.NewParser(parse.Options{}).NewConns()
	for ch, err := range src.Chunks(tb.Context()) {
		if err != nil {
			tb.Fatal(err)
		}
		conn, _ := conns.Feed(ch)
		h := conn.Handshake()
		if ch.End == parse.Open || !h.TLS {
			continue
		}
		tls++
		if attribute.Judge(h).Asked == attribute.Yes {
			asked++
		}
	}
	return tls, asked
}
