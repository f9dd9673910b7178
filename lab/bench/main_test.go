package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/netip"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"whoasked/lab/bench/traffic"
)

func sampleTruth() *traffic.Truth {
	return &traffic.Truth{Scenarios: []traffic.Expected{
		{Name: "asks", Net: netip.MustParsePrefix("198.18.1.0/24"), Version: "TLS 1.2", Asked: true, Connections: 1},
		{Name: "resumes", Net: netip.MustParsePrefix("198.18.2.0/24"), Version: "TLS 1.3", Resumed: true, Connections: 1},
	}}
}

func TestCheck(t *testing.T) {
	const (
		asks    = `{"kind":"connection","server":"198.18.1.9:443","version":"TLS 1.2","asked":"yes","asked_by":"198.18.1.9:443"}`
		resumes = `{"kind":"connection","server":"198.18.2.9:443","version":"TLS 1.3","asked":"no","resumed":true}`
		plain   = `{"kind":"connection","server":"198.18.255.1:80","asked":"unknown","reason":"no TLS"}`
		asker   = `{"kind":"asker","asked_by":"198.18.1.9:443","asked":1}`
	)
	replace := strings.NewReplacer
	for _, tt := range []struct {
		name  string
		lines []string
		want  string // part of the error, empty for none
	}{
		{"right", []string{asks, resumes}, ""},
		{"other kinds and no TLS", []string{plain, resumes, asks, asker}, ""},
		{"one missing", []string{asks}, "resumes: 0 connections, want 1"},
		{"one twice", []string{asks, asks, resumes}, "asks: 2 connections, want 1"},
		{"inverted", []string{replace(`"yes"`, `"no"`).Replace(asks), resumes}, "asks: got"},
		{"unknown", []string{asks, replace(`"no"`, `"unknown"`).Replace(resumes)}, "resumes: got"},
		{"resumption missed", []string{asks, replace(`,"resumed":true`, ``).Replace(resumes)}, "resumes: got"},
		{"wrong asker", []string{replace(`by":"198.18.1.9`, `by":"198.18.1.8`).Replace(asks), resumes}, "asks: got"},
		{"wrong version", []string{asks, replace("1.3", "1.2").Replace(resumes)}, "resumes: got"},
		{"asked without TLS", []string{asks, resumes, replace(`unknown`, `yes`).Replace(plain)}, "has no TLS"},
		{"no address", []string{asks, resumes, `{"kind":"connection","server":""}`}, "server:"},
		{"cut short", []string{asks, resumes[:20]}, "unexpected EOF"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := check(strings.NewReader(strings.Join(tt.lines, "\n")), sampleTruth())
			if tt.want == "" && err != nil {
				t.Fatalf("got %v, want no error", err)
			}
			if tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Fatalf("got %v, want %q", err, tt.want)
			}
		})
	}
}

// TestShort is the benchmark on tiny captures: it runs, and the answers of the
// real binary are right. It says nothing about time.
func TestShort(t *testing.T) {
	if _, err := exec.LookPath("go"); err != nil {
		t.Skip("the go command is not installed: cannot build the binary")
	}
	dir := t.TempDir()
	// Made here, as the test binary cannot be called again to make them.
	for _, p := range []traffic.Profile{traffic.BulkProfile(shortScale), traffic.HandshakeProfile(shortScale), traffic.WrappedProfile(shortScale)} {
		if _, err := traffic.Make(filepath.Join(dir, fileName(p)+".pcap"), p); err != nil {
			t.Fatal(err)
		}
	}
	var out bytes.Buffer
	if err := command(t.Context(), []string{"-short", "-dir", dir, "-format", "json"}, &out, t.Output()); err != nil {
		t.Fatal(err)
	}
	var r result
	if err := json.Unmarshal(out.Bytes(), &r); err != nil {
		t.Fatal(err)
	}
	if len(r.Captures) != 2 {
		t.Fatalf("%d captures in the result, want 2", len(r.Captures))
	}
	for _, c := range append(r.Captures, r.Wrapped) {
		if a := c.Answers; a == nil || a.Yes+a.No != c.Truth.TLS || a.Yes == 0 || a.Resumed == 0 {
			t.Errorf("%v: %+v", &c.Truth, a)
		}
	}
}

