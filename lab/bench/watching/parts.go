//go:build linux

package main

import (
	"context"
	"fmt"
	"os/exec"
	"time"

	"whoasked/lab/bench/traffic"
)

// fail books an answer that is wrong, or a goal on answers that is missed: unlike
// figures, which depend on the machine, they end the program with an error.
func (b *bench) fail(format string, args ...any) {
	b.wrong = append(b.wrong, fmt.Errorf(format, args...))
}

func percent(part, all int64) float64 { return 100 * float64(part) / float64(max(all, 1)) }

// rate replays mixes at rising rates, the last as fast as it goes, to tcpdump and
// watch in turn.
func (b *bench) rate(ctx context.Context) error {
	for _, p := range []traffic.Profile{traffic.TransferProfile(b.scale), traffic.BulkProfile(b.scale)} {
		path, truth, err := b.capture(p)
		if err != nil {
			return err
		}
		fmt.Printf("\n## rate: %s\n\n%s\n\n", p.Name, &truth)
		fmt.Println("| replayed | tool | packets/s | lost | CPU s | CPU s of the sender | answers |\n|---|---|---|---|---|---|---|")
		for _, speed := range []float64{10, 20, 0} {
			if err := b.rateAt(ctx, path, &truth, speed); err != nil {
				return err
			}
		}
	}
	return nil
}

// rateAt is rate at one speed.
func (b *bench) rateAt(ctx context.Context, path string, truth *traffic.Truth, speed float64) error {
	name := "as fast as it goes"
	if speed > 0 {
		name = fmt.Sprintf("%g ×", speed)
	}
	var cpu [2]time.Duration
	for range b.rounds {
		dump, s, err := b.dumpOnce(ctx, path, speed)
		if err != nil {
			return err
		}
		lost, all := dump.lost()
		fmt.Printf("| %s | tcpdump -w /dev/null | %.0f | %.2f %% | %.2f | %.2f | |\n", name, s.rate(), percent(lost, all), dump.cpu.Seconds(), s.CPU.Seconds())
		w, t, s, err := b.watchOnce(ctx, path, speed, 0)
		if err != nil {
			return err
		}
		got := t.against(truth)
		fmt.Printf("| %s | watch | %.0f | %.2f %% | %.2f | %.2f | %v |\n", name, s.rate(), percent(t.notes["dropped-packets"], s.Packets), w.cpu.Seconds(), s.CPU.Seconds(), got)
		if got.wrong > 0 {
			b.fail("rate %s: %v", name, got)
		}
		cpu[0] += dump.cpu
		cpu[1] += w.cpu
	}
	fmt.Printf("| %s | watch ÷ tcpdump | | | %.2f | | |\n", name, cpu[1].Seconds()/cpu[0].Seconds())
	return nil
}

// dumpOnce replays a capture to tcpdump with its own buffer.
func (b *bench) dumpOnce(ctx context.Context, path string, speed float64) (*capturer, *sent, error) {
	c, err := b.tcpdump(ctx, "-w", "/dev/null")
	if err != nil {
		return nil, nil, err
	}
	s, err := b.send(ctx, path, speed, 0)
	if err != nil {
		return nil, nil, err
	}
	time.Sleep(time.Second) // it reads what is in its buffer; SIGINT would not wait
	return c, s, c.stop()
}

// watchOnce replays a capture to watch.
func (b *bench) watchOnce(ctx context.Context, path string, speed float64, syns int, more ...string) (*capturer, *told, *sent, error) {
	c, err := b.watch(ctx, nil, more...)
	if err != nil {
		return nil, nil, nil, err
	}
	s, err := b.send(ctx, path, speed, syns)
	if err != nil {
		return nil, nil, nil, err
	}
	if err := c.stop(); err != nil {
		return nil, nil, nil, err
	}
	t, err := readTold(c.out)
	return c, t, s, err
}

