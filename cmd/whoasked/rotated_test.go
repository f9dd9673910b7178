package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"whoasked/config"
)

// TestRotated begins files anew by size and by age: each line is in one of them,
// once and whole.
func TestRotated(t *testing.T) {
	for name, c := range map[string]config.Service{
		"size": {RotateSize: 1 << 20, RotateKeep: 100},
		"age":  {RotateSize: 100 << 20, RotateAge: 50 * time.Millisecond, RotateKeep: 100},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			r := &rotated{name: filepath.Join(dir, "watch.log"), conf: &c}
			if err := r.open(); err != nil {
				t.Fatal(err)
			}
			// The one that is written to, and old ones, which end up compressed.
			files := func() (old []string, busy bool) {
				for _, name := range mustGlob(t, filepath.Join(dir, "watch-*")) {
					old, busy = append(old, name), busy || !strings.HasSuffix(name, ".gz")
				}
				return old, busy
			}
			n := 0
			giveUp := time.Now().Add(30 * time.Second)
			for old, _ := files(); len(old) == 0 && time.Now().Before(giveUp); old, _ = files() {
				if _, err := fmt.Fprintf(r, "line %06d %s\n", n, strings.Repeat("x", 20_000)); err != nil {
					t.Fatal(err)
				}
				n++
				time.Sleep(time.Millisecond)
			}
			r.close()
			old, busy := files()
			for ; busy && time.Now().Before(giveUp); old, busy = files() {
				time.Sleep(5 * time.Millisecond)
			}
			if len(old) == 0 || busy {
				t.Fatalf("%d lines are in %q", n, old)
			}
			seen := make(map[string]bool)
			for _, name := range append(old, r.name) {
				b, err := os.ReadFile(name)
				if err != nil {
					t.Fatal(err)
				}
				if strings.HasSuffix(name, ".gz") {
					if b, err = unpack(b); err != nil {
						t.Fatal(err)
					}
				}
				for line := range bytes.Lines(b) {
					if len(line) != len("line 000000 \n")+20_000 {
						t.Fatalf("%s: a line of %d bytes", name, len(line))
					}
					seen[string(line[:11])] = true
				}
			}
			if len(seen) != n {
				t.Errorf("%d of %d lines are there", len(seen), n)
			}
		})
	}
}
