//go:build linux

package lab

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

const (
	// soakShort is how long TestSoak takes unless WHOASKED_SOAK says otherwise.
	soakShort = 9 * time.Second
	// soakRate is how many connections are made a second, unless WHOASKED_SOAK_RATE
	// says otherwise.
	soakRate = 100
	// metricsOfSoak is where watch serves its metrics, in its namespace.
	metricsOfSoak = "127.0.0.1:9101"
)

// soak is a watch that runs under everything that happens to it in weeks.
type soak struct {
	*Lab
	t        *testing.T
	watch    *Watch // at the interface
	piped    *Watch // of what tcpdump writes, with a clock that is set
	stepper  Stepper
	output   string
	evidence string
	start    time.Time
	samples  []Sample
	// unsure are the times in which connections may have been missed: the interface
	// was another one, or the clock was set.
	gone, stepped []span
}

// span is from when to when, in nanoseconds since 1970.
type span [2]int64

func (s span) overlaps(from, to int64) bool { return from <= s[1] && to >= s[0] }

// TestSoak has watch run at an interface that goes down, is renamed and replaced,
// with signals, a full disk and a growing key log, and another one on a capture
// whose clock is set. All answered connections must have their answer, and
// nothing may grow. WHOASKED_SOAK=20m has it run for so long.
func TestSoak(t *testing.T) {
	length, rate := soakShort, soakRate
	var err error
	if v := os.Getenv("WHOASKED_SOAK"); v != "" {
		if length, err = time.ParseDuration(v); err != nil {
			t.Fatal(err)
		}
	}
	if v := os.Getenv("WHOASKED_SOAK_RATE"); v != "" {
		if rate, err = strconv.Atoi(v); err != nil {
			t.Fatal(err)
		}
	}
	s := &soak{Lab: New(t, "go", "curl"), t: t}
	eps := everyMode(Endpoint{Server: "go", Port: firstPort, Key: EC, Cipher: AnyCipher}, tls.VersionTLS12, tls.VersionTLS13)
	serveGo(s.Lab, eps)
	var ports []int
	for _, e := range eps {
		ports = append(ports, e.Port)
	}
	s.Net.Server.WaitListen(t, ports...)
	s.begin(buildProgram(t, s.Lab))
	stop := s.churn(rate, eps)
	s.run(length)
	visits := stop()
	s.end()
	s.flat(length)
	told := ReadTold(t, rotatedFiles(t, s.output)...)
	s.complete("watch -i", told, eps, visits, s.gone)
	if told.Notes["withheld-packets"] == 0 {
		t.Error("no bulk was withheld")
	}
	s.complete("watch -", ReadTold(t, s.piped.Path), eps, visits, s.stepped)
	s.filed()
}

// begin starts both watches.
func (s *soak) begin(program string) {
	s.evidence, s.output = s.dir("evidence"), filepath.Join(s.Dir, "out", "watch.jsonl")
	if err := syscall.Mount("tmpfs", s.evidence, "tmpfs", 0, "size=256k,mode=755,uid=65534"); err != nil {
		unavailable(s.t, "no right to mount: "+err.Error())
	}
	s.t.Cleanup(func() { _ = syscall.Unmount(s.evidence, syscall.MNT_DETACH) })
	keys := s.File("keys.log", "")
	s.settings(0)
	s.watch = StartWatch(s.t, s.Net.Server, program, filepath.Join(s.Dir, "stdout"), 1, "-i", Device, "--config", filepath.Join(s.Dir, "settings.yaml"), "--output", s.output,
		"--rotate-size", "1MiB", "--rotate-keep", "10000", "--evidence", s.evidence, "--evidence-size", "4MiB",
		"--keylog", keys, "--metrics", metricsOfSoak)
	s.watch.proc.WaitFor(s.t, "gave up privileges: root for nobody")

	s.piped = &Watch{Name: "-", Path: filepath.Join(s.Dir, "piped.jsonl"), ns: s.Net.Client}
	cmd := s.Net.Client.Command(program, "watch", "--format", "json", "-")
	in, err := cmd.StdinPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	tcpdump := s.Net.Client.Command("tcpdump", "-i", "any", "-s", "0", "-U", "-n", "-Z", "root", "-B", "65536", "-w", "-",
		fmt.Sprintf("%s or udp dst port %d", carried, sentinelPort))
	r, w, err := os.Pipe()
	if err != nil {
		s.t.Fatal(err)
	}
	tcpdump.Stdout = w
	s.piped.passed = &passing{to: in}
	s.piped.start(s.t, cmd)
	s.piped.feed = Start(s.t, tcpdump)
	w.Close()
	go func() {
		defer r.Close()
		if err := s.stepper.Copy(s.piped.passed, r); err != nil {
			s.t.Errorf("the pipe between tcpdump and watch: %v", err)
		}
	}()
	s.piped.feed.WaitFor(s.t, "listening on")
	s.start = time.Now()
}

