//go:build unix

package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"whoasked/config"
)

// speaker is a command whose messages about itself are read as they come.
type speaker struct {
	t     *testing.T
	cmd   *exec.Cmd
	lines chan string
}

func startSpeaker(t *testing.T, cmd *exec.Cmd) *speaker {
	t.Helper()
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	s := &speaker{t, cmd, make(chan string, 1000)}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for l := bufio.NewScanner(stderr); l.Scan(); {
			s.lines <- l.Text()
		}
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-done
		_ = cmd.Wait()
	})
	return s
}

// says waits for a line that holds text.
func (s *speaker) says(text string) string {
	s.t.Helper()
	var said []string
	for giveUp := time.After(30 * time.Second); ; {
		select {
		case line := <-s.lines:
			if said = append(said, line); strings.Contains(line, text) {
				return line
			}
		case <-giveUp:
			s.t.Fatalf("no %q in %q", text, said)
		}
	}
}

func (s *speaker) hangUp() {
	s.t.Helper()
	if err := s.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		s.t.Fatal(err)
	}
}

// holds waits until a file holds text.
func holds(t *testing.T, name, text string) {
	t.Helper()
	for giveUp := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		b, err := os.ReadFile(name)
		if err == nil && bytes.Contains(b, []byte(text)) {
			return
		}
		if time.Now().After(giveUp) {
			t.Fatalf("%s: %v, no %q in\n%s", name, err, text, b)
		}
	}
}

func write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestReloadOfWatch: SIGHUP has names of hops and filters read again, and a log
// that was moved begun anew; settings with a mistake change nothing.
func TestReloadOfWatch(t *testing.T) {
	p, dir := newPeers(t), t.TempDir()
	settings, log := filepath.Join(dir, "settings.yaml"), filepath.Join(dir, "watch.log")
	write(t, settings, hopNamed("gateway"))
	const names = 4
	var connections []string
	for i := range names {
		connections = append(connections, "1.2/asked/none/"+string(rune('a'+i))+".contoso.test")
	}
	// Each is a capture of its own up to where the next begins.
	var parts [][]byte
	for i, c := range connections {
		all, err := p.pcap(nil, append(plain(i), c)...)
		if err != nil {
			t.Fatal(err)
		}
		before, err := p.pcap(nil, plain(i)...)
		if err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			before = nil
		}
		parts = append(parts, all[len(before):])
	}
	cmd := exec.Command("whoasked", "watch", "--config", settings, "--output", log, "--keep-privileges", "-")
	cmd.Dir = dir
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	feed := func(i int) {
		t.Helper()
		if _, err := stdin.Write(parts[i]); err != nil {
			t.Fatal(err)
		}
	}
	s := startSpeaker(t, cmd)
	feed(0)
	holds(t, log, `"hop":"gateway","sni":"a.contoso.test"`)

	write(t, settings, hopNamed("portal")+"watch: {collapse: 0s}\n")
	if err := os.Rename(log, log+".1"); err != nil {
		t.Fatal(err)
	}
	s.hangUp()
	s.says("the settings were read again from " + settings)
	s.says("warning: changed, but only a restart makes a difference: watch.collapse")
	feed(1)
	holds(t, log, `"hop":"portal","sni":"b.contoso.test"`)

	write(t, settings, hopNamed("gateway")+"rows: many\n")
	s.hangUp()
	s.says("error: the settings stay as they are")
	s.says(`error: bad value "many" for rows`)
	feed(2)
	holds(t, log, `"hop":"portal","sni":"c.contoso.test"`)

	write(t, settings, "sni: [c.contoso.test]\n")
	s.hangUp()
	s.says("the settings were read again")
	feed(3)
	if err := stdin.Close(); err != nil {
		t.Fatal(err)
	}
	holds(t, log, "1 TLS connection did not pass the filters")
	if b, err := os.ReadFile(log); err != nil || bytes.Contains(b, []byte("d.contoso.test")) {
		t.Errorf("%v, the filter is not heeded:\n%s", err, b)
	}
	if b, err := os.ReadFile(log + ".1"); err != nil || !bytes.Contains(b, []byte("a.contoso.test")) || bytes.Contains(b, []byte("b.contoso.test")) {
		t.Errorf("%v, the old log:\n%s", err, b)
	}
}

