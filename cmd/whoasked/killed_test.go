package main

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"whoasked/capture"
	"whoasked/capture/file"
	"whoasked/config"
)

// TestWatchKilled kills watch at any moment, again and again in the same folders:
// each line of its log is whole, but for those that were being written, and each
// file of evidence can be read.
func TestWatchKilled(t *testing.T) {
	times := 24
	if testing.Short() {
		times = 8
	}
	p, dir := newPeers(t), t.TempDir()
	var connections []string
	for range 100 {
		connections = append(connections, "1.2/asked/none")
	}
	feed, err := p.pcap(nil, connections...)
	if err != nil {
		t.Fatal(err)
	}
	log, evidence := filepath.Join(dir, "watch.jsonl"), filepath.Join(dir, "evidence")
	for range times {
		killedOnce(t, feed, log, evidence)
	}
	lines, cut := 0, 0
	logs, _ := filepath.Glob(filepath.Join(dir, "watch*"))
	for _, name := range logs {
		n, broken := wholeLines(t, name)
		lines, cut = lines+n, cut+broken
	}
	files := 0
	for _, name := range mustGlob(t, filepath.Join(evidence, "whoasked-*.pcapng")) {
		files++
		readWhole(t, name)
	}
	t.Logf("killed %d times: %d lines in %d files, %d cut; %d files of evidence", times, lines, len(logs), cut, files)
	if lines < times || cut > times || files == 0 {
		t.Errorf("%d lines, %d of them cut, %d files of evidence", lines, cut, files)
	}
}

func mustGlob(t *testing.T, pattern string) []string {
	t.Helper()
	names, err := filepath.Glob(pattern)
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// killedOnce feeds watch without an end and kills it a little after it has begun to
// write.
func killedOnce(t *testing.T, feed []byte, log, evidence string) {
	t.Helper()
	cmd := exec.Command("whoasked", "watch", "--format", "json", "--output", log, "--rotate-size", "1MiB",
		"--evidence", evidence, "--evidence-size", "1MiB", "--keep-privileges", "-")
	cmd.Env = append(os.Environ(), "XDG_CONFIG_HOME="+t.TempDir())
	cmd.Dir = t.TempDir()
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	var before int64
	if info, err := os.Stat(log); err == nil {
		before = info.Size()
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	fed := make(chan struct{})
	go func() {
		defer close(fed)
		const header = 24
		for _, err := stdin.Write(feed); err == nil; _, err = stdin.Write(feed[header:]) { // until it is killed
		}
	}()
	for giveUp := time.Now().Add(30 * time.Second); ; time.Sleep(time.Millisecond) {
		if info, err := os.Stat(log); err == nil && info.Size() != before {
			break
		}
		if time.Now().After(giveUp) {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
			t.Fatalf("nothing is written:\n%s", &stderr)
		}
	}
	time.Sleep(rand.N(80 * time.Millisecond)) // any moment will do
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // it was killed
	<-fed
	if stderr.Len() > 0 && strings.Contains(stderr.String(), "error") {
		t.Fatalf("%s", &stderr)
	}
}

// wholeLines counts the lines of a log, and those of them that are cut. An old log
// whose compression was cut short is still there as it was.
func wholeLines(t *testing.T, name string) (lines, cut int) {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	whole, written := strings.CutSuffix(name, ".tmp") // it gets its name when it is whole
	if plain, packed := strings.CutSuffix(whole, ".gz"); packed {
		if b, err = unpack(b); err != nil || written {
			if _, err := os.Stat(plain); errors.Is(err, fs.ErrNotExist) {
				t.Errorf("%s is cut, and %s is gone", name, plain)
			}
			return 0, 0
		}
	}
	for line := range bytes.Lines(b) {
		lines++
		if !json.Valid(line) {
			cut++
		}
	}
	return lines, cut
}

func unpack(b []byte) ([]byte, error) {
	r, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(r)
}

// readWhole reads a file of evidence to its end. What was not finished has another
// name.
func readWhole(t *testing.T, name string) {
	t.Helper()
	r, err := file.Open(name)
	if err != nil {
		t.Errorf("%s: %v", name, err)
		return
	}
	defer r.Close()
	src := file.NewSource(r, capture.Limits{})
	chunks := 0
	for _, err := range src.Chunks(t.Context()) {
		if err != nil {
			t.Errorf("%s: %v", name, err)
			return
		}
		chunks++
	}
	if chunks < 2 {
		t.Errorf("%s: only %d chunks", name, chunks)
	}
}

// TestCutLine: the log of a run that was killed goes on in a new line.
func TestCutLine(t *testing.T) {
	for before, want := range map[string]string{"": "next\n", "whole\n": "whole\nnext\n", "cut": "cut\nnext\n"} {
		name := filepath.Join(t.TempDir(), "log")
		if before != "" {
			if err := os.WriteFile(name, []byte(before), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		r := &rotated{name: name, conf: &config.Service{RotateSize: 1 << 20, RotateKeep: 1}}
		if err := r.open(); err != nil {
			t.Fatal(err)
		}
		if _, err := r.Write([]byte("next\n")); err != nil {
			t.Fatal(err)
		}
		r.close()
		if got, err := os.ReadFile(name); err != nil || string(got) != want {
			t.Errorf("%q, %v, want %q", got, err, want)
		}
	}
}
