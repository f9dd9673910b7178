// Package release builds whoasked for benchmarks as a release is built.
package release

import (
	"context"
	"fmt"
	"os"
	"os/exec"
)

// Build makes the binary at path: static, without cgo.
func Build(ctx context.Context, path string) error {
	c := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", path, "whoasked/cmd/whoasked")
	c.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := c.CombinedOutput(); err != nil {
		return fmt.Errorf("building whoasked: %w\n%s", err, out)
	}
	return nil
}