// settings writes the file of settings anew.
func (s *soak) settings(n int) {
	s.File("settings.yaml", fmt.Sprintf("hops: [{name: gateway-%d, addresses: [%q]}]\n", n, fmt.Sprintf("%s:%d", s.Net.Server.Addr, firstPort)))
}

// served is a connection that had its answer.
type served struct {
	client     string
	port       int
	from, to   int64
	wasResumed bool
}

// churn makes connections until the function it returns is called, which tells
// which of them had their answer.
func (s *soak) churn(rate int, eps []Endpoint) (stop func() []served) {
	args := []string{"churn", s.Net.Server.Addr.String(), s.PKI.Dir, filepath.Join(s.Dir, "keys.log"), fmt.Sprint(rate)}
	for _, e := range eps {
		args = append(args, fmt.Sprint(e.Port)+pick(e.Mode == NotAsked, "", "="+s.PKI.ClientEC.Name))
	}
	cmd := s.Net.Client.Command(s.goPeer(), args...)
	in, err := cmd.StdinPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	path := filepath.Join(s.Dir, "visits")
	f, err := os.Create(path)
	if err != nil {
		s.t.Fatal(err)
	}
	defer f.Close()
	cmd.Stdout = f
	p := Start(s.t, cmd)
	return func() (visits []served) {
		s.t.Helper()
		in.Close()
		select {
		case <-p.Done():
		case <-time.After(time.Minute):
			s.t.Fatalf("the clients do not end:\n%s", p.Output())
		}
		b, err := os.ReadFile(path)
		if err != nil {
			s.t.Fatal(err)
		}
		for line := range strings.Lines(string(b)) {
			var v served
			var how string
			if _, err := fmt.Sscan(line, &v.client, &v.port, &v.from, &v.to, &how); err != nil {
				s.t.Fatalf("%q: %v", line, err)
			}
			v.wasResumed = how == "resumed"
			visits = append(visits, v)
		}
		return visits
	}
}

// run has things happen until length is over, each of them several times.
func (s *soak) run(length time.Duration) {
	events := []func(n int){
		func(int) { s.link("down"); time.Sleep(100 * time.Millisecond); s.link("up") },
		func(n int) { s.settings(n); s.watch.proc.Signal(syscall.SIGHUP) },
		func(int) { s.watch.proc.Signal(syscall.SIGUSR1); s.piped.proc.Signal(syscall.SIGUSR1) },
		func(n int) { s.link("mtu", pick(n%2 == 0, "1400", "1500")) },
		func(n int) {
			s.step([]time.Duration{time.Hour, -2 * time.Hour, 0, 48 * time.Hour, 3 * time.Second}[n%5])
		},
		func(int) { s.link("name", "lab9"); s.rename("lab9", Device) },
		func(int) { s.replace() },
	}
	pause := min(length/time.Duration(3*len(events)), 5*time.Second)
	roomy := false
	for i := 0; time.Since(s.start) < length; i++ {
		events[i%len(events)](i / len(events))
		if !roomy && time.Since(s.start) > length/2 {
			roomy = true
			s.watch.proc.WaitFor(s.t, "evidence cannot be written")
			if err := syscall.Mount("tmpfs", s.evidence, "tmpfs", syscall.MS_REMOUNT, "size=64m"); err != nil {
				s.t.Fatal(err)
			}
		}
		time.Sleep(pause) // the load goes on meanwhile
		s.samples = append(s.samples, s.watch.sample(s.t, s.start, "http://"+metricsOfSoak+"/metrics"))
	}
}

// link changes the interface at which watch captures.
func (s *soak) link(change ...string) {
	s.t.Helper()
	ip(s.t, append([]string{"-n", s.Net.Server.Name, "link", "set", Device}, change...)...)
}

func (s *soak) rename(from, to string) {
	s.t.Helper()
	ip(s.t, "-n", s.Net.Server.Name, "link", "set", from, "name", to)
}

// replace has the link gone, and another one like it in its place.
func (s *soak) replace() {
	s.t.Helper()
	from := time.Now().UnixNano()
	ip(s.t, "-n", s.Net.Client.Name, "link", "del", Device)
	s.Net.connect(s.t)
	s.gone = append(s.gone, span{from, time.Now().UnixNano()})
}

// step sets the clock of the capture that is piped.
func (s *soak) step(d time.Duration) {
	now := time.Now().UnixNano()
	// What tcpdump has captured before may pass a little later.
	s.stepped = append(s.stepped, span{now - int64(1500*time.Millisecond), now + int64(200*time.Millisecond)})
	s.stepper.Step.Store(int64(d))
}