// bulk replays ten connections that carry a GB, at a pace that neither loses at.
func (b *bench) bulk(ctx context.Context) error {
	for _, p := range []traffic.Profile{traffic.FloodProfile(b.scale), traffic.FloodProfile12(b.scale)} {
		path, truth, err := b.capture(p)
		if err != nil {
			return err
		}
		fmt.Printf("\n## %s\n\n%s\n\n| tool | MB/s | lost | CPU s/GB | answers |\n|---|---|---|---|---|\n", p.Name, &truth)
		const speed = 50 // some 150,000 packets a second
		for range b.rounds {
			dump, s, err := b.dumpOnce(ctx, path, speed)
			if err != nil {
				return err
			}
			gb := float64(s.Bytes) / 1e9
			lost, all := dump.lost()
			fmt.Printf("| tcpdump -w /dev/null | %.0f | %.2f %% | %.3f | |\n", gb*1000/s.Seconds, percent(lost, all), dump.cpu.Seconds()/gb)
			w, t, s, err := b.watchOnce(ctx, path, speed, 0)
			if err != nil {
				return err
			}
			got := t.against(&truth)
			fmt.Printf("| watch | %.0f | %.2f %% | %.3f | %v; %.1f %% of packets withheld |\n", gb*1000/s.Seconds, percent(t.notes["dropped-packets"], s.Packets),
				w.cpu.Seconds()/gb, got, percent(t.notes["withheld-packets"], s.Packets))
			if got.right != truth.TLS {
				b.fail("%s: %v", p.Name, got)
			}
		}
	}
	return nil
}

// mixed has tcpdump write what watch sees: read must tell the same of the file.
func (b *bench) mixed(ctx context.Context) error {
	path, truth, err := b.capture(traffic.BulkProfile(b.scale))
	if err != nil {
		return err
	}
	fmt.Printf("\n## mixed\n\n%s\n\n", &truth)
	const speed = 5
	pcap := b.dir + "/mixed-written.pcap"
	dump, err := b.tcpdump(ctx, "-B", "262144", "-w", pcap)
	if err != nil {
		return err
	}
	w, live, s, err := b.watchOnce(ctx, path, speed, 0)
	if err != nil {
		return err
	}
	time.Sleep(2 * time.Second)
	if err := dump.stop(); err != nil {
		return err
	}
	if lost, all := dump.lost(); lost > 0 {
		return fmt.Errorf("tcpdump lost %d of %d packets: nothing to compare with", lost, all)
	}
	out := b.dir + "/mixed-read.jsonl"
	if text, err := exec.CommandContext(ctx, b.whoasked, "read", "--quiet", "--format", "json", "--output", out, pcap).CombinedOutput(); err != nil {
		return fmt.Errorf("read: %w: %s", err, text)
	}
	read, err := readTold(out)
	if err != nil {
		return err
	}
	n, first := live.unlike(read)
	fmt.Printf("%.0f packets/s, %.0f MB/s, %.0f new TLS connections a second: %d connections told by watch, %d by read, %d differently; %v; lost %d; CPU %.2f s, peak %.1f MiB\n",
		s.rate(), float64(s.Bytes)/1e6/s.Seconds, float64(truth.TLS)/s.Seconds, len(live.conns), len(read.conns), n, live.against(&truth), live.notes["dropped-packets"], w.cpu.Seconds(), float64(w.peak)/(1<<20))
	if n > 0 {
		b.fail("mixed: %d answers differ between watch and read:%s", n, first)
	}
	return nil
}

// flood has half-open connections between genuine ones.
func (b *bench) flood(ctx context.Context) error {
	path, truth, err := b.capture(traffic.HandshakeProfile(0.05 * b.scale))
	if err != nil {
		return err
	}
	w, t, s, err := b.watchOnce(ctx, path, 1, b.syns)
	if err != nil {
		return err
	}
	got := t.against(&truth)
	fmt.Printf("\n## flood\n\n%d half-open connections in %.1f s between %d of TLS: peak %.1f MiB, CPU %.2f s; %v; lost %d packets; given up: %d half-open, %d open\n",
		s.Syns, s.Seconds, truth.TLS, float64(w.peak)/(1<<20), w.cpu.Seconds(), got, t.notes["dropped-packets"], t.notes["evicted-half-open"], t.notes["evicted-flows"])
	if t.notes["dropped-packets"] == 0 && got.right != truth.TLS || got.wrong > 0 {
		b.fail("flood: %v", got)
	}
	if w.peak > 128<<20 {
		b.fail("flood: %d bytes at the peak, at most 128 MiB wanted", w.peak)
	}
	return nil
}
