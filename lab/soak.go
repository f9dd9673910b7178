//go:build linux

package lab

import (
	"bufio"
	"compress/gzip"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// Sample is what a running watch uses.
type Sample struct {
	At                      time.Duration // since the start
	Goroutines, Descriptors int
	RSS                     int // KiB
}

// sample asks the kernel and the metrics of watch.
func (w *Watch) sample(t testing.TB, since time.Time, metrics string) Sample {
	t.Helper()
	s := Sample{At: time.Since(since)}
	out, err := w.ns.Command("curl", "-sS", "--fail", "--max-time", "10", "--noproxy", "*", metrics).Output()
	if err != nil {
		t.Fatalf("ask for the metrics: %v", err)
	}
	if s.Goroutines, err = figureIn(string(out), `(?m)^go_goroutines (\d+)$`); err != nil {
		t.Fatal(err)
	}
	proc := fmt.Sprintf("/proc/%d", w.proc.cmd.Process.Pid)
	status, err := os.ReadFile(proc + "/status")
	if err != nil {
		t.Fatal(err)
	}
	if s.RSS, err = figureIn(string(status), `VmRSS:\s*(\d+) kB`); err != nil {
		t.Fatal(err)
	}
	fds, err := os.ReadDir(proc + "/fd")
	if err != nil {
		t.Fatal(err)
	}
	s.Descriptors = len(fds)
	return s
}

func figureIn(text, pattern string) (int, error) {
	m := regexp.MustCompile(pattern).FindStringSubmatch(text)
	if m == nil {
		return 0, fmt.Errorf("no %s in %.200q", pattern, text)
	}
	return strconv.Atoi(m[1])
}

// quarter is the median of a quarter of samples, 0 to 3.
func quarter(all []Sample, n int, of func(Sample) int) int {
	part := all[n*len(all)/4 : (n+1)*len(all)/4]
	values := make([]int, len(part))
	for i, s := range part {
		values[i] = of(s)
	}
	slices.Sort(values)
	return values[len(values)/2]
}

// Stepper passes a capture (pcap, of this machine) on while it is made; Step sets
// its clock, in nanoseconds from what it is.
type Stepper struct{ Step atomic.Int64 }

// Copy passes everything on until in ends.
func (s *Stepper) Copy(out io.Writer, in io.Reader) error {
	from := bufio.NewReader(in)
	order := binary.NativeEndian
	head := make([]byte, 24)
	if _, err := io.ReadFull(from, head); err != nil {
		return err
	}
	if order.Uint32(head) != 0xa1b2c3d4 {
		return fmt.Errorf("% x is no pcap with microseconds", head[:4])
	}
	if _, err := out.Write(head); err != nil {
		return err
	}
	packet := make([]byte, 16+1<<18)
	for {
		if _, err := io.ReadFull(from, packet[:16]); err != nil {
			if err == io.EOF {
				return nil
			}
			return err
		}
		n := order.Uint32(packet[8:])
		if int(n) > len(packet)-16 {
			return fmt.Errorf("a packet of %d bytes", n)
		}
		if _, err := io.ReadFull(from, packet[16:16+n]); err != nil {
			return err
		}
		at := time.Unix(int64(order.Uint32(packet)), int64(order.Uint32(packet[4:]))*1000).Add(time.Duration(s.Step.Load()))
		order.PutUint32(packet, uint32(at.Unix()))
		order.PutUint32(packet[4:], uint32(at.Nanosecond()/1000))
		if _, err := out.Write(packet[:16+n]); err != nil {
			return err
		}
	}
}

// Told is what a run of watch told, as JSON Lines in files that were begun anew
// from time to time.
type Told struct {
	// Connections counts answers, the latest of each, by client, server and answer.
	Connections map[string]int
	// Notes are the latest counts by kind.
	Notes map[string]int64
	// Basis counts these answers by what they stand on.
	Basis map[string]int
	Lines int
}

// toldKey is the key of Connections.
func toldKey(client, server, asked string, resumed bool) string {
	return client + " " + server + " " + asked + pick(resumed, " resumed", "")
}

// ReadTold reads the files, oldest first; those that are compressed too.
func ReadTold(t testing.TB, paths ...string) *Told {
	t.Helper()
	all := &Told{Connections: map[string]int{}, Notes: map[string]int64{}, Basis: map[string]int{}}
	latest := map[uint64][2]string{}
	for _, path := range paths {
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		var in io.Reader = f
		if strings.HasSuffix(path, ".gz") {
			if in, err = gzip.NewReader(f); err != nil {
				t.Fatalf("%s: %v", path, err)
			}
		}
		lines := bufio.NewScanner(in)
		lines.Buffer(nil, 4<<20)
		for lines.Scan() {
			all.line(t, path, lines.Bytes(), latest)
		}
		if err := lines.Err(); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
	}
	for _, c := range latest {
		all.Connections[c[0]]++
		all.Basis[c[1]]++
	}
	return all
}

func (a *Told) line(t testing.TB, path string, line []byte, latest map[uint64][2]string) {
	t.Helper()
	var v struct {
		Kind, Client, Server, Note, Basis string
		Asked                             any // a number elsewhere
		Resumed                           any // likewise
		ID                                uint64
		Count                             int64
	}
	if err := json.Unmarshal(line, &v); err != nil {
		t.Fatalf("%s: %v in %q", path, err, line)
	}
	a.Lines++
	switch v.Kind {
	case "connection":
		latest[v.ID] = [2]string{toldKey(v.Client, v.Server, fmt.Sprint(v.Asked), v.Resumed == true), v.Basis}
	case "note":
		a.Notes[v.Note] = v.Count
	}
}

// rotatedFiles lists an output file with those before it, oldest first.
func rotatedFiles(t testing.TB, path string) []string {
	t.Helper()
	base := strings.TrimSuffix(path, filepath.Ext(path))
	old, err := filepath.Glob(base + "-*")
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(old)
	return append(old, path)
}