// end stops both watches once they have seen all.
func (s *soak) end() {
	s.t.Helper()
	if !s.Net.Client.WaitQuiet(s.t, 10*time.Second) {
		s.t.Error("connections stay open")
	}
	s.watch.proc.WaitFor(s.t, "evidence is written again")
	s.watch.Stop(s.t)
	s.piped.Stop(s.t)
	if out := s.piped.feed.Output(); !strings.Contains(out, "\n0 packets dropped by kernel") {
		s.t.Errorf("tcpdump: %s", out)
	}
	for _, text := range []string{
		Device + " is down", Device + " is up", "is now called lab9", "is now called " + Device, "an MTU of 1400 bytes now, 1500 before",
		Device + " is gone", Device + " is back", "the settings were read again",
	} {
		if !strings.Contains(s.watch.proc.Output(), text) {
			s.t.Errorf("watch does not say %q:\n%s", text, s.watch.proc.Output())
		}
	}
}

// flat demands that what watch uses does not grow.
func (s *soak) flat(length time.Duration) {
	if len(s.samples) < 8 {
		s.t.Fatalf("only %d samples", len(s.samples))
	}
	for _, row := range []struct {
		name  string
		of    func(Sample) int
		slack func(before int) int
	}{
		{"goroutines", func(x Sample) int { return x.Goroutines }, func(int) int { return 2 }},
		{"descriptors", func(x Sample) int { return x.Descriptors }, func(int) int { return 2 }},
		// In seconds memory has not yet got to where it stays.
		{"KiB of RSS", func(x Sample) int { return x.RSS }, func(n int) int {
			return pick2(length < 10*time.Minute, 64<<10, n/20+4<<10)
		}},
	} {
		var q [4]int
		for i := range q {
			q[i] = quarter(s.samples, i, row.of)
		}
		s.t.Logf("%s by quarter: %v, %d samples", row.name, q, len(s.samples))
		if q[3] > q[1]+row.slack(q[1]) {
			s.t.Errorf("%s grow: %v", row.name, q)
		}
	}
}

func pick2(first bool, a, b int) int {
	if first {
		return a
	}
	return b
}

// complete demands that each connection that had its answer is told, and rightly.
// One that was under way in a span of unsure may be missing or unknown.
func (s *soak) complete(name string, got *Told, eps []Endpoint, visits []served, unsure []span) {
	s.t.Helper()
	want, may := map[string]int{}, map[string]int{}
	excused := 0
	for _, v := range visits {
		asked := "no"
		if eps[v.port-firstPort].Mode != NotAsked && !v.wasResumed {
			asked = "yes"
		}
		key := toldKey(v.client, fmt.Sprintf("%s:%d", s.Net.Server.Addr, v.port), asked, v.wasResumed)
		want[key]++
		if slices.ContainsFunc(unsure, func(u span) bool { return u.overlaps(v.from, v.to) }) {
			may[key]++
			excused++
		}
	}
	// A machine that is too busy drops packets; each may cost an answer, and is
	// counted.
	dropped := int(got.Notes["dropped-packets"])
	wrong, missed := 0, 0
	for key, n := range want {
		missing := n - got.Connections[key]
		if missing <= 0 {
			continue
		}
		missed += missing
		if beyond := missing - may[key]; beyond > 0 {
			if dropped -= beyond; dropped >= 0 {
				continue
			}
			if wrong++; wrong <= 10 {
				s.t.Errorf("%s: %s: told %d times, %d connections were answered", name, key, got.Connections[key], n)
			}
		}
	}
	for key := range got.Connections {
		// A session that is resumed is not asked; else it is as the endpoint does.
		for _, e := range eps {
			server := fmt.Sprintf(" %s:%d ", s.Net.Server.Addr, e.Port)
			if strings.HasSuffix(key, server+pick(e.Mode == NotAsked, "yes", "no")) || strings.HasSuffix(key, " yes resumed") {
				s.t.Errorf("%s: %s is told, which is wrong", name, key)
			}
		}
	}
	s.t.Logf("%s: %d connections answered, %d of them during a change, of which %d are not told; %d lines, basis %v, notes %v", name, len(visits), excused, missed, got.Lines, got.Basis, got.Notes)
	if len(visits) == 0 || wrong > 0 {
		s.t.Errorf("%s: %d of %d wrong", name, wrong, len(visits))
	}
}

// filed demands that evidence which was written can be read.
func (s *soak) filed() {
	files, _ := filepath.Glob(filepath.Join(s.evidence, "*"))
	if len(files) == 0 {
		s.t.Fatal("no evidence")
	}
	names := filepath.Join(s.Dir, "evidence.jsonl")
	out, err := exec.Command(filepath.Join(s.Dir, "whoasked-bin"), append([]string{"read", "--quiet", "--format", "json", "--output", names}, files...)...).CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) || len(out) > 0 {
		s.t.Fatalf("read the evidence: %v\n%s", err, out)
	}
	f, err := os.Open(names)
	if err != nil {
		s.t.Fatal(err)
	}
	defer f.Close()
	n := 0
	for lines := bufio.NewReader(f); ; n++ {
		if _, err := lines.ReadString('\n'); err == io.EOF {
			break
		}
	}
	if n < len(files) {
		s.t.Errorf("%d files of evidence, %d lines about them", len(files), n)
	}
	s.t.Logf("%d files of evidence can be read", len(files))
}
