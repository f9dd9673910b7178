package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"whoasked/attribute"
	"whoasked/parse"
)

// fetch gets a page of the metrics server.
func fetch(t *testing.T, url string) string {
	t.Helper()
	client := http.Client{Timeout: 20 * time.Second}
	r, err := client.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	body, err := io.ReadAll(r.Body)
	if err != nil || r.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s, %v\n%s", url, r.Status, err, body)
	}
	return string(body)
}

// await fetches until all of want are there.
func await(t *testing.T, url string, want ...string) {
	t.Helper()
	for giveUp := time.Now().Add(20 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		body, missing := fetch(t, url), ""
		for _, w := range want {
			if !strings.Contains(body, "\n"+w+"\n") {
				missing = w
			}
		}
		switch {
		case missing == "":
			return
		case time.Now().After(giveUp):
			t.Fatalf("no %q in\n%s", missing, regexp.MustCompile(`(?m)^(#|go_).*\n`).ReplaceAllString(body, ""))
		}
	}
}

// TestMetricsOfWatch: what a run without an end has told so far is read by HTTP.
func TestMetricsOfWatch(t *testing.T) {
	p := newPeers(t)
	capture, err := p.pcap(nil, "1.2/asked/none")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("whoasked", "watch", "--format", "json", "--metrics", "0", "--keep-privileges", "-")
	cmd.Env = append(os.Environ(), "XDG_CONFIG_HOME="+t.TempDir())
	cmd.Dir = t.TempDir()
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = stdin.Close()
		_, _ = io.Copy(io.Discard, stderr)
		_ = cmd.Wait()
	})
	if _, err := stdin.Write(capture); err != nil { // without which it is not known what comes
		t.Fatal(err)
	}
	base := metricsURL(t, stderr)
	await(t, base+"/metrics",
		`whoasked_verdicts_total{asked="yes"} 1`, `whoasked_verdicts_total{asked="no"} 0`,
		`whoasked_connections_ended_total{carried="tls"} 1`, `whoasked_connections_open 0`)
	if body := fetch(t, base+"/metrics"); !regexp.MustCompile(`whoasked_requests_total\{asked_by="[^"]+:\d+",hop=""\} 1\n`).MatchString(body) ||
		!strings.Contains(body, `whoasked_build_info{goversion="go1.`) || strings.Contains(body, "whoasked_relay") {
		t.Errorf("got\n%s", body)
	}
	if got := fetch(t, base+"/healthz"); got != "ok\n" {
		t.Errorf("healthz says %q", got)
	}
}

// metricsURL reads what a command says about itself up to where it serves
// metrics.
func metricsURL(t *testing.T, stderr io.Reader) string {
	t.Helper()
	lines := bufio.NewScanner(stderr)
	for lines.Scan() {
		if _, url, ok := strings.Cut(lines.Text(), "metrics at "); ok {
			go func() {
				for lines.Scan() {
				}
			}()
			return strings.TrimSuffix(url, "/metrics")
		}
	}
	t.Fatal("it serves no metrics")
	return ""
}

// TestTold: an asker counts once for each connection, and so many askers only.
func TestTold(t *testing.T) {
	told := newTold()
	by := func(i int) netip.AddrPort {
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte{198, 18, byte(i >> 8), byte(i)}), 443)
	}
	yes, no := attribute.Verdict{Asked: attribute.Yes, By: by(1)}, attribute.Verdict{Asked: attribute.No}
	told.verdict(&attribute.Connection{Verdict: no}, nil)
	told.verdict(&attribute.Connection{Verdict: yes}, &no) // a renegotiation
	told.verdict(&attribute.Connection{Verdict: yes}, &yes)
	if told.verdicts[attribute.Yes] != 1 || told.verdicts[attribute.No] != 1 || told.askers[asking{by: by(1)}] != 1 {
		t.Errorf("got %+v", told)
	}
	for i := range 3 * maxTold {
		told.verdict(&attribute.Connection{Verdict: attribute.Verdict{Asked: attribute.Yes, By: by(i)}}, nil)
	}
	if len(told.askers) != maxTold || told.others != 2*maxTold || told.askers[asking{by: by(1)}] != 2 {
		t.Errorf("%d askers and %d others", len(told.askers), told.others)
	}
	told.notes([]parse.Event{{Kind: parse.EventMalformed}, {Kind: parse.EventAlert}})
	if fmt.Sprint(told.events) != fmt.Sprint(map[parse.EventKind]int64{parse.EventMalformed: 1}) {
		t.Errorf("got %v", told.events)
	}
}

// TestMetricNames: the names follow the conventions of Prometheus, each has a
// help text and is in docs/service.md.
func TestMetricNames(t *testing.T) {
	docs, err := os.ReadFile("../../docs/service.md")
	if err != nil {
		t.Fatal(err)
	}
	name := regexp.MustCompile(`^whoasked_[a-z]+(_[a-z]+)*$`)
	for _, r := range metricRows() {
		total := strings.HasSuffix(r.Name, "_total")
		if !name.MatchString(r.Name) || total == r.Gauge || r.Help == "" || !strings.HasSuffix(r.Help, ".") {
			t.Errorf("%+v", r.Name)
		}
		short := "`…" + strings.TrimPrefix(r.Name, "whoasked_evidence")
		if !strings.Contains(string(docs), r.Name) && !strings.Contains(string(docs), short) {
			t.Errorf("%s is not in docs/service.md", r.Name)
		}
	}
}

// TestMetricsOfRelay: so it is for what passes, and for what is refused.
func TestMetricsOfRelay(t *testing.T) {
	cmd := exec.Command("whoasked", "relay", "--listen", "127.0.0.1:0", "--to", "127.0.0.1:1", "--metrics", "127.0.0.1:0", "--keep-privileges")
	cmd.Env = append(os.Environ(), "XDG_CONFIG_HOME="+t.TempDir())
	cmd.Dir = t.TempDir()
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	var addr, base string
	for lines := bufio.NewScanner(stderr); (addr == "" || base == "") && lines.Scan(); {
		if _, at, ok := strings.Cut(lines.Text(), "listening at "); ok {
			addr, _, _ = strings.Cut(at, " ")
		}
		if _, url, ok := strings.Cut(lines.Text(), "metrics at "); ok {
			base = strings.TrimSuffix(url, "/metrics")
		}
	}
	go func() { _, _ = io.Copy(io.Discard, stderr) }()
	for range 3 {
		c, err := net.Dial("tcp", addr)
		if errors.Is(err, syscall.ECONNRESET) {
			continue // before this end knew that it was accepted
		}
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, c) // until it is reset
		c.Close()
	}
	await(t, base+"/metrics",
		`whoasked_relay_failures_total{kind="relay-upstream-refused"} 3`, `whoasked_relay_failures_total{kind="relay-rate"} 0`,
		`whoasked_relay_connections_total 0`, `whoasked_relay_clients_open 0`, `whoasked_relay_bytes_total{from="client"} 0`)
	if body := fetch(t, base+"/metrics"); strings.Contains(body, "whoasked_packets_total") {
		t.Errorf("a relay has no packets:\n%s", body)
	}
}
