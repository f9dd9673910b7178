//go:build linux

package lab

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Watch is a running whoasked watch.
type Watch struct {
	Name string
	// Path is the file of its answers, as JSON Lines.
	Path string

	ns   Namespace
	proc *Process
	feed *Process // what it reads from, nil if that is interfaces
	// passed hands on what feed writes.
	passed *passing
}

// passing is a pipe that can be asked whether a text has gone through.
type passing struct {
	to     io.WriteCloser
	mu     sync.Mutex
	latest []byte // at most 64 KiB of the latest bytes
}

func (p *passing) Write(b []byte) (int, error) {
	n, err := p.to.Write(b)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.latest = append(p.latest, b[:n]...)
	if over := len(p.latest) - 64<<10; over > 0 {
		p.latest = slices.Delete(p.latest, 0, over)
	}
	return n, err
}

func (p *passing) contains(text string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return bytes.Contains(p.latest, []byte(text))
}

// StartWatch starts whoasked watch in a namespace, where it writes to a file of
// that name, and returns once it captures with as many sockets.
func StartWatch(t testing.TB, ns Namespace, program, path string, sockets int, args ...string) *Watch {
	t.Helper()
	w := &Watch{Name: strings.Join(args, " "), Path: path, ns: ns}
	cmd := ns.Command(program, append([]string{"watch", "--format", "json"}, args...)...)
	w.start(t, cmd)
	w.waitCapturing(t, sockets)
	return w
}

// StartWatchPipe starts tcpdump at a device and whoasked watch that reads from it.
func StartWatchPipe(t testing.TB, ns Namespace, program, path, device string) *Watch {
	t.Helper()
	w := &Watch{Name: "-", Path: path, ns: ns}
	tcpdump := ns.Command("tcpdump", "-i", device, "-s", "0", "-U", "-n", "-Z", "root", "-B", "65536", "-w", "-",
		fmt.Sprintf("%s or udp dst port %d", carried, sentinelPort))
	cmd := ns.Command(program, "watch", "--format", "json", "-")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	w.passed = &passing{to: in}
	tcpdump.Stdout = w.passed
	w.feed = Start(t, tcpdump)
	w.start(t, cmd)
	w.feed.WaitFor(t, "listening on")
	return w
}

func (w *Watch) start(t testing.TB, cmd *exec.Cmd) {
	t.Helper()
	f, err := os.Create(w.Path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	cmd.Stdout = f
	cmd.Env = slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "WHOASKED_") })
	w.proc = Start(t, cmd)
}

// waitCapturing waits until the process has so many packet sockets that are
// bound, by the kernel's word.
func (w *Watch) waitCapturing(t testing.TB, sockets int) {
	t.Helper()
	if !poll(time.Minute, func() bool { return w.capturing(t) >= sockets }) {
		t.Fatalf("watch %s does not capture after a minute:\n%s", w.Name, w.proc.Output())
	}
}

// capturing counts the packet sockets of the process that run.
func (w *Watch) capturing(t testing.TB) (n int) {
	t.Helper()
	dir := fmt.Sprintf("/proc/%d", w.proc.cmd.Process.Pid)
	list, err := os.ReadFile(dir + "/net/packet")
	if err != nil {
		t.Fatal(err)
	}
	var inodes []string
	for line := range strings.Lines(string(list)) {
		// sk RefCnt Type Proto Iface R Rmem User Inode
		if f := strings.Fields(line); len(f) == 9 && f[5] == "1" {
			inodes = append(inodes, "socket:["+f[8]+"]")
		}
	}
	fds, _ := filepath.Glob(dir + "/fd/*")
	for _, fd := range fds {
		if to, err := os.Readlink(fd); err == nil && slices.Contains(inodes, to) {
			n++
		}
	}
	return n
}

// Stop has it end by itself.
func (w *Watch) Stop(t testing.TB) {
	t.Helper()
	if w.feed != nil {
		// tcpdump forgets what is in its ring when it ends.
		mark := sendSentinel(t, w.ns, w.ns.Peer.String())
		if !poll(time.Minute, func() bool { return w.passed.contains(mark) }) {
			t.Fatal("the sentinel did not reach the pipe in a minute")
		}
		w.feed.Signal(syscall.SIGINT)
		<-w.feed.Done()
		w.passed.to.Close() // watch ends with its input
	} else {
		w.proc.Signal(syscall.SIGINT)
	}
	select {
	case <-w.proc.Done():
	case <-time.After(time.Minute):
		t.Fatalf("watch %s does not end after a minute:\n%s", w.Name, w.proc.Output())
	}
	if out := w.proc.Output(); strings.Contains(out, "exit status") {
		t.Errorf("watch %s: %s", w.Name, out)
	}
}

// Answers are the lines of a run.
type Answers struct {
	// Connections by who they are between, in the order of their time: of each
	// the latest line.
	Connections map[string][]map[string]any
	Prompts     []map[string]any // those told as open and again as closed once
	Askers      []map[string]any // of each asker the latest line
	// Notes are counts by kind.
	Notes map[string]int64
}

