package main

import (
	"io"
	"os"
	"runtime"
	"strings"
	"testing"
)

// TestBenchmark takes small rounds through the product, which has to carry them.
func TestBenchmark(t *testing.T) {
	if os.Getenv("WHOASKED_LAB") == "" || runtime.GOOS != "linux" {
		t.Skip("builds whoasked and reads from Linux's /proc what it uses; set WHOASKED_LAB=run")
	}
	for _, more := range []string{"", "-inspect"} {
		var out strings.Builder
		args := []string{"-n", "1", "-connections", "20", "-bulk", "8", "-pings", "20", "-idle", "20", "-only", "whoasked"}
		if more != "" {
			args = append(args, more)
		}
		if err := command(t.Context(), args, &out, io.Discard); err != nil {
			t.Fatalf("%s: %v", more, err)
		}
		if !strings.Contains(out.String(), "\nwhoasked relay") {
			t.Errorf("no row of the relay in\n%s", out.String())
		}
		t.Logf("%s", out.String())
	}
}
