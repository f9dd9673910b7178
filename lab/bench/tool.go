package main

import (
	"context"
	"os"
	"os/exec"
	"regexp"
	"strings"
)

// tool is something that reads a capture.
type tool struct {
	Name string
	// Args is the command line; "FILE" stands for the capture.
	Args []string
	// VersionArgs make it print its version.
	VersionArgs []string
	// Slow limits the rounds to the -slow option.
	Slow bool
	// Own marks the product.
	Own bool
}

// tools lists what is measured, the product first.
func tools(whoasked string) []tool {
	own := func(format string) tool {
		return tool{
			Name: "whoasked " + format,
			Args: []string{whoasked, "read", "--quiet", "--format", format, "--output", os.DevNull, "FILE"},
			Own:  true,
		}
	}
	return []tool{
		own("text"), own("json"), own("log"),
		{Name: "cat", Args: []string{"cat", "FILE"}},
		{Name: "tcpdump", Args: []string{"tcpdump", "-r", "FILE", "-w", os.DevNull, "tcp port 1"}, VersionArgs: []string{"--version"}},
		{Name: "ndpiReader", Args: []string{"ndpiReader", "-q", "-i", "FILE"}, VersionArgs: []string{"-h"}},
		{Name: "tshark", Args: []string{"tshark", "-r", "FILE", "-Y", "tls.handshake.type==13"}, VersionArgs: []string{"--version"}, Slow: true},
	}
}

// present leaves out what is not installed, and says so.
func (b *bench) present(all []tool) []tool {
	var found []tool
	for _, t := range all {
		if _, err := exec.LookPath(t.Args[0]); err != nil {
			b.say("skipping %s: not installed", t.Name)
			continue
		}
		found = append(found, t)
	}
	return found
}

// command returns the tool's command on a capture. What it prints is dropped.
func (t *tool) command(ctx context.Context, path string) *exec.Cmd {
	args := make([]string, len(t.Args))
	for i, a := range t.Args {
		args[i] = strings.ReplaceAll(a, "FILE", path)
	}
	return exec.CommandContext(ctx, args[0], args[1:]...)
}

// version returns the first number with a dot that the tool prints when asked
// for its version, empty if there is none.
func (t *tool) version(ctx context.Context) string {
	if t.VersionArgs == nil {
		return ""
	}
	// Some print a usage and fail; what they printed counts.
	out, _ := exec.CommandContext(ctx, t.Args[0], t.VersionArgs...).CombinedOutput()
	return regexp.MustCompile(`\d+\.\d+(\.\d+)*`).FindString(string(out))
}
