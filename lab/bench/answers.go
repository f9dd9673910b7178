package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os/exec"
	"strings"

	"whoasked/lab/bench/traffic"
)

// answers counts what the product said about a capture.
type answers struct {
	Yes, No, Resumed int
	// Other counts connections to servers without TLS.
	Other int
}

// line is what the check needs of a line of --format json.
type line struct {
	Kind    string `json:"kind"`
	Client  string `json:"client"`
	Server  string `json:"server"`
	Version string `json:"version"`
	Resumed bool   `json:"resumed"`
	Asked   string `json:"asked"`
	AskedBy string `json:"asked_by"`
	Reason  string `json:"reason"`
}

// verify runs the product on a capture and compares every answer with the
// truth: a fast wrong answer is worth nothing.
func (b *bench) verify(ctx context.Context, c *capture) (*answers, error) {
	cmd := exec.CommandContext(ctx, b.whoasked, "read", "--quiet", "--format", "json", c.Path)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	a, err := check(out, &c.Truth)
	if err != nil {
		err = fmt.Errorf("the answers on %s are wrong: %w", c.Path, err)
		_, _ = io.Copy(io.Discard, out) // let it end
	}
	if e := cmd.Wait(); e != nil {
		err = errors.Join(err, fmt.Errorf("whoasked read: %w: %s", e, strings.TrimSpace(stderr.String())))
	}
	return a, err
}

// maxComplaints bounds how many wrong answers are listed.
const maxComplaints = 5

// check reads JSON Lines and compares them with the truth.
func check(r io.Reader, truth *traffic.Truth) (*answers, error) {
	var a answers
	var wrong []error
	seen := make([]int, len(truth.Scenarios))
	for dec := json.NewDecoder(r); ; {
		var raw json.RawMessage
		if err := dec.Decode(&raw); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, err
		}
		l, err := connection(raw)
		if err != nil {
			return nil, err
		}
		if l == nil {
			continue
		}
		if err := a.add(l, truth, seen); err != nil && len(wrong) < maxComplaints {
			wrong = append(wrong, err)
		}
	}
	for i, s := range truth.Scenarios {
		if seen[i] != s.Connections {
			wrong = append(wrong, fmt.Errorf("%s: %d connections, want %d", s.Name, seen[i], s.Connections))
		}
	}
	return &a, errors.Join(wrong...)
}

// connection decodes a line about a connection, nil for any other kind: those
// have fields of the same name and other types.
func connection(raw json.RawMessage) (*line, error) {
	var kind struct{ Kind string }
	if err := json.Unmarshal(raw, &kind); err != nil || kind.Kind != "connection" {
		return nil, err
	}
	l := new(line)
	return l, json.Unmarshal(raw, l)
}

// add counts one connection and compares it with its scenario.
func (a *answers) add(l *line, truth *traffic.Truth, seen []int) error {
	addr, err := netip.ParseAddrPort(l.Server)
	if err != nil {
		return fmt.Errorf("server: %w", err)
	}
	i := truth.Find(addr.Addr())
	if i < 0 {
		a.Other++
		if l.Asked == "yes" {
			return fmt.Errorf("%s has no TLS, but is said to ask", l.Server)
		}
		return nil
	}
	seen[i]++
	s := &truth.Scenarios[i]
	want := line{Kind: l.Kind, Client: l.Client, Server: l.Server, Reason: l.Reason,
		Version: s.Version, Resumed: s.Resumed, Asked: "no"}
	if s.Asked {
		want.Asked, want.AskedBy = "yes", l.Server
		a.Yes++
	} else {
		a.No++
	}
	if s.Resumed {
		a.Resumed++
	}
	if *l != want {
		return fmt.Errorf("%s: got %+v, want %+v", s.Name, *l, want)
	}
	return nil
}
