package main

import (
	"bufio"
	"fmt"
	"os"
	"strings"

	"whoasked/capture/probe"
)

// maxTargets bounds what is read from lists.
const maxTargets = 100_000

// readTargets reads the arguments, and the lists that - (standard input) and @FILE
// stand for.
func readTargets(args []string) ([]probe.Target, error) {
	var out []probe.Target
	for _, arg := range args {
		name, listed := strings.CutPrefix(arg, "@")
		if !listed && arg != stdinName {
			t, err := probe.ParseTarget(arg)
			if err != nil {
				return nil, err
			}
			out = append(out, t)
			continue
		}
		var err error
		if out, err = readList(out, name); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// readList adds the targets in a file, one a line; name may be stdinName.
func readList(out []probe.Target, name string) ([]probe.Target, error) {
	in := os.Stdin
	if name != stdinName {
		f, err := os.Open(name)
		if err != nil {
			return nil, withHint(fmt.Errorf("no list of targets: %w", err), "@FILE names a file with a target on each line")
		}
		defer f.Close()
		in = f
	}
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		text := strings.TrimSpace(lines.Text())
		if text == "" || strings.HasPrefix(text, "#") {
			continue
		}
		t, err := probe.ParseTarget(text)
		if err != nil {
			return nil, err
		}
		if out = append(out, t); len(out) > maxTargets {
			return nil, fmt.Errorf("lists name more than %d targets", maxTargets)
		}
	}
	return out, lines.Err()
}
