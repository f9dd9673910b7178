package corpus

import (
	"bufio"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"whoasked/capture/file"
	"whoasked/parse"
)

// TestPublic compares the answers with tshark's over public captures, in the
// clear and, where there are keys, with them. Every difference is in
// testdata/differences.txt with its reason, and nothing there is stale.
func TestPublic(t *testing.T) {
	dir := shared(t, "public")
	listed := differences(t, "testdata/differences.txt")
	f, err := os.Open(filepath.Join(dir, "truth.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	clear, keyed := newComparison(listed, ""), newComparison(listed, " with keys")
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 64<<20)
	for lines.Scan() {
		var tr truth
		if err := json.Unmarshal(lines.Bytes(), &tr); err != nil {
			t.Fatal(err)
		}
		if len(tr.Streams) == 0 {
			continue
		}
		name := filepath.Join(dir, tr.File)
		pkts := load(t, name)
		if tr.keyed() {
			log := ""
			if tr.Keylog != "" {
				log = filepath.Join(dir, tr.Keylog)
			}
			keyed.file(t, &tr, judgeWith(pkts, keysFor(t, name, log)))
		}
		clear.file(t, tr.inClear(), judge(pkts))
	}
	clear.report(t)
	keyed.report(t)
	stale(t, listed)
}

// keysFor reads the keys of a capture: those in it, and a key log beside it.
func keysFor(t *testing.T, name, log string) *parse.Keys {
	t.Helper()
	keys := parse.NewKeys()
	r, err := file.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if err := r.UseSecrets(keys.Log()); err != nil {
		t.Fatal(err)
	}
	for buf := new(file.Packet); r.Next(buf) == nil; { // where the file is packed, they come on the way
	}
	if log != "" {
		l := keys.Log()
		l.Write(readFile(t, log))
		l.Flush()
	}
	return keys
}

// differences reads the list: "FILE STREAM WHAT" lines under a line of reason
// that begins with "# ".
func differences(t *testing.T, name string) map[string]bool {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	out := make(map[string]bool)
	reason := false
	for line := range strings.Lines(string(b)) {
		line = strings.TrimSpace(line)
		switch {
		case strings.HasPrefix(line, "# "):
			reason = true
		case line == "":
			reason = false
		case !reason:
			t.Fatalf("a difference without a reason: %s", line)
		default:
			out[line] = false
		}
	}
	return out
}

// stale fails for listed differences that are none any more.
func stale(t *testing.T, listed map[string]bool) {
	t.Helper()
	for key, met := range listed {
		if !met {
			t.Errorf("listed, but no difference any more: %s", key)
		}
	}
}