// ReadAnswers reads JSON Lines.
func ReadAnswers(t testing.TB, path string) *Answers {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	a := &Answers{Connections: map[string][]map[string]any{}, Notes: map[string]int64{}}
	latest := map[float64]map[string]any{}
	var prompts []map[string]any
	askers := map[string]map[string]any{}
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 4<<20)
	for lines.Scan() {
		var v map[string]any
		if err := json.Unmarshal(lines.Bytes(), &v); err != nil {
			t.Fatalf("%s: %v in %q", path, err, lines.Text())
		}
		switch v["kind"] {
		case "connection":
			latest[v["id"].(float64)] = v
		case "prompt":
			prompts = append(slices.DeleteFunc(prompts, func(p map[string]any) bool { return sameDialog(p, v) }), v)
		case "asker":
			askers[fmt.Sprint(v["asked_by"], v["sni"])] = v
		case "note":
			n, _ := v["count"].(float64)
			a.Notes[fmt.Sprint(v["note"])] += int64(n)
		}
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	for _, id := range slices.Sorted(maps.Keys(latest)) {
		v := latest[id]
		key := fmt.Sprint(v["client"], " ", v["server"], " ", v["via"])
		alerts, _ := v["alerts"].([]any)
		for _, a := range alerts {
			delete(a.(map[string]any), "time") // as stamped
		}
		if tcp, ok := v["tcp"].(map[string]any); ok {
			delete(tcp, "syn_seconds") // likewise
			delete(tcp, "hello_seconds")
		}
		a.Connections[key] = append(a.Connections[key], v)
	}
	byTime := func(field string) func(a, b map[string]any) int {
		return func(a, b map[string]any) int {
			return strings.Compare(fmt.Sprint(a[field]), fmt.Sprint(b[field]))
		}
	}
	for _, list := range a.Connections {
		slices.SortStableFunc(list, byTime("time"))
	}
	slices.SortStableFunc(prompts, byTime("opened"))
	a.Prompts, a.Askers = prompts, slices.SortedFunc(maps.Values(askers), byTime("asked_by"))
	return a
}

// sameDialog tells whether two prompts have a connection in common.
func sameDialog(x, y map[string]any) bool {
	ids, _ := x["connections"].([]any)
	of, _ := y["connections"].([]any)
	return slices.ContainsFunc(ids, func(id any) bool { return slices.Contains(of, id) })
}

// ReadCapture answers from a capture with whoasked read.
func ReadCapture(t testing.TB, program, pcap string) *Answers {
	t.Helper()
	path := pcap + ".jsonl"
	if out, err := exec.Command(program, "read", "--quiet", "--format", "json", "--output", path, pcap).CombinedOutput(); err != nil {
		t.Fatalf("whoasked read: %v\n%s", err, out)
	}
	return ReadAnswers(t, path)
}

// unlike are the fields of a connection in which watch may differ from read: its
// number, which of its copies is told first, where it was seen, and how it ended,
// as watch tells of it before it ends.
var unlike = []string{"id", "same_as", "capture", "end", "end_reason"}

// stamped are the fields with times of packets, for which each socket looks at the
// clock itself, and tcpdump cuts them to microseconds.
var stamped = []string{"time", "asked_at", "reacted_at"}

// stampedWithin is how far apart these may be on a busy machine.
const stampedWithin = 100 * time.Millisecond

// Same compares what watch has told with what read tells of a capture of the same
// traffic, and returns how many connections there are and how many answers of each
// kind.
func (a *Answers) Same(t testing.TB, name string, want *Answers) (n int, asked map[string]int) {
	t.Helper()
	asked = map[string]int{}
	wrong := 0
	complain := func(format string, args ...any) {
		t.Helper()
		if wrong++; wrong <= 10 {
			t.Errorf(name+": "+format, args...)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(want.Connections)) {
		got := a.Connections[key]
		for i, w := range want.Connections[key] {
			n++
			asked[fmt.Sprint(w["asked"])]++
			if i >= len(got) {
				complain("%s: not told\n  %v", key, w)
				continue
			}
			if d := differences(got[i], w); len(d) > 0 {
				complain("%s: %s", key, strings.Join(d, "; "))
			}
		}
		if len(got) > len(want.Connections[key]) {
			complain("%s: told %d times, is there %d times", key, len(got), len(want.Connections[key]))
		}
	}
	for _, key := range slices.Sorted(maps.Keys(a.Connections)) {
		if want.Connections[key] == nil {
			complain("%s: told, but not there", key)
		}
	}
	if wrong > 0 {
		t.Errorf("%s: %d of %d connections differ", name, wrong, n)
	}
	return n, asked
}

// differences lists the fields in which two lines differ.
func differences(got, want map[string]any) (d []string) {
	fields := map[string]bool{}
	for f := range got {
		fields[f] = true
	}
	for f := range want {
		fields[f] = true
	}
	for _, f := range slices.Sorted(maps.Keys(fields)) {
		if slices.Contains(unlike, f) {
			continue
		}
		g, w := fmt.Sprint(got[f]), fmt.Sprint(want[f])
		if f == "evidence" { // it tells how long something took, as stamped
			g, w = tookTime.ReplaceAllString(g, "a while after"), tookTime.ReplaceAllString(w, "a while after")
		}
		if slices.Contains(stamped, f) && closeBy(g, w) {
			continue
		}
		if g != w {
			d = append(d, fmt.Sprintf("%s is %s, want %s", f, g, w))
		}
	}
	return d
}

var tookTime = regexp.MustCompile(`[0-9.]+ ?(µs|ms|s) after`)

// closeBy tells whether two times are those of one packet.
func closeBy(a, b string) bool {
	x, errX := time.Parse(time.RFC3339Nano, a)
	y, errY := time.Parse(time.RFC3339Nano, b)
	return errX == nil && errY == nil && x.Sub(y).Abs() < stampedWithin
}
