//go:build linux

package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"whoasked/attribute"
	"whoasked/capture"
	"whoasked/capture/file"
	"whoasked/lab/bench/traffic"
	"whoasked/parse"
)

// deciding finds, for each client of a capture, the packet by which its
// connection is decided: with those in front of it the line has the answer. For
// a client without a certificate watch waits up to a second for what the server
// makes of that, which is then the packet that decides.
func deciding(path string) (map[string]int, error) {
	r, err := file.Open(path)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	packet := -1
	at := make(map[string]int)
	conns := parse.NewParser(parse.Options{}).NewConns()
	var judge attribute.Bench
	src := file.NewSource(r, capture.Limits{})
	src.Tap(func(*file.Packet, *capture.Segment) { packet++ })
	for ch, err := range src.Chunks(context.Background()) {
		if err != nil {
			return nil, err
		}
		c, _ := conns.Feed(ch)
		h := c.Handshake()
		client, _ := h.Ends()
		if _, known := at[client.String()]; !known && h.TLS && attribute.Decided(h) {
			v := judge.Judge(h)
			if ch.End != parse.Open || v.Reply != attribute.ReplyEmpty || v.Required != attribute.Unknown {
				at[client.String()] = packet
			}
		}
	}
	return at, nil
}

// delay measures how long after its deciding packet was sent the line about a
// connection can be read from watch's standard output.
func (b *bench) delay(ctx context.Context) error {
	path, truth, err := b.capture(traffic.BulkProfile(b.scale))
	if err != nil {
		return err
	}
	at, err := deciding(path)
	if err != nil {
		return err
	}
	fmt.Printf("\n## delay\n\n%s\n\n| replayed | new TLS connections/s | MB/s | lines | p50 ms | p90 ms | p99 ms | most ms | lost |\n|---|---|---|---|---|---|---|---|---|\n", &truth)
	for _, speed := range []float64{5, 20} {
		times, arrived, s, err := b.timed(ctx, path, speed)
		if err != nil {
			return err
		}
		var delays []time.Duration
		for client, packet := range at {
			if when, ok := arrived.first[client]; ok && packet < len(times) {
				delays = append(delays, max(0, time.Duration(when-times[packet])))
			}
		}
		if len(delays) == 0 {
			return fmt.Errorf("no line came")
		}
		slices.Sort(delays)
		q := func(share float64) float64 {
			return float64(delays[min(int(share*float64(len(delays))), len(delays)-1)]) / 1e6
		}
		fmt.Printf("| %g × | %.0f | %.0f | %d | %.1f | %.1f | %.1f | %.1f | %d |\n", speed, float64(truth.TLS)/s.Seconds, float64(s.Bytes)/1e6/s.Seconds,
			len(delays), q(0.5), q(0.9), q(0.99), q(1), arrived.lost)
	}
	return nil
}

// arrivals are when the first line about each client came.
type arrivals struct {
	first map[string]int64
	lost  int64
	err   error
}

// timed replays a capture to watch and returns when each packet was sent and when
// lines came.
func (b *bench) timed(ctx context.Context, path string, speed float64) (times []int64, got *arrivals, s *sent, err error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, nil, nil, err
	}
	defer r.Close()
	c, err := b.watch(ctx, w)
	w.Close()
	if err != nil {
		return nil, nil, nil, err
	}
	got = &arrivals{first: make(map[string]int64)}
	done := make(chan struct{})
	go func() {
		defer close(done)
		got.err = got.take(bufio.NewScanner(r))
	}()
	name := filepath.Join(b.dir, "times")
	if s, err = b.send(ctx, path, speed, 0, name); err != nil {
		return nil, nil, nil, err
	}
	if err := c.stop(); err != nil {
		return nil, nil, nil, err
	}
	<-done
	raw, err := os.ReadFile(name)
	for ; len(raw) >= 8; raw = raw[8:] {
		times = append(times, int64(binary.LittleEndian.Uint64(raw)))
	}
	if err == nil {
		err = got.err
	}
	return times, got, s, err
}

func (a *arrivals) take(lines *bufio.Scanner) error {
	lines.Buffer(nil, 4<<20)
	for lines.Scan() {
		now := time.Now().UnixNano()
		var l struct {
			Kind, Client, Note string
			Count              int64
		}
		if err := json.Unmarshal(lines.Bytes(), &l); err != nil {
			return err
		}
		switch {
		case l.Kind == "connection" && a.first[l.Client] == 0:
			a.first[l.Client] = now
		case l.Note == "dropped-packets":
			a.lost = l.Count
		}
	}
	return lines.Err()
}