// TestReadLine: what joining is measured on judges every connection.
func TestReadLine(t *testing.T) {
	path := filepath.Join(t.TempDir(), "handshakes.pcap")
	p := traffic.HandshakeProfile(shortScale)
	if _, err := traffic.Make(path, p); err != nil {
		t.Fatal(err)
	}
	c := capture{Path: path}
	if err := c.load(p); err != nil {
		t.Fatal(err)
	}
	for _, join := range []bool{false, true} {
		if judged, left, err := readLine(t.Context(), path, join); err != nil || judged != c.Truth.TLS || left != 0 {
			t.Errorf("join %v: %d judged, %d left, %v; want %d", join, judged, left, err, c.Truth.TLS)
		}
	}
}

func TestMeasure(t *testing.T) {
	tool := tool{Args: []string{"go", "version", "FILE"}}
	if _, err := exec.LookPath("go"); err != nil {
		t.Skip("the go command is not installed: nothing to measure")
	}
	exe := exec.CommandContext(t.Context(), "go", "env", "GOROOT")
	s, err := measure(exe)
	if err != nil || s.Wall <= 0 || s.CPU <= 0 || s.RSS < 1<<20 {
		t.Errorf("%+v, %v", s, err)
	}
	if _, err := measure(tool.command(t.Context(), filepath.Join(t.TempDir(), "none"))); err == nil {
		t.Error("a tool that fails was measured")
	}
}

func TestResult(t *testing.T) {
	wall := func(d ...time.Duration) (s []sample) {
		for _, d := range d {
			s = append(s, sample{Wall: d, CPU: d, RSS: int64(d/time.Millisecond) << 20})
		}
		return s
	}
	const ms = time.Millisecond
	c := &capture{Truth: traffic.Truth{Profile: traffic.Profile{Name: "bulk"}}, Series: []series{
		{Tool: "whoasked text", Own: true, Samples: wall(20*ms, 10*ms, 60*ms)},
		{Tool: "tcpdump", Version: "4.99", Samples: wall(10*ms, 12*ms)},
		{Tool: "ndpiReader", Samples: wall(400 * ms)},
		{Tool: "tshark"},
	}}
	c.Joining = &joining{Share: 0.25}
	long := &capture{Series: []series{{Tool: "whoasked text", Samples: wall(40 * ms)}}}
	r := &result{Rounds: 3, Captures: []*capture{c}, Long: []*capture{long}}
	r.judge()
	want := map[string]string{
		"bulk: times faster than tcpdump":                      "0.55 missed",
		"bulk: times faster than ndpiReader":                   "20.00 met",
		"bulk: peak memory, MiB":                               "60.00 met",
		"bulk: joining legs, share of the CPU time of reading": "0.25 missed",
		"bulk: peak memory on twice the length, times":         "2.00 missed",
	}
	rows := goalRows(r.Goals)[1:]
	if len(rows) != len(want) {
		t.Errorf("goals %q, want %q", rows, want)
	}
	for _, row := range rows {
		if got := row[2] + " " + row[3]; got != want[row[0]] {
			t.Errorf("%s: %s, want %s", row[0], got, want[row[0]])
		}
	}
	for _, format := range []string{"text", "markdown"} {
		render, err := renderer(format)
		if err != nil {
			t.Fatal(err)
		}
		var b strings.Builder
		if err := render(&b, r); err != nil {
			t.Fatal(err)
		}
		for _, s := range []string{"0.020 (0.010–0.060)", "tcpdump 4.99", "0.55", "was busy"} {
			if !strings.Contains(b.String(), s) {
				t.Errorf("%s: no %q in\n%s", format, s, b.String())
			}
		}
	}
	if _, err := renderer("html"); err == nil {
		t.Error("renders html")
	}
}

func TestCommandRefuses(t *testing.T) {
	for _, args := range [][]string{{"extra"}, {"-format", "html"}, {"-make", "nothing"}, {"-nonsense"}} {
		if err := command(t.Context(), args, io.Discard, io.Discard); err == nil {
			t.Errorf("%q: no error", fmt.Sprint(args))
		}
	}
}