// TestSummary: SIGUSR1 has the counts so far written by a watch that goes on.
func TestSummary(t *testing.T) {
	p, dir := newPeers(t), t.TempDir()
	log := filepath.Join(dir, "watch.jsonl")
	edge := `hops: [{name: edge, declared: "off", addresses: ["` + testServer.String() + `"]}]`
	if err := os.WriteFile(filepath.Join(dir, "whoasked.yaml"), []byte(edge), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("whoasked", "watch", "--format", "json", "--output", log, "--keep-privileges", "-")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "XDG_CONFIG_HOME="+dir)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	startSpeaker(t, cmd)
	for i, name := range []string{"a.contoso.test", "b.contoso.test"} {
		b, err := p.pcap(nil, append(plain(i), "1.2/asked/none/"+name)...)
		if err != nil {
			t.Fatal(err)
		}
		if i > 0 {
			b = b[24:]
		}
		if _, err := stdin.Write(b); err != nil {
			t.Fatal(err)
		}
		holds(t, log, `"sni":"`+name+`"`)
		if err := cmd.Process.Signal(syscall.SIGUSR1); err != nil {
			t.Fatal(err)
		}
		holds(t, log, `{"kind":"asker","asked_by":"`+testServer.String()+`","name":"edge","sni":"`+name+`"`)
		holds(t, log, `"declared":"off","agrees":false`)
	}
	if err := stdin.Close(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
}

func hopNamed(name string) string {
	return "hops: [{name: " + name + ", addresses: [\"" + testServer.String() + "\"]}]\n"
}

// plain are n connections without TLS.
func plain(n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = "plain"
	}
	return out
}

// TestReloadOfRelay: SIGHUP has who may come, and where to, read again. What
// would make an open proxy is refused.
func TestReloadOfRelay(t *testing.T) {
	target, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer target.Close()
	go func() {
		for {
			c, err := target.Accept()
			if err != nil {
				return
			}
			c.Close()
		}
	}()
	dir := t.TempDir()
	settings := filepath.Join(dir, "settings.yaml")
	write(t, settings, "relay: {allow: [127.0.0.0/8], targets: [www.contoso.test]}\n")
	cmd := exec.Command("whoasked", "relay", "--config", settings, "--listen", "0.0.0.0:0", "--to", "connect", "--output", filepath.Join(dir, "log"))
	cmd.Dir = dir
	s := startSpeaker(t, cmd)
	line := s.says("listening at ")
	_, port, ok := strings.Cut(line, "0.0.0.0:")
	if !ok {
		_, port, _ = strings.Cut(line, "[::]:")
	}
	port, _, _ = strings.Cut(port, " ")
	ask := func() string {
		t.Helper()
		c, err := net.Dial("tcp", "127.0.0.1:"+port)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		_ = c.SetDeadline(time.Now().Add(20 * time.Second))
		if _, err := io.WriteString(c, "CONNECT "+target.Addr().String()+" HTTP/1.1\r\nHost: a\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		answer, _ := bufio.NewReader(c).ReadString('\n')
		return answer
	}
	if got := ask(); !strings.Contains(got, " 403 ") {
		t.Fatalf("before: %q", got)
	}
	write(t, settings, "relay: {allow: [127.0.0.0/8], targets: ["+target.Addr().String()+"]}\n")
	s.hangUp()
	s.says("the settings were read again")
	if got := ask(); !strings.Contains(got, " 200 ") {
		t.Errorf("with the new target: %q", got)
	}
	write(t, settings, "relay: {allow: [127.0.0.0/8]}\n")
	s.hangUp()
	s.says("error: the settings stay as they are")
	s.says("could go anywhere")
	if got := ask(); !strings.Contains(got, " 200 ") {
		t.Errorf("with the old settings: %q", got)
	}
}

// TestReloadWithoutFile: without privileges it cannot be seen whether there is a
// settings file. If there was none, that is no trouble; else it is.
func TestReloadWithoutFile(t *testing.T) {
	for file, want := range map[string]string{"": "note: there is no settings file to be read again", "some.yaml": "error: the settings stay as they are"} {
		var said bytes.Buffer
		r := &watchRun{
			terminal: &terminal{err: &said}, settingsFile: file,
			load: func() (*config.Loaded, error) {
				return nil, fmt.Errorf("cannot read the settings file: %v", fs.ErrPermission)
			},
		}
		r.reload()
		if !strings.Contains(said.String(), want) {
			t.Errorf("file %q: said %q, want %q", file, said.String(), want)
		}
	}
}

// TestTakeRestart: what is reloadable is a setting that there is.
func TestTakeRestart(t *testing.T) {
	keys := make(map[string]bool)
	for _, s := range config.All() {
		keys[s.Key] = true
	}
	for _, k := range reloadable {
		if !keys[k] {
			t.Errorf("%s is no setting", k)
		}
	}
	was := []config.Setting{{Key: "hops", Value: 1}, {Key: "rows", Value: []string{"a"}}, {Key: "only", Value: "all"}}
	now := []config.Setting{{Key: "hops", Value: 2}, {Key: "rows", Value: []string{"b"}}, {Key: "only", Value: "all"}}
	if got := takeRestart(was, now); len(got) != 1 || got[0] != "rows" {
		t.Errorf("got %q", got)
	}
}
