//go:build linux

package lab

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// apimConf is nginx behind a HAProxy that passes TLS through, asking or not.
func apimConf(l *Lab, c *Chain, ask string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "daemon off; user root; pid %[1]s/apim.pid; error_log %[1]s/apim.log;\n"+
		"events { worker_connections 256; }\nhttp { access_log off;\n", l.Dir)
	for _, temp := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
		fmt.Fprintf(&b, "%s_temp_path %s/apim-%s;\n", temp, l.Dir, temp)
	}
	fmt.Fprintf(&b, "server { listen %s:443 ssl; ssl_certificate %s; ssl_certificate_key %s;\n"+
		"ssl_protocols TLSv1.2 TLSv1.3; ssl_verify_client %s; ssl_client_certificate %s; location / { return 200 ok; } }\n}\n",
		c.Middle.Addr, l.PKI.ServerRSA.Cert, l.PKI.ServerRSA.Key, ask, l.PKI.ClientCA)
	return b.String()
}

// TestProbeWatchIncident probes a gateway that passes TLS through and the server
// behind it, which asks, until that is told to stop asking.
func TestProbeWatchIncident(t *testing.T) {
	l := New(t, "nginx", "haproxy", "sysctl")
	program := buildProgram(t, l)
	c := NewChain(t)
	if out, err := c.Edge.Command("sysctl", "-qw", "net.ipv4.ip_forward=1").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	ip(t, "-n", c.Client.Name, "route", "add", "198.18.1.0/24", "via", "198.18.0.20")
	ip(t, "-n", c.Middle.Name, "route", "add", "198.18.0.0/24", "via", "198.18.1.20")
	conf := l.File("apim.conf", apimConf(l, c, "optional"))
	apim := Start(t, c.Middle.Command("nginx", "-p", l.Dir, "-e", l.Dir+"/apim.log", "-c", conf))
	c.Middle.WaitListen(t, 443)
	c.HAProxy(l, c.Edge, "appgw", fmt.Sprintf("listen appgw\n bind %s:443\n server apim %s:443\n", c.Edge.Addr, c.Middle.Addr), 443)
	hops := fmt.Sprintf("appgw=%s,apim=%s", c.Edge.Addr, c.Middle.Addr)

	checkAskerNamed(t, l, c, program, hops)
	out := filepath.Join(l.Dir, "watch.jsonl")
	begun := time.Now()
	watch := Start(t, c.Client.Command(program, "probe", "--hops", hops, "--format", "json", "--output", out, "--each-hop", "--repeat", "2",
		"--watch", "200ms", "--exit-code", "--address", c.Edge.Addr.String(), "https://portal.contoso.test/"))
	watch.WaitFor(t, "UTC: asked in 16 of 16 fresh handshakes") // two endpoints × two versions × two protocols × twice
	watch.WaitFor(t, "appgw (passes through) → apim (ASKED, or behind it)")
	l.File("apim.conf", apimConf(l, c, "off"))
	changed := time.Now()
	apim.Signal(syscall.SIGHUP)
	watch.WaitFor(t, "no longer asked since")
	select {
	case <-watch.Done():
	case <-time.After(30 * time.Second):
		t.Fatal("the watch goes on after the answer has changed")
	}
	t.Logf("reloaded after %.1f s, the watch ended %.1f s later", changed.Sub(begun).Seconds(), time.Since(changed).Seconds())
	_, since, _ := strings.Cut(watch.Output(), "no longer asked since ")
	if at, err := time.Parse("15:04:05", strings.Fields(since)[0]); err != nil || !sameMinute(at, changed.UTC()) {
		t.Errorf("no longer asked since %.30s, changed at %v (%v)", since, changed.UTC(), err)
	}
	if strings.Contains(watch.Output(), "[exit status") {
		t.Errorf("the watch ends with another status than 0:\n%s", watch.Output())
	}
	checkHopsNamed(t, out)
}

// checkAskerNamed: without a word about it in the settings, the gateway is found
// to pass TLS through, and the server behind it to be the one that asks.
func checkAskerNamed(t *testing.T, l *Lab, c *Chain, program, hops string) {
	out, err := c.Client.Command(program, "probe", "--hops", hops, "--each-hop", "--format", "json",
		"--address", c.Edge.Addr.String(), "https://portal.contoso.test/").Output()
	if err != nil {
		t.Fatal(err)
	}
	path := ""
	for line := range strings.Lines(string(out)) {
		if strings.HasPrefix(line, `{"kind":"path"`) {
			path += line
		}
	}
	for _, want := range []string{`"asker_name":"apim"`, `"reaches_client":true`, "appgw (passes through) → apim (ASKED, or behind it)", "was resumed through it"} {
		if !strings.Contains(path, want) {
			t.Errorf("%s not in %s", want, path)
		}
	}
}

// sameMinute reports whether a time of day is within a minute after another.
func sameMinute(at, after time.Time) bool {
	day := time.Date(at.Year(), at.Month(), at.Day(), after.Hour(), after.Minute(), after.Second(), 0, time.UTC)
	d := at.Sub(day)
	return d > -time.Minute && d < time.Minute || d < -23*time.Hour
}

// checkHopsNamed: each hop is told by its name, and asks no more.
func checkHopsNamed(t *testing.T, file string) {
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	told := map[string]int{}
	for line := range strings.Lines(string(data)) {
		if !strings.HasPrefix(line, `{"kind":"probe"`) {
			continue
		}
		var p struct {
			Name                 string
			Asked, Sent, Unknown int
		}
		if err := json.Unmarshal([]byte(line), &p); err != nil {
			t.Fatal(err)
		}
		if p.Asked > 0 || p.Unknown > 0 {
			t.Errorf("%s", line)
		}
		told[p.Name] += p.Sent
	}
	if told["appgw"] == 0 || told["apim"] == 0 {
		t.Errorf("told of %v, want appgw and apim", told)
	}
}
